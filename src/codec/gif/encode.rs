//! Pixels → GIF, one frame: exact where 256 colours suffice, else quantised by NeuQuant. Alpha
//! below 128 becomes the transparent index. Never dithers.

use super::super::EncodeError;
use super::palette::{AlphaRule, exact_palette, may_be_clear, rgba};
use crate::model::format::Format;
use crate::model::geometry::Size;
use crate::model::pixels::Pixels;
use ::gif::{Encoder, Frame};

/// NeuQuant's sampling step (1 best, 30 fastest); 10 is its authors' middle.
const SPEED: i32 = 10;

/// Encodes one frame. Allocates one byte per pixel, and four more where colours must be reduced.
///
/// # Errors
/// For sides over 65,535, and running out of memory.
pub(in crate::codec) fn encode(pixels: &Pixels) -> Result<Vec<u8>, EncodeError> {
    let size = pixels.size();
    let (Ok(width), Ok(height)) = (u16::try_from(size.width), u16::try_from(size.height)) else {
        return Err(failed(format!("{size} is more than a GIF can hold (65535)")));
    };
    let (palette, indices, transparent) = match exact_palette(pixels, AlphaRule::Binary) {
        Some(exact) => {
            let transparent = exact.colors.iter().position(|color| color[3] == 0);
            let palette = exact.colors.iter().flat_map(|[rgb @ .., _]| *rgb).collect();
            (palette, exact.indices, transparent.and_then(|index| u8::try_from(index).ok()))
        }
        None => quantise(pixels, size)?,
    };
    let mut out = Vec::new();
    let mut encoder = Encoder::new(&mut out, width, height, &palette).map_err(failed)?;
    let frame = Frame { width, height, transparent, buffer: indices.into(), ..Frame::default() };
    encoder.write_frame(&frame).map_err(failed)?;
    drop(encoder);
    Ok(out)
}

type Quantised = (Vec<u8>, Vec<u8>, Option<u8>);

/// NeuQuant's palette and indices. It knows nothing of clear pixels: where there are any, the
/// least used colour gives its index up to them and its own pixels go to the nearest other one.
fn quantise(pixels: &Pixels, size: Size) -> Result<Quantised, EncodeError> {
    let count = usize::try_from(size.pixels()).map_err(failed)?;
    let mut samples = Vec::new();
    samples.try_reserve_exact(count.saturating_mul(4)).map_err(failed)?;
    let mut clear = vec![];
    let channels = pixels.layout().channels();
    let colors = || pixels.data().chunks_exact(channels).map(rgba);
    // Clear pixels take the colour of the opaque one before them, so as to teach nothing new.
    let mut stand_in = colors().find(|color| color[3] >= 128).unwrap_or_default();
    if may_be_clear(pixels.layout()) && !pixels.is_opaque() {
        clear.try_reserve_exact(count).map_err(failed)?;
        clear.extend(colors().map(|color| color[3] < 128));
    }
    for color in colors() {
        let [r, g, b, a] = AlphaRule::Binary.apply(color);
        if a != 0 {
            stand_in = [r, g, b, 255];
        }
        samples.extend(stand_in);
    }
    let (Ok(width), Ok(height)) = (u16::try_from(size.width), u16::try_from(size.height)) else {
        return Err(failed(format!("{size} is more than a GIF can hold (65535)")));
    };
    let frame = Frame::from_rgba_speed(width, height, &mut samples, SPEED);
    drop(samples);
    let palette = frame.palette.unwrap_or_default();
    let mut indices = frame.buffer.into_owned();
    if !clear.contains(&true) {
        return Ok((palette, indices, None));
    }
    let mut palette = palette;
    let transparent = free_an_index(&mut palette, &mut indices, &clear);
    Ok((palette, indices, Some(transparent)))
}

/// Gives clear pixels an index of their own, taken from the least used colour.
fn free_an_index(palette: &mut Vec<u8>, indices: &mut [u8], clear: &[bool]) -> u8 {
    let mut uses = [0_u64; 256];
    for (index, _) in indices.iter().zip(clear).filter(|(_, clear)| !**clear) {
        if let Some(n) = uses.get_mut(usize::from(*index)) {
            *n += 1;
        }
    }
    palette.resize(256 * 3, 0);
    let freed = uses.iter().zip(0..=u8::MAX).min_by_key(|(n, _)| **n).map_or(0, |(_, index)| index);
    let colors = palette.as_chunks::<3>().0;
    let old = colors.get(usize::from(freed)).copied().unwrap_or_default();
    let distance = |color: &[u8; 3]| -> u32 {
        color.iter().zip(old).map(|(a, b)| u32::from(a.abs_diff(b)).pow(2)).sum()
    };
    let nearest = (0..=u8::MAX)
        .zip(colors)
        .filter(|(index, _)| *index != freed)
        .min_by_key(|(_, color)| distance(color))
        .map_or(0, |(index, _)| index);
    for (index, clear) in indices.iter_mut().zip(clear) {
        if *clear {
            *index = freed;
        } else if *index == freed {
            *index = nearest;
        }
    }
    freed
}

#[expect(clippy::needless_pass_by_value, reason = "called by map_err")]
fn failed(reason: impl ToString) -> EncodeError {
    EncodeError { format: Format::Gif, reason: reason.to_string() }
}

#[cfg(test)]
mod tests {
    use super::super::{decode, probe};
    use super::*;
    use crate::model::pixels::Layout;
    use crate::model::source::Scale;

    fn round_trip(pixels: &Pixels) -> Pixels {
        let bytes = encode(pixels).unwrap();
        decode(&bytes, &probe(&bytes).unwrap(), Scale::Full).unwrap()
    }

    #[test]
    fn few_colours_and_clear_pixels_are_exact() {
        let data =
            (0..64_u8).flat_map(|n| [n, 255 - n, 7, if n % 3 == 0 { 0 } else { 255 }]).collect();
        let pixels = Pixels::new(Size::new(8, 8), Layout::Rgba, data).unwrap();
        let back = round_trip(&pixels);
        for (a, b) in pixels.data().chunks_exact(4).zip(back.data().chunks_exact(4)) {
            assert_eq!(if a[3] == 0 { &[0; 4] } else { a }, b);
        }
        let gray = Pixels::new(Size::new(16, 16), Layout::Gray, (0..=255).collect()).unwrap();
        let back = round_trip(&gray);
        assert_eq!(back.layout(), Layout::Rgb);
        assert!(back.data().chunks_exact(3).zip(0..=255).all(|(p, n)| p == [n; 3]));
    }

    #[test]
    fn many_colours_come_close_and_clear_stays_clear() {
        let side = 64_u32;
        let data = (0..side * side)
            .flat_map(|n| {
                let (x, y) = (n % side, n / side);
                let alpha = if (x + y) % 5 == 0 { 10 } else { 250 };
                [x * 4, y * 4, 255 - x * 4, alpha].map(|v| u8::try_from(v).unwrap())
            })
            .collect();
        let pixels = Pixels::new(Size::new(side, side), Layout::Rgba, data).unwrap();
        let back = round_trip(&pixels);
        let mut total = 0_u32;
        for (a, b) in pixels.data().chunks_exact(4).zip(back.data().chunks_exact(4)) {
            assert_eq!(b[3], if a[3] < 128 { 0 } else { 255 });
            if b[3] == 255 {
                total += (0..3).map(|c| u32::from(a[c].abs_diff(b[c]))).sum::<u32>();
            }
        }
        let mean = f64::from(total) / f64::from(side * side * 3);
        assert!(mean < 10.0, "mean difference {mean}");
    }

    #[test]
    fn a_side_over_the_format_is_an_error() {
        let pixels = Pixels::new(Size::new(65_536, 1), Layout::Gray, vec![0; 65_536]).unwrap();
        assert!(encode(&pixels).is_err());
    }
}
