//! The one spelling of a wish: readable, independent of the order it was asked in, and different
//! for different wishes. It is part of every stored key, so it is written here by hand and never
//! derived from `Debug` or `Hash`. A change here needs a new `RENDER_EPOCH`.

use super::geometry::{Fit, Flip, Gravity};
use super::transform::{Accepts, Crop, Extent, FormatAsk, QualityAsk, Resize, Transform};
use super::units::Decimal;
use std::fmt::Write as _;

impl Transform {
    /// The canonical spelling, such as `w=400,h=300,fit=cover,f=webp,q=80`. Fields stand in a
    /// fixed order, fields at their default are left out, values never contain `,` or `=`, so
    /// no two wishes share a spelling (a property test holds it to that).
    #[must_use]
    pub fn canonical(&self) -> String {
        let mut fields = Fields(String::with_capacity(64));
        if let Some(crop) = self.crop {
            fields.add("crop", &spell_crop(crop));
        }
        if self.rotate != Decimal::ZERO {
            fields.add("rot", &self.rotate.to_string());
        }
        match self.flip {
            Flip::None => {}
            Flip::Horizontal => fields.add("flip", "h"),
            Flip::Vertical => fields.add("flip", "v"),
            Flip::Both => fields.add("flip", "hv"),
        }
        self.add_resize(&mut fields);
        if self.gray {
            fields.add("gray", "1");
        }
        if self.blur != Decimal::ZERO {
            fields.add("blur", &self.blur.to_string());
        }
        if self.sharpen != Decimal::ZERO {
            fields.add("sharpen", &self.sharpen.to_string());
        }
        if let Some(background) = self.background {
            fields.add("bg", &background.to_string());
        }
        match self.output.ask {
            FormatAsk::Named(format) => fields.add("f", format.name()),
            FormatAsk::Source => fields.add("f", "source"),
            FormatAsk::Auto(accepts) => fields.add("f", accepts.canonical()),
        }
        fields.add("q", &spell_quality(self.output.quality));
        if self.output.lossless {
            fields.add("lossless", "1");
        }
        if self.output.progressive {
            fields.add("progressive", "1");
        }
        if let Some(side) = self.bounds.side {
            fields.add("max-side", &side.to_string());
        }
        if let Some(pixels) = self.bounds.avif {
            fields.add("max-avif", &pixels.to_string());
        }
        fields.0
    }

    fn add_resize(&self, fields: &mut Fields) {
        let enlarge = match self.resize {
            Resize::Keep => false,
            Resize::Width { width, enlarge } => {
                fields.add("w", &width.to_string());
                enlarge
            }
            Resize::Height { height, enlarge } => {
                fields.add("h", &height.to_string());
                enlarge
            }
            Resize::Box { width, height, fit, gravity, enlarge } => {
                fields.add("w", &width.to_string());
                fields.add("h", &height.to_string());
                fields.add("fit", fit.name());
                if matches!(fit, Fit::Cover | Fit::Pad) {
                    fields.add("g", &spell_gravity(gravity));
                }
                enlarge
            }
        };
        if enlarge {
            fields.add("enlarge", "1");
        }
    }
}

impl Accepts {
    /// The name of the negotiated class in keys.
    #[must_use]
    pub const fn canonical(self) -> &'static str {
        match self {
            Self::AvifWebp => "auto:avif+webp",
            Self::Avif => "auto:avif",
            Self::Webp => "auto:webp",
            Self::Classic => "auto:classic",
        }
    }
}

impl Fit {
    /// The name in URLs and keys.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Inside => "inside",
            Self::Cover => "cover",
            Self::Pad => "pad",
            Self::Stretch => "stretch",
            Self::Outside => "outside",
        }
    }
}

struct Fields(String);

impl Fields {
    fn add(&mut self, name: &str, value: &str) {
        if !self.0.is_empty() {
            self.0.push(',');
        }
        // Writing to a String cannot fail.
        let _ = write!(self.0, "{name}={value}");
    }
}

fn spell_extent(extent: Extent) -> String {
    match extent {
        Extent::Pixels(n) => format!("{n}px"),
        Extent::Fraction(fraction) => fraction.to_string(),
    }
}

fn spell_crop(crop: Crop) -> String {
    [crop.x, crop.y, crop.width, crop.height].map(spell_extent).join(":")
}

fn spell_gravity(gravity: Gravity) -> String {
    match gravity {
        Gravity::Focus { x, y } => format!("at:{x}:{y}"),
        Gravity::Slack { x, y } => format!("{x}:{y}"),
        Gravity::Smart => "smart".to_owned(),
    }
}

fn spell_quality(quality: QualityAsk) -> String {
    let mut text = quality.common.to_string();
    for (codec, value) in [("jpeg", quality.jpeg), ("webp", quality.webp), ("avif", quality.avif)] {
        if let Some(value) = value {
            // Writing to a String cannot fail.
            let _ = write!(text, ":{codec}:{value}");
        }
    }
    text
}
