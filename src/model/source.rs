//! What is known of an original from its first bytes. Never holds the bytes themselves.

use super::format::SourceFormat;
use super::geometry::{Orientation, Size};

/// The header of an original as our own probe read it, before any codec saw it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// By magic bytes.
    pub format: SourceFormat,
    /// As stored, before the orientation is applied.
    pub size: Size,
    /// From EXIF (or AVIF's `irot`/`imir`), applied exactly once by the pipeline.
    pub orientation: Orientation,
    /// Whether the picture may have transparent pixels.
    pub alpha: bool,
    /// One grey channel (or grey and alpha).
    pub gray: bool,
    /// Number of frames, at least 1; capped counts are lower bounds.
    pub frames: u32,
    /// Progressive JPEG: the decoder holds every coefficient.
    pub progressive: bool,
    /// Bits per sample, 1–16 (32 for float TIFF).
    pub depth: u8,
}

impl Header {
    /// The size as a person sees it.
    #[must_use]
    pub const fn display_size(&self) -> Size {
        self.orientation.apply(self.size)
    }
}

/// How much smaller than stored a decoder delivers the picture: libjpeg's DCT ladder.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum Scale {
    /// 1/1.
    #[default]
    Full,
    /// 1/2.
    Half,
    /// 1/4.
    Quarter,
    /// 1/8.
    Eighth,
}

impl Scale {
    /// All, from no reduction to most.
    pub const ALL: [Self; 4] = [Self::Full, Self::Half, Self::Quarter, Self::Eighth];

    /// 1, 2, 4 or 8.
    #[must_use]
    pub const fn denominator(self) -> u32 {
        match self {
            Self::Full => 1,
            Self::Half => 2,
            Self::Quarter => 4,
            Self::Eighth => 8,
        }
    }

    /// The delivered size: each side divided, rounded up (libjpeg's rule).
    #[must_use]
    pub const fn apply(self, size: Size) -> Size {
        let n = self.denominator();
        Size::new(size.width.div_ceil(n), size.height.div_ceil(n))
    }
}
