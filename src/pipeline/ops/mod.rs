//! One step per file. Each takes a picture by value (or by reference where it must build another
//! anyway) and gives one back; none knows why it was called. The steps that come first take either:
//! what is borrowed is shared with other renders and stays as it is.

mod blur;
mod crop;
mod flatten;
mod gray;
mod letterbox;
mod premultiplied;
mod resize;
mod resize_planes;
mod rotate;
mod sharpen;
mod smart;
mod turn;

pub use blur::blur;
pub use crop::crop;
pub use flatten::flatten;
pub use gray::gray;
pub use letterbox::letterbox;
pub use resize::resize;
pub use resize_planes::resize_planes;
pub use rotate::rotate;
pub use sharpen::sharpen;
pub use turn::{turn, turn_planes};

use super::run::RenderError;
use crate::codec::buffers;
use crate::model::geometry::Size;
use crate::model::pixels::{Layout, Pixels};
use std::borrow::Cow;

/// A zeroed buffer for a picture, or an error where memory is short: sizes that follow from
/// files never reach an infallible allocation.
fn buffer(step: &'static str, size: Size, layout: Layout) -> Result<Vec<u8>, RenderError> {
    let length = Pixels::bytes_for(size, layout)
        .ok_or_else(|| RenderError::step(step, "the picture is too large to address"))?;
    buffers::zeroed(length).map_err(|error| RenderError::step(step, error))
}

/// A spare buffer of `length` bytes (`None`: too many to count) for a step that writes all of it.
fn spare(step: &'static str, length: Option<usize>) -> Result<Vec<u8>, RenderError> {
    let length =
        length.ok_or_else(|| RenderError::step(step, "the picture is too large to address"))?;
    buffers::take(length).map_err(|error| RenderError::step(step, error))
}

/// The picture as one's own, copied if it is shared.
///
/// # Errors
/// [`RenderError::Step`] where memory is short.
pub(super) fn owned(pixels: Cow<'_, Pixels>) -> Result<Pixels, RenderError> {
    let shared = match pixels {
        Cow::Owned(pixels) => return Ok(pixels),
        Cow::Borrowed(shared) => shared,
    };
    let mut data = Vec::new();
    data.try_reserve_exact(shared.data().len()).map_err(|e| RenderError::step("copy", e))?;
    data.extend_from_slice(shared.data());
    super::run::finish("copy", shared.size(), shared.layout(), data)
}
