//! PNG → pixels: palettes and low depths expanded, 16 bits rounded, the profile applied.

use super::super::{DecodeError, icc};
use super::broken;
use crate::model::geometry::Size;
use crate::model::pixels::{Layout, Pixels};
use crate::model::source::Header;
use ::png::{BitDepth, ColorType, Decoder, DecodingError, Limits, Reader, Transformations};
use std::io::{Cursor, ErrorKind};

/// What the decoder may allocate besides rows: chunks it keeps (bounded by the file too) and an
/// inflated profile, of which a bomb is passed over.
const CHUNK_BYTES: usize = 4 << 20;

/// Decodes the default picture: grey to [`Layout::Gray`], anything with alpha or a `tRNS` to
/// [`Layout::Rgba`], the rest to [`Layout::Rgb`]. Allocates the picture once; twice its size for
/// 16-bit samples, and one and a half times for grey with alpha.
///
/// # Errors
/// `Broken` for damaged (by CRC too) or cut-off data, or a file that is not what `header` says.
pub(in crate::codec) fn decode(bytes: &[u8], header: &Header) -> Result<Pixels, DecodeError> {
    let size = header.size;
    let row = usize::try_from(u64::from(size.width) * 8).map_err(|_| out_of_memory())?;
    let limit = row.saturating_mul(4).saturating_add(CHUNK_BYTES).saturating_add(bytes.len());
    let mut decoder = Decoder::new_with_limits(Cursor::new(bytes), Limits { bytes: limit });
    decoder.set_transformations(Transformations::EXPAND);
    decoder.set_ignore_text_chunk(true);
    let mut reader = decoder.read_info().map_err(explain)?;
    if reader.info().size() != (size.width, size.height) {
        let (width, height) = reader.info().size();
        return Err(broken(format!("the decoder found {width}x{height}, the header {size}")));
    }
    let length = reader.output_buffer_size().ok_or_else(out_of_memory)?;
    let (color, depth) = reader.output_color_type();
    let mut samples = zeroed(length)?;
    read_rows(&mut reader, &mut samples)?;
    let profile = reader.info().icc_profile.as_deref();
    to_pixels(samples, size, color, depth, profile)
}

/// The embedded profile, inflated. Reads the file up to its first compressed data.
pub(in crate::codec) fn profile(bytes: &[u8]) -> Option<Vec<u8>> {
    let limit = CHUNK_BYTES.saturating_add(bytes.len());
    let mut decoder = Decoder::new_with_limits(Cursor::new(bytes), Limits { bytes: limit });
    decoder.set_ignore_text_chunk(true);
    let reader = decoder.read_info().ok()?;
    Some(reader.info().icc_profile.as_deref()?.to_vec())
}

/// Reads all rows, then on to the end of the compressed data, where its CRC stands. A file that
/// ends behind its last pixel is whole.
fn read_rows(reader: &mut Reader<Cursor<&[u8]>>, samples: &mut [u8]) -> Result<(), DecodeError> {
    if reader.info().interlaced {
        return reader.next_frame(samples).map(|_| ()).map_err(explain);
    }
    let line = reader.output_line_size(reader.info().width).ok_or_else(out_of_memory)?;
    let missing = || broken("fewer rows than the header says");
    for row in samples.chunks_exact_mut(line.max(1)) {
        reader.read_row(row).map_err(explain)?.ok_or_else(missing)?;
    }
    match reader.read_row(&mut []) {
        Ok(_) => Ok(()),
        Err(DecodingError::IoError(error)) if error.kind() == ErrorKind::UnexpectedEof => Ok(()),
        Err(error) => Err(explain(error)),
    }
}

fn to_pixels(
    mut samples: Vec<u8>,
    size: Size,
    color: ColorType,
    depth: BitDepth,
    profile: Option<&[u8]>,
) -> Result<Pixels, DecodeError> {
    let deep = depth == BitDepth::Sixteen;
    let layout = match color {
        ColorType::Grayscale => Layout::Gray,
        ColorType::Rgb => Layout::Rgb,
        ColorType::Rgba => Layout::Rgba,
        ColorType::GrayscaleAlpha => {
            if deep {
                for at in 0..samples.len() / 2 {
                    if let Some(&[high, low]) = samples.get(at * 2..at * 2 + 2)
                        && let Some(target) = samples.get_mut(at)
                    {
                        *target = icc::narrow(u16::from_be_bytes([high, low]));
                    }
                }
                samples.truncate(samples.len() / 2);
            }
            return gray_alpha(&samples, size, profile);
        }
        ColorType::Indexed => return Err(broken("a palette that was not expanded")),
    };
    if deep {
        return icc::deep_to_srgb(samples, u16::from_be_bytes, size, layout, profile)
            .map_err(|wrong| broken(wrong.to_string()));
    }
    let pixels = Pixels::new(size, layout, samples).map_err(|wrong| broken(wrong.to_string()))?;
    Ok(match profile {
        Some(profile) => icc::to_srgb(pixels, profile),
        None => pixels,
    })
}

/// Grey with alpha → RGBA; a grey profile is applied to the grey alone.
fn gray_alpha(samples: &[u8], size: Size, profile: Option<&[u8]>) -> Result<Pixels, DecodeError> {
    let pairs = samples.as_chunks::<2>().0;
    let mut gray = Vec::new();
    gray.try_reserve_exact(pairs.len()).map_err(|_| out_of_memory())?;
    gray.extend(pairs.iter().map(|[gray, _]| *gray));
    let gray = Pixels::new(size, Layout::Gray, gray).map_err(|wrong| broken(wrong.to_string()))?;
    let gray = match profile {
        Some(profile) => icc::to_srgb(gray, profile),
        None => gray,
    };
    let mut rgba = Vec::new();
    rgba.try_reserve_exact(pairs.len().saturating_mul(4)).map_err(|_| out_of_memory())?;
    rgba.extend(gray.data().iter().zip(pairs).flat_map(|(&g, &[_, alpha])| [g, g, g, alpha]));
    Pixels::new(size, Layout::Rgba, rgba).map_err(|wrong| broken(wrong.to_string()))
}

fn zeroed(length: usize) -> Result<Vec<u8>, DecodeError> {
    let mut buffer = Vec::new();
    buffer.try_reserve_exact(length).map_err(|_| out_of_memory())?;
    buffer.resize(length, 0);
    Ok(buffer)
}

fn out_of_memory() -> DecodeError {
    broken("more pixels than memory")
}

fn explain(error: DecodingError) -> DecodeError {
    match error {
        DecodingError::IoError(error) if error.kind() == ErrorKind::UnexpectedEof => {
            broken("the data end before the picture does")
        }
        error => broken(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::super::{encode, probe};
    use super::*;
    use ::png::Encoder;

    fn written(
        color: ColorType,
        depth: BitDepth,
        size: (u32, u32),
        data: &[u8],
        more: impl FnOnce(&mut Encoder<'_, &mut Vec<u8>>),
    ) -> Vec<u8> {
        let mut out = Vec::new();
        let mut encoder = Encoder::new(&mut out, size.0, size.1);
        encoder.set_color(color);
        encoder.set_depth(depth);
        more(&mut encoder);
        encoder.write_header().unwrap().write_image_data(data).unwrap();
        out
    }

    fn read(bytes: &[u8]) -> Pixels {
        decode(bytes, &probe(bytes).unwrap()).unwrap()
    }

    #[test]
    fn sixteen_bits_are_rounded_not_cut() {
        let data: Vec<u8> =
            [0_u16, 128, 129, 65_407].iter().flat_map(|v| v.to_be_bytes()).collect();
        let bytes = written(ColorType::Grayscale, BitDepth::Sixteen, (4, 1), &data, |_| {});
        assert_eq!(read(&bytes).data(), [0, 0, 1, 255]);
        let bytes = written(ColorType::GrayscaleAlpha, BitDepth::Sixteen, (2, 1), &data, |_| {});
        assert_eq!(read(&bytes).data(), [0, 0, 0, 0, 1, 1, 1, 255]);
    }

    #[test]
    fn palettes_low_depths_and_transparent_entries_are_expanded() {
        let bytes = written(ColorType::Indexed, BitDepth::Two, (4, 1), &[0b0001_1011], |e| {
            e.set_palette(vec![1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]);
        });
        assert_eq!(read(&bytes).data(), (1..=12).collect::<Vec<u8>>());
        let bytes = written(ColorType::Indexed, BitDepth::One, (2, 1), &[0b0100_0000], |e| {
            e.set_palette(vec![1, 2, 3, 4, 5, 6]);
            e.set_trns(vec![9]);
        });
        assert_eq!(read(&bytes).data(), [1, 2, 3, 9, 4, 5, 6, 255]);
        let bytes = written(ColorType::Grayscale, BitDepth::Four, (2, 1), &[0x0F], |_| {});
        assert_eq!((read(&bytes).layout(), read(&bytes).data()), (Layout::Gray, &[0, 255][..]));
    }

    #[test]
    fn every_cut_and_a_flipped_bit_are_broken() {
        let data: Vec<u8> =
            (0..48 * 48 * 3_u32).map(|n| u8::try_from(n * n % 251).unwrap()).collect();
        let pixels = Pixels::new(Size::new(48, 48), Layout::Rgb, data).unwrap();
        let bytes = encode(&pixels).unwrap();
        let header = probe(&bytes).unwrap();
        assert_eq!(decode(&bytes, &header).unwrap(), pixels);
        // Only the checksums and IEND may be missing; they stand behind all the pixels.
        for cut in 33..bytes.len() {
            match decode(&bytes[..cut], &header) {
                Ok(whole) => assert!(cut + 24 >= bytes.len() && whole == pixels, "{cut}"),
                Err(error) => assert!(matches!(error, DecodeError::Broken { .. }), "{error}"),
            }
        }
        let mut flipped = bytes;
        let middle = flipped.len() / 2;
        flipped[middle] ^= 4;
        assert!(matches!(decode(&flipped, &header), Err(DecodeError::Broken { .. })));
    }

    #[test]
    fn another_size_than_promised_is_broken() {
        let bytes = written(ColorType::Grayscale, BitDepth::Eight, (2, 2), &[0; 4], |_| {});
        let header = Header { size: Size::new(2, 1), ..probe(&bytes).unwrap() };
        assert!(decode(&bytes, &header).is_err());
    }
}
