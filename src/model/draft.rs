//! A wish while it is still being put together: every parameter typed and in range, each either
//! given or not. `resolve` turns it into the one `Transform` that stands for all spellings of the
//! same effect. It never sees text of a URL and knows nothing of the source.
#![deny(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation
)]

mod error;

#[cfg(test)]
mod tests;

pub use error::{BadParam, BadParamKind};

use super::color::Rgba;
use super::format::Format;
use super::geometry::{Fit, Flip, Gravity};
use super::limits::Limits;
use super::transform::{
    Accepts, Bounds, Crop, Extent, FormatAsk, Output, QualityAsk, Resize, Transform,
};
use super::units::{Decimal, Px, Quality};

/// The parameters that change bytes, as asked: `None` = not given. Ranges are those of the option
/// table; whoever fills a field vouches for them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Draft {
    /// `w` in CSS pixels.
    pub width: Option<Px>,
    /// `h` in CSS pixels.
    pub height: Option<Px>,
    /// `dpr`, 0.1–8.
    pub dpr: Option<Decimal>,
    /// `fit`.
    pub fit: Option<Fit>,
    /// `enlarge`.
    pub enlarge: Option<bool>,
    /// `ar`.
    pub ratio: Option<Ratio>,
    /// `g`.
    pub gravity: Option<Gravity>,
    /// `crop`.
    pub crop: Option<Crop>,
    /// `rot`, 0 ≤ r < 360, clockwise.
    pub rotate: Option<Decimal>,
    /// `flip`.
    pub flip: Option<Flip>,
    /// `bg`.
    pub background: Option<Rgba>,
    /// `blur`, σ in CSS pixels, 0–250.
    pub blur: Option<Decimal>,
    /// `sharpen`, 0–10.
    pub sharpen: Option<Decimal>,
    /// `gray`.
    pub gray: Option<bool>,
    /// `f`.
    pub format: Option<FormatWish>,
    /// `q`.
    pub quality: Option<QualityWish>,
    /// `lossless`.
    pub lossless: Option<bool>,
    /// `progressive`.
    pub progressive: Option<bool>,
}

/// `ar=16:9`; both numbers above 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ratio {
    /// Of the width.
    pub width: Decimal,
    /// Of the height.
    pub height: Decimal,
}

/// `f` before the client's `Accept` was looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum FormatWish {
    /// The source's own.
    #[default]
    Source,
    /// The best one the client names.
    Auto,
    /// Exactly this one.
    Named(Format),
    /// No picture: a document about the original.
    Info,
}

/// `q`: the common scale, codecs' own scales, or both.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct QualityWish {
    /// `q=80`.
    pub common: Option<Quality>,
    /// `q=jpeg:80`.
    pub jpeg: Option<Quality>,
    /// `q=webp:76`.
    pub webp: Option<Quality>,
    /// `q=avif:55`.
    pub avif: Option<Quality>,
}

impl Draft {
    /// What is given here, and what only the preset gives: explicit parameters win one by one.
    #[must_use]
    pub fn overlay(self, preset: &Self) -> Self {
        Self {
            width: self.width.or(preset.width),
            height: self.height.or(preset.height),
            dpr: self.dpr.or(preset.dpr),
            fit: self.fit.or(preset.fit),
            enlarge: self.enlarge.or(preset.enlarge),
            ratio: self.ratio.or(preset.ratio),
            gravity: self.gravity.or(preset.gravity),
            crop: self.crop.or(preset.crop),
            rotate: self.rotate.or(preset.rotate),
            flip: self.flip.or(preset.flip),
            background: self.background.or(preset.background),
            blur: self.blur.or(preset.blur),
            sharpen: self.sharpen.or(preset.sharpen),
            gray: self.gray.or(preset.gray),
            format: self.format.or(preset.format),
            quality: self.quality.or(preset.quality),
            lossless: self.lossless.or(preset.lossless),
            progressive: self.progressive.or(preset.progressive),
        }
    }

    /// Whether the answer depends on the client's `Accept`.
    #[must_use]
    pub fn is_negotiable(&self) -> bool {
        self.format == Some(FormatWish::Auto)
    }

    /// Whether a document about the original is asked for and no picture.
    #[must_use]
    pub fn is_info(&self) -> bool {
        self.format == Some(FormatWish::Info)
    }

    /// The canonical wish: dpr folded into pixels, the missing side supplied by `ar`, everything
    /// without effect for this ask at its default (SEMANTICS 3–6, 13, 15, 17).
    ///
    /// # Errors
    /// [`BadParam`]: an asked side over `limits.output_side`, `ar` without a side, `lossless`
    /// with a format that cannot be, a document where a picture is asked for.
    pub fn resolve(&self, accepts: Accepts, limits: &Limits) -> Result<Transform, BadParam> {
        let ask = match self.format.unwrap_or_default() {
            FormatWish::Source => FormatAsk::Source,
            FormatWish::Auto => FormatAsk::Auto(accepts),
            FormatWish::Named(format) => FormatAsk::Named(format),
            FormatWish::Info => {
                let picture = "a picture, which is asked for here";
                return Err(BadParam::new(BadParamKind::Contradiction, "f", "json", picture));
            }
        };
        let outcomes = outcomes(ask);
        let lossless = self.resolve_lossless(ask)?;
        let (rotate, flip) =
            turn(self.rotate.unwrap_or(Decimal::ZERO), self.flip.unwrap_or_default());
        let resize = self.resolve_resize(limits)?;
        Ok(Transform {
            crop: self.crop.and_then(resolve_crop),
            rotate,
            flip,
            resize,
            gray: self.gray.unwrap_or(false),
            blur: self.blur.unwrap_or(Decimal::ZERO).times(self.dpr()),
            sharpen: self.sharpen.unwrap_or(Decimal::ZERO),
            background: self.background.and_then(|color| resolve_background(color, ask)),
            output: Output {
                ask,
                quality: self.resolve_quality(outcomes, lossless),
                lossless,
                progressive: self.progressive.unwrap_or(false)
                    && !lossless
                    && outcomes.contains(&Format::Jpeg),
            },
            bounds: bounds(resize, ask, lossless, limits),
        })
    }

    fn dpr(&self) -> Decimal {
        self.dpr.unwrap_or(Decimal::ONE)
    }

    fn resolve_lossless(&self, ask: FormatAsk) -> Result<bool, BadParam> {
        let wanted = self.lossless.unwrap_or(false);
        match ask {
            FormatAsk::Named(format @ (Format::Jpeg | Format::Gif)) if wanted => {
                let rival = format!("f={format}, which is always lossy");
                Err(BadParam::new(BadParamKind::Contradiction, "lossless", "1", &rival)
                    .suggest("use f=webp, f=avif, f=png or f=auto"))
            }
            // Always lossless: nothing to ask for.
            FormatAsk::Named(Format::Png) => Ok(false),
            _ => Ok(wanted),
        }
    }

    fn resolve_quality(&self, outcomes: &[Format], lossless: bool) -> QualityAsk {
        if lossless {
            return QualityAsk::default();
        }
        let wish = self.quality.unwrap_or_default();
        let raw = |format, own: Option<Quality>| own.filter(|_| outcomes.contains(&format));
        let jpeg = raw(Format::Jpeg, wish.jpeg);
        let webp = raw(Format::Webp, wish.webp);
        let avif = raw(Format::Avif, wish.avif);
        // The common scale matters while a lossy outcome has no value of its own.
        let open = [(Format::Jpeg, jpeg), (Format::Webp, webp), (Format::Avif, avif)]
            .iter()
            .any(|(format, own)| own.is_none() && outcomes.contains(format));
        let common = wish.common.filter(|_| open).unwrap_or(Quality::DEFAULT);
        QualityAsk { common, jpeg, webp, avif }
    }

    fn resolve_resize(&self, limits: &Limits) -> Result<Resize, BadParam> {
        let enlarge = self.enlarge.unwrap_or(false);
        let width = self.side("w", self.width, limits)?;
        let height = self.side("h", self.height, limits)?;
        let (width, height) = match (width, height, self.ratio) {
            (None, None, Some(ratio)) => {
                return Err(ratio_fault(BadParamKind::Missing, ratio, "w or h beside it"));
            }
            (Some(width), None, Some(ratio)) => {
                let height = self.ratio_side(self.width, ratio.height, ratio.width, limits)?;
                (Some(width), Some(height))
            }
            (None, Some(height), Some(ratio)) => {
                let width = self.ratio_side(self.height, ratio.width, ratio.height, limits)?;
                (Some(width), Some(height))
            }
            // Both sides given leave nothing for `ar` to supply.
            (width, height, _) => (width, height),
        };
        Ok(match (width, height) {
            (None, None) => Resize::Keep,
            (Some(width), None) => Resize::Width { width, enlarge },
            (None, Some(height)) => Resize::Height { height, enlarge },
            (Some(width), Some(height)) => {
                let fit = self.fit.unwrap_or_default();
                let gravity = resolve_gravity(self.gravity.unwrap_or_default(), fit);
                Resize::Box { width, height, fit, gravity, enlarge }
            }
        })
    }

    /// R(side · dpr), held to the limit.
    fn side(&self, name: &str, side: Option<Px>, limits: &Limits) -> Result<Option<Px>, BadParam> {
        let Some(asked) = side else { return Ok(None) };
        let wide = u128::from(asked.get()).saturating_mul(positive(self.dpr()));
        let pixels = round_ratio(wide, positive(Decimal::ONE));
        if pixels.get() > limits.output_side {
            let range = self.side_range(limits);
            let value = asked.to_string();
            return Err(BadParam::new(BadParamKind::OutOfRange, name, &value, &range));
        }
        Ok(Some(pixels))
    }

    /// The side `ar` supplies: R(given · dpr · this / that), from the exact product.
    fn ratio_side(
        &self,
        given: Option<Px>,
        this: Decimal,
        that: Decimal,
        limits: &Limits,
    ) -> Result<Px, BadParam> {
        let given = u128::from(given.map_or(1, Px::get));
        let numerator = given.saturating_mul(positive(self.dpr())).saturating_mul(positive(this));
        let denominator = positive(Decimal::ONE).saturating_mul(positive(that));
        let pixels = round_ratio(numerator, denominator);
        match self.ratio {
            Some(ratio) if pixels.get() > limits.output_side => {
                let range = format!("a side of {} (it gives {pixels})", self.side_range(limits));
                Err(ratio_fault(BadParamKind::OutOfRange, ratio, &range))
            }
            _ => Ok(pixels),
        }
    }

    fn side_range(&self, limits: &Limits) -> String {
        let folded = if self.dpr.is_some() { " once multiplied by dpr" } else { "" };
        format!("1–{} pixels{folded}", limits.output_side)
    }
}

fn ratio_fault(kind: BadParamKind, ratio: Ratio, allowed: &str) -> BadParam {
    BadParam::new(kind, "ar", &format!("{}:{}", ratio.width, ratio.height), allowed)
}

/// What can come of an ask, whatever the source (SEMANTICS 13). A client that names WebP never
/// gets PNG or JPEG from `f=auto`: WebP has alpha, frames and no pixel budget.
const fn outcomes(ask: FormatAsk) -> &'static [Format] {
    match ask {
        FormatAsk::Named(Format::Jpeg) => &[Format::Jpeg],
        FormatAsk::Named(Format::Png) => &[Format::Png],
        FormatAsk::Named(Format::Webp) | FormatAsk::Auto(Accepts::Webp) => &[Format::Webp],
        FormatAsk::Named(Format::Avif) => &[Format::Avif],
        FormatAsk::Named(Format::Gif) => &[Format::Gif],
        FormatAsk::Source => &Format::ALL,
        FormatAsk::Auto(Accepts::AvifWebp) => &[Format::Avif, Format::Webp],
        FormatAsk::Auto(Accepts::Avif) => &[Format::Avif, Format::Png, Format::Jpeg, Format::Gif],
        FormatAsk::Auto(Accepts::Classic) => &[Format::Png, Format::Jpeg, Format::Gif],
    }
}

/// Right-angled turns and mirrors have eight effects and sixteen spellings; this picks one each.
/// The mirror follows the turn, so a half turn is both mirrors and can be moved between the two.
fn turn(rotate: Decimal, flip: Flip) -> (Decimal, Flip) {
    const QUARTER: Decimal = Decimal::whole(90);
    const HALF: Decimal = Decimal::whole(180);
    const THREE: Decimal = Decimal::whole(270);
    match (rotate, flip) {
        (Decimal::ZERO, Flip::Both) => (HALF, Flip::None),
        (HALF, Flip::Horizontal) => (Decimal::ZERO, Flip::Vertical),
        (HALF, Flip::Vertical) => (Decimal::ZERO, Flip::Horizontal),
        (HALF, Flip::Both) => (Decimal::ZERO, Flip::None),
        (QUARTER, Flip::Both) => (THREE, Flip::None),
        (THREE, Flip::Both) => (QUARTER, Flip::None),
        (THREE, Flip::Horizontal) => (QUARTER, Flip::Vertical),
        (THREE, Flip::Vertical) => (QUARTER, Flip::Horizontal),
        other => other,
    }
}

/// A crop of everything is no crop; an edge at 0 is the same in pixels and in fractions.
fn resolve_crop(crop: Crop) -> Option<Crop> {
    let edge = |extent| match extent {
        Extent::Fraction(Decimal::ZERO) => Extent::Pixels(0),
        other => other,
    };
    let crop = Crop { x: edge(crop.x), y: edge(crop.y), ..crop };
    let (zero, all) = (Extent::Pixels(0), Extent::Fraction(Decimal::ONE));
    let whole = crop.x == zero && crop.y == zero && crop.width == all && crop.height == all;
    (!whole).then_some(crop)
}

/// What of `g` a fit can see: nothing, or the place of the picture on its canvas (where a focus
/// point and a share of the slack are the same thing and nothing is cut that could be busy), or
/// all of it.
fn resolve_gravity(gravity: Gravity, fit: Fit) -> Gravity {
    match (fit, gravity) {
        (Fit::Cover, any) => any,
        (Fit::Pad, Gravity::Focus { x, y } | Gravity::Slack { x, y }) => Gravity::Slack { x, y },
        (Fit::Pad, Gravity::Smart) | (Fit::Inside | Fit::Stretch | Fit::Outside, _) => {
            Gravity::CENTER
        }
    }
}

/// An invisible background has no colour; for a named format it is what an absent one is, and so
/// is white for JPEG (SEMANTICS 12).
fn resolve_background(color: Rgba, ask: FormatAsk) -> Option<Rgba> {
    match ask {
        FormatAsk::Named(_) if color.a == 0 => None,
        FormatAsk::Named(Format::Jpeg) if color == Rgba::WHITE => None,
        _ if color.a == 0 => Some(Rgba::TRANSPARENT),
        _ => Some(color),
    }
}

/// In units of 10⁻⁶; what is not positive counts as nought.
fn positive(number: Decimal) -> u128 {
    u128::try_from(number.micros()).unwrap_or(0)
}

/// R(numerator / denominator): half up, at least 1, saturating.
fn round_ratio(numerator: u128, denominator: u128) -> Px {
    let doubled = numerator.saturating_mul(2).saturating_add(denominator);
    let rounded = doubled.checked_div(denominator.saturating_mul(2)).unwrap_or(u128::MAX);
    let side = u32::try_from(rounded).unwrap_or(u32::MAX);
    Px::round(f64::from(side))
}

/// Which of the limits can change what comes of the wish.
fn bounds(resize: Resize, ask: FormatAsk, lossless: bool, limits: &Limits) -> Bounds {
    // The largest result that can come of a box, where no side of it is computed beyond it.
    let largest = match resize {
        Resize::Box { width, height, fit, .. } if fit != Fit::Outside => {
            Some(u64::from(width.get()).saturating_mul(u64::from(height.get())))
        }
        _ => None,
    };
    let may_be_avif = match ask {
        FormatAsk::Source => true,
        // Auto never takes lossless AVIF.
        FormatAsk::Auto(accepts) => {
            !lossless && matches!(accepts, Accepts::AvifWebp | Accepts::Avif)
        }
        FormatAsk::Named(_) => false,
    };
    Bounds {
        side: if largest.is_some() { None } else { Px::new(limits.output_side) },
        avif: Some(limits.avif_pixels)
            .filter(|budget| may_be_avif && largest.is_none_or(|pixels| pixels > budget.get())),
    }
}
