//! Sizes, rectangles, turns and places. Integer geometry only; the arithmetic that resolves a
//! wish against a source lives in `pipeline::plan`.

use super::units::Decimal;
use std::fmt;

/// Width and height in pixels, each at least 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Size {
    /// Pixels from left to right.
    pub width: u32,
    /// Pixels from top to bottom.
    pub height: u32,
}

impl Size {
    /// A size; the caller vouches for neither side being 0.
    #[must_use]
    pub const fn new(width: u32, height: u32) -> Self {
        Self { width, height }
    }

    /// Width × height, without overflow.
    #[must_use]
    pub const fn pixels(self) -> u64 {
        self.width as u64 * self.height as u64
    }

    /// Width and height exchanged.
    #[must_use]
    pub const fn transposed(self) -> Self {
        Self { width: self.height, height: self.width }
    }

    /// The longer side.
    #[must_use]
    pub const fn longest(self) -> u32 {
        if self.width > self.height { self.width } else { self.height }
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}x{}", self.width, self.height)
    }
}

/// A rectangle of whole pixels inside some picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Rect {
    /// Left edge.
    pub x: u32,
    /// Top edge.
    pub y: u32,
    /// Extent.
    pub size: Size,
}

/// The eight EXIF orientations (EXIF 2.32, tag 0x0112), as what to do to the stored pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Orientation {
    /// 1: as stored.
    #[default]
    Upright,
    /// 2: mirror left-right.
    FlipH,
    /// 3: turn by 180°.
    Rotate180,
    /// 4: mirror top-bottom.
    FlipV,
    /// 5: mirror along the main diagonal.
    Transpose,
    /// 6: turn by 90° clockwise.
    Rotate90,
    /// 7: mirror along the other diagonal.
    Transverse,
    /// 8: turn by 270° clockwise.
    Rotate270,
}

impl Orientation {
    /// From the EXIF value; whatever is out of range is upright.
    #[must_use]
    pub const fn from_exif(value: u32) -> Self {
        match value {
            2 => Self::FlipH,
            3 => Self::Rotate180,
            4 => Self::FlipV,
            5 => Self::Transpose,
            6 => Self::Rotate90,
            7 => Self::Transverse,
            8 => Self::Rotate270,
            _ => Self::Upright,
        }
    }

    /// The EXIF value, 1–8.
    #[must_use]
    pub const fn to_exif(self) -> u8 {
        match self {
            Self::Upright => 1,
            Self::FlipH => 2,
            Self::Rotate180 => 3,
            Self::FlipV => 4,
            Self::Transpose => 5,
            Self::Rotate90 => 6,
            Self::Transverse => 7,
            Self::Rotate270 => 8,
        }
    }

    /// Whether width and height change places.
    #[must_use]
    pub const fn swaps_axes(self) -> bool {
        matches!(self, Self::Transpose | Self::Rotate90 | Self::Transverse | Self::Rotate270)
    }

    /// The size after the turn.
    #[must_use]
    pub const fn apply(self, size: Size) -> Size {
        if self.swaps_axes() { size.transposed() } else { size }
    }
}

/// `flip`: mirrors after the rotation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Flip {
    /// Not at all.
    #[default]
    None,
    /// Left and right exchanged.
    Horizontal,
    /// Top and bottom exchanged.
    Vertical,
    /// Both, which is a half turn.
    Both,
}

/// `fit`: how a picture meets a box of both sides (SEMANTICS 4).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Fit {
    /// Wholly inside the box, the binding side exact.
    #[default]
    Inside,
    /// Fills the box exactly, the overflow cropped.
    Cover,
    /// Inside, on a canvas of exactly the box.
    Pad,
    /// Exactly the box, distorted.
    Stretch,
    /// Covers the box, nothing cropped.
    Outside,
}

/// `g`: which part of a picture matters (SEMANTICS 8).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Gravity {
    /// A point in fractions of the slack or of the picture, y down. The nine names are points
    /// too, but of the slack ([`Gravity::Slack`]).
    Focus {
        /// 0 = left edge of the picture, 1 = right edge.
        x: Decimal,
        /// 0 = top edge, 1 = bottom edge.
        y: Decimal,
    },
    /// One of the nine names, as fractions of the slack: 0, ½ or 1.
    Slack {
        /// 0 = left, ½ = middle, 1 = right.
        x: Decimal,
        /// 0 = top, ½ = middle, 1 = bottom.
        y: Decimal,
    },
    /// Where the picture is busiest.
    Smart,
}

impl Gravity {
    /// The middle.
    pub const CENTER: Self = Self::Slack {
        x: Decimal::from_micros(Decimal::SCALE / 2),
        y: Decimal::from_micros(Decimal::SCALE / 2),
    };
}

impl Default for Gravity {
    fn default() -> Self {
        Self::CENTER
    }
}
