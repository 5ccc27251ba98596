//! How the text of a variable becomes a value: durations, sizes, numbers, words. Each
//! reader says in its error what it expected. Never knows the name of the variable it reads.

use crate::model::units::{ByteSize, Decimal, PixelCount};
use serde::de::{Deserialize, Deserializer, Error as _};
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// `1/0 true/false yes/no on/off`, letter case ignored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Switch(pub(super) bool);

impl FromStr for Switch {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.to_ascii_lowercase().as_str() {
            "1" | "true" | "yes" | "on" => Ok(Self(true)),
            "0" | "false" | "no" | "off" => Ok(Self(false)),
            _ => Err(unreadable(text, "a switch: 1/0, true/false, yes/no, on/off")),
        }
    }
}

/// Implements serde's side of a type that reads itself from text.
macro_rules! deserialize_from_text {
    ($($type:ty),+ $(,)?) => {$(
        impl<'de> serde::Deserialize<'de> for $type {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                $crate::config::values::from_text(deserializer)
            }
        }
    )+};
}
pub(super) use deserialize_from_text;

/// Gives the variants of an enum of a lower floor their words; reading ignores letter case.
macro_rules! spelt {
    ($name:ident { $($variant:ident = $word:literal),+ $(,)? }) => {
        impl std::str::FromStr for $name {
            type Err = String;

            fn from_str(text: &str) -> Result<Self, String> {
                $(if text.eq_ignore_ascii_case($word) {
                    return Ok(Self::$variant);
                })+
                let words = [$($word),+].join(", ");
                Err($crate::config::values::unreadable(text, &format!("one of: {words}")))
            }
        }

        $crate::config::values::deserialize_from_text!($name);
    };
}
pub(super) use spelt;

/// Declares a closed set of words as an enum.
macro_rules! words {
    ($(#[$doc:meta])* $vis:vis $name:ident { $($(#[$word_doc:meta])* $variant:ident = $word:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        $vis enum $name {
            $($(#[$word_doc])* $variant,)+
        }

        $crate::config::values::spelt!($name { $($variant = $word),+ });
    };
}
pub(super) use words;

deserialize_from_text!(Switch);

/// The sentence for a value that is not of the form its variable asks for.
pub(super) fn unreadable(text: &str, expected: &str) -> String {
    /// Longer values are cut: the start is enough to find them.
    const SHOWN: usize = 80;
    let shown: String = text.chars().take(SHOWN).collect();
    let more = if shown.len() < text.len() { " and more" } else { "" };
    format!("cannot read {shown:?}{more} (expected {expected})")
}

/// The sentence for a value outside its range.
fn outside(text: &str, least: impl fmt::Display, most: impl fmt::Display) -> String {
    format!("{text} is outside {least} to {most}")
}

/// Reads anything that reads itself.
pub(super) fn from_text<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: FromStr<Err: fmt::Display>,
{
    let text = String::deserialize(deserializer)?;
    text.parse().map_err(D::Error::custom)
}

fn read<'de, D: Deserializer<'de>, T>(
    deserializer: D,
    reader: impl FnOnce(&str) -> Result<T, String>,
) -> Result<T, D::Error> {
    let text = String::deserialize(deserializer)?;
    reader(&text).map_err(D::Error::custom)
}

/// A duration between two bounds in milliseconds.
pub(super) fn span<'de, const MIN_MS: u64, const MAX_MS: u64, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Duration, D::Error> {
    read(deserializer, |text| span_between(text, MIN_MS, MAX_MS))
}

/// The reader behind [`span`].
pub(super) fn span_between(text: &str, least: u64, most: u64) -> Result<Duration, String> {
    let value = duration(text)?;
    let (least, most) = (Duration::from_millis(least), Duration::from_millis(most));
    if value < least || value > most {
        return Err(outside(text, Shown(least), Shown(most)));
    }
    Ok(value)
}

/// Bytes between two bounds.
pub(super) fn bytes<'de, const MIN: u64, const MAX: u64, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<ByteSize, D::Error> {
    read(deserializer, |text| bytes_between(text, MIN, MAX))
}

/// Bytes between two bounds; `auto` and 0 are `None`.
pub(super) fn auto_bytes<'de, const MIN: u64, const MAX: u64, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<ByteSize>, D::Error> {
    read(deserializer, |text| match text {
        "0" => Ok(None),
        _ if text.eq_ignore_ascii_case("auto") => Ok(None),
        _ => bytes_between(text, MIN, MAX).map(Some),
    })
}

pub(super) fn bytes_between(text: &str, least: u64, most: u64) -> Result<ByteSize, String> {
    let value: ByteSize = text.parse().map_err(|_| unreadable(text, "bytes: 20971520 or 20MiB"))?;
    if value.get() < least || value.get() > most {
        return Err(outside(text, ByteSize::new(least), ByteSize::new(most)));
    }
    Ok(value)
}

/// Pixels between two bounds.
pub(super) fn pixels<'de, const MIN: u64, const MAX: u64, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<PixelCount, D::Error> {
    read(deserializer, |text| {
        let value: PixelCount =
            text.parse().map_err(|_| unreadable(text, "pixels: 50000000 or 50MP"))?;
        if value.get() < MIN || value.get() > MAX {
            return Err(outside(text, PixelCount::new(MIN), PixelCount::new(MAX)));
        }
        Ok(value)
    })
}

/// Bytes between two bounds, for a setting that may be absent.
pub(super) fn some_bytes<'de, const MIN: u64, const MAX: u64, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<ByteSize>, D::Error> {
    bytes::<MIN, MAX, D>(deserializer).map(Some)
}

/// Pixels between two bounds, for a setting that may be absent.
pub(super) fn some_pixels<'de, const MIN: u64, const MAX: u64, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<PixelCount>, D::Error> {
    pixels::<MIN, MAX, D>(deserializer).map(Some)
}

/// A duration between two bounds in milliseconds, for a setting that may be absent.
pub(super) fn some_span<'de, const MIN_MS: u64, const MAX_MS: u64, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Duration>, D::Error> {
    span::<MIN_MS, MAX_MS, D>(deserializer).map(Some)
}

/// A whole number between two bounds.
pub(super) fn whole<'de, const MIN: u32, const MAX: u32, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<u32, D::Error> {
    read(deserializer, |text| whole_between(text, MIN, MAX))
}

/// CPUs between two whole bounds, a begun one counted as whole: `2`, `0.5`, `1500m` as Kubernetes
/// writes them. `auto` and 0 are `None`.
pub(super) fn auto_cpus<'de, const MIN: u32, const MAX: u32, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<u32>, D::Error> {
    read(deserializer, |text| {
        if text.eq_ignore_ascii_case("auto") {
            return Ok(None);
        }
        match cpus(text)? {
            0 => Ok(None),
            value if (MIN..=MAX).contains(&value) => Ok(Some(value)),
            _ => Err(outside(text, MIN, MAX)),
        }
    })
}

fn cpus(text: &str) -> Result<u32, String> {
    let wrong = || unreadable(text, "CPUs: 2, 0.5 or 500m, or auto");
    let (number, unit) = text.strip_suffix('m').map_or((text, 1_000_000), |rest| (rest, 1_000));
    // A sign would be read, and means something else here.
    if !number.starts_with(|c: char| c.is_ascii_digit()) {
        return Err(wrong());
    }
    let number: Decimal = number.parse().map_err(|_| wrong())?;
    let micros = u128::from(number.micros().unsigned_abs()) * unit / 1_000_000;
    u32::try_from(micros.div_ceil(1_000_000)).map_err(|_| wrong())
}

fn whole_between(text: &str, least: u32, most: u32) -> Result<u32, String> {
    // `u32::from_str` takes a leading plus; people who write one mean something else.
    if text.is_empty() || !text.bytes().all(|b| b.is_ascii_digit()) {
        return Err(unreadable(text, &format!("a whole number from {least} to {most}")));
    }
    match text.parse() {
        Ok(value) if (least..=most).contains(&value) => Ok(value),
        _ => Err(outside(text, least, most)),
    }
}

/// `15`, `15s`, `1500ms`, `2m`, `1h`, `30d`; fractions too. At most about 30 years.
fn duration(text: &str) -> Result<Duration, String> {
    const UNITS: [(&str, u64); 6] = [
        ("", 1_000_000),
        ("ms", 1_000),
        ("s", 1_000_000),
        ("m", 60_000_000),
        ("h", 3_600_000_000),
        ("d", 86_400_000_000),
    ];
    let wrong = || unreadable(text, "a duration: 15, 15s, 1500ms, 2m, 1h");
    let split = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let number: Decimal = number.parse().map_err(|_| wrong())?;
    let unit = unit.trim_start();
    let (_, micros) =
        UNITS.into_iter().find(|(name, _)| name.eq_ignore_ascii_case(unit)).ok_or_else(wrong)?;
    let micros = u128::from(number.micros().unsigned_abs()) * u128::from(micros) / 1_000_000;
    u64::try_from(micros).map(Duration::from_micros).map_err(|_| wrong())
}

/// A duration as settings spell it, in the largest unit that divides it.
pub(super) struct Shown(pub(super) Duration);

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let millis = self.0.as_millis();
        for (unit, factor) in [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000)] {
            if millis > 0 && millis.is_multiple_of(factor) {
                return write!(f, "{}{unit}", millis / factor);
            }
        }
        if millis == 0 { f.write_str("0s") } else { write!(f, "{millis}ms") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_with_and_without_a_unit() {
        for (text, millis) in [
            ("15", 15_000),
            ("15s", 15_000),
            ("1500ms", 1_500),
            ("2m", 120_000),
            ("1h", 3_600_000),
            ("1 d", 86_400_000),
            ("1.5S", 1_500),
            ("0", 0),
        ] {
            assert_eq!(duration(text), Ok(Duration::from_millis(millis)), "{text:?}");
        }
        for text in ["", "s", "-1", "+1", "1e3", "15 seconds", "1h30m", "1,5s", "inf"] {
            assert!(duration(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn a_duration_is_shown_in_its_largest_unit() {
        for text in ["0s", "1500ms", "15s", "2m", "1h", "30d"] {
            assert_eq!(Shown(duration(text).unwrap()).to_string(), text);
        }
    }

    #[test]
    fn a_range_is_told_in_the_unit_of_the_setting() {
        assert_eq!(span_between("1h", 1_000, 600_000).unwrap_err(), "1h is outside 1s to 10m");
        assert_eq!(bytes_between("1", 1024, 4 << 30).unwrap_err(), "1 is outside 1KiB to 4GiB");
        assert_eq!(
            whole_between("99999999999", 1, 9).unwrap_err(),
            "99999999999 is outside 1 to 9"
        );
    }

    #[test]
    fn a_begun_cpu_counts_as_a_whole_one() {
        for (text, value) in
            [("2", 2), ("0", 0), ("0.25", 1), ("1.5", 2), ("250m", 1), ("1500m", 2), ("4000m", 4)]
        {
            assert_eq!(cpus(text), Ok(value), "{text:?}");
        }
        for text in ["", "m", "-1", "+1", "2 CPUs", "1e3", ".5"] {
            assert!(cpus(text).unwrap_err().contains("500m"), "{text:?}");
        }
    }

    #[test]
    fn switches_take_four_spellings_each_way() {
        for text in ["1", "true", "YES", "on"] {
            assert_eq!(text.parse(), Ok(Switch(true)));
        }
        for text in ["0", "False", "no", "OFF"] {
            assert_eq!(text.parse(), Ok(Switch(false)));
        }
        assert!("maybe".parse::<Switch>().unwrap_err().contains("\"maybe\""));
    }

    #[test]
    fn a_long_value_is_cut_in_its_error() {
        assert!(unreadable(&"x".repeat(10_000), "less").len() < 200);
    }
}
