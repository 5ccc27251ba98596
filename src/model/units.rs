//! Numbers with a unit, read from text and written back the same. Never a bare `f64` in a key:
//! fractions are fixed-point, so that equal wishes have equal spellings.

use std::fmt;
use std::str::FromStr;

/// What was wrong with a piece of text that should have been a number with a unit.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UnitError {
    /// Not of the form the unit asks for.
    #[error("cannot read {text:?} (expected {expected})")]
    Malformed {
        /// The text as it came.
        text: String,
        /// What would have been right, with an example.
        expected: &'static str,
    },
    /// Well-formed, but outside the range.
    #[error("{text} is outside {range}")]
    OutOfRange {
        /// The text as it came.
        text: String,
        /// The allowed range, ends included.
        range: String,
    },
}

/// A decimal number with six fractional digits, exact: the carrier of every fractional option.
///
/// Invariant: `value = micros / 1_000_000`. Prints without trailing zeros; `parse(print(x)) == x`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Decimal(i64);

impl Decimal {
    /// Units of the last digit in one.
    pub const SCALE: i64 = 1_000_000;
    /// Nought.
    pub const ZERO: Self = Self(0);
    /// One.
    pub const ONE: Self = Self(Self::SCALE);

    /// From units of 10⁻⁶.
    #[must_use]
    pub const fn from_micros(micros: i64) -> Self {
        Self(micros)
    }

    /// From a whole number.
    #[must_use]
    pub const fn whole(n: i32) -> Self {
        Self(n as i64 * Self::SCALE)
    }

    /// In units of 10⁻⁶.
    #[must_use]
    pub const fn micros(self) -> i64 {
        self.0
    }

    /// As a float, for arithmetic on pixels; exact to 2⁻⁵³.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "parsed values stay below 2^53 micros")]
    pub fn to_f64(self) -> f64 {
        self.0 as f64 / Self::SCALE as f64
    }

    /// The product, rounded half up to six digits; saturates.
    #[must_use]
    pub fn times(self, other: Self) -> Self {
        let wide = i128::from(self.0) * i128::from(other.0);
        let half = i128::from(Self::SCALE / 2);
        let rounded = (wide + half).div_euclid(i128::from(Self::SCALE));
        Self(i64::try_from(rounded).unwrap_or(if rounded < 0 { i64::MIN } else { i64::MAX }))
    }
}

impl FromStr for Decimal {
    type Err = UnitError;

    /// Digits, optionally a minus before and a fraction after; nothing else: no exponent, no
    /// plus, no `inf`, at most 9 digits before the point. More than six fractional digits are
    /// rounded half up (away from zero for negative numbers).
    fn from_str(text: &str) -> Result<Self, UnitError> {
        let malformed = || UnitError::Malformed {
            text: text.to_owned(),
            expected: "a decimal number such as 1.5",
        };
        let (negative, digits) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let (whole, fraction) = match digits.split_once('.') {
            Some((whole, fraction)) => (whole, fraction),
            None => (digits, "0"),
        };
        let is_digits = |s: &str| s.bytes().all(|b| b.is_ascii_digit());
        // ".5" is a number people write; "." and "5." are slips.
        if fraction.is_empty() || !is_digits(whole) || !is_digits(fraction) {
            return Err(malformed());
        }
        if (whole.is_empty() && !digits.starts_with('.')) || whole.len() > 9 {
            return Err(malformed());
        }
        let mut micros: i64 = 0;
        for byte in whole.bytes() {
            micros = micros * 10 + i64::from(byte - b'0');
        }
        let mut fraction_bytes = fraction.bytes();
        for _ in 0..6 {
            let digit = fraction_bytes.next().map_or(0, |b| i64::from(b - b'0'));
            micros = micros * 10 + digit;
        }
        if fraction_bytes.next().is_some_and(|b| b >= b'5') {
            micros += 1;
        }
        Ok(Self(if negative { -micros } else { micros }))
    }
}

impl fmt::Display for Decimal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.0 < 0 { "-" } else { "" };
        let magnitude = self.0.unsigned_abs();
        let (whole, fraction) = (magnitude / 1_000_000, magnitude % 1_000_000);
        if fraction == 0 {
            return write!(f, "{sign}{whole}");
        }
        let digits = format!("{fraction:06}");
        write!(f, "{sign}{whole}.{}", digits.trim_end_matches('0'))
    }
}

/// A side in pixels, at least 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Px(u32);

impl Px {
    /// `None` for nought.
    #[must_use]
    pub const fn new(n: u32) -> Option<Self> {
        if n == 0 { None } else { Some(Self(n)) }
    }

    /// R(x): half up, at least 1, saturating (SEMANTICS preamble).
    #[must_use]
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "clamped to the range of u32 before the cast"
    )]
    pub fn round(x: f64) -> Self {
        Self((x + 0.5).floor().clamp(1.0, f64::from(u32::MAX)) as u32)
    }

    /// The number.
    #[must_use]
    pub const fn get(self) -> u32 {
        self.0
    }
}

impl fmt::Display for Px {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A quality from 1 to 100. Which scale it is on (the service's JPEG-like one or a codec's own)
/// is said by where it stands in [`super::transform::QualityAsk`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Quality(u8);

impl Quality {
    /// What `q` is when nobody says.
    pub const DEFAULT: Self = Self(80);

    /// `None` outside 1–100.
    #[must_use]
    pub const fn new(n: u8) -> Option<Self> {
        if n >= 1 && n <= 100 { Some(Self(n)) } else { None }
    }

    /// The number.
    #[must_use]
    pub const fn get(self) -> u8 {
        self.0
    }
}

impl fmt::Display for Quality {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A number of bytes; text is `20971520`, `20MiB`, `20MB`, `512KiB`, `1GiB`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct ByteSize(u64);

impl ByteSize {
    /// From a number of bytes.
    #[must_use]
    pub const fn new(bytes: u64) -> Self {
        Self(bytes)
    }

    /// The number of bytes.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }
}

/// A count of pixels; text is `50000000` or `50MP`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct PixelCount(u64);

impl PixelCount {
    /// From a number of pixels.
    #[must_use]
    pub const fn new(pixels: u64) -> Self {
        Self(pixels)
    }

    /// The number of pixels.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }
}

/// Reads `number × suffix`, the suffix from a table of (name, factor); case does not matter.
fn scaled(text: &str, suffixes: &[(&str, u64)], expected: &'static str) -> Result<u64, UnitError> {
    let malformed = || UnitError::Malformed { text: text.to_owned(), expected };
    let split = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, suffix) = text.split_at(split);
    let Ok(number) = number.parse::<Decimal>() else { return Err(malformed()) };
    let suffix = suffix.trim_start();
    let factor = if suffix.is_empty() {
        1
    } else {
        suffixes
            .iter()
            .find(|(name, _)| name.eq_ignore_ascii_case(suffix))
            .map(|(_, factor)| *factor)
            .ok_or_else(malformed)?
    };
    let micros = u128::from(number.micros().unsigned_abs()) * u128::from(factor);
    u64::try_from(micros / 1_000_000).or(Err(malformed()))
}

impl FromStr for ByteSize {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Self, UnitError> {
        const SUFFIXES: &[(&str, u64)] = &[
            ("B", 1),
            ("KiB", 1 << 10),
            ("MiB", 1 << 20),
            ("GiB", 1 << 30),
            ("kB", 1_000),
            ("MB", 1_000_000),
            ("GB", 1_000_000_000),
            ("Ki", 1 << 10),
            ("Mi", 1 << 20),
            ("Gi", 1 << 30),
        ];
        // Kubernetes' downward API writes plain bytes, which may have ten digits or more.
        if let Ok(bytes) = text.parse::<u64>() {
            return Ok(Self(bytes));
        }
        scaled(text, SUFFIXES, "bytes: 20971520 or 20MiB").map(Self)
    }
}

impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (suffix, factor) in [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)] {
            if self.0 >= factor && self.0.is_multiple_of(factor) {
                return write!(f, "{}{suffix}", self.0 / factor);
            }
        }
        write!(f, "{}", self.0)
    }
}

impl FromStr for PixelCount {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Self, UnitError> {
        if let Ok(pixels) = text.parse::<u64>() {
            return Ok(Self(pixels));
        }
        scaled(text, &[("MP", 1_000_000), ("KP", 1_000)], "pixels: 50000000 or 50MP").map(Self)
    }
}

impl fmt::Display for PixelCount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 >= 1_000_000 && self.0.is_multiple_of(1_000_000) {
            return write!(f, "{}MP", self.0 / 1_000_000);
        }
        write!(f, "{}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_decimal_prints_as_it_parses() {
        for text in ["0", "1.5", "-0.25", "100", "0.000001", "999999999"] {
            assert_eq!(text.parse::<Decimal>().unwrap().to_string(), text);
        }
        assert_eq!(".5".parse::<Decimal>().unwrap().to_string(), "0.5");
        assert_eq!("0.3333333333".parse::<Decimal>().unwrap().micros(), 333_333);
    }

    #[test]
    fn a_decimal_refuses_what_is_not_plain_digits() {
        for text in ["", "-", ".", "5.", "+5", "1e3", "inf", "NaN", "0x10", "٣", "1,5", " 1", "1 "]
        {
            assert!(text.parse::<Decimal>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn sizes_read_both_spellings() {
        assert_eq!("20MiB".parse::<ByteSize>().unwrap().get(), 20 << 20);
        assert_eq!("20971520".parse::<ByteSize>().unwrap().get(), 20 << 20);
        assert_eq!("34359738368".parse::<ByteSize>().unwrap().to_string(), "32GiB");
        assert_eq!("50MP".parse::<PixelCount>().unwrap().get(), 50_000_000);
        assert_eq!("1.5MP".parse::<PixelCount>().unwrap().get(), 1_500_000);
        assert!("20 megs".parse::<ByteSize>().is_err());
        assert!("-1".parse::<ByteSize>().is_err());
    }

    #[test]
    fn rounding_is_half_up_and_never_below_one() {
        assert_eq!(Px::round(0.2).get(), 1);
        assert_eq!(Px::round(2.5).get(), 3);
        assert_eq!(Px::round(2.499).get(), 2);
        assert_eq!(Px::round(1e30).get(), u32::MAX);
    }
}
