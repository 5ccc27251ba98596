//! Text of one value → its type, within the range its row of the table states. Strict on
//! purpose: one number has one spelling, so a signed or cached URL means one thing. Never looks
//! at other parameters; what they do to each other is `Draft::resolve`'s.

use super::foreign;
use super::options::{OptionSpec, ValueKind};
use super::query::Envelope;
use super::request::Download;
use crate::model::draft::{BadParam, BadParamKind, Draft, FormatWish, QualityWish, Ratio};
use crate::model::format::Format;
use crate::model::geometry::{Fit, Flip, Gravity};
use crate::model::transform::{Crop, Extent};
use crate::model::units::{Decimal, Px, Quality};

/// One parameter as it was given: `name=text`, percent-decoded.
#[derive(Debug)]
pub struct Given<'a> {
    /// Its row.
    pub spec: &'static OptionSpec,
    /// The name or alias used.
    pub spelt: &'a str,
    /// What follows `=`; `None` for a bare name.
    pub text: Option<&'a str>,
}

impl<'a> Given<'a> {
    /// A fault of this parameter; what is allowed comes from its row.
    pub fn fault(&self, kind: BadParamKind) -> BadParam {
        BadParam::new(kind, self.spelt, self.text.unwrap_or_default(), &self.spec.kind.range())
    }

    fn malformed(&self) -> BadParam {
        self.fault(BadParamKind::Malformed)
    }

    fn out_of_range(&self) -> BadParam {
        self.fault(BadParamKind::OutOfRange)
    }

    /// The value of a parameter that needs one.
    pub fn value(&self) -> Result<&'a str, BadParam> {
        self.text.filter(|text| !text.is_empty()).ok_or_else(|| self.fault(BadParamKind::Empty))
    }

    fn word(&self) -> Result<String, BadParam> {
        Ok(self.value()?.to_ascii_lowercase())
    }

    fn flag(&self) -> Result<bool, BadParam> {
        if self.text.is_none() {
            return Ok(true);
        }
        match self.word()?.as_str() {
            "1" | "true" => Ok(true),
            "0" | "false" => Ok(false),
            _ => Err(self.malformed()),
        }
    }

    fn side(&self) -> Result<Px, BadParam> {
        let text = self.value()?;
        if !is_whole(text) {
            return Err(self.malformed());
        }
        text.parse().ok().and_then(Px::new).ok_or_else(|| self.out_of_range())
    }

    /// A number within the bounds of the row.
    fn number(&self) -> Result<Decimal, BadParam> {
        let number = decimal(self.value()?).ok_or_else(|| self.malformed())?;
        match self.spec.kind {
            ValueKind::Number { min, max } if number < min || number > max => {
                Err(self.out_of_range())
            }
            _ => Ok(number),
        }
    }

    /// A number from 0 to 1 that is part of the value.
    fn fraction(&self, text: &str) -> Result<Decimal, BadParam> {
        let number = decimal(text).ok_or_else(|| self.malformed())?;
        if number < Decimal::ZERO || number > Decimal::ONE {
            return Err(self.out_of_range());
        }
        Ok(number)
    }
}

/// ASCII digits without a leading zero.
pub(super) fn is_whole(text: &str) -> bool {
    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    digits && (text == "0" || !text.starts_with('0'))
}

/// A decimal number without a leading zero before another digit.
fn decimal(text: &str) -> Option<Decimal> {
    let unsigned = text.strip_prefix('-').unwrap_or(text);
    let whole = unsigned.split_once('.').map_or(unsigned, |(whole, _)| whole);
    if whole.len() > 1 && whole.starts_with('0') {
        return None;
    }
    text.parse().ok()
}

pub(super) fn width(draft: &mut Draft, given: &Given<'_>) -> Result<(), BadParam> {
    draft.width = Some(given.side()?);
    Ok(())
}

pub(super) fn height(draft: &mut Draft, given: &Given<'_>) -> Result<(), BadParam> {
    draft.height = Some(given.side()?);
    Ok(())
}

pub(super) fn dpr(draft: &mut Draft, given: &Given<'_>) -> Result<(), BadParam> {
    draft.dpr = Some(given.number()?);
    Ok(())
}

pub(super) fn fit(draft: &mut Draft, given: &Given<'_>) -> Result<(), BadParam> {
    draft.fit = Some(match given.word()?.as_str() {
        "inside" => Fit::Inside,
        "cover" => Fit::Cover,
        "pad" => Fit::Pad,
        "stretch" => Fit::Stretch,
        "outside" => Fit::Outside,
        other => return Err(hinted(given.malformed(), foreign::fit(other))),
    });
    Ok(())
}

pub(super) fn enlarge(draft: &mut Draft, given: &Given<'_>) -> Result<(), BadParam> {
    draft.enlarge = Some(given.flag()?);
    Ok(())
}

pub(super) fn ratio(draft: &mut Draft, given: &Given<'_>) -> Result<(), BadParam> {
    let (width, height) = given.value()?.split_once(':').ok_or_else(|| given.malformed())?;
    let part = |text| {
        let number = decimal(text).ok_or_else(|| given.malformed())?;
        if number > Decimal::ZERO { Ok(number) } else { Err(given.out_of_range()) }
    };
    draft.ratio = Some(Ratio { width: part(width)?, height: part(height)? });
    Ok(())
}

pub(super) fn gravity(draft: &mut Draft, given: &Given<'_>) -> Result<(), BadParam> {
    const MIDDLE: Decimal = Decimal::from_micros(Decimal::SCALE / 2);
    const START: Decimal = Decimal::ZERO;
    const END: Decimal = Decimal::ONE;
    let word = given.word()?;
    let (x, y) = match word.as_str() {
        "smart" => {
            draft.gravity = Some(Gravity::Smart);
            return Ok(());
        }
        "center" => (MIDDLE, MIDDLE),
        "n" | "top" => (MIDDLE, START),
        "ne" => (END, START),
        "e" | "right" => (END, MIDDLE),
        "se" => (END, END),
        "s" | "bottom" => (MIDDLE, END),
        "sw" => (START, END),
        "w" | "left" => (START, MIDDLE),
        "nw" => (START, START),
        other => {
            let Some((x, y)) = other.split_once(',') else {
                return Err(hinted(given.malformed(), foreign::gravity(other)));
            };
            draft.gravity = Some(Gravity::Focus { x: given.fraction(x)?, y: given.fraction(y)? });
            return Ok(());
        }
    };
    draft.gravity = Some(Gravity::Slack { x, y });
    Ok(())
}

pub(super) fn crop(draft: &mut Draft, given: &Given<'_>) -> Result<(), BadParam> {
    let text = given.value()?;
    if text.contains(|c: char| c.is_ascii_alphabetic()) {
        return Err(given.malformed().suggest("to keep a part by its place use g="));
    }
    let mut parts = text.split(',');
    let mut next = || -> Result<Extent, BadParam> {
        let part = parts.next().ok_or_else(|| given.malformed())?;
        if part.contains('.') {
            return given.fraction(part).map(Extent::Fraction);
        }
        if !is_whole(part) {
            return Err(given.malformed());
        }
        part.parse().map(Extent::Pixels).map_err(|_| given.out_of_range())
    };
    let crop = Crop { x: next()?, y: next()?, width: next()?, height: next()? };
    if parts.next().is_some() {
        return Err(given.malformed());
    }
    let nothing = [Extent::Pixels(0), Extent::Fraction(Decimal::ZERO)];
    let beyond = Extent::Fraction(Decimal::ONE);
    if nothing.contains(&crop.width)
        || nothing.contains(&crop.height)
        || crop.x == beyond
        || crop.y == beyond
    {
        return Err(given.out_of_range().suggest("the rectangle is empty"));
    }
    draft.crop = Some(crop);
    Ok(())
}

pub(super) fn rotate(draft: &mut Draft, given: &Given<'_>) -> Result<(), BadParam> {
    let circle = Decimal::whole(360).micros();
    draft.rotate = Some(Decimal::from_micros(given.number()?.micros().rem_euclid(circle)));
    Ok(())
}

pub(super) fn flip(draft: &mut Draft, given: &Given<'_>) -> Result<(), BadParam> {
    draft.flip = Some(match given.word()?.as_str() {
        "h" => Flip::Horizontal,
        "v" => Flip::Vertical,
        "hv" => Flip::Both,
        _ => return Err(given.malformed()),
    });
    Ok(())
}

pub(super) fn background(draft: &mut Draft, given: &Given<'_>) -> Result<(), BadParam> {
    let text = given.value()?;
    draft.background = Some(text.parse().map_err(|_| {
        let hint = text.starts_with('#').then_some("write the digits without #");
        hinted(given.malformed(), hint)
    })?);
    Ok(())
}

pub(super) fn blur(draft: &mut Draft, given: &Given<'_>) -> Result<(), BadParam> {
    draft.blur = Some(given.number()?);
    Ok(())
}

pub(super) fn sharpen(draft: &mut Draft, given: &Given<'_>) -> Result<(), BadParam> {
    draft.sharpen = Some(given.number()?);
    Ok(())
}

pub(super) fn gray(draft: &mut Draft, given: &Given<'_>) -> Result<(), BadParam> {
    draft.gray = Some(given.flag()?);
    Ok(())
}

pub(super) fn format(draft: &mut Draft, given: &Given<'_>) -> Result<(), BadParam> {
    draft.format = Some(match given.word()?.as_str() {
        "auto" => FormatWish::Auto,
        "source" => FormatWish::Source,
        "json" => FormatWish::Info,
        name => match Format::from_name(name) {
            Some(format) => FormatWish::Named(format),
            None => return Err(hinted(given.malformed(), foreign::format(name))),
        },
    });
    Ok(())
}

pub(super) fn quality(draft: &mut Draft, given: &Given<'_>) -> Result<(), BadParam> {
    let read = |text: &str| {
        if !is_whole(text) {
            return Err(given.malformed());
        }
        text.parse().ok().and_then(Quality::new).ok_or_else(|| given.out_of_range())
    };
    let mut wish = QualityWish::default();
    for part in given.word()?.split(',') {
        let (slot, text) = match part.split_once(':') {
            None => (&mut wish.common, part),
            Some(("jpeg" | "jpg", text)) => (&mut wish.jpeg, text),
            Some(("webp", text)) => (&mut wish.webp, text),
            Some(("avif", text)) => (&mut wish.avif, text),
            Some(_) => return Err(given.malformed()),
        };
        if slot.replace(read(text)?).is_some() {
            return Err(given.malformed().suggest("a codec stands in it twice"));
        }
    }
    draft.quality = Some(wish);
    Ok(())
}

pub(super) fn lossless(draft: &mut Draft, given: &Given<'_>) -> Result<(), BadParam> {
    draft.lossless = Some(given.flag()?);
    Ok(())
}

pub(super) fn progressive(draft: &mut Draft, given: &Given<'_>) -> Result<(), BadParam> {
    draft.progressive = Some(given.flag()?);
    Ok(())
}

pub(super) fn download(envelope: &mut Envelope, given: &Given<'_>) -> Result<(), BadParam> {
    envelope.download = match given.text {
        None | Some("1") => Some(Download::SourceName),
        Some("0") => None,
        Some(_) => {
            let name = given.value()?;
            let dots = name == "." || name == "..";
            if dots || name.contains(['/', '\\']) || name.contains(char::is_control) {
                return Err(given.malformed());
            }
            if name.len() > 200 {
                return Err(given.out_of_range());
            }
            Some(Download::Named(name.to_owned()))
        }
    };
    Ok(())
}

pub(super) fn version(envelope: &mut Envelope, given: &Given<'_>) -> Result<(), BadParam> {
    let text = given.value()?;
    if text.contains(char::is_control) {
        return Err(given.malformed());
    }
    if text.len() > 256 {
        return Err(given.out_of_range());
    }
    envelope.version = Some(text.to_owned());
    Ok(())
}

/// Eleven digits reach the year 5138; thirteen are milliseconds, taken for seconds they would
/// never expire.
pub(super) fn expiry(envelope: &mut Envelope, given: &Given<'_>) -> Result<(), BadParam> {
    let text = given.value()?;
    if !is_whole(text) {
        return Err(given.malformed());
    }
    if text.len() > 11 {
        return Err(given.out_of_range());
    }
    envelope.exp = Some(text.parse().map_err(|_| given.out_of_range())?);
    Ok(())
}

/// Notes that a signature is there; whether it holds is asked of the raw bytes elsewhere.
pub(super) fn signed(envelope: &mut Envelope, given: &Given<'_>) -> Result<(), BadParam> {
    let text = given.value()?;
    let size = text.len() < 16 && text.bytes().all(|b| b.is_ascii_digit() || b"xX_,".contains(&b));
    if size {
        return Err(given.malformed().suggest("for a size use w= and h="));
    }
    envelope.signed = true;
    Ok(())
}

fn hinted(fault: BadParam, hint: Option<&str>) -> BadParam {
    match hint {
        Some(hint) => fault.suggest(hint),
        None => fault,
    }
}
