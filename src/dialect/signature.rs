//! Signed URLs: HMAC-SHA256 over the request target exactly as received, in front of its last
//! parameter `s` (SEMANTICS 22). Works on raw text only: nothing is decoded, sorted or repaired
//! before the comparison, so a URL has one signature and a signature one URL. Reads no clock.

use super::query::pieces;
use super::target::decode;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::hmac;
use ring::rand::{SecureRandom as _, SystemRandom};
use std::fmt;

/// Bytes a key has at least.
const MIN_KEY: usize = 16;
/// Characters of 32 bytes in base64url without padding.
const TAG_CHARS: usize = 43;
/// Clocks differ: a URL is still taken this long after its `exp`.
const SKEW_SECONDS: u64 = 30;

/// One signing key. `Debug` never shows it.
#[derive(Clone)]
pub struct Key(hmac::Key);

/// The keys of a deployment, any of which may match: the old and the new one while rotating.
#[derive(Clone, Debug, Default)]
pub struct Keys(Vec<Key>);

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(…)")
    }
}

/// Why a text of keys cannot be used. It never quotes the text. Positions count from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// Other characters than hex digits, or an odd number of them.
    #[error("key {0} is not an even number of hex digits")]
    NotHex(usize),
    /// Too short to be safe.
    #[error("key {position} has {bytes} bytes, at least {MIN_KEY} are needed")]
    TooShort {
        /// Which of the list.
        position: usize,
        /// How many bytes it has.
        bytes: usize,
    },
}

/// What a look at `s` found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SignatureState {
    /// There is none.
    Absent,
    /// It was made with one of the keys.
    Valid,
    /// It was not.
    Invalid(InvalidSignature),
}

/// Why a signature does not hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidSignature {
    /// Something follows `s`, or it stands twice, or its name is percent-encoded.
    #[error("the signature is not the last parameter, once and as it is")]
    NotLast,
    /// Not 43 base64url characters.
    #[error("the signature is not {TAG_CHARS} base64url characters")]
    Malformed,
    /// No key makes it for this target.
    #[error("the signature does not match")]
    Mismatch,
}

/// Why a target cannot be signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SignError {
    /// It has an `s` already.
    #[error("the target has a parameter s already")]
    AlreadySigned,
    /// It has a fragment, which no server is sent.
    #[error("the target has a fragment")]
    Fragment,
    /// It is no path.
    #[error("the target does not start with /")]
    NotAPath,
}

impl Key {
    /// A key of at least 16 bytes.
    #[must_use]
    pub fn new(bytes: &[u8]) -> Option<Self> {
        (bytes.len() >= MIN_KEY).then(|| Self(hmac::Key::new(hmac::HMAC_SHA256, bytes)))
    }
}

impl Keys {
    /// Reads a comma list of keys in hex, space around each allowed. An empty text is no keys.
    ///
    /// # Errors
    /// [`KeyError`] with the position of the first unusable key.
    pub fn parse(text: &str) -> Result<Self, KeyError> {
        if text.trim().is_empty() {
            return Ok(Self::default());
        }
        let read = |(position, hex): (usize, &str)| {
            let bytes = unhex(hex.trim()).ok_or(KeyError::NotHex(position))?;
            Key::new(&bytes).ok_or(KeyError::TooShort { position, bytes: bytes.len() })
        };
        (1..).zip(text.split(',')).map(read).collect::<Result<_, _>>().map(Self)
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The key new signatures are made with: the first.
    #[must_use]
    pub fn first(&self) -> Option<&Key> {
        self.0.first()
    }
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let bytes = text.as_bytes();
    if !bytes.iter().all(u8::is_ascii_hexdigit) || !bytes.len().is_multiple_of(2) {
        return None;
    }
    let pair = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
    bytes.chunks(2).map(pair).collect()
}

/// Splits a target into what is signed and the text of `s`; `Ok(None)` if it has no `s`.
fn dissect(target: &str) -> Result<Option<(&str, &str)>, InvalidSignature> {
    let Some((_, query)) = target.split_once('?') else { return Ok(None) };
    // Spelt `%73`, it would be a signature to the parser and none to us.
    let is_s = |name: &str| name == "s" || decode(name).is_ok_and(|name| name == "s");
    if !pieces(query).any(|(name, _)| is_s(name)) {
        return Ok(None);
    }
    let last = query.rsplit('&').next().unwrap_or(query);
    let Some(text) = last.strip_prefix("s=") else { return Err(InvalidSignature::NotLast) };
    // What is left of the last piece, less the `?` or `&` in front of it.
    let signed = target
        .strip_suffix(last)
        .and_then(|rest| rest.strip_suffix(['?', '&']))
        .ok_or(InvalidSignature::NotLast)?;
    let before = signed.split_once('?').map_or("", |(_, query)| query);
    if pieces(before).any(|(name, _)| is_s(name)) {
        return Err(InvalidSignature::NotLast);
    }
    Ok(Some((signed, text)))
}

/// Looks at the signature of a target, `path?query` as received, mount included. Every key is
/// tried, each in constant time, whichever matches.
#[must_use]
pub fn verify(keys: &Keys, raw_target: &str) -> SignatureState {
    let (signed, text) = match dissect(raw_target) {
        Ok(None) => return SignatureState::Absent,
        Ok(Some(parts)) => parts,
        Err(reason) => return SignatureState::Invalid(reason),
    };
    if text.len() != TAG_CHARS {
        return SignatureState::Invalid(InvalidSignature::Malformed);
    }
    let Ok(tag) = URL_SAFE_NO_PAD.decode(text) else {
        return SignatureState::Invalid(InvalidSignature::Malformed);
    };
    let matches = keys
        .0
        .iter()
        .fold(false, |found, key| found | hmac::verify(&key.0, signed.as_bytes(), &tag).is_ok());
    if matches {
        SignatureState::Valid
    } else {
        SignatureState::Invalid(InvalidSignature::Mismatch)
    }
}

/// The target with its signature appended as the last parameter.
///
/// # Errors
/// [`SignError`] for a target that [`verify`] would never see in that form.
pub fn sign(key: &Key, target: &str) -> Result<String, SignError> {
    if !target.starts_with('/') {
        return Err(SignError::NotAPath);
    }
    if target.contains('#') {
        return Err(SignError::Fragment);
    }
    if !matches!(dissect(target), Ok(None)) {
        return Err(SignError::AlreadySigned);
    }
    // A lone `?` at the end says nothing and would make `??s=`.
    let (signed, joint) = match target.strip_suffix('?') {
        Some(path) if !path.contains('?') => (path, '?'),
        _ if target.contains('?') => (target, '&'),
        _ => (target, '?'),
    };
    let tag = hmac::sign(&key.0, signed.as_bytes());
    Ok(format!("{signed}{joint}s={}", URL_SAFE_NO_PAD.encode(tag)))
}

/// Whether a URL with this `exp` is past it, both in seconds since 1970, with 30 s of grace for
/// clocks that differ.
#[must_use]
pub const fn expired(exp: u64, now_unix: u64) -> bool {
    now_unix > exp.saturating_add(SKEW_SECONDS)
}

/// A new key: 32 random bytes of the operating system, as 64 hex digits.
///
/// # Errors
/// [`NoRandomness`] if the operating system has none to give.
pub fn keygen() -> Result<String, NoRandomness> {
    let mut bytes = [0_u8; 32];
    SystemRandom::new().fill(&mut bytes).or(Err(NoRandomness))?;
    let digit = |nibble: u8| char::from_digit(u32::from(nibble), 16);
    Ok(bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]).filter_map(digit).collect())
}

/// The operating system gave no random bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the operating system gives no random bytes")]
pub struct NoRandomness;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const HEX: &str = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";

    fn keys(text: &str) -> Keys {
        Keys::parse(text).unwrap()
    }

    /// Key, target, tag; computed with another implementation of HMAC.
    const KNOWN: [(&str, &str, &str); 3] = [
        (
            HEX,
            "/photos/cat.jpg?w=400&h=300&fit=cover",
            "&s=1XO4XUx6gy2h7Vkh-QA_N6kvOBCAAcQKeyE8vUz8pfo",
        ),
        (
            "30313233343536373839616263646566",
            "/img/300x200/a%20b.jpg",
            "?s=HhIIgMEWiAT-hSG9Mj9s76Rc0lNcBtfcNKdTijDfIhI",
        ),
        (
            "ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff\
             ffffffffffffffffffffffffffffffffffffffffff",
            "/@shop/x.png?v=7&exp=1900000000",
            "&s=Ft9vtFKOXqwOPdc7r7iJd7T1cg5PzlOZx9_BxQTcUsw",
        ),
    ];

    #[test]
    fn signatures_are_the_known_ones() {
        for (key, target, tag) in KNOWN {
            let keys = keys(key);
            let signed = sign(keys.first().unwrap(), target).unwrap();
            assert_eq!(signed, format!("{target}{tag}"));
            assert_eq!(verify(&keys, &signed), SignatureState::Valid);
        }
    }

    #[test]
    fn any_of_the_keys_may_match_and_a_foreign_one_may_not() {
        let (old, target, tag) = KNOWN[1];
        let signed = format!("{target}{tag}");
        assert_eq!(verify(&keys(&format!("{HEX}, {old}")), &signed), SignatureState::Valid);
        let mismatch = SignatureState::Invalid(InvalidSignature::Mismatch);
        assert_eq!(verify(&keys(HEX), &signed), mismatch);
        assert_eq!(verify(&Keys::default(), &signed), mismatch);
    }

    #[test]
    fn s_stands_last_once_and_as_it_is() {
        let keys = keys(HEX);
        let (_, target, tag) = KNOWN[0];
        let signed = format!("{target}{tag}");
        let tag = tag.trim_start_matches("&s=");
        for bad in [
            format!("{signed}&v=1"),
            format!("{signed}&"),
            format!("{signed}="),
            format!("{signed}#top"),
            format!("{target}&s={tag}&s={tag}"),
            format!("{target}&s=&s={tag}"),
            format!("{target}&s"),
            format!("{target}&s="),
            format!("{target}&%73={tag}"),
            format!("{target}&%73=x&s={tag}"),
            format!("/photos/cat.jpg?s={tag}&w=400&h=300&fit=cover"),
        ] {
            assert!(matches!(verify(&keys, &bad), SignatureState::Invalid(_)), "{bad}");
        }
        for plain in ["/", "/a?w=1", "/a&s=x", "/a?w=1&ss=x", "/a?v=x?s=y", "", "?"] {
            assert_eq!(verify(&keys, plain), SignatureState::Absent, "{plain}");
        }
    }

    #[test]
    fn a_second_s_does_not_hold_even_if_it_is_made_with_the_key() {
        let keys = keys(HEX);
        for first in ["/a?s=x", "/a?w=1&s=x", "/a?w=1&s", "/a?w=1&%73=x"] {
            let tag =
                URL_SAFE_NO_PAD.encode(hmac::sign(&keys.first().unwrap().0, first.as_bytes()));
            let not_last = SignatureState::Invalid(InvalidSignature::NotLast);
            assert_eq!(verify(&keys, &format!("{first}&s={tag}")), not_last, "{first}");
        }
    }

    #[test]
    fn only_a_whole_unsigned_target_is_signed() {
        let keys = keys(HEX);
        let key = keys.first().unwrap();
        assert_eq!(sign(key, "/a?s=x"), Err(SignError::AlreadySigned));
        assert_eq!(sign(key, "/a?w=1&%73=x"), Err(SignError::AlreadySigned));
        assert_eq!(sign(key, "/a#b"), Err(SignError::Fragment));
        assert_eq!(sign(key, "https://h/a"), Err(SignError::NotAPath));
        for odd in ["/a?", "/a?w=1&", "/a??", "/", "/a?v=x?s=y"] {
            let signed = sign(key, odd).unwrap();
            assert_eq!(verify(&keys, &signed), SignatureState::Valid, "{signed}");
        }
    }

    #[test]
    fn keys_are_refused_without_being_quoted() {
        assert_eq!(Keys::parse("xyz").unwrap_err(), KeyError::NotHex(1));
        assert_eq!(Keys::parse(&format!("{HEX},abc")).unwrap_err(), KeyError::NotHex(2));
        let short = KeyError::TooShort { position: 1, bytes: 15 };
        assert_eq!(Keys::parse(&"ab".repeat(15)).unwrap_err(), short);
        assert!(Keys::parse(&format!("{HEX},")).is_err());
        assert!(Keys::parse(" ").unwrap().is_empty());
        assert_eq!(format!("{:?}", keys(HEX)), "Keys([Key(…)])");
    }

    #[test]
    fn a_new_key_is_usable_and_new() {
        let (one, two) = (keygen().unwrap(), keygen().unwrap());
        assert_ne!(one, two);
        assert_eq!(one.len(), 64);
        assert!(Keys::parse(&one).is_ok());
    }

    #[test]
    fn expiry_has_half_a_minute_of_grace() {
        assert!(!expired(1_000, 1_030));
        assert!(expired(1_000, 1_031));
        assert!(!expired(u64::MAX, u64::MAX));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]

        #[test]
        fn no_changed_byte_is_accepted(at in any::<prop::sample::Index>(), to in 0x20_u8..0x7f) {
            let keys = keys(HEX);
            let (_, target, tag) = KNOWN[0];
            let signed = format!("{target}{tag}");
            let mut bytes = signed.clone().into_bytes();
            let at = at.index(bytes.len());
            bytes.splice(at..=at, [to]);
            let changed = String::from_utf8(bytes).unwrap();
            let valid = verify(&keys, &changed) == SignatureState::Valid;
            prop_assert_eq!(valid, changed == signed, "{}", changed);
        }

        #[test]
        fn no_inserted_or_removed_byte_is_accepted(
            at in any::<prop::sample::Index>(),
            insert in proptest::option::of(0x20_u8..0x7f),
        ) {
            let keys = keys(HEX);
            let (_, target, tag) = KNOWN[0];
            let signed = format!("{target}{tag}");
            let mut bytes = signed.clone().into_bytes();
            let at = at.index(bytes.len());
            match insert {
                Some(byte) => bytes.insert(at, byte),
                None => { bytes.remove(at); }
            }
            let changed = String::from_utf8(bytes).unwrap();
            prop_assert_ne!(verify(&keys, &changed), SignatureState::Valid, "{}", changed);
        }

        #[test]
        fn any_text_is_looked_at_without_panic(target in ".{0,200}") {
            let _ = verify(&keys(HEX), &target);
            let _ = sign(keys(HEX).first().unwrap(), &target);
        }
    }
}
