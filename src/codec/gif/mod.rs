//! GIF both ways, one frame: the first is read, composed on its canvas; one is written. Never
//! plays an animation. Home of the exact palette, which PNG uses too.

mod decode;
mod encode;
mod palette;
mod probe;

pub(super) use decode::decode;
pub(super) use encode::encode;
pub(super) use palette::{AlphaRule, exact_palette};
pub(super) use probe::probe;

use super::DecodeError;
use crate::model::format::{Format, SourceFormat};

fn broken(reason: impl Into<String>) -> DecodeError {
    DecodeError::Broken { format: SourceFormat::Web(Format::Gif), reason: reason.into() }
}
