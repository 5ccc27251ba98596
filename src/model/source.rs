//! What is known of an original from its first bytes. Never holds the bytes themselves.

use super::format::SourceFormat;
use super::geometry::{Orientation, Size};
use super::planes::Subsampling;

/// The header of an original as our own probe read it, before any codec saw it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of the file on its own")]
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
    /// Progressive JPEG.
    pub progressive: bool,
    /// Whether its decoder must hold the whole picture in some form, whatever is made of it: every
    /// coefficient, every pass of an interlaced file, planes, large strips.
    pub whole: bool,
    /// Bits per sample, 1–16 (32 for float TIFF).
    pub depth: u8,
    /// Set where the decoder can hand out the planes of the picture as they are stored, and they
    /// mean sRGB: 8-bit full-range BT.601 without a profile that would change them.
    pub planes: Option<Subsampling>,
}

impl Header {
    /// The size as a person sees it.
    #[must_use]
    pub const fn display_size(&self) -> Size {
        self.orientation.apply(self.size)
    }
}

/// How much smaller than stored a decoder delivers the picture: the DCT ladder of libjpeg, which
/// every other format follows by means of blocks.
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

    /// As people write it: `1/1`, `1/2`, `1/4`, `1/8`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Full => "1/1",
            Self::Half => "1/2",
            Self::Quarter => "1/4",
            Self::Eighth => "1/8",
        }
    }

    /// The delivered size: each side divided, rounded up (libjpeg's rule).
    #[must_use]
    pub const fn apply(self, size: Size) -> Size {
        let n = self.denominator();
        Size::new(size.width.div_ceil(n), size.height.div_ceil(n))
    }
}
