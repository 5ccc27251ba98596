//! PNG both ways, through the `png` crate, with our own chunk walk in front of it. Of an
//! animation the default picture is read. A `gAMA` or `cHRM` without a profile is not applied:
//! nearly all of them say sRGB in other words, and the rest are mostly mistakes.

mod decode;
mod encode;
mod probe;

pub(super) use decode::{decode, profile};
pub(super) use encode::encode;
pub(super) use probe::probe;

use super::DecodeError;
use crate::model::format::{Format, SourceFormat};

fn broken(reason: impl Into<String>) -> DecodeError {
    DecodeError::Broken { format: SourceFormat::Web(Format::Png), reason: reason.into() }
}
