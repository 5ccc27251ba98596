//! WebP both ways through libwebp: `riff` reads the container before libwebp sees a byte,
//! `libwebp` is the thin layer over the library. Never accepts part of a picture, never
//! decodes more than the first frame.

mod libwebp;
mod riff;

use super::{DecodeError, EncodeError, buffers, exif, icc, shrink};
use crate::model::format::{Format, SourceFormat};
use crate::model::geometry::{Orientation, Size};
use crate::model::pixels::{Layout, Pixels};
use crate::model::planes::{Planes, Subsampling};
use crate::model::source::{Header, Scale};

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
        whole: file.first.lossless,
        depth: 8,
        planes: None,
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
pub(super) fn decode(bytes: &[u8], header: &Header, scale: Scale) -> Result<Pixels, DecodeError> {
    let file = riff::parse(bytes)?;
    if file.canvas != header.size {
        return Err(broken(format!("the canvas is {}, the header {}", file.canvas, header.size)));
    }
    let layout = if file.alpha { Layout::Rgba } else { Layout::Rgb };
    // What libwebp scales by itself, never being whole, and what of the scale is left to us.
    let (inside, after) =
        if scales_inside(header, scale) { (scale, Scale::Full) } else { (Scale::Full, scale) };
    let size = inside.apply(file.canvas);
    let mut data = blank(size, layout)
        .ok_or_else(|| broken(format!("no memory for {} pixels", size.pixels())))?;
    let stride = size.width as usize * layout.channels();
    let start = file.first.y as usize * stride + file.first.x as usize * layout.channels();
    let window = data.get_mut(start..).unwrap_or_default();
    libwebp::decode_into(file.first.data, file.first.size, inside, layout, window, stride)
        .map_err(broken)?;
    let pixels = Pixels::new(size, layout, data).map_err(|error| broken(error.to_string()))?;
    let pixels = shrink::whole(pixels, after).map_err(broken)?;
    Ok(match file.icc {
        Some(profile) => icc::to_srgb(pixels, profile),
        None => pixels,
    })
}

/// Whether libwebp's scaler is used: for opaque stills whose blocks are all whole. It takes the
/// means of luma and chroma apart, in less time and without the full picture in memory; but it
/// lets invisible colours bleed, and stretches what it cannot divide.
pub(super) const fn scales_inside(header: &Header, scale: Scale) -> bool {
    let (n, Size { width, height }) = (scale.denominator(), header.size);
    n > 1
        && !header.alpha
        && header.frames == 1
        && width.is_multiple_of(n)
        && height.is_multiple_of(n)
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

/// Encodes 4:2:0 planes lossy at `quality` (1–100), their full range brought to WebP's by a table.
/// Takes a spare buffer for the converted planes; allocates the result.
///
/// # Errors
/// [`EncodeError`] above 16383 pixels a side, for other chroma, and in libwebp's words.
pub(super) fn encode_planes(planes: &Planes, quality: u8) -> Result<Vec<u8>, EncodeError> {
    let failed = |reason: String| EncodeError { format: Format::Webp, reason };
    let size = planes.size();
    if size.longest() > Format::Webp.max_side() {
        return Err(failed(format!("{size} exceeds 16383 pixels a side")));
    }
    if planes.subsampling() != Subsampling::Quarter {
        return Err(failed(format!("{:?} chroma where 4:2:0 is written", planes.subsampling())));
    }
    let mut limited =
        buffers::take(planes.data().len()).map_err(|error| failed(error.to_string()))?;
    let mut rest = limited.as_mut_slice();
    let mut views = [(&[][..], 0); 3];
    for ((plane, view), table) in planes.planes().into_iter().zip(&mut views).zip([
        &LIMITED_LUMA,
        &LIMITED_CHROMA,
        &LIMITED_CHROMA,
    ]) {
        let (to, after) = std::mem::take(&mut rest).split_at_mut(plane.samples.len());
        for (to, from) in to.iter_mut().zip(plane.samples) {
            *to = table.get(usize::from(*from)).copied().unwrap_or_default();
        }
        *view = (&*to, plane.stored.width);
        rest = after;
    }
    let result = libwebp::encode_planes(views, size, quality).map_err(failed);
    buffers::give_back(limited);
    result
}

/// Full-range luma → 16–235, rounded (BT.601).
const LIMITED_LUMA: [u8; 256] = limited(219, 0);

/// Full-range chroma → 16–240 around 128, rounded.
const LIMITED_CHROMA: [u8; 256] = limited(224, 128);

/// `level` → its distance from `zero` in `steps` of 255, from 16 (or 128) on.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_sign_loss,
    clippy::indexing_slicing,
    reason = "a table of 256, made while compiling"
)]
const fn limited(steps: i32, zero: i32) -> [u8; 256] {
    let mut table = [0; 256];
    let mut level = 0;
    while level < 256 {
        let base = if zero == 0 { 16 } else { zero };
        // Made positive, so that the division rounds alike on either side of zero.
        let scaled = (level as i32 - zero) * steps;
        let value = base + (scaled + 127 + 255 * 256) / 255 - 256;
        table[level] = value as u8;
        level += 1;
    }
    table
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
