//! WebP both ways through libwebp: `riff` reads the container before libwebp sees a byte,
//! `libwebp` is the thin layer over the library. Never accepts part of a picture, never
//! decodes more than the first frame.

mod libwebp;
mod riff;

use super::{DecodeError, EncodeError, exif, icc};
use crate::model::format::{Format, SourceFormat};
use crate::model::geometry::{Orientation, Size};
use crate::model::pixels::{Layout, Pixels};
use crate::model::source::Header;

pub(super) use libwebp::version;

const FORMAT: SourceFormat = SourceFormat::Web(Format::Webp);

fn broken(reason: impl Into<String>) -> DecodeError {
    DecodeError::Broken { format: FORMAT, reason: reason.into() }
}

/// Reads the container up to its EXIF chunk; allocates nothing.
///
/// # Errors
/// [`DecodeError::Broken`] for a damaged container or one that contradicts its bitstream.
pub(super) fn probe(bytes: &[u8]) -> Result<Header, DecodeError> {
    let file = riff::parse(bytes)?;
    Ok(Header {
        format: FORMAT,
        size: file.canvas,
        orientation: file.exif.and_then(exif::orientation).unwrap_or(Orientation::Upright),
        alpha: file.alpha,
        gray: false,
        frames: file.frames,
        progressive: false,
        depth: 8,
    })
}

/// The embedded profile.
pub(super) fn profile(bytes: &[u8]) -> Option<&[u8]> {
    riff::parse(bytes).ok()?.icc
}

/// Decodes the picture, or the first frame of an animation placed on its (transparent) canvas.
/// Allocates the result (3 or 4 bytes per pixel) and what libwebp needs beside it.
///
/// # Errors
/// [`DecodeError::Broken`] for damaged or missing data and when memory is short.
pub(super) fn decode(bytes: &[u8], header: &Header) -> Result<Pixels, DecodeError> {
    let file = riff::parse(bytes)?;
    if file.canvas != header.size {
        return Err(broken(format!("the canvas is {}, the header {}", file.canvas, header.size)));
    }
    let layout = if file.alpha { Layout::Rgba } else { Layout::Rgb };
    let mut data = blank(file.canvas, layout)
        .ok_or_else(|| broken(format!("no memory for {} pixels", file.canvas.pixels())))?;
    let stride = file.canvas.width as usize * layout.channels();
    let start = file.first.y as usize * stride + file.first.x as usize * layout.channels();
    let window = data.get_mut(start..).unwrap_or_default();
    libwebp::decode_into(file.first.data, file.first.size, layout, window, stride)
        .map_err(broken)?;
    let pixels =
        Pixels::new(file.canvas, layout, data).map_err(|error| broken(error.to_string()))?;
    Ok(match file.icc {
        Some(profile) => icc::to_srgb(pixels, profile),
        None => pixels,
    })
}

/// Encodes lossy at `quality` (1–100, libwebp's scale), or lossless for `None`. Grey becomes
/// RGB, which WebP stores no larger; an alpha channel that hides nothing is dropped.
///
/// # Errors
/// [`EncodeError`] above 16383 pixels a side, and in libwebp's words.
pub(super) fn encode(pixels: &Pixels, quality: Option<u8>) -> Result<Vec<u8>, EncodeError> {
    let failed = |reason: String| EncodeError { format: Format::Webp, reason };
    let size = pixels.size();
    if size.longest() > Format::Webp.max_side() {
        return Err(failed(format!("{size} exceeds 16383 pixels a side")));
    }
    let source = match pixels.layout() {
        Layout::Gray => {
            let mut rgb = Vec::new();
            let bytes = pixels.data().len().saturating_mul(3);
            rgb.try_reserve_exact(bytes).map_err(|error| failed(error.to_string()))?;
            rgb.extend(pixels.data().iter().flat_map(|&level| [level; 3]));
            return libwebp::encode(&rgb, size, libwebp::Channels::Rgb, quality).map_err(failed);
        }
        Layout::Rgb => libwebp::Channels::Rgb,
        Layout::Rgba if pixels.is_opaque() => libwebp::Channels::RgbOfRgba,
        Layout::Rgba => libwebp::Channels::Rgba,
    };
    libwebp::encode(pixels.data(), size, source, quality).map_err(failed)
}

/// A zeroed (black, transparent) picture; `None` where memory is short.
fn blank(size: Size, layout: Layout) -> Option<Vec<u8>> {
    let bytes = Pixels::bytes_for(size, layout)?;
    let mut data = Vec::new();
    data.try_reserve_exact(bytes).ok()?;
    data.resize(bytes, 0);
    Some(data)
}

#[cfg(test)]
mod tests;
