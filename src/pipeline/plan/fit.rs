//! The arithmetic of SEMANTICS 3–9: a wish and a picture's size in, the result's size and the
//! window it is resampled from out. Exact ratios in integers; R(x) is half up, at least 1.

use super::PlanError;
use super::window::{Window, WindowRect};
use crate::model::geometry::{Fit, Gravity, Rect, Size};
use crate::model::transform::{Crop, Extent, Resize};
use crate::model::units::Px;

/// How a picture of size `entering` becomes the result.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Fitted {
    /// The picture entering `fit`.
    pub(super) entering: Size,
    /// What of it is shown (its place is provisional for `smart`).
    pub(super) window: WindowRect,
    /// Whether the place of the window is for the pixels to tell.
    pub(super) smart: bool,
    /// The size of the picture itself.
    pub(super) picture: Size,
    /// The size of the result: larger than the picture where it is letterboxed.
    pub(super) canvas: Size,
    /// What rule 5 and the limits shrank the result by, 1 = nothing.
    pub(super) shrunk_by: f64,
}

impl Fitted {
    /// The window with what is left to the pixels.
    pub(super) fn placed(&self) -> Window {
        if self.smart {
            Window::Smart { within: WindowRect::of(self.entering), window: self.window }
        } else {
            Window::Fixed(self.window)
        }
    }

    fn whole(entering: Size, picture: Size, canvas: Size, shrunk_by: f64) -> Self {
        let window = WindowRect::of(entering);
        Self { entering, window, smart: false, picture, canvas, shrunk_by }
    }

    /// Shrinks the result uniformly until no side is over `limit` (SEMANTICS 7).
    fn within(mut self, limit: u32) -> Self {
        let longest = self.canvas.longest();
        if longest > limit {
            let shrink = |size: Size| {
                let width = ratio(size.width, limit, longest);
                Size::new(width, ratio(size.height, limit, longest))
            };
            self.picture = shrink(self.picture);
            self.canvas = shrink(self.canvas);
            self.shrunk_by *= f64::from(limit) / f64::from(longest);
        }
        self
    }
}

/// R(side × num / den) in exact integers.
fn ratio(side: u32, num: u32, den: u32) -> u32 {
    let (side, num, den) = (u128::from(side), u128::from(num), u128::from(den.max(1)));
    // side·num < 2⁶⁴ and doubling stays far below 2¹²⁸.
    let twice = side.saturating_mul(num).saturating_mul(2).saturating_add(den);
    let rounded = twice.checked_div(den.saturating_mul(2)).unwrap_or(1);
    u32::try_from(rounded).unwrap_or(u32::MAX).max(1)
}

/// Meets a picture with a wish; no side of the result is over `limit`.
pub(super) fn fit(entering: Size, resize: Resize, limit: u32) -> Fitted {
    let unlimited = match resize {
        Resize::Keep => Fitted::whole(entering, entering, entering, 1.0),
        Resize::Width { width, enlarge } => by_width(entering, width.get(), enlarge),
        Resize::Height { height, enlarge } => by_height(entering, height.get(), enlarge),
        Resize::Box { width, height, fit, gravity, enlarge } => {
            let asked = Size::new(width.get(), height.get());
            match fit {
                Fit::Inside => inside(entering, asked, enlarge),
                Fit::Outside => outside(entering, asked, enlarge),
                Fit::Pad => Fitted { canvas: asked, ..inside(entering, asked, enlarge) },
                Fit::Stretch => {
                    let (size, k) = shrink_box(entering, asked, enlarge);
                    Fitted::whole(entering, size, size, k)
                }
                Fit::Cover => cover(entering, asked, gravity, enlarge),
            }
        }
    };
    unlimited.within(limit)
}

fn by_width(entering: Size, width: u32, enlarge: bool) -> Fitted {
    let target = if enlarge { width } else { width.min(entering.width) };
    let size = Size::new(target, ratio(entering.height, target, entering.width));
    Fitted::whole(entering, size, size, f64::from(target) / f64::from(width.max(1)))
}

fn by_height(entering: Size, height: u32, enlarge: bool) -> Fitted {
    let target = if enlarge { height } else { height.min(entering.height) };
    let size = Size::new(ratio(entering.width, target, entering.height), target);
    Fitted::whole(entering, size, size, f64::from(target) / f64::from(height.max(1)))
}

/// Whether the width binds when `entering` goes inside `asked`: w/W ≤ h/H.
fn width_binds(entering: Size, asked: Size) -> bool {
    let left = u64::from(asked.width).saturating_mul(u64::from(entering.height));
    let right = u64::from(asked.height).saturating_mul(u64::from(entering.width));
    left <= right
}

fn inside(entering: Size, asked: Size, enlarge: bool) -> Fitted {
    if width_binds(entering, asked) {
        by_width(entering, asked.width, enlarge)
    } else {
        by_height(entering, asked.height, enlarge)
    }
}

fn outside(entering: Size, asked: Size, enlarge: bool) -> Fitted {
    if width_binds(entering, asked) {
        by_height(entering, asked.height, enlarge)
    } else {
        by_width(entering, asked.width, enlarge)
    }
}

/// SEMANTICS 5 for cover and stretch: the asked shape at the largest size the source has,
/// and the k it was shrunk by.
fn shrink_box(entering: Size, asked: Size, enlarge: bool) -> (Size, f64) {
    if enlarge || (entering.width >= asked.width && entering.height >= asked.height) {
        return (asked, 1.0);
    }
    // k = min(W/w, H/h): the width decides where W/w ≤ H/h, which is w/W ≥ h/H.
    let left = u64::from(asked.width).saturating_mul(u64::from(entering.height));
    let right = u64::from(asked.height).saturating_mul(u64::from(entering.width));
    if left >= right {
        let size = Size::new(entering.width, ratio(asked.height, entering.width, asked.width));
        (size, f64::from(entering.width) / f64::from(asked.width))
    } else {
        let size = Size::new(ratio(asked.width, entering.height, asked.height), entering.height);
        (size, f64::from(entering.height) / f64::from(asked.height))
    }
}

fn cover(entering: Size, asked: Size, gravity: Gravity, enlarge: bool) -> Fitted {
    let (size, k) = shrink_box(entering, asked, enlarge);
    let (w, h) = (f64::from(entering.width), f64::from(entering.height));
    let (bw, bh) = (f64::from(size.width), f64::from(size.height));
    let scale = (bw / w).max(bh / h);
    let (x, y) = match gravity {
        Gravity::Slack { x, y } => {
            (slack(w * scale, bw, x.to_f64()), slack(h * scale, bh, y.to_f64()))
        }
        Gravity::Focus { x, y } => {
            (centred(w * scale, bw, x.to_f64()), centred(h * scale, bh, y.to_f64()))
        }
        Gravity::Smart => (slack(w * scale, bw, 0.5), slack(h * scale, bh, 0.5)),
    };
    let width = (bw / scale).min(w);
    let height = (bh / scale).min(h);
    let window = WindowRect {
        x: (x / scale).clamp(0.0, w - width),
        y: (y / scale).clamp(0.0, h - height),
        width,
        height,
    };
    let smart = gravity == Gravity::Smart;
    Fitted { entering, window, smart, picture: size, canvas: size, shrunk_by: k }
}

/// Window origin = floor((S − B)·g), in pixels of the scaled picture. The hair added keeps an
/// exact product that came out as 9.999… where it belongs.
fn slack(scaled: f64, side: f64, g: f64) -> f64 {
    ((scaled - side).max(0.0) * g + 1e-6).floor()
}

/// The window centred on a point of the picture, clamped to it.
fn centred(scaled: f64, side: f64, at: f64) -> f64 {
    (scaled * at - side / 2.0 + 1e-6).floor().clamp(0.0, (scaled - side).max(0.0))
}

/// Where a picture stands on its canvas: floor((canvas − picture)·g), CSS `object-position`.
pub(super) fn letterbox_origin(canvas: Size, picture: Size, gravity: Gravity) -> (u32, u32) {
    let (x, y) = match gravity {
        Gravity::Slack { x, y } | Gravity::Focus { x, y } => (x.to_f64(), y.to_f64()),
        Gravity::Smart => (0.5, 0.5),
    };
    let origin = |canvas: u32, picture: u32, g: f64| {
        let room = canvas.saturating_sub(picture);
        whole(slack(f64::from(canvas), f64::from(picture), g)).min(room)
    };
    (origin(canvas.width, picture.width, x), origin(canvas.height, picture.height, y))
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a non-negative whole number below 2^32"
)]
fn whole(x: f64) -> u32 {
    x as u32
}

/// The crop in whole pixels of the oriented source: fractions rounded at both edges (so that
/// neighbouring crops share theirs), then clamped.
pub(super) fn resolve_crop(crop: Option<Crop>, size: Size) -> Result<Rect, PlanError> {
    let Some(crop) = crop else {
        return Ok(Rect { x: 0, y: 0, size });
    };
    let axis = |start: Extent, length: Extent, side: u32| {
        let from = edge(start, side);
        let to = match (start, length) {
            (Extent::Fraction(a), Extent::Fraction(b)) => {
                nearest((a.to_f64() + b.to_f64()) * f64::from(side))
            }
            _ => from.saturating_add(edge(length, side)),
        };
        (from.min(side), to.min(side))
    };
    let (left, right) = axis(crop.x, crop.width, size.width);
    let (top, bottom) = axis(crop.y, crop.height, size.height);
    if left >= right || top >= bottom {
        return Err(PlanError::EmptyCrop { size });
    }
    let size = Size::new(right.saturating_sub(left), bottom.saturating_sub(top));
    Ok(Rect { x: left, y: top, size })
}

fn edge(extent: Extent, side: u32) -> u32 {
    match extent {
        Extent::Pixels(pixels) => pixels,
        Extent::Fraction(fraction) => nearest(fraction.to_f64() * f64::from(side)),
    }
}

/// Half up, nought allowed.
fn nearest(x: f64) -> u32 {
    if x < 0.5 { 0 } else { Px::round(x).get() }
}
