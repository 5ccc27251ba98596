//! The list of steps, done one after the other, on an original or on pixels that several plans
//! share. Decides nothing the plan could have decided, measures nothing: the caller is told when a
//! stage ends and may look at its own clock.

use super::ops;
use super::plan::{Choice, Plan, Step};
use crate::codec::{self, DecodeError, EncodeError, Encoding};
use crate::model::color::Rgba;
use crate::model::format::Format;
use crate::model::geometry::Size;
use crate::model::pixels::{Layout, Pixels};
use crate::model::source::{Header, Scale};
use crate::model::stage::Stage;
use std::borrow::Cow;

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
    let pixels = decode(bytes, header, plan.scale)?;
    finished(Stage::Decode);
    run_decoded(Cow::Owned(pixels), plan, finished)
}

/// The first stage alone: what every plan with this `scale` begins with.
///
/// # Errors
/// [`RenderError::Decode`].
pub fn decode(bytes: &[u8], header: &Header, scale: Scale) -> Result<Pixels, RenderError> {
    Ok(codec::decode(bytes, header, scale)?)
}

/// The stages after the first. `decoded` is what [`decode`] gave for the scale of the plan; where
/// it is borrowed it stays as it is for the next plan, and the result is the same to the byte.
/// `finished` is called as resize and encode end.
///
/// # Errors
/// [`RenderError`].
pub fn run_decoded(
    decoded: Cow<'_, Pixels>,
    plan: &Plan,
    mut finished: impl FnMut(Stage),
) -> Result<Rendered, RenderError> {
    let mut pixels = decoded;
    if plan.shrink > 1 {
        // The larger picture is freed here, if it is ours.
        pixels = Cow::Owned(ops::shrink(&pixels, plan.shrink)?);
    }
    let mut encoding = plan.choice.settle(true);
    for step in &plan.steps {
        pixels = Cow::Owned(match *step {
            Step::Settle => {
                if let Choice::ByAlpha { .. } = plan.choice {
                    encoding = plan.choice.settle(pixels.is_opaque());
                }
                continue;
            }
            Step::Resize { window, to } => ops::resize(pixels, window, to)?,
            Step::Crop(rect) => ops::crop(pixels, rect)?,
            Step::Rotate { degrees, to } => ops::rotate(&pixels, degrees, to)?,
            Step::Turn(turn) => ops::turn(ops::owned(pixels)?, turn)?,
            Step::Gray => ops::gray(ops::owned(pixels)?)?,
            Step::Blur { sigma } => ops::blur(ops::owned(pixels)?, sigma)?,
            Step::Sharpen { strength } => ops::sharpen(ops::owned(pixels)?, strength)?,
            Step::Flatten(background) => ops::flatten(ops::owned(pixels)?, background)?,
            Step::Letterbox { canvas, x, y, fill } => {
                let fill = fill.unwrap_or_else(|| behind(encoding));
                ops::letterbox(&pixels, canvas, (x, y), fill)?
            }
        });
    }
    if pixels.layout() == Layout::Rgba && !encoding.format().has_alpha() {
        pixels = Cow::Owned(ops::flatten(ops::owned(pixels)?, Rgba::WHITE)?);
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
