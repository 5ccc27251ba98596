//! Unsharp mask: adds what a blur takes away. Alpha stays as it is.

use super::blur::blur_deep;
use super::premultiplied::Deep;
use crate::model::pixels::Pixels;
use crate::pipeline::run::RenderError;

/// σ of the blur that is taken away, in pixels of the result.
const SIGMA: f64 = 1.0;

/// How much of the difference is added at strength 1.
const AMOUNT: f64 = 0.5;

/// Sharpens by `strength` 0–10. Allocates three 16-bit copies for the while.
///
/// # Errors
/// [`RenderError::Step`] where memory is short.
#[expect(clippy::needless_pass_by_value, reason = "the picture is consumed")]
pub fn sharpen(pixels: Pixels, strength: f64) -> Result<Pixels, RenderError> {
    let sharp = Deep::of(&pixels);
    let mut soft = Deep { samples: sharp.samples.clone(), ..sharp };
    blur_deep(&mut soft, SIGMA);
    // Fixed point, 8 fractional bits: strength ≤ 10 makes it ≤ 1280.
    let amount = (strength * AMOUNT * 256.0).round() as i64;
    let channels = sharp.layout.channels();
    for (to, from) in
        soft.samples.chunks_exact_mut(channels).zip(sharp.samples.chunks_exact(channels))
    {
        // Colours are premultiplied: none may pass its alpha.
        let ceiling = if channels == 4 { from[3] } else { u16::MAX };
        for (channel, (to, from)) in to.iter_mut().zip(from).enumerate() {
            if channel == 3 {
                *to = *from;
                continue;
            }
            let (soft, sharp) = (i64::from(*to), i64::from(*from));
            let value = sharp + (((sharp - soft) * amount) >> 8);
            *to = value.clamp(0, i64::from(ceiling)) as u16;
        }
    }
    soft.into_pixels("sharpen")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::geometry::Size;
    use crate::model::pixels::Layout;

    #[test]
    fn edges_gain_contrast_and_plains_do_not_move() {
        let row: Vec<u8> = (0..20).map(|x| if x < 10 { 100 } else { 150 }).collect();
        let pixels = Pixels::new(Size::new(20, 1), Layout::Gray, row).unwrap();
        let sharp = sharpen(pixels, 2.0).unwrap();
        assert_eq!((sharp.data()[0], sharp.data()[19]), (100, 150));
        assert!(sharp.data()[9] < 95 && sharp.data()[10] > 155, "{:?}", sharp.data());
    }
}
