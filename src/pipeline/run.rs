//! The list of steps, done one after the other. Decides nothing the plan could have decided,
//! measures nothing: the caller is told when a stage ends and may look at its own clock.

use super::ops;
use super::plan::{Choice, Plan, Step};
use crate::codec::{self, DecodeError, EncodeError, Encoding};
use crate::model::color::Rgba;
use crate::model::format::Format;
use crate::model::geometry::Size;
use crate::model::pixels::{Layout, Pixels};
use crate::model::source::Header;
use crate::model::stage::Stage;

/// A finished picture.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rendered {
    /// What it was written as.
    pub format: Format,
    /// Its size.
    pub size: Size,
    /// The encoded bytes.
    pub body: Vec<u8>,
}

/// Why a render failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RenderError {
    /// The original's fault.
    #[error(transparent)]
    Decode(#[from] DecodeError),
    /// Ours.
    #[error(transparent)]
    Encode(#[from] EncodeError),
    /// Ours: a step could not do what the plan said.
    #[error("cannot {step}: {reason}")]
    Step {
        /// The step.
        step: &'static str,
        /// What went wrong.
        reason: String,
    },
}

/// Renders: decodes, obeys the plan, encodes. `finished` is called as each of decode, resize and
/// encode ends.
///
/// # Errors
/// [`RenderError`].
pub fn run(
    bytes: &[u8],
    header: &Header,
    plan: &Plan,
    mut finished: impl FnMut(Stage),
) -> Result<Rendered, RenderError> {
    let mut pixels = codec::decode(bytes, header, plan.scale)?;
    finished(Stage::Decode);
    if plan.shrink > 1 {
        pixels = ops::shrink(pixels, plan.shrink)?;
    }
    let mut encoding = plan.choice.settle(true);
    for step in &plan.steps {
        pixels = match *step {
            Step::Turn(turn) => ops::turn(pixels, turn)?,
            Step::Crop(rect) => ops::crop(pixels, rect)?,
            Step::Rotate { degrees, to } => ops::rotate(&pixels, degrees, to)?,
            Step::Resize { window, to } => ops::resize(pixels, window, to)?,
            Step::Gray => ops::gray(pixels)?,
            Step::Blur { sigma } => ops::blur(pixels, sigma)?,
            Step::Sharpen { strength } => ops::sharpen(pixels, strength)?,
            Step::Settle => {
                if let Choice::ByAlpha { .. } = plan.choice {
                    encoding = plan.choice.settle(pixels.is_opaque());
                }
                pixels
            }
            Step::Flatten(background) => ops::flatten(pixels, background)?,
            Step::Letterbox { canvas, x, y, fill } => {
                let fill = fill.unwrap_or_else(|| behind(encoding));
                ops::letterbox(&pixels, canvas, (x, y), fill)?
            }
        };
    }
    if pixels.layout() == Layout::Rgba && !encoding.format().has_alpha() {
        pixels = ops::flatten(pixels, Rgba::WHITE)?;
    }
    finished(Stage::Resize);
    let body = codec::encode(&pixels, encoding)?;
    finished(Stage::Encode);
    Ok(Rendered { format: encoding.format(), size: pixels.size(), body })
}

/// What stands behind a picture when nobody said (SEMANTICS 12).
fn behind(encoding: Encoding) -> Rgba {
    if encoding.format().has_alpha() { Rgba::TRANSPARENT } else { Rgba::WHITE }
}

impl RenderError {
    pub(super) fn step(step: &'static str, reason: impl std::fmt::Display) -> Self {
        Self::Step { step, reason: reason.to_string() }
    }
}

/// Checks a step's buffer; a wrong length is a bug of ours.
pub(super) fn finish(
    step: &'static str,
    size: Size,
    layout: Layout,
    data: Vec<u8>,
) -> Result<Pixels, RenderError> {
    Pixels::new(size, layout, data).map_err(|error| RenderError::step(step, error))
}
