//! Pixels → PNG: the smallest of grey, palette, RGB and RGBA that holds the picture exactly.

use super::super::{EncodeError, gif};
use crate::model::format::Format;
use crate::model::pixels::{Layout, Pixels};
use ::png::{BitDepth, ColorType, Compression, DeflateCompression, Encoder, Filter};

/// Deflate's level for grey and RGB: with adaptive filters 8 % larger than the usual level 6, at a
/// quarter of the time, and 13 % smaller than the crate's own fast mode.
const LEVEL: u8 = 2;

/// Encodes without loss. An alpha channel that is opaque throughout is dropped; up to 256
/// colours become a palette. Allocates the file, and a plane for a palette or a dropped alpha.
///
/// # Errors
/// What the encoder says, which is running out of memory.
pub(in crate::codec) fn encode(pixels: &Pixels) -> Result<Vec<u8>, EncodeError> {
    if pixels.layout() != Layout::Gray
        && let Some(palette) = gif::exact_palette(pixels, gif::AlphaRule::Exact)
    {
        return write(pixels, ColorType::Indexed, &palette.indices, |encoder| {
            encoder.set_palette(
                palette.colors.iter().flat_map(|[rgb @ .., _]| *rgb).collect::<Vec<_>>(),
            );
            if palette.colors.iter().any(|color| color[3] < 255) {
                encoder.set_trns(palette.colors.iter().map(|color| color[3]).collect::<Vec<_>>());
            }
            encoder.set_compression(Compression::Balanced);
            // Neighbouring indices say nothing about each other.
            encoder.set_filter(Filter::NoFilter);
        });
    }
    match pixels.layout() {
        Layout::Gray => write(pixels, ColorType::Grayscale, pixels.data(), |_| {}),
        Layout::Rgb => write(pixels, ColorType::Rgb, pixels.data(), |_| {}),
        Layout::Rgba if pixels.is_opaque() => {
            let rgba = pixels.data().as_chunks::<4>().0;
            let mut rgb = Vec::new();
            rgb.try_reserve_exact(rgba.len().saturating_mul(3))
                .map_err(|_| failed("more pixels than memory"))?;
            rgb.extend(rgba.iter().flat_map(|[r, g, b, _]| [*r, *g, *b]));
            write(pixels, ColorType::Rgb, &rgb, |_| {})
        }
        Layout::Rgba => write(pixels, ColorType::Rgba, pixels.data(), |_| {}),
    }
}

fn write(
    pixels: &Pixels,
    color: ColorType,
    data: &[u8],
    more: impl FnOnce(&mut Encoder<'_, &mut Vec<u8>>),
) -> Result<Vec<u8>, EncodeError> {
    let mut out = Vec::new();
    let mut encoder = Encoder::new(&mut out, pixels.size().width, pixels.size().height);
    encoder.set_color(color);
    encoder.set_depth(BitDepth::Eight);
    encoder.set_deflate_compression(DeflateCompression::Level(LEVEL));
    encoder.set_filter(Filter::Adaptive);
    more(&mut encoder);
    let mut writer = encoder.write_header().map_err(failed)?;
    writer.write_image_data(data).map_err(failed)?;
    writer.finish().map_err(failed)?;
    Ok(out)
}

#[expect(clippy::needless_pass_by_value, reason = "called by map_err")]
fn failed(reason: impl ToString) -> EncodeError {
    EncodeError { format: Format::Png, reason: reason.to_string() }
}

#[cfg(test)]
mod tests {
    use super::super::{decode, probe};
    use super::*;
    use crate::model::geometry::Size;
    use crate::model::source::Scale;
    use proptest::prelude::*;

    fn color_type(bytes: &[u8]) -> u8 {
        bytes[25]
    }

    #[test]
    fn the_smallest_sufficient_colour_type_is_written() {
        let noise = |layout: Layout| {
            let data = (0..1024 * layout.channels())
                .map(|n| u8::try_from(n * n / 7 % 255).unwrap())
                .collect();
            Pixels::new(Size::new(32, 32), layout, data).unwrap()
        };
        assert_eq!(color_type(&encode(&noise(Layout::Gray)).unwrap()), 0);
        assert_eq!(color_type(&encode(&noise(Layout::Rgb)).unwrap()), 2);
        assert_eq!(color_type(&encode(&noise(Layout::Rgba)).unwrap()), 6);
        let mut opaque = noise(Layout::Rgba);
        opaque.data_mut().chunks_exact_mut(4).for_each(|p| p[3] = 255);
        let bytes = encode(&opaque).unwrap();
        assert_eq!(color_type(&bytes), 2);
        let flat = Pixels::new(Size::new(8, 8), Layout::Rgba, vec![9; 256]).unwrap();
        let bytes = encode(&flat).unwrap();
        assert_eq!(color_type(&bytes), 3);
        assert_eq!(decode(&bytes, &probe(&bytes).unwrap(), Scale::Full).unwrap(), flat);
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back_exactly(
            width in 1..40_u32,
            height in 1..40_u32,
            layout in prop::sample::select(vec![Layout::Gray, Layout::Rgb, Layout::Rgba]),
            colours in 1..400_u32,
            seed in any::<u32>(),
        ) {
            let size = Size::new(width, height);
            let data = (0..size.pixels())
                .flat_map(|n| {
                    let n = u32::try_from(n).unwrap().wrapping_mul(seed) % colours;
                    n.wrapping_mul(0x9E37_79B9).to_le_bytes().into_iter().take(layout.channels())
                })
                .collect();
            let pixels = Pixels::new(size, layout, data).unwrap();
            let bytes = encode(&pixels).unwrap();
            let back = decode(&bytes, &probe(&bytes).unwrap(), Scale::Full).unwrap();
            let rgba = |p: &Pixels| -> Vec<[u8; 4]> {
                p.data().chunks_exact(p.layout().channels()).map(|c| match *c {
                    [g] => [g, g, g, 255],
                    [r, g, b] => [r, g, b, 255],
                    [r, g, b, a] => [r, g, b, a],
                    _ => unreachable!(),
                }).collect()
            };
            prop_assert_eq!(rgba(&back), rgba(&pixels));
        }
    }
}
