//! PNG → pixels: palettes and low depths expanded, 16 bits rounded, the profile applied. Rows go
//! into the shrink as they are unpacked; only what is interlaced is ever held whole.

use super::super::shrink::Shrinker;
use super::super::{DecodeError, icc};
use super::broken;
use crate::model::pixels::{Layout, Pixels};
use crate::model::source::{Header, Scale};
use ::png::{BitDepth, ColorType, Decoder, DecodingError, Limits, Reader, Transformations};
use std::io::{Cursor, ErrorKind};

/// What the decoder may allocate besides rows: chunks it keeps (bounded by the file too) and an
/// inflated profile, of which a bomb is passed over.
const CHUNK_BYTES: usize = 4 << 20;

/// Decodes the default picture at `scale`: grey to [`Layout::Gray`], anything with alpha or a
/// `tRNS` to [`Layout::Rgba`], the rest to [`Layout::Rgb`]. Allocates the result and some rows;
/// all samples as they are stored where the file is interlaced.
///
/// # Errors
/// `Broken` for damaged (by CRC too) or cut-off data, or a file that is not what `header` says.
pub(in crate::codec) fn decode(
    bytes: &[u8],
    header: &Header,
    scale: Scale,
) -> Result<Pixels, DecodeError> {
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
    let (color, depth) = reader.output_color_type();
    let mut samples = Samples::new(color, depth, reader.info().icc_profile.as_deref())?;
    let mut shrinker = Shrinker::new(size, samples.layout(), scale).map_err(broken)?;
    if reader.info().interlaced {
        read_whole(&mut reader, &mut samples, &mut shrinker)?;
    } else {
        read_rows(&mut reader, &mut samples, &mut shrinker)?;
    }
    let pixels = shrinker.finish().map_err(broken)?;
    // From here on there are few pixels, as behind the DCT of a JPEG.
    Ok(match (samples, reader.info().icc_profile.as_deref()) {
        (Samples::Eight(_), Some(profile)) => icc::to_srgb(pixels, profile),
        (Samples::GrayAlpha { .. }, Some(profile)) => gray_to_srgb(pixels, profile)?,
        _ => pixels,
    })
}

/// The embedded profile, inflated. Reads the file up to its first compressed data.
pub(in crate::codec) fn profile(bytes: &[u8]) -> Option<Vec<u8>> {
    let limit = CHUNK_BYTES.saturating_add(bytes.len());
    let mut decoder = Decoder::new_with_limits(Cursor::new(bytes), Limits { bytes: limit });
    decoder.set_ignore_text_chunk(true);
    let reader = decoder.read_info().ok()?;
    Some(reader.info().icc_profile.as_deref()?.to_vec())
}

/// What the decoder delivers, and how a row of it becomes 8-bit samples of a layout.
enum Samples {
    /// As they are wanted.
    Eight(Layout),
    /// Pairs, of two bytes each where `deep`.
    GrayAlpha { deep: bool },
    /// Two bytes each, brought to sRGB before they lose their depth.
    Sixteen(Layout, icc::Deep),
}

impl Samples {
    fn new(color: ColorType, depth: BitDepth, profile: Option<&[u8]>) -> Result<Self, DecodeError> {
        let deep = depth == BitDepth::Sixteen;
        let layout = match color {
            ColorType::Grayscale => Layout::Gray,
            ColorType::Rgb => Layout::Rgb,
            ColorType::Rgba => Layout::Rgba,
            ColorType::GrayscaleAlpha => return Ok(Self::GrayAlpha { deep }),
            ColorType::Indexed => return Err(broken("a palette that was not expanded")),
        };
        Ok(if deep {
            Self::Sixteen(layout, icc::Deep::new(layout, profile))
        } else {
            Self::Eight(layout)
        })
    }

    const fn layout(&self) -> Layout {
        match self {
            Self::Eight(layout) | Self::Sixteen(layout, _) => *layout,
            Self::GrayAlpha { .. } => Layout::Rgba,
        }
    }

    fn convert(&mut self, raw: &[u8], out: &mut [u8]) {
        match self {
            Self::Eight(_) => out.copy_from_slice(raw),
            Self::Sixteen(_, deep) => deep.row(raw, u16::from_be_bytes, out),
            Self::GrayAlpha { deep: false } => {
                let pairs = raw.as_chunks::<2>().0;
                for (pixel, &[gray, alpha]) in out.as_chunks_mut::<4>().0.iter_mut().zip(pairs) {
                    *pixel = [gray, gray, gray, alpha];
                }
            }
            Self::GrayAlpha { deep: true } => {
                let pairs = raw.as_chunks::<4>().0;
                for (pixel, &[g1, g0, a1, a0]) in out.as_chunks_mut::<4>().0.iter_mut().zip(pairs) {
                    let [gray, alpha] = [[g1, g0], [a1, a0]].map(u16::from_be_bytes);
                    let gray = icc::narrow(gray);
                    *pixel = [gray, gray, gray, icc::narrow(alpha)];
                }
            }
        }
    }
}

/// Reads all rows, then on to the end of the compressed data, where its CRC stands. A file that
/// ends behind its last pixel is whole.
fn read_rows(
    reader: &mut Reader<Cursor<&[u8]>>,
    samples: &mut Samples,
    shrinker: &mut Shrinker,
) -> Result<(), DecodeError> {
    let info = reader.info();
    let (width, height) = (info.width, info.height);
    let missing = || broken("fewer rows than the header says");
    let mut raw = match samples {
        Samples::Eight(_) => Vec::new(),
        _ => zeroed(reader.output_line_size(width).ok_or_else(out_of_memory)?)?,
    };
    for _ in 0..height {
        shrinker.row(|out| {
            if raw.is_empty() {
                return reader.read_row(out).map_err(explain)?.ok_or_else(missing).map(|_| ());
            }
            reader.read_row(&mut raw).map_err(explain)?.ok_or_else(missing)?;
            samples.convert(&raw, out);
            Ok(())
        })?;
    }
    match reader.read_row(&mut []) {
        Ok(_) => Ok(()),
        Err(DecodingError::IoError(error)) if error.kind() == ErrorKind::UnexpectedEof => Ok(()),
        Err(error) => Err(explain(error)),
    }
}

/// Reads an interlaced picture, whose last row is complete only with its last byte.
fn read_whole(
    reader: &mut Reader<Cursor<&[u8]>>,
    samples: &mut Samples,
    shrinker: &mut Shrinker,
) -> Result<(), DecodeError> {
    let length = reader.output_buffer_size().ok_or_else(out_of_memory)?;
    let line = reader.output_line_size(reader.info().width).ok_or_else(out_of_memory)?;
    let mut whole = zeroed(length)?;
    reader.next_frame(&mut whole).map_err(explain)?;
    for raw in whole.chunks_exact(line.max(1)) {
        shrinker.row(|out| {
            samples.convert(raw, out);
            Ok::<(), DecodeError>(())
        })?;
    }
    Ok(())
}

/// Grey pixels with alpha through a grey profile.
fn gray_to_srgb(mut pixels: Pixels, profile: &[u8]) -> Result<Pixels, DecodeError> {
    let mut gray = Vec::new();
    gray.try_reserve_exact(pixels.data().len() / 4).map_err(|_| out_of_memory())?;
    gray.extend(pixels.data().as_chunks::<4>().0.iter().map(|[gray, ..]| *gray));
    let gray = Pixels::new(pixels.size(), Layout::Gray, gray)
        .map_err(|wrong| broken(wrong.to_string()))?;
    let gray = icc::to_srgb(gray, profile);
    let rgba = pixels.data_mut().as_chunks_mut::<4>().0;
    for ([r, g, b, _], &level) in rgba.iter_mut().zip(gray.data()) {
        (*r, *g, *b) = (level, level, level);
    }
    Ok(pixels)
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
    use crate::model::geometry::Size;
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
        decode(bytes, &probe(bytes).unwrap(), Scale::Full).unwrap()
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
        assert_eq!(decode(&bytes, &header, Scale::Full).unwrap(), pixels);
        // Only the checksums and IEND may be missing; they stand behind all the pixels.
        for cut in 33..bytes.len() {
            match decode(&bytes[..cut], &header, Scale::Full) {
                Ok(whole) => assert!(cut + 24 >= bytes.len() && whole == pixels, "{cut}"),
                Err(error) => assert!(matches!(error, DecodeError::Broken { .. }), "{error}"),
            }
        }
        let mut flipped = bytes;
        let middle = flipped.len() / 2;
        flipped[middle] ^= 4;
        assert!(matches!(decode(&flipped, &header, Scale::Full), Err(DecodeError::Broken { .. })));
    }

    #[test]
    fn another_size_than_promised_is_broken() {
        let bytes = written(ColorType::Grayscale, BitDepth::Eight, (2, 2), &[0; 4], |_| {});
        let header = Header { size: Size::new(2, 1), ..probe(&bytes).unwrap() };
        assert!(decode(&bytes, &header, Scale::Full).is_err());
    }
}
