//! AVIF both ways. In: our own container parser, dav1d, our own conversion to sRGB. Out:
//! libaom and avif-serialize. Never decodes more than the picture that is shown: of an image
//! sequence the primary item, else the first sample.

mod aom;
mod color;
mod container;
mod convert;
mod dav1d;
mod encode;
mod planes;
mod properties;
mod reduced;
mod rows;

use super::bmff::broken;
use super::{DecodeError, icc};
use crate::model::format::{Format, SourceFormat};
use crate::model::pixels::Pixels;
use crate::model::source::{Header, Scale};
use container::Container;
use convert::{Alpha, Shape};

pub(super) use aom::version as encoder_version;
pub(super) use dav1d::version as decoder_version;
pub(super) use encode::{encode, encode_planes};

const FORMAT: SourceFormat = SourceFormat::Web(Format::Avif);

/// Reads the container; allocates only its tables, which are paid for by bytes.
///
/// # Errors
/// [`DecodeError`]: HEVC pictures unsupported, other media files not images, damage broken.
pub(super) fn probe(bytes: &[u8]) -> Result<Header, DecodeError> {
    container::read(bytes).map(|container| container.header)
}

/// The embedded profile.
pub(super) fn profile(bytes: &[u8]) -> Option<&[u8]> {
    container::read(bytes).ok()?.icc
}

/// Decodes the picture at `scale`, cropped to its clean aperture, as stored (`header.orientation`
/// is the pipeline's to apply). Allocates dav1d's planes, those of a grid, and the result.
///
/// # Errors
/// [`DecodeError::Broken`] for damage, missing data, and sizes that contradict the header.
pub(super) fn decode(bytes: &[u8], header: &Header, scale: Scale) -> Result<Pixels, DecodeError> {
    let container = container::read(bytes)?;
    if container.header.size != header.size {
        let (own, header) = (container.header.size, header.size);
        return Err(broken(format!("a picture of {own}, the header says {header}")));
    }
    let pixels = picture(&container, scale)?;
    Ok(match container.icc {
        Some(profile) => icc::to_srgb(pixels, profile),
        None => pixels,
    })
}

fn picture(container: &Container<'_>, scale: Scale) -> Result<Pixels, DecodeError> {
    let color = planes::decode(&container.color)?;
    let alpha = container.alpha.as_ref().map(planes::decode).transpose()?;
    let cicp = container.cicp.unwrap_or(color.cicp());
    let tone = if container.icc.is_none() { color::ToneMap::new(cicp) } else { None };
    let alpha = match &alpha {
        // The range of alpha is the bitstream's business; MIAF wants it full.
        Some(plane) => Some(Alpha::new(plane.view()?, plane.cicp().full_range)),
        None => None,
    };
    let shape = Shape { crop: container.crop, premultiplied: container.premultiplied, scale };
    convert::pixels(&color.view()?, cicp, tone.as_ref(), alpha, shape)
}

#[cfg(test)]
mod tests;
