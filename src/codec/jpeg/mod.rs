//! JPEG both ways, through libjpeg-turbo behind a thin wrapper; baseline files on their way to
//! something smaller through a decoder of ours. The markers (size, orientation, profile, where the
//! picture ends) are read by our own walk; the library sees only files whose size we know. Never
//! crops and never picks a quality: the plan does.

mod decode;
mod encode;
mod probe;
mod scaled;
mod turbo;
mod yuv;

pub(super) use decode::{decode, decode_planes};
pub(super) use encode::{encode, encode_planes};
pub(super) use probe::probe;

use super::DecodeError;
use crate::model::format::{Format, SourceFormat};

/// The embedded profile, put together from its chunks.
pub(super) fn profile(bytes: &[u8]) -> Option<Vec<u8>> {
    probe::Markers::read(bytes).ok()?.icc()
}

/// The version of the linked libjpeg-turbo.
pub(super) fn version() -> String {
    turbo::version()
}

fn broken(reason: impl Into<String>) -> DecodeError {
    DecodeError::Broken { format: SourceFormat::Web(Format::Jpeg), reason: reason.into() }
}
