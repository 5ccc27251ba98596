//! Every size, rectangle, format and cost of a render, decided from the header and the wish
//! before a pixel is decoded. `run` only obeys. Never allocates by a header's numbers.
#![deny(clippy::indexing_slicing, clippy::cast_possible_truncation)]

mod cost;
mod fit;
mod output;
mod planar;
mod turn;
mod window;

pub use cost::Cost;
pub use output::Choice;

use crate::model::color::Rgba;
use crate::model::geometry::{Orientation, Rect, Size};
use crate::model::limits::Limits;
use crate::model::source::{Header, Scale};
use crate::model::transform::{Resize, Transform};
use crate::model::units::Decimal;
use fit::Fitted;
pub use window::{Window, WindowRect};

/// What will be done, step by step, with nothing left to decide but what only pixels can tell
/// (is it opaque; where is it busy).
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// The decoder's reduction.
    pub scale: Scale,
    /// Whether it stays in planes of luma and chroma from the decoder to the encoder.
    pub planar: bool,
    /// What follows, in order.
    pub steps: Vec<Step>,
    /// How the result is written.
    pub choice: Choice,
    /// The size of the result.
    pub size: Size,
    /// What it takes.
    pub cost: Cost,
}

/// What tells one decoding of an original from another: renders whose plans agree in it begin with
/// the same picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Decode {
    /// The decoder's reduction.
    pub scale: Scale,
    /// Whether it delivers planes.
    pub planar: bool,
}

impl Plan {
    /// What it begins with.
    #[must_use]
    pub const fn decode(&self) -> Decode {
        Decode { scale: self.scale, planar: self.planar }
    }

    /// How the picture is made that is encoded, as text: plans with the same decode and the same
    /// shape differ in nothing but the encoding. `None` where the steps depend on the encoding, or
    /// where there is no resampling to be saved.
    #[must_use]
    pub fn shape(&self) -> Option<String> {
        let depends = matches!(self.choice, Choice::ByAlpha { .. })
            || self.steps.iter().any(|step| matches!(step, Step::Letterbox { fill: None, .. }));
        let resamples = self.steps.iter().any(|step| matches!(step, Step::Resize { .. }));
        (resamples && !depends).then(|| format!("{:?}", self.steps))
    }
}

/// One step; each is one file in `pipeline::ops`.
#[derive(Debug, Clone, PartialEq)]
pub enum Step {
    /// Turn and mirror by quarter turns.
    Turn(Orientation),
    /// Cut out whole pixels.
    Crop(Rect),
    /// Turn clockwise by degrees that are no quarter turn, on the bounding box of the result.
    Rotate {
        /// 0 < degrees < 360.
        degrees: f64,
        /// The bounding box.
        to: Size,
    },
    /// Resample a window to an exact size.
    Resize {
        /// What of the picture.
        window: Window,
        /// How large.
        to: Size,
    },
    /// To one grey channel.
    Gray,
    /// Gaussian blur.
    Blur {
        /// σ in pixels.
        sigma: f64,
    },
    /// Unsharp mask.
    Sharpen {
        /// 0–10.
        strength: f64,
    },
    /// Settle the format by whether the picture is opaque so far.
    Settle,
    /// Put a colour behind the transparency.
    Flatten(Rgba),
    /// Put the picture on a larger canvas.
    Letterbox {
        /// Size of the canvas.
        canvas: Size,
        /// Left edge of the picture on it.
        x: u32,
        /// Top edge of the picture on it.
        y: u32,
        /// Its colour; none: transparent where the format can, else white.
        fill: Option<Rgba>,
    },
}

/// Why a wish cannot be met for this source.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// The original has more pixels than allowed.
    #[error("the original has {pixels} pixels, the limit is {limit}")]
    SourceTooLarge {
        /// Pixels of one frame.
        pixels: u64,
        /// The limit.
        limit: u64,
    },
    /// A side of the original is longer than any decoder needs to be trusted with.
    #[error("a side of the original has {side} pixels, the limit is {limit}")]
    SideTooLong {
        /// The longer side.
        side: u32,
        /// The limit.
        limit: u32,
    },
    /// An explicitly named format cannot hold the result within its budget.
    #[error("an AVIF of {size} has {pixels} pixels, the limit is {limit}")]
    OutputTooLarge {
        /// Size of the result.
        size: Size,
        /// Its pixels.
        pixels: u64,
        /// The limit.
        limit: u64,
    },
    /// Nothing of the picture lies inside the crop.
    #[error("crop leaves nothing of a {size} picture")]
    EmptyCrop {
        /// The oriented size of the original.
        size: Size,
    },
}

/// The longest side of an original: libjpeg's own limit (`JPEG_MAX_DIMENSION`), so no JPEG is
/// refused for it. A cap on sides in front of the codecs takes whole classes of overflows away.
const MAX_SOURCE_SIDE: u32 = 65_500;

/// Plans a render. Pure and cheap: no pixel is touched.
///
/// # Errors
/// [`PlanError`], each with the numbers that did not fit.
pub fn plan(header: &Header, wish: &Transform, limits: &Limits) -> Result<Plan, PlanError> {
    let pixels = header.size.pixels();
    if pixels > limits.source_pixels.get() {
        let limit = limits.source_pixels.get();
        return Err(PlanError::SourceTooLarge { pixels, limit });
    }
    let side = header.size.longest();
    if side > MAX_SOURCE_SIDE {
        return Err(PlanError::SideTooLong { side, limit: MAX_SOURCE_SIDE });
    }
    let display = header.display_size();
    let crop = fit::resolve_crop(wish.crop, display)?;
    let quarter = turn::quarter_turns(wish.rotate);
    let after = turn::compose(quarter.unwrap_or_default(), turn::flip(wish.flip));

    let entering = match quarter {
        Some(quarter) => quarter.apply(crop.size),
        None => turn::bounding_box(crop.size, wish.rotate.to_f64()),
    };
    let codec_side = output::max_side(wish.output.ask, header.format);
    let side = wish.bounds.side.map_or(codec_side, |side| side.get().min(codec_side));
    let fitted = fit::fit(entering, wish.resize, side);
    let choice = output::choose(header, wish, fitted.canvas, limits)?;

    let geometry = Geometry { header, display, crop, after, fitted };
    let scale = geometry.scale(quarter.is_some());
    let mut steps = Vec::with_capacity(8);
    if quarter.is_some() {
        geometry.one_resample(scale, &mut steps);
    } else {
        geometry.with_free_rotation(scale, wish, &mut steps);
    }
    look(wish, fitted.shrunk_by, &mut steps);
    finish(wish, &fitted, &mut steps);

    let planar = planar::allows(header, &steps, choice, fitted.canvas);
    let decode = Decode { scale, planar };
    let cost = cost::estimate(header, decode, entering, &fitted, choice, &steps);
    Ok(Plan { scale, planar, steps, choice, size: fitted.canvas, cost })
}

/// The geometry of one render, in the four sets of axes it passes: stored, displayed (oriented),
/// turned (after rot and flip), result.
#[derive(Debug, Clone, Copy)]
struct Geometry<'a> {
    header: &'a Header,
    display: Size,
    crop: Rect,
    /// rot and flip, where they are quarter turns; the flip alone where not.
    after: Orientation,
    fitted: Fitted,
}

impl Geometry<'_> {
    /// The strongest reduction that still leaves at least one pixel for every pixel of the
    /// result. It depends on the request and the header alone, so bytes never depend on what
    /// happens to be cached.
    fn scale(&self, quarter: bool) -> Scale {
        let Fitted { window, picture, .. } = self.fitted;
        let ratio = (window.width / f64::from(picture.width))
            .min(window.height / f64::from(picture.height));
        // Free rotation resamples twice; leave it twice the pixels.
        let ratio = if quarter { ratio } else { ratio / 2.0 };
        let enough = |scale: &Scale| f64::from(scale.denominator()) <= ratio;
        Scale::ALL.into_iter().rfind(enough).unwrap_or_default()
    }

    /// The usual path: the window is carried back to the stored axes, resampled there in one go,
    /// and the (small) result is turned. Mirrors and quarter turns commute with a symmetric
    /// separable filter, so this equals orienting first, at a fraction of the cost.
    fn one_resample(&self, scale: Scale, steps: &mut Vec<Step>) {
        let turned = self.after.apply(self.crop.size);
        let orientation = self.header.orientation;
        let back = |window: WindowRect| {
            let in_crop = window.turned_back(turned, self.after);
            let in_display = in_crop.moved(self.crop.x, self.crop.y);
            in_display.turned_back(self.display, orientation)
        };
        let whole = turn::compose(orientation, self.after);
        let to =
            if whole.swaps_axes() { self.fitted.picture.transposed() } else { self.fitted.picture };
        let decoded = scale.apply(self.header.size);
        let factor = scale.denominator();
        let window = self.fitted.placed().map(|rect| back(rect).reduced(factor, decoded));
        if !window.is_whole(decoded, to) {
            steps.push(Step::Resize { window, to });
        }
        if whole != Orientation::Upright {
            steps.push(Step::Turn(whole));
        }
    }

    /// The rare path: orient, crop, rotate by any angle, flip, resample.
    fn with_free_rotation(&self, scale: Scale, wish: &Transform, steps: &mut Vec<Step>) {
        let orientation = self.header.orientation;
        if orientation != Orientation::Upright {
            steps.push(Step::Turn(orientation));
        }
        let decoded = orientation.apply(scale.apply(self.header.size));
        let crop = window::reduced_crop(self.crop, scale.denominator(), decoded);
        if crop.size != decoded {
            steps.push(Step::Crop(crop));
        }
        steps.push(Step::Settle);
        let degrees = wish.rotate.to_f64();
        let rotated = turn::bounding_box(crop.size, degrees);
        steps.push(Step::Rotate { degrees, to: rotated });
        if self.after != Orientation::Upright {
            steps.push(Step::Turn(self.after));
        }
        let to = self.fitted.picture;
        let entering = self.fitted.entering;
        let window = self.fitted.placed().map(|rect| rect.rescaled(entering, rotated));
        if !window.is_whole(rotated, to) {
            steps.push(Step::Resize { window, to });
        }
    }
}

/// The steps that change how the picture looks, in the order of SEMANTICS 1. `k` is what rule 5
/// shrank the result by: lengths shrink with it.
fn look(wish: &Transform, k: f64, steps: &mut Vec<Step>) {
    if wish.gray {
        steps.push(Step::Gray);
    }
    if wish.blur > Decimal::ZERO {
        steps.push(Step::Blur { sigma: wish.blur.to_f64() * k });
    }
    if wish.sharpen > Decimal::ZERO {
        steps.push(Step::Sharpen { strength: wish.sharpen.to_f64() });
    }
}

/// Background and canvas.
fn finish(wish: &Transform, fitted: &Fitted, steps: &mut Vec<Step>) {
    if !steps.contains(&Step::Settle) {
        steps.push(Step::Settle);
    }
    if let Some(background) = wish.background.filter(|colour| colour.a > 0) {
        steps.push(Step::Flatten(background));
    }
    if fitted.canvas != fitted.picture
        && let Resize::Box { gravity, .. } = wish.resize
    {
        let (x, y) = fit::letterbox_origin(fitted.canvas, fitted.picture, gravity);
        let fill = wish.background;
        steps.push(Step::Letterbox { canvas: fitted.canvas, x, y, fill });
    }
}

#[cfg(test)]
mod tests;
