//! Rectangles of fractional pixels and their way from the result's axes back to the decoder's.

use super::turn::Dihedral;
use crate::model::geometry::{Orientation, Rect, Size};

/// A rectangle in fractional pixels: y down, origin at the outer corner of the first pixel.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct WindowRect {
    /// Left edge.
    pub x: f64,
    /// Top edge.
    pub y: f64,
    /// Width, above 0.
    pub width: f64,
    /// Height, above 0.
    pub height: f64,
}

/// What of a picture is resampled.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Window {
    /// This rectangle.
    Fixed(WindowRect),
    /// A rectangle of the size of `window`, where `within` is busiest.
    Smart {
        /// Everything there is to choose from.
        within: WindowRect,
        /// The size to choose; its place is the fallback of an even picture.
        window: WindowRect,
    },
}

impl Window {
    /// Carries every rectangle over.
    pub(super) fn map(self, carry: impl Fn(WindowRect) -> WindowRect) -> Self {
        match self {
            Self::Fixed(rect) => Self::Fixed(carry(rect)),
            Self::Smart { within, window } => {
                Self::Smart { within: carry(within), window: carry(window) }
            }
        }
    }

    /// Whether resampling it from a picture of size `of` to `to` would change nothing.
    pub(super) fn is_whole(self, of: Size, to: Size) -> bool {
        let whole = WindowRect::of(of);
        of == to && matches!(self, Self::Fixed(rect) if rect == whole)
    }
}

impl WindowRect {
    /// All of a picture.
    #[must_use]
    pub fn of(size: Size) -> Self {
        Self { x: 0.0, y: 0.0, width: f64::from(size.width), height: f64::from(size.height) }
    }

    /// The same rectangle before `turn` was applied to a picture that has `size` *after* it
    /// (`size` is before it where the axes are not exchanged: the two agree then).
    pub(super) fn turned_back(self, after: Size, turn: Orientation) -> Self {
        let dihedral = Dihedral::from(turn);
        let mut rect = self;
        if dihedral.mirror_x {
            rect.x = f64::from(after.width) - rect.x - rect.width;
        }
        if dihedral.mirror_y {
            rect.y = f64::from(after.height) - rect.y - rect.height;
        }
        if dihedral.swap {
            rect = Self { x: rect.y, y: rect.x, width: rect.height, height: rect.width };
        }
        rect
    }

    pub(super) fn moved(self, x: u32, y: u32) -> Self {
        Self { x: self.x + f64::from(x), y: self.y + f64::from(y), ..self }
    }

    /// In a picture reduced by `factor` to `decoded`, whose last column and row may be partial.
    pub(super) fn reduced(self, factor: u32, decoded: Size) -> Self {
        let n = f64::from(factor);
        Self { x: self.x / n, y: self.y / n, width: self.width / n, height: self.height / n }
            .clamped(decoded)
    }

    /// In a picture of another size that shows the same.
    pub(super) fn rescaled(self, from: Size, to: Size) -> Self {
        let x = f64::from(to.width) / f64::from(from.width);
        let y = f64::from(to.height) / f64::from(from.height);
        Self { x: self.x * x, y: self.y * y, width: self.width * x, height: self.height * y }
            .clamped(to)
    }

    /// Kept inside the picture, where rounding pushed it over an edge by a hair.
    fn clamped(self, size: Size) -> Self {
        let (w, h) = (f64::from(size.width), f64::from(size.height));
        let width = self.width.min(w);
        let height = self.height.min(h);
        Self { x: self.x.clamp(0.0, w - width), y: self.y.clamp(0.0, h - height), width, height }
    }
}

/// A crop of whole source pixels in a picture reduced by `factor`: outward to whole pixels.
pub(super) fn reduced_crop(crop: Rect, factor: u32, decoded: Size) -> Rect {
    let n = u64::from(factor.max(1));
    let axis = |start: u32, length: u32, side: u32| {
        let (start, length, side) = (u64::from(start), u64::from(length), u64::from(side));
        let from = start.checked_div(n).unwrap_or(0).min(side.saturating_sub(1));
        let to = start.saturating_add(length).div_ceil(n).clamp(from.saturating_add(1), side);
        let narrow = |x: u64| u32::try_from(x).unwrap_or(u32::MAX);
        (narrow(from), narrow(to.saturating_sub(from)))
    };
    let (x, width) = axis(crop.x, crop.size.width, decoded.width);
    let (y, height) = axis(crop.y, crop.size.height, decoded.height);
    Rect { x, y, size: Size::new(width, height) }
}
