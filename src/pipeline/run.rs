//! The list of steps, done one after the other, on an original or on pixels that several plans
//! share. Decides nothing the plan could have decided, measures nothing: the caller is told when a
//! stage ends and may look at its own clock.

use super::ops;
use super::plan::{Choice, Decode, Plan, Step, Window};
use crate::codec::{self, DecodeError, EncodeError, Encoding};
use crate::model::color::Rgba;
use crate::model::format::Format;
use crate::model::geometry::Size;
use crate::model::pixels::{Decoded, Layout, Pixels};
use crate::model::planes::Planes;
use crate::model::source::Header;
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
    let decoded = decode(bytes, header, plan.decode())?;
    finished(Stage::Decode);
    run_decoded(Cow::Owned(decoded), plan, finished)
}

/// The first stage alone: what every plan with this `decode` begins with.
///
/// # Errors
/// [`RenderError::Decode`].
pub fn decode(bytes: &[u8], header: &Header, decode: Decode) -> Result<Decoded, RenderError> {
    let Decode { scale, planar } = decode;
    Ok(match header.planes.filter(|_| planar) {
        Some(_) => Decoded::Planes(codec::decode_planes(bytes, header, scale)?),
        None => Decoded::Pixels(codec::decode(bytes, header, scale)?),
    })
}

/// The stages after the first. `decoded` is what [`decode`] gave for [`Plan::decode`]; where it is
/// borrowed it stays as it is for the next plan, and the result is the same to the byte.
/// `finished` is called as resize and encode end.
///
/// # Errors
/// [`RenderError`].
pub fn run_decoded(
    decoded: Cow<'_, Decoded>,
    plan: &Plan,
    mut finished: impl FnMut(Stage),
) -> Result<Rendered, RenderError> {
    let (shaped, encoding) = shape(decoded, plan)?;
    finished(Stage::Resize);
    encode(shaped, encoding, finished)
}

/// Every step of the plan: the picture that is encoded, and how. Plans of equal [`Plan::decode`]
/// and [`Plan::shape`] give the same picture.
///
/// # Errors
/// [`RenderError::Step`].
pub fn shape<'a>(
    decoded: Cow<'a, Decoded>,
    plan: &Plan,
) -> Result<(Cow<'a, Decoded>, Encoding), RenderError> {
    Ok(match decoded {
        Cow::Owned(Decoded::Pixels(pixels)) => {
            let (pixels, encoding) = obey(Cow::Owned(pixels), plan)?;
            (Cow::Owned(Decoded::Pixels(pixels.into_owned())), encoding)
        }
        Cow::Borrowed(whole @ Decoded::Pixels(pixels)) => {
            match obey(Cow::Borrowed(pixels), plan)? {
                (Cow::Owned(pixels), encoding) => (Cow::Owned(Decoded::Pixels(pixels)), encoding),
                (Cow::Borrowed(_), encoding) => (Cow::Borrowed(whole), encoding),
            }
        }
        Cow::Owned(Decoded::Planes(planes)) => {
            let planes = obey_planar(Cow::Owned(planes), plan)?.into_owned();
            (Cow::Owned(Decoded::Planes(planes)), plan.choice.settle(true))
        }
        Cow::Borrowed(whole @ Decoded::Planes(planes)) => {
            let shaped = match obey_planar(Cow::Borrowed(planes), plan)? {
                Cow::Owned(planes) => Cow::Owned(Decoded::Planes(planes)),
                Cow::Borrowed(_) => Cow::Borrowed(whole),
            };
            (shaped, plan.choice.settle(true))
        }
    })
}

/// The steps on interleaved pixels.
fn obey<'a>(
    decoded: Cow<'a, Pixels>,
    plan: &Plan,
) -> Result<(Cow<'a, Pixels>, Encoding), RenderError> {
    let mut pixels = decoded;
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
    Ok((pixels, encoding))
}

/// The steps on planes: those a planar plan may have.
fn obey_planar<'a>(decoded: Cow<'a, Planes>, plan: &Plan) -> Result<Cow<'a, Planes>, RenderError> {
    let mut planes = decoded;
    for step in &plan.steps {
        planes = Cow::Owned(match *step {
            // What has no alpha is opaque, and shows nothing of what is behind it.
            Step::Settle | Step::Flatten(_) => continue,
            Step::Resize { window: Window::Fixed(window), to } => {
                ops::resize_planes(planes, window, to)?
            }
            Step::Turn(turn) => ops::turn_planes(planes, turn)?,
            _ => return Err(RenderError::step("obey", "a step that planes cannot take")),
        });
    }
    Ok(planes)
}

/// Encodes a picture as [`shape`] gave it for a plan with this encoding; a borrowed one stays as
/// it is. `finished` is called as the encoding ends.
///
/// # Errors
/// [`RenderError`].
pub fn encode(
    shaped: Cow<'_, Decoded>,
    encoding: Encoding,
    mut finished: impl FnMut(Stage),
) -> Result<Rendered, RenderError> {
    let size = shaped.size();
    let (body, spare) = match shaped {
        Cow::Owned(Decoded::Pixels(pixels)) => encode_pixels(Cow::Owned(pixels), encoding)?,
        Cow::Borrowed(Decoded::Pixels(pixels)) => encode_pixels(Cow::Borrowed(pixels), encoding)?,
        Cow::Owned(Decoded::Planes(planes)) => {
            (codec::encode_planes(&planes, encoding)?, Some(planes.into_data()))
        }
        Cow::Borrowed(Decoded::Planes(planes)) => (codec::encode_planes(planes, encoding)?, None),
    };
    if let Some(spare) = spare {
        codec::buffers::give_back(spare);
    }
    finished(Stage::Encode);
    Ok(Rendered { format: encoding.format(), size, body })
}

/// The encoded bytes, and the buffer that is no longer needed.
fn encode_pixels(
    shaped: Cow<'_, Pixels>,
    encoding: Encoding,
) -> Result<(Vec<u8>, Option<Vec<u8>>), RenderError> {
    let mut pixels = shaped;
    if pixels.layout() == Layout::Rgba && !encoding.format().has_alpha() {
        pixels = Cow::Owned(ops::flatten(ops::owned(pixels)?, Rgba::WHITE)?);
    }
    let body = codec::encode(&pixels, encoding)?;
    Ok(match pixels {
        Cow::Owned(pixels) => (body, Some(pixels.into_data())),
        Cow::Borrowed(_) => (body, None),
    })
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
