//! The time in front of a log line: UTC with microseconds, as RFC 3339 has it. The day and the second
//! are spelt once a second on each thread; most lines add six digits. Never reads a calendar of the
//! system.

use std::cell::Cell;
use std::fmt;
use std::time::{SystemTime, UNIX_EPOCH};
use tracing_subscriber::fmt::format::Writer;

/// `2026-01-01T00:00:00`
type Second = [u8; 19];

/// Writes the time of now: `2026-01-01T00:00:00.000000Z`.
pub(super) fn write_now(writer: &mut Writer<'_>) -> fmt::Result {
    thread_local! {
        static LAST: Cell<(u64, Second)> = const { Cell::new((u64::MAX, [0; 19])) };
    }
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let (second, text) = LAST.get();
    let text = if second == now.as_secs() {
        text
    } else {
        let text = spelt(now.as_secs());
        LAST.set((now.as_secs(), text));
        text
    };
    let mut behind = *b".000000Z";
    if let Some(digits) = behind.get_mut(1..7) {
        put(digits, now.subsec_micros().into());
    }
    // Nothing but ASCII was put there.
    writer.write_str(std::str::from_utf8(&text).unwrap_or_default())?;
    writer.write_str(std::str::from_utf8(&behind).unwrap_or_default())
}

/// Fills a place with the last digits of a number.
fn put(place: &mut [u8], mut number: u64) {
    for digit in place.iter_mut().rev() {
        *digit = b'0' + (number % 10) as u8;
        number /= 10;
    }
}

/// Seconds since 1970 as a date and a time of day.
fn spelt(seconds: u64) -> Second {
    let (days, of_day) = (seconds / 86_400, seconds % 86_400);
    let (year, month, day) = date(days);
    let mut text = *b"0000-00-00T00:00:00";
    let parts = [
        (0..4, year),
        (5..7, month),
        (8..10, day),
        (11..13, of_day / 3_600),
        (14..16, of_day / 60 % 60),
        (17..19, of_day % 60),
    ];
    for (place, number) in parts {
        if let Some(place) = text.get_mut(place) {
            put(place, number);
        }
    }
    text
}

/// Year, month and day of a number of days since 1970, in the Gregorian calendar, whose pattern of leap
/// years repeats every 400 years of 146,097 days. Years are counted from the first of March, so that a
/// leap day ends one.
const fn date(days: u64) -> (u64, u64, u64) {
    // From 0000-03-01.
    let days = days + 719_468;
    let (era, of_era) = (days / 146_097, days % 146_097);
    let year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    // March to July and August to December are five months of 153 days each.
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let (month, later) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
    (era * 400 + year + later, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn text(seconds: u64) -> String {
        String::from_utf8(spelt(seconds).to_vec()).unwrap()
    }

    #[test]
    fn dates_are_those_of_the_calendar() {
        for (seconds, expected) in [
            (0, "1970-01-01T00:00:00"),
            (951_782_399, "2000-02-28T23:59:59"),
            (951_782_400, "2000-02-29T00:00:00"),
            (951_868_800, "2000-03-01T00:00:00"),
            (1_709_164_800, "2024-02-29T00:00:00"),
            (1_735_689_599, "2024-12-31T23:59:59"),
            (4_107_542_400, "2100-03-01T00:00:00"),
        ] {
            assert_eq!(text(seconds), expected);
        }
        // Against another reckoning, day by day for 300 years.
        for day in 0..110_000 {
            let time = UNIX_EPOCH + Duration::from_secs(day * 86_400 + 3_723);
            let other = httpdate::fmt_http_date(time);
            let ours = text(day * 86_400 + 3_723);
            assert_eq!(ours.get(..4), other.get(12..16), "{other}");
            assert_eq!(ours.get(8..10), other.get(5..7), "{other}");
            assert_eq!(ours.get(11..), Some("01:02:03"));
            let months = "JanFebMarAprMayJunJulAugSepOctNovDec";
            let month = months.find(other.get(8..11).unwrap()).unwrap() / 3 + 1;
            assert_eq!(ours.get(5..7), Some(format!("{month:02}").as_str()), "{other}");
        }
    }

    #[test]
    fn now_is_now() {
        for _ in 0..3 {
            let before = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
            let mut written = String::new();
            write_now(&mut Writer::new(&mut written)).unwrap();
            let after = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
            let (second, micros) = written.split_once('.').unwrap();
            assert!((before..=after).any(|now| text(now) == second), "{written}");
            let digits = micros.strip_suffix('Z').unwrap();
            assert!(digits.len() == 6 && digits.bytes().all(|b| b.is_ascii_digit()), "{written}");
        }
    }
}
