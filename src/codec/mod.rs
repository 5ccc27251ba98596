//! Floor 1: bytes ⇄ `Pixels`. One file per format, our own header probe in front of every
//! codec, and the only place in the house with `unsafe`. Never decides sizes: the plan does;
//! never trusts a file name or a Content-Type: the magic bytes choose the decoder.
#![cfg_attr(not(test), deny(clippy::indexing_slicing, clippy::cast_possible_truncation))]

mod avif;
mod bmff;
pub mod buffers;
#[cfg(test)]
mod corpus;
mod exif;
mod gif;
mod icc;
mod jpeg;
mod png;
pub mod quality;
mod rare;
mod shrink;
mod webp;

use crate::model::format::{Format, SourceFormat};
use crate::model::pixels::Pixels;
use crate::model::planes::Planes;
use crate::model::source::{Header, Scale};
use std::borrow::Cow;

/// Why an original cannot be read. The texts are for people: lower case, naming what was found.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// The first bytes are of no image format we know, or there are none.
    #[error("not an image: {0}")]
    NotAnImage(String),
    /// An image, but of a format or a flavour that is not enabled.
    #[error("{0} is not supported")]
    Unsupported(String),
    /// A known format whose data are damaged, contradictory or cut off.
    #[error("broken {format}: {reason}")]
    Broken {
        /// What the magic bytes promised.
        format: SourceFormat,
        /// What is wrong.
        reason: String,
    },
}

/// Why pixels could not be written. Sizes are checked by the plan, so this is a bug or memory.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("cannot encode {format}: {reason}")]
pub struct EncodeError {
    /// What was to be written.
    pub format: Format,
    /// What the encoder said.
    pub reason: String,
}

/// What to write, every number on the codec's own scale.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Encoding {
    /// JPEG 4:2:0 at libjpeg quality 1–100; grey pictures stay grey. Alpha must be gone.
    Jpeg {
        /// libjpeg's quality.
        quality: u8,
        /// Progressive with optimised Huffman tables.
        progressive: bool,
    },
    /// PNG.
    Png,
    /// Lossy WebP, method 2, libwebp quality 1–100.
    Webp {
        /// libwebp's quality.
        quality: u8,
    },
    /// Lossless WebP.
    WebpLossless,
    /// AVIF 4:2:0, libaom all-intra speed 9 with quantisation matrices; libavif's scale 1–100.
    Avif {
        /// 100 best.
        quality: u8,
    },
    /// Lossless AVIF (4:4:4, identity matrix).
    AvifLossless,
    /// GIF, one frame, at most 256 colours.
    Gif,
}

impl Encoding {
    /// The format this writes.
    #[must_use]
    pub const fn format(self) -> Format {
        match self {
            Self::Jpeg { .. } => Format::Jpeg,
            Self::Png => Format::Png,
            Self::Webp { .. } | Self::WebpLossless => Format::Webp,
            Self::Avif { .. } | Self::AvifLossless => Format::Avif,
            Self::Gif => Format::Gif,
        }
    }
}

/// Reads the header: format by magic bytes, size, orientation, alpha, frames. Walks the
/// container only as far as it must, allocates next to nothing, never calls a codec.
///
/// # Errors
/// [`DecodeError`]: not an image, not supported, or broken before the size was found.
pub fn probe(bytes: &[u8]) -> Result<Header, DecodeError> {
    match bytes {
        [] => Err(DecodeError::NotAnImage("the file is empty".to_owned())),
        [0xFF, 0xD8, 0xFF, ..] => jpeg::probe(bytes),
        [0x89, b'P', b'N', b'G', 0x0D, 0x0A, 0x1A, 0x0A, ..] => png::probe(bytes),
        [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', ..] => webp::probe(bytes),
        [b'G', b'I', b'F', b'8', b'7' | b'9', b'a', ..] => gif::probe(bytes),
        [_, _, _, _, b'f', b't', b'y', b'p', ..] => avif::probe(bytes),
        _ => rare::probe(bytes),
    }
}

/// The name of the embedded colour profile, for people; `None` where there is none, or none that
/// can be read (decoding passes it over, too). Allocates the profile where it lies in pieces.
#[must_use]
pub fn profile_name(bytes: &[u8], header: &Header) -> Option<String> {
    let profile: Cow<'_, [u8]> = match header.format {
        SourceFormat::Web(Format::Jpeg) => jpeg::profile(bytes)?.into(),
        SourceFormat::Web(Format::Png) => png::profile(bytes)?.into(),
        SourceFormat::Web(Format::Webp) => webp::profile(bytes)?.into(),
        SourceFormat::Web(Format::Avif) => avif::profile(bytes)?.into(),
        SourceFormat::Tiff => rare::tiff_profile(bytes, header)?.into(),
        SourceFormat::Web(Format::Gif) | SourceFormat::Bmp | SourceFormat::Ico => return None,
    };
    icc::name(&profile)
}

/// Decodes the first frame: stored orientation, sRGB (embedded profiles applied, CMYK and high
/// bit depths converted), straight alpha. `scale` is honoured for every format: JPEG by its DCT,
/// the others by the mean of each block, taken as the rows come out of the decoder where it gives
/// rows, so that the full picture is never in memory.
///
/// The result's size is `scale.apply(header.size)`; a decoder that disagrees with the header is
/// an error, never a surprise.
///
/// # Errors
/// [`DecodeError`]; a truncated file is `Broken`.
pub fn decode(bytes: &[u8], header: &Header, scale: Scale) -> Result<Pixels, DecodeError> {
    match header.format {
        SourceFormat::Web(Format::Jpeg) => jpeg::decode(bytes, header, scale),
        SourceFormat::Web(Format::Png) => png::decode(bytes, header, scale),
        SourceFormat::Web(Format::Webp) => webp::decode(bytes, header, scale),
        SourceFormat::Web(Format::Gif) => gif::decode(bytes, header, scale),
        SourceFormat::Web(Format::Avif) => avif::decode(bytes, header, scale),
        SourceFormat::Bmp | SourceFormat::Tiff | SourceFormat::Ico => {
            rare::decode(bytes, header, scale)
        }
    }
}

/// Decodes the planes of a picture whose header has them, as they are stored. The size of the
/// result is `scale.apply(header.size)`.
///
/// # Errors
/// [`DecodeError`] as [`decode`], and `Unsupported` for a header without planes.
pub fn decode_planes(bytes: &[u8], header: &Header, scale: Scale) -> Result<Planes, DecodeError> {
    match header.format {
        SourceFormat::Web(Format::Jpeg) => jpeg::decode_planes(bytes, header, scale),
        format => Err(DecodeError::Unsupported(format!("{format} as planes"))),
    }
}

/// Encodes 4:2:0 planes in a lossy format, without metadata or profile: untagged sRGB.
///
/// # Errors
/// [`EncodeError`] with the encoder's words, or for a format that takes no planes.
pub fn encode_planes(planes: &Planes, encoding: Encoding) -> Result<Vec<u8>, EncodeError> {
    match encoding {
        Encoding::Jpeg { quality, progressive } => {
            jpeg::encode_planes(planes, quality, progressive)
        }
        Encoding::Webp { quality } => webp::encode_planes(planes, quality),
        Encoding::Avif { quality } => avif::encode_planes(planes, quality),
        Encoding::Png | Encoding::WebpLossless | Encoding::AvifLossless | Encoding::Gif => {
            let format = encoding.format();
            Err(EncodeError { format, reason: "planes cannot be written without loss".to_owned() })
        }
    }
}

/// Whether libwebp takes the means itself: if so a lossy file is never whole in memory.
#[must_use]
pub const fn webp_scales_inside(header: &Header, scale: Scale) -> bool {
    webp::scales_inside(header, scale)
}

/// Encodes a picture, without metadata or profile: untagged sRGB.
///
/// # Errors
/// [`EncodeError`] with the encoder's words.
pub fn encode(pixels: &Pixels, encoding: Encoding) -> Result<Vec<u8>, EncodeError> {
    match encoding {
        Encoding::Jpeg { quality, progressive } => jpeg::encode(pixels, quality, progressive),
        Encoding::Png => png::encode(pixels),
        Encoding::Webp { quality } => webp::encode(pixels, Some(quality)),
        Encoding::WebpLossless => webp::encode(pixels, None),
        Encoding::Avif { quality } => avif::encode(pixels, Some(quality)),
        Encoding::AvifLossless => avif::encode(pixels, None),
        Encoding::Gif => gif::encode(pixels),
    }
}

/// Name and version of every linked codec, for `--version` and metrics.
#[must_use]
pub fn versions() -> Vec<(&'static str, String)> {
    vec![
        ("libjpeg-turbo", jpeg::version()),
        ("libwebp", webp::version()),
        ("libaom", avif::encoder_version()),
        ("dav1d", avif::decoder_version()),
    ]
}
