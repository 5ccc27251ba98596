//! `Server-Timing` (W3C): where the time of an answer went, in milliseconds; browsers show it in
//! their network panel. Never measures.

use crate::model::stage::Stage;
use crate::service::answer::CacheStatus;
use actix_web::http::header::HeaderValue;
use bytes::{BufMut as _, BytesMut};
use std::time::Duration;

/// Bytes that are enough for most.
const ROOM: usize = 160;

/// The header's value; one allocation.
pub(super) fn header(
    cache: CacheStatus,
    stages: &[(Stage, Duration)],
    total: Duration,
) -> HeaderValue {
    let mut text = BytesMut::with_capacity(ROOM);
    text.put_slice(b"cache;desc=");
    text.put_slice(cache.name().as_bytes());
    for (stage, time) in stages {
        put(&mut text, stage.name(), *time);
    }
    put(&mut text, "total", total);
    // It is ASCII throughout.
    HeaderValue::from_maybe_shared(text.freeze()).unwrap_or(HeaderValue::from_static(""))
}

/// `, name;dur=1.25`
fn put(text: &mut BytesMut, name: &str, time: Duration) {
    text.put_slice(b", ");
    text.put_slice(name.as_bytes());
    text.put_slice(b";dur=");
    let hundredths = (time.as_nanos() + 5_000) / 10_000;
    let mut digits = [b'0'; 39];
    let (mut left, mut at) = (hundredths, digits.len());
    // Three digits at least, two of them behind the point.
    while left > 0 || at > digits.len() - 3 {
        at -= 1;
        if let Some(digit) = digits.get_mut(at) {
            *digit = b'0' + (left % 10) as u8;
        }
        left /= 10;
    }
    let (whole, behind) = digits.split_at(digits.len() - 2);
    text.put_slice(whole.get(at..).unwrap_or_default());
    text.put_u8(b'.');
    text.put_slice(behind);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spelt(cache: CacheStatus, stages: &[(Stage, u64)], total: u64) -> String {
        let stages: Vec<_> =
            stages.iter().map(|(stage, us)| (*stage, Duration::from_micros(*us))).collect();
        header(cache, &stages, Duration::from_micros(total)).to_str().unwrap().to_owned()
    }

    #[test]
    fn times_are_told_to_a_hundredth_of_a_millisecond() {
        assert_eq!(spelt(CacheStatus::Memory, &[], 4), "cache;desc=memory, total;dur=0.00");
        assert_eq!(
            spelt(
                CacheStatus::Rendered,
                &[(Stage::Fetch, 995), (Stage::Decode, 41_705)],
                1_234_567_890
            ),
            "cache;desc=rendered, fetch;dur=1.00, decode;dur=41.71, total;dur=1234567.89"
        );
        assert_eq!(
            spelt(CacheStatus::Store, &[(Stage::Lookup, 50)], 5),
            "cache;desc=store, lookup;dur=0.05, total;dur=0.01"
        );
        let longest = header(CacheStatus::Stale, &[], Duration::MAX);
        assert!(longest.to_str().unwrap().ends_with(".00"), "{longest:?}");
    }
}
