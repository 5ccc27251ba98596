//! Which format the result is written in (SEMANTICS 13) and with which of the codec's own
//! numbers. What only the pixels can tell (is it opaque?) is left as a choice of two.

use super::PlanError;
use crate::codec::{Encoding, quality};
use crate::model::format::{Format, SourceFormat};
use crate::model::geometry::Size;
use crate::model::limits::Limits;
use crate::model::source::Header;
use crate::model::transform::{Accepts, FormatAsk, Output, Transform};
use crate::model::units::Quality;

/// AVIF below this side is all container: `auto` does not choose it.
const MIN_AUTO_AVIF_SIDE: u32 = 16;

/// The encoding, or what decides it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Choice {
    /// Known already.
    Fixed(Encoding),
    /// By whether the picture is opaque.
    ByAlpha {
        /// If it has transparent pixels.
        alpha: Encoding,
        /// If it has none.
        opaque: Encoding,
    },
}

impl Choice {
    /// The encoding for a picture that is or is not opaque.
    #[must_use]
    pub const fn settle(self, is_opaque: bool) -> Encoding {
        match self {
            Self::Fixed(encoding) => encoding,
            Self::ByAlpha { opaque, .. } if is_opaque => opaque,
            Self::ByAlpha { alpha, .. } => alpha,
        }
    }
}

/// Chooses for a result of size `canvas`.
pub(super) fn choose(
    header: &Header,
    wish: &Transform,
    canvas: Size,
    limits: &Limits,
) -> Result<Choice, PlanError> {
    let output = &wish.output;
    let classic = classic(header, output);
    let pixels = canvas.pixels();
    let limit = limits.avif_pixels.get();
    let avif_affordable = wish.bounds.avif.is_none_or(|budget| pixels <= budget.get());
    let choice = match output.ask {
        FormatAsk::Named(Format::Avif) if pixels > limit => {
            return Err(PlanError::OutputTooLarge { size: canvas, pixels, limit });
        }
        FormatAsk::Named(format) => Choice::Fixed(encoding(format, output)),
        FormatAsk::Source => match header.format {
            SourceFormat::Web(Format::Jpeg) if output.lossless => Choice::Fixed(Encoding::Png),
            SourceFormat::Web(Format::Avif) if !avif_affordable => classic,
            SourceFormat::Web(format) => Choice::Fixed(encoding(format, output)),
            SourceFormat::Bmp | SourceFormat::Tiff | SourceFormat::Ico => classic,
        },
        FormatAsk::Auto(accepts) => {
            let large_enough = canvas.width.min(canvas.height) >= MIN_AUTO_AVIF_SIDE;
            // Lossless AVIF is larger and slower than lossless WebP: auto has no use for it.
            let avif = avif_affordable && large_enough && !output.lossless;
            match accepts {
                Accepts::AvifWebp | Accepts::Avif if avif => {
                    Choice::Fixed(encoding(Format::Avif, output))
                }
                Accepts::AvifWebp | Accepts::Webp => Choice::Fixed(encoding(Format::Webp, output)),
                Accepts::Avif | Accepts::Classic => classic,
            }
        }
    };
    Ok(choice)
}

/// PNG with alpha, JPEG without; PNG for all where it must be lossless.
fn classic(header: &Header, output: &Output) -> Choice {
    let opaque = if output.lossless { Encoding::Png } else { encoding(Format::Jpeg, output) };
    if header.alpha {
        Choice::ByAlpha { alpha: Encoding::Png, opaque }
    } else {
        Choice::Fixed(opaque)
    }
}

fn encoding(format: Format, output: &Output) -> Encoding {
    let raw = |own: Option<Quality>, mapped: fn(Quality) -> u8| {
        own.map_or_else(|| mapped(output.quality.common), Quality::get)
    };
    match format {
        Format::Jpeg => Encoding::Jpeg {
            quality: raw(output.quality.jpeg, Quality::get),
            progressive: output.progressive,
        },
        Format::Png => Encoding::Png,
        Format::Gif => Encoding::Gif,
        Format::Webp if output.lossless => Encoding::WebpLossless,
        Format::Webp => Encoding::Webp { quality: raw(output.quality.webp, quality::webp) },
        Format::Avif if output.lossless => Encoding::AvifLossless,
        Format::Avif => Encoding::Avif { quality: raw(output.quality.avif, quality::avif) },
    }
}

/// The longest side every format this ask can end in is able to carry.
pub(super) fn max_side(ask: FormatAsk, source: SourceFormat) -> u32 {
    match ask {
        FormatAsk::Named(format) => format.max_side(),
        FormatAsk::Source => source.default_output(false).max_side(),
        // Who reads WebP is never given anything older: the result shrinks to what WebP carries.
        FormatAsk::Auto(Accepts::AvifWebp | Accepts::Webp) => Format::Webp.max_side(),
        FormatAsk::Auto(Accepts::Avif | Accepts::Classic) => Format::Jpeg.max_side(),
    }
}
