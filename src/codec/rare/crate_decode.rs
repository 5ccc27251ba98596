//! The `image` crate's decoders → pixels: limits set, size checked, every sample type brought to
//! 8 bits. Never lets the crate pick a format.

use super::super::{DecodeError, icc};
use crate::model::format::SourceFormat;
use crate::model::geometry::Size;
use crate::model::pixels::{Layout, Pixels};
use crate::model::source::Header;
use image::error::UnsupportedErrorKind;
use image::{ColorType, ImageDecoder, ImageError, Limits};

/// Work memory of a decoder beyond the picture and the file: tables, one strip.
const WORK_BYTES: u64 = 16 << 20;

/// Runs a decoder whose header was read. `at_hand` is the length of its file. Allocates the
/// picture in the decoder's own sample type (up to 16 bytes per pixel for floats); the decoder
/// may hold it a second time.
///
/// # Errors
/// `Broken` where the decoder disagrees with `header` or fails; `Unsupported` for sample types
/// and kinds that are not read.
pub(super) fn decode(
    mut decoder: impl ImageDecoder,
    header: &Header,
    at_hand: usize,
) -> Result<Pixels, DecodeError> {
    let format = header.format;
    let broken = |reason: String| DecodeError::Broken { format, reason };
    let (width, height) = decoder.dimensions();
    if (width, height) != (header.size.width, header.size.height) {
        let size = header.size;
        return Err(broken(format!("the decoder found {width}x{height}, the header {size}")));
    }
    let color = decoder.color_type();
    let total = decoder.total_bytes();
    let mut limits = Limits::no_limits();
    limits.max_image_width = Some(width);
    limits.max_image_height = Some(height);
    let file = u64::try_from(at_hand).unwrap_or(u64::MAX);
    // CMYK is held at four samples before it becomes three.
    limits.max_alloc =
        Some(total.saturating_mul(3).saturating_add(file).saturating_add(WORK_BYTES));
    decoder.set_limits(limits).map_err(|error| explain(format, &error))?;
    let profile = decoder
        .icc_profile()
        .ok()
        .flatten()
        .filter(|profile| profile.len() <= icc::MAX_PROFILE_BYTES);
    let mut samples = Vec::new();
    usize::try_from(total)
        .ok()
        .and_then(|length| {
            samples.try_reserve_exact(length).ok()?;
            samples.resize(length, 0);
            Some(())
        })
        .ok_or_else(|| broken("more pixels than memory".to_owned()))?;
    decoder.read_image(&mut samples).map_err(|error| explain(format, &error))?;
    to_pixels(samples, header.size, color, profile.as_deref(), format)
}

fn to_pixels(
    samples: Vec<u8>,
    size: Size,
    color: ColorType,
    profile: Option<&[u8]>,
    format: SourceFormat,
) -> Result<Pixels, DecodeError> {
    let deep =
        |samples, layout| icc::deep_to_srgb(samples, u16::from_ne_bytes, size, layout, profile);
    let plain = |samples, layout| {
        Pixels::new(size, layout, samples).map(|pixels| match profile {
            Some(profile) => icc::to_srgb(pixels, profile),
            None => pixels,
        })
    };
    let pixels = match color {
        ColorType::L8 => plain(samples, Layout::Gray),
        ColorType::Rgb8 => plain(samples, Layout::Rgb),
        ColorType::Rgba8 => plain(samples, Layout::Rgba),
        ColorType::La8 => plain(spread(&samples), Layout::Rgba),
        ColorType::L16 => deep(samples, Layout::Gray),
        ColorType::Rgb16 => deep(samples, Layout::Rgb),
        ColorType::Rgba16 => deep(samples, Layout::Rgba),
        ColorType::La16 => {
            let narrow = samples.as_chunks::<2>().0.iter();
            let narrow: Vec<u8> = narrow.map(|b| icc::narrow(u16::from_ne_bytes(*b))).collect();
            plain(spread(&narrow), Layout::Rgba)
        }
        ColorType::Rgb32F => plain(floats(&samples), Layout::Rgb),
        ColorType::Rgba32F => plain(floats(&samples), Layout::Rgba),
        other => return Err(DecodeError::Unsupported(format!("{format} with {other:?} samples"))),
    };
    pixels.map_err(|wrong| DecodeError::Broken { format, reason: wrong.to_string() })
}

/// Grey with alpha → RGBA.
fn spread(samples: &[u8]) -> Vec<u8> {
    samples.as_chunks::<2>().0.iter().flat_map(|&[g, alpha]| [g, g, g, alpha]).collect()
}

/// 0.0–1.0 → 0–255, clamped and rounded; what is not a number becomes 0.
fn floats(samples: &[u8]) -> Vec<u8> {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "clamped to 0–255 before the cast, which maps NaN to 0"
    )]
    let narrow = |bytes: &[u8; 4]| (f32::from_ne_bytes(*bytes).clamp(0.0, 1.0) * 255.0 + 0.5) as u8;
    samples.as_chunks::<4>().0.iter().map(narrow).collect()
}

/// The crate's error as ours: what it does not read is `Unsupported`, all else `Broken`.
pub(super) fn explain(format: SourceFormat, error: &ImageError) -> DecodeError {
    match error {
        ImageError::Unsupported(error) => DecodeError::Unsupported(match error.kind() {
            UnsupportedErrorKind::Color(color) => format!("{format} with {color:?} samples"),
            UnsupportedErrorKind::GenericFeature(feature) => format!("{format} with {feature}"),
            kind => format!("{format} of kind {kind:?}"),
        }),
        ImageError::IoError(io) if io.kind() == std::io::ErrorKind::UnexpectedEof => {
            let reason = "the data end before the picture does".to_owned();
            DecodeError::Broken { format, reason }
        }
        error => DecodeError::Broken { format, reason: error.to_string() },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn floats_are_clamped_and_rounded() {
        let bytes: Vec<u8> = [-1.0_f32, 0.0, 0.5, 1.0, 9.0, f32::NAN, f32::INFINITY]
            .iter()
            .flat_map(|v| v.to_ne_bytes())
            .collect();
        assert_eq!(floats(&bytes), [0, 0, 128, 255, 255, 0, 255]);
    }

    #[test]
    fn grey_with_alpha_is_spread() {
        assert_eq!(spread(&[7, 8, 9, 10]), [7, 7, 7, 8, 9, 9, 9, 10]);
    }
}
