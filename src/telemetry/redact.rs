//! What a log or a span may show of a request: its target without the values that open doors.
//! Never decides whether a request is admitted.

use percent_encoding::percent_decode_str;
use std::borrow::Cow;

/// What stands where a secret stood.
const MASK: &str = "***";

/// Names of query parameters that carry one, in lower case. `s` is our own signature; the others
/// are what senders of events, and people with a presigned URL, put there.
const NAMES: [&str; 9] = [
    "s",
    "token",
    "access_token",
    "sig",
    "signature",
    "authorization",
    "x-amz-signature",
    "x-amz-credential",
    "x-amz-security-token",
];

/// Digits of a signature: the base64url of 32 bytes.
const SIGNATURE_LENGTH: usize = 43;

/// The request target with the value of every parameter that may be a secret taken out.
pub(super) fn target(target: &str) -> Cow<'_, str> {
    let Some((path, query)) = target.split_once('?') else { return Cow::Borrowed(target) };
    if !query.split('&').any(|field| secret(field).is_some()) {
        return Cow::Borrowed(target);
    }
    let fields = query.split('&').map(|field| match secret(field) {
        Some(secret) => Cow::Owned(format!("{}={MASK}", secret.shown)),
        None => Cow::Borrowed(field),
    });
    Cow::Owned(format!("{path}?{}", fields.collect::<Vec<_>>().join("&")))
}

/// A text about a request, such as an error, with the secrets of its target taken out.
pub(super) fn text<'t>(text: &'t str, target: &str) -> Cow<'t, str> {
    /// What is shorter is found in texts that have nothing to do with it.
    const SHORTEST: usize = 4;
    let mut clean = Cow::Borrowed(text);
    let Some((_, query)) = target.split_once('?') else { return clean };
    for secret in query.split('&').filter_map(secret) {
        let decoded = percent_decode_str(secret.value).decode_utf8_lossy();
        for value in [secret.value, decoded.as_ref()] {
            if value.len() >= SHORTEST && clean.contains(value) {
                clean = Cow::Owned(clean.replace(value, MASK));
            }
        }
    }
    clean
}

/// A field of a query that carries a secret.
struct Secret<'a> {
    /// Its name as it may be shown: one of ours, however it was spelt, or what stood there.
    shown: &'a str,
    value: &'a str,
}

/// Names are compared decoded, in any case, also behind an `&amp;` that slipped through an HTML
/// template; whatever looks like a signature by its length is taken for one.
/// Nothing is allocated for a name without escapes.
fn secret(field: &str) -> Option<Secret<'_>> {
    let (name, value) = field.split_once('=').unwrap_or((field, ""));
    let decoded = percent_decode_str(name).decode_utf8_lossy();
    let mut bare = decoded.as_ref();
    while let Some((amp, rest)) = bare.split_at_checked(4)
        && amp.eq_ignore_ascii_case("amp;")
    {
        bare = rest;
    }
    if let Some(shown) = NAMES.into_iter().find(|known| known.eq_ignore_ascii_case(bare)) {
        return Some(Secret { shown, value });
    }
    let spelt = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
    let looks_like_one = value.len() == SIGNATURE_LENGTH && value.bytes().all(spelt);
    looks_like_one.then_some(Secret { shown: name, value })
}

#[cfg(test)]
mod tests {
    use super::{target, text};

    #[test]
    fn the_values_of_secrets_are_taken_out_of_a_target() {
        let signature = "x".repeat(43);
        for (given, shown) in [
            ("/a?w=1&s=SECRET", "/a?w=1&s=***"),
            ("/a?s=SECRET&s=SECRET", "/a?s=***&s=***"),
            ("/a?s=SECRET", "/a?s=***"),
            ("/a?w=1&amp;s=SECRET", "/a?w=1&s=***"),
            ("/a?%73=SECRET", "/a?s=***"),
            ("/_/events?Token=SECRET", "/_/events?token=***"),
            ("/a?X-Amz-Signature=SECRET&w=1", "/a?x-amz-signature=***&w=1"),
            (&format!("/a?hash={signature}"), "/a?hash=***"),
            ("/a?sharpen=1&ss=x", "/a?sharpen=1&ss=x"),
            ("/s=1", "/s=1"),
        ] {
            assert_eq!(target(given), shown);
        }
    }

    #[test]
    fn the_secrets_of_a_target_are_taken_out_of_what_is_said_of_it() {
        let error = "the signature SEC/RET is wrong";
        assert_eq!(text(error, "/a?w=1&s=SEC%2FRET"), "the signature *** is wrong");
        assert_eq!(text(error, "/a?w=1"), error);
        assert_eq!(text("w is 1", "/a?s=1"), "w is 1");
    }
}
