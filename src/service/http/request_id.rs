//! `X-Request-Id`: the caller's, where it is harmless, else a fresh one. Never allocates.

use crate::telemetry::trace::random;
use actix_web::http::header::{HeaderMap, HeaderName};

/// The header's name.
pub(super) static NAME: HeaderName = HeaderName::from_static("x-request-id");

/// Longest id taken over from a caller, in bytes.
const MAX_LENGTH: usize = 64;

/// Digits of a fresh one: 64 random bits.
const DIGITS: usize = 16;

/// The id of a request: `A–Z a–z 0–9 . _ -`, since it goes into headers and logs.
#[derive(Debug, Clone, Copy)]
pub(super) struct RequestId {
    bytes: [u8; MAX_LENGTH],
    length: usize,
}

impl RequestId {
    /// The id of a request with these headers.
    pub(super) fn in_headers(headers: &HeaderMap) -> Self {
        Self::of(headers.get(&NAME).and_then(|value| value.to_str().ok()))
    }

    /// The id a caller gave, if it is short and harmless, else a fresh one.
    fn of(given: Option<&str>) -> Self {
        let mut id = Self { bytes: [0; MAX_LENGTH], length: 0 };
        if let Some(given) = given
            && (1..=MAX_LENGTH).contains(&given.len())
            && given.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
        {
            for (place, byte) in id.bytes.iter_mut().zip(given.bytes()) {
                *place = byte;
            }
            id.length = given.len();
            return id;
        }
        let mut left = random();
        for place in id.bytes.iter_mut().take(DIGITS) {
            let digit = (left >> 60) as u8;
            *place = if digit < 10 { b'0' + digit } else { b'a' + digit - 10 };
            left <<= 4;
        }
        id.length = DIGITS;
        id
    }

    /// As it is written.
    pub(super) fn as_str(&self) -> &str {
        let bytes = self.bytes.get(..self.length).unwrap_or_default();
        // Nothing but ASCII was put there.
        std::str::from_utf8(bytes).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_harmless_ids_are_taken_over() {
        assert_eq!(RequestId::of(Some("abc-1.2_3")).as_str(), "abc-1.2_3");
        let longest = "x".repeat(64);
        assert_eq!(RequestId::of(Some(&longest)).as_str(), longest);
        for bad in ["", "a b", "a\nb", "<script>", "ä", &"x".repeat(65)] {
            let fresh = RequestId::of(Some(bad));
            assert_eq!(fresh.as_str().len(), DIGITS, "{bad:?}");
            assert!(u64::from_str_radix(fresh.as_str(), 16).is_ok());
        }
        assert_ne!(RequestId::of(None).as_str(), RequestId::of(None).as_str());
    }
}
