//! The plain TIFFs piece by piece: one strip, or one row of tiles, is unpacked at a time and goes
//! row by row into the shrink. Everything else about the format is `tiff`'s, and what is not plain
//! the `image` crate's.

use super::super::shrink::Shrinker;
use super::super::{DecodeError, icc};
use super::tiff::{Directory, Metered, broken, straighten};
use crate::model::format::SourceFormat;
use crate::model::geometry::Size;
use crate::model::pixels::{Layout, Pixels};
use crate::model::source::{Header, Scale};
use ::tiff::ColorType;
use ::tiff::decoder::{Decoder, Limits};
use ::tiff::tags::Tag;
use ::tiff::{TiffError, tags::SampleFormat};

/// Strips and rows of tiles of more bytes are left to the other way, which holds the picture.
const MAX_BAND_BYTES: u64 = 4 << 20;
/// Work memory of the decoder beyond a piece: tables.
const WORK_BYTES: usize = 16 << 20;

/// Whether a page can be read in pieces, by its directory alone: grey, RGB or RGBA of 8 or 16
/// bits, all samples of a pixel together, in pieces of at most 4 MiB.
pub(super) fn can_read(directory: &Directory) -> bool {
    let samples = directory.samples;
    let alpha = directory.extra_samples.is_some();
    let plain = matches!(directory.bits, 8 | 16)
        && match directory.photometric {
            0 | 1 => samples == 1,
            2 => samples == 3 || (samples == 4 && alpha),
            _ => false,
        };
    let lines = if directory.tile_height > 0 {
        directory.tile_height
    } else {
        directory.rows_per_strip.clamp(1, directory.height.max(1))
    };
    let band = u64::from(directory.width)
        .saturating_mul(u64::from(samples * directory.bits / 8))
        .saturating_mul(u64::from(lines));
    plain && directory.planar < 2 && band <= MAX_BAND_BYTES
}

/// Decodes a page of which [`can_read`] was true. Allocates the result, one piece and a row.
///
/// # Errors
/// `Broken` where the data are damaged or the decoder finds another page than the directory told
/// of; `Unsupported` for compressions that are not read.
pub(super) fn decode(
    bytes: &[u8],
    header: &Header,
    premultiplied: bool,
    scale: Scale,
) -> Result<Pixels, DecodeError> {
    let mut decoder = Decoder::new(Metered::new(bytes, header.size)).map_err(explain)?;
    let band = usize::try_from(MAX_BAND_BYTES).unwrap_or(usize::MAX);
    let mut limits = Limits::default();
    limits.decoding_buffer_size = band;
    limits.intermediate_buffer_size = bytes.len().saturating_add(WORK_BYTES);
    limits.ifd_value_size = limits.intermediate_buffer_size;
    decoder = decoder.with_limits(limits);
    let (width, height) = decoder.dimensions().map_err(explain)?;
    let size = header.size;
    if (width, height) != (size.width, size.height) {
        return Err(broken(format!("the decoder found {width}x{height}, the header {size}")));
    }
    let formats = decoder.find_tag_unsigned_vec::<u16>(Tag::SampleFormat).map_err(explain)?;
    if formats.is_some_and(|formats| formats.iter().any(|&f| f != SampleFormat::Uint.to_u16())) {
        return Err(DecodeError::Unsupported("a TIFF of signed or float samples".to_owned()));
    }
    let (layout, deep) = match decoder.colortype().map_err(explain)? {
        ColorType::Gray(8) => (Layout::Gray, false),
        ColorType::Gray(16) => (Layout::Gray, true),
        ColorType::RGB(8) => (Layout::Rgb, false),
        ColorType::RGB(16) => (Layout::Rgb, true),
        ColorType::RGBA(8) => (Layout::Rgba, false),
        ColorType::RGBA(16) => (Layout::Rgba, true),
        other => return Err(DecodeError::Unsupported(format!("a TIFF of kind {other:?}"))),
    };
    let profile = decoder.get_tag_u8_vec(Tag::IccProfile).ok();
    let profile = profile.filter(|profile| profile.len() <= icc::MAX_PROFILE_BYTES);
    let mut sixteen = deep.then(|| icc::Deep::new(layout, profile.as_deref()));
    let mut shrinker = Shrinker::new(size, layout, scale).map_err(broken)?;
    let pixel = layout.channels() * if deep { 2 } else { 1 };
    let mut pieces = Pieces::new(&decoder, size, pixel)?;
    while let Some(band) = pieces.next_band(&mut decoder)? {
        for raw in band.chunks_exact(size.width as usize * pixel) {
            shrinker.row(|out| {
                match &mut sixteen {
                    Some(sixteen) => sixteen.row(raw, u16::from_ne_bytes, out),
                    None => out.copy_from_slice(raw),
                }
                if premultiplied && layout == Layout::Rgba {
                    straighten(out);
                }
                Ok::<(), DecodeError>(())
            })?;
        }
    }
    let pixels = shrinker.finish().map_err(broken)?;
    Ok(match profile {
        Some(profile) if !deep => icc::to_srgb(pixels, &profile),
        _ => pixels,
    })
}

/// The strips of a page, or its tiles put together row of tiles by row of tiles.
struct Pieces {
    size: Size,
    piece: Size,
    pixel: usize,
    next: u32,
    band: Vec<u8>,
    tile: Vec<u8>,
}

impl Pieces {
    fn new(decoder: &Decoder<Metered<'_>>, size: Size, pixel: usize) -> Result<Self, DecodeError> {
        let (width, height) = decoder.chunk_dimensions();
        if width == 0 || height == 0 {
            return Err(broken("pieces without a size".to_owned()));
        }
        // A strip may be said to be longer than the page.
        let piece = Size::new(width, height.min(size.height));
        let band = Size::new(size.width, piece.height).pixels().saturating_mul(pixel as u64);
        if band > MAX_BAND_BYTES || u64::from(width) * pixel as u64 > MAX_BAND_BYTES {
            return Err(broken(format!("pieces of {piece}, larger than the directory told")));
        }
        Ok(Self { size, piece, pixel, next: 0, band: Vec::new(), tile: Vec::new() })
    }

    /// The samples of the next rows; `None` behind the last.
    fn next_band(
        &mut self,
        decoder: &mut Decoder<Metered<'_>>,
    ) -> Result<Option<&[u8]>, DecodeError> {
        let across = self.size.width.div_ceil(self.piece.width);
        let top = u64::from(self.next / across) * u64::from(self.piece.height);
        let left = u64::from(self.size.height).saturating_sub(top);
        if left == 0 {
            return Ok(None);
        }
        let rows = usize::try_from(left).unwrap_or(usize::MAX).min(self.piece.height as usize);
        let stride = self.size.width as usize * self.pixel;
        self.band.resize(rows * stride, 0);
        if across == 1 && self.piece.width == self.size.width {
            decoder.read_chunk_bytes(self.next, &mut self.band).map_err(explain)?;
            self.next += 1;
            return Ok(Some(&self.band));
        }
        for column in 0..across as usize {
            let (width, height) = decoder.chunk_data_dimensions(self.next);
            let line = width as usize * self.pixel;
            if height as usize != rows || line == 0 || line > stride {
                return Err(broken(format!("a tile of {width}x{height} in a row of {rows}")));
            }
            self.tile.resize(rows * line, 0);
            decoder.read_chunk_bytes(self.next, &mut self.tile).map_err(explain)?;
            self.next += 1;
            let start = column * self.piece.width as usize * self.pixel;
            for (to, from) in self.band.chunks_exact_mut(stride).zip(self.tile.chunks_exact(line)) {
                if let Some(to) = to.get_mut(start..start + line) {
                    to.copy_from_slice(from);
                }
            }
        }
        Ok(Some(&self.band))
    }
}

/// The crate's error as ours: what it does not read is `Unsupported`, all else `Broken`.
fn explain(error: TiffError) -> DecodeError {
    match error {
        TiffError::UnsupportedError(what) => {
            DecodeError::Unsupported(format!("{} with {what}", SourceFormat::Tiff))
        }
        TiffError::IoError(io) if io.kind() == std::io::ErrorKind::UnexpectedEof => {
            broken("the data end before the picture does".to_owned())
        }
        error => broken(error.to_string()),
    }
}
