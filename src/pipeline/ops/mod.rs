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
mod rotate;
mod sharpen;
mod shrink;
mod smart;
mod turn;

pub use blur::blur;
pub use crop::crop;
pub use flatten::flatten;
pub use gray::gray;
pub use letterbox::letterbox;
pub use resize::resize;
pub use rotate::rotate;
pub use sharpen::sharpen;
pub use shrink::shrink;
pub use turn::turn;

use super::run::RenderError;
use crate::model::geometry::Size;
use crate::model::pixels::{Layout, Pixels};
use std::borrow::Cow;

/// A zeroed buffer for a picture, or an error where memory is short: sizes that follow from
/// files never reach an infallible allocation.
fn buffer(step: &'static str, size: Size, layout: Layout) -> Result<Vec<u8>, RenderError> {
    let length = Pixels::bytes_for(size, layout)
        .ok_or_else(|| RenderError::step(step, "the picture is too large to address"))?;
    let mut data = Vec::new();
    data.try_reserve_exact(length).map_err(|error| RenderError::step(step, error))?;
    data.resize(length, 0);
    Ok(data)
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
