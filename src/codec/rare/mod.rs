//! The rare inputs: BMP, TIFF and ICO/CUR through the `image` crate, told which format it is and
//! never left to guess; and the names of what we do not read, so that a refusal says what was
//! found. Never writes.

mod bmp;
mod crate_decode;
mod ico;
mod name;
mod strips;
mod tiff;

pub(super) use tiff::profile as tiff_profile;

use super::DecodeError;
use crate::model::format::SourceFormat;
use crate::model::pixels::Pixels;
use crate::model::source::{Header, Scale};

/// Reads the header of a BMP, TIFF or icon, by our own walk.
///
/// # Errors
/// `Broken` where no size is found; `Unsupported` and `NotAnImage` with the name of what it is.
pub(super) fn probe(bytes: &[u8]) -> Result<Header, DecodeError> {
    match bytes {
        [b'B', b'M', ..] => bmp::probe(bytes),
        [b'I', b'I', 42, 0, ..] | [b'M', b'M', 0, 42, ..] => tiff::probe(bytes),
        // Icons and cursors differ in what two fields of their entries mean.
        [0, 0, 1 | 2, 0, ..] => ico::probe(bytes),
        _ => Err(name::refuse(bytes)),
    }
}

/// Decodes what [`probe`] has recognised, at `scale`.
///
/// # Errors
/// `Broken` for damaged data or a file that is not what `header` says; `Unsupported` for kinds
/// of the format that are not read.
pub(super) fn decode(bytes: &[u8], header: &Header, scale: Scale) -> Result<Pixels, DecodeError> {
    match header.format {
        SourceFormat::Bmp => bmp::decode(bytes, header, scale),
        SourceFormat::Tiff => tiff::decode(bytes, header, scale),
        SourceFormat::Ico => ico::decode(bytes, header, scale),
        SourceFormat::Web(format) => {
            Err(DecodeError::Unsupported(format!("{format} as a rare format")))
        }
    }
}
