//! `X-Request-Id`: the caller's, where it is harmless, else a fresh one.

use crate::telemetry::trace::random;

/// Longest id taken over from a caller, in bytes.
const MAX_LENGTH: usize = 64;

/// The id of a request. Taken over only if it is short and of `A–Z a–z 0–9 . _ -`: it goes into
/// headers and logs.
pub(crate) fn of(given: Option<&str>) -> String {
    if let Some(given) = given
        && (1..=MAX_LENGTH).contains(&given.len())
        && given.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
    {
        return given.to_owned();
    }
    format!("{:016x}", random())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_harmless_ids_are_taken_over() {
        assert_eq!(of(Some("abc-1.2_3")), "abc-1.2_3");
        for bad in ["", "a b", "a\nb", "<script>", &"x".repeat(65)] {
            assert_eq!(of(Some(bad)).len(), 16, "{bad:?}");
        }
        assert_ne!(of(None), of(None));
    }
}
