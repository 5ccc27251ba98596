//! The canonical wish: everything a request asks of a picture, typed, resolved, free of text.
//! Nothing after it sees a URL; nothing before it touches a pixel. It knows nothing of the
//! source, so its spelling can be a cache key before the source was ever read.

use super::color::Rgba;
use super::format::Format;
use super::geometry::{Fit, Flip, Gravity};
use super::units::{Decimal, PixelCount, Px, Quality};

/// One wish. `Draft::resolve` makes it, `pipeline::plan` meets it with a source.
///
/// Invariant: what has no effect for the ask is at its default, so equal effects are equal
/// values (SEMANTICS 17, DESIGN §3).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Transform {
    /// Cut out of the oriented source, before everything else.
    pub crop: Option<Crop>,
    /// Clockwise turn in degrees, 0 ≤ r < 360.
    pub rotate: Decimal,
    /// Mirrors after the turn.
    pub flip: Flip,
    /// The size asked for.
    pub resize: Resize,
    /// To grey.
    pub gray: bool,
    /// Gaussian σ in output pixels (dpr folded in), 0 = none.
    pub blur: Decimal,
    /// Strength 0–10, 0 = none.
    pub sharpen: Decimal,
    /// Behind transparency, letterbox and free rotation.
    pub background: Option<Rgba>,
    /// How the result is written.
    pub output: Output,
    /// Limits of the deployment that can change what comes of this wish.
    pub bounds: Bounds,
}

/// The deployment's limits as far as they can change bytes, and so belong to the wish and its
/// key: two deployments with other limits must not share an entry they would make differently.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Bounds {
    /// A computed side above this is shrunk (SEMANTICS 7); none where only asked sides come out.
    pub side: Option<Px>,
    /// Above so many pixels another format than AVIF is chosen; none where AVIF cannot come of
    /// the ask, or was named and is refused instead.
    pub avif: Option<PixelCount>,
}

/// `crop=x,y,w,h` in oriented source pixels or fractions of the source (SEMANTICS 9).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Crop {
    /// Left edge.
    pub x: Extent,
    /// Top edge.
    pub y: Extent,
    /// Width.
    pub width: Extent,
    /// Height.
    pub height: Extent,
}

/// A length along one axis of the source.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Extent {
    /// Whole source pixels.
    Pixels(u32),
    /// A fraction of the side, 0–1.
    Fraction(Decimal),
}

/// The size asked for, dpr folded in (SEMANTICS 3–6).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Resize {
    /// No size asked: the picture as it is after crop and turn.
    Keep,
    /// One side asked, the other follows.
    Width {
        /// The side.
        width: Px,
        /// Whether the picture may grow.
        enlarge: bool,
    },
    /// One side asked, the other follows.
    Height {
        /// The side.
        height: Px,
        /// Whether the picture may grow.
        enlarge: bool,
    },
    /// Both sides asked.
    Box {
        /// Width of the box.
        width: Px,
        /// Height of the box.
        height: Px,
        /// How the picture meets the box.
        fit: Fit,
        /// Which part stays (cover) or where it stands (pad); the default for other fits.
        gravity: Gravity,
        /// Whether the picture may grow.
        enlarge: bool,
    },
}

/// How the result is written.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Output {
    /// The format asked for.
    pub ask: FormatAsk,
    /// The quality asked for.
    pub quality: QualityAsk,
    /// Lossless WebP or AVIF, PNG where JPEG would have been chosen.
    pub lossless: bool,
    /// Progressive JPEG.
    pub progressive: bool,
}

/// What was asked of the format; what comes of it is decided when the source is known
/// (SEMANTICS 13) and recorded in the stored entry, never in the key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FormatAsk {
    /// `f` named it: never swapped.
    Named(Format),
    /// `f` absent: the source's own.
    Source,
    /// `f=auto`, with what the client can read.
    Auto(Accepts),
}

/// The closed set of outcomes of reading `Accept`: which modern formats are named, best first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Accepts {
    /// AVIF, else WebP.
    AvifWebp,
    /// AVIF only.
    Avif,
    /// WebP only (or WebP preferred, which comes to the same: it has no budget to fall from).
    Webp,
    /// Neither: PNG or JPEG.
    #[default]
    Classic,
}

/// `q`: the common scale, and raw codec values that override it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct QualityAsk {
    /// JPEG-like scale, mapped per codec by `codec::quality`.
    pub common: Quality,
    /// libjpeg's own value.
    pub jpeg: Option<Quality>,
    /// libwebp's own value.
    pub webp: Option<Quality>,
    /// libavif's scale (100 best), as `q=avif:55` gives it.
    pub avif: Option<Quality>,
}

impl Default for QualityAsk {
    fn default() -> Self {
        Self { common: Quality::DEFAULT, jpeg: None, webp: None, avif: None }
    }
}
