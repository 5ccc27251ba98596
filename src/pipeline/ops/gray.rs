//! Colour → grey, weighted as CSS `grayscale()` (BT.709 luma on sRGB values).

use crate::model::pixels::{Layout, Pixels};
use crate::pipeline::run::{RenderError, finish};

/// BT.709 luma in 16.16 fixed point, rounded.
fn luma(r: u8, g: u8, b: u8) -> u8 {
    // 0.2126, 0.7152, 0.0722 × 65536, summing to exactly 65536.
    let sum = 13_933 * u32::from(r) + 46_871 * u32::from(g) + 4_732 * u32::from(b);
    ((sum + 32_768) >> 16) as u8
}

/// One grey channel, or RGBA with equal channels where there is alpha. In the same buffer.
///
/// # Errors
/// [`RenderError::Step`], never in practice.
pub fn gray(pixels: Pixels) -> Result<Pixels, RenderError> {
    let (size, layout) = (pixels.size(), pixels.layout());
    match layout {
        Layout::Gray => Ok(pixels),
        Layout::Rgb => {
            let (samples, _) = pixels.data().as_chunks::<3>();
            let data = samples.iter().map(|[r, g, b]| luma(*r, *g, *b)).collect();
            finish("gray", size, Layout::Gray, data)
        }
        Layout::Rgba => {
            let mut data = pixels.into_data();
            for [r, g, b, _] in data.as_chunks_mut::<4>().0 {
                let y = luma(*r, *g, *b);
                (*r, *g, *b) = (y, y, y);
            }
            finish("gray", size, layout, data)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grey_stays_grey_and_white_stays_white() {
        for v in 0..=255 {
            assert_eq!(luma(v, v, v), v);
        }
        assert_eq!([luma(255, 0, 0), luma(0, 255, 0), luma(0, 0, 255)], [54, 182, 18]);
    }
}
