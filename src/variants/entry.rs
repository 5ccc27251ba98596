//! The stored entry of the versioned layout: a few lines of text that say what follows, then the
//! picture. It can be read with `head`, and it proves itself: whatever is cut, flipped or of
//! another key is an [`EntryError`], which is a miss. Never trusts a length it has not counted.
//!
//! ```text
//! lenslet variant 1
//! epoch 1
//! key 0c9e…            (32 hex digits, the ETag)
//! origin default
//! source photos/cat.jpg
//! version 77aa…        (24 hex digits)
//! wish w=400,f=webp,q=80
//! type image/webp
//! size 400x300
//! frames 1
//! bytes 20480
//! body 5d41…           (BLAKE3 of the picture, 64 hex digits)
//! header 9b1c…         (BLAKE3 of the lines above, 64 hex digits)
//!                      (an empty line, then the picture)
//! ```

use super::Variant;
use crate::model::format::Format;
use crate::model::geometry::Size;
use crate::model::key::{RENDER_EPOCH, VariantKey};
use bytes::Bytes;
use std::fmt::Write as _;

const MAGIC: &str = "lenslet variant ";
const FORMAT_VERSION: &str = "1";
/// Bytes of the longest header looked at: a request target has at most 8 KiB, so a key and a
/// wish cannot fill it.
pub(super) const MAX_HEADER: usize = 32 << 10;

/// Why stored bytes are not the variant they were read for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EntryError {
    /// Does not begin like an entry of ours.
    #[error("not an entry of this service")]
    NotAnEntry,
    /// Of a format this build does not read.
    #[error("entry format {0:?} is not known (this build reads 1)")]
    UnknownFormat(String),
    /// The header is cut off, altered or not of the form.
    #[error("the header is damaged at {0:?}")]
    Header(&'static str),
    /// Whole, but of another key.
    #[error("entry of another {field}: {found:?}")]
    Foreign {
        /// What differs.
        field: &'static str,
        /// What the entry says.
        found: String,
    },
    /// Cut off, or with something behind it.
    #[error("the body has {found} bytes, the header says {announced}")]
    Length {
        /// Bytes announced.
        announced: u64,
        /// Bytes there.
        found: u64,
    },
    /// As long as announced, but other bytes.
    #[error("the body is not the one that was written")]
    Body,
}

impl EntryError {
    /// Whether the entry is whole but of something else (as against torn).
    #[must_use]
    pub fn is_foreign(&self) -> bool {
        matches!(self, Self::NotAnEntry | Self::UnknownFormat(_) | Self::Foreign { .. })
    }
}

/// The entry in two pieces, header and body; the body is shared, not copied.
#[must_use]
pub fn encode(key: &VariantKey, variant: &Variant) -> [Bytes; 2] {
    let mut text = String::with_capacity(512);
    let body_digest = blake3::hash(&variant.body).to_hex();
    // Writing to a String cannot fail.
    let _ = write!(
        text,
        "{MAGIC}{FORMAT_VERSION}\nepoch {RENDER_EPOCH}\nkey {}\norigin {}\nsource {}\n\
         version {}\nwish {}\ntype {}\nsize {}\nframes {}\nbytes {}\nbody {body_digest}\n",
        key.digest(),
        key.source.origin,
        key.source.key,
        key.version,
        key.wish,
        variant.format.mime(),
        variant.size,
        variant.source_frames,
        variant.body.len(),
    );
    let seal = blake3::hash(text.as_bytes()).to_hex();
    let _ = write!(text, "header {seal}\n\n");
    [Bytes::from(text), variant.body.clone()]
}

/// The variant of `key` in `entry`. The body of the result shares `entry`'s memory.
///
/// # Errors
/// [`EntryError`] unless every byte is as it was written for this very key.
pub fn decode(key: &VariantKey, entry: &Bytes) -> Result<Variant, EntryError> {
    if !entry.starts_with(MAGIC.as_bytes()) {
        return Err(EntryError::NotAnEntry);
    }
    let head = entry.get(..entry.len().min(MAX_HEADER)).unwrap_or_default();
    let end = head.windows(2).position(|pair| pair == b"\n\n").ok_or(EntryError::Header("end"))?;
    let header = head.get(..end).unwrap_or_default();
    let header = std::str::from_utf8(header).map_err(|_| EntryError::Header("text"))?;
    let body = entry.slice(end + 2..);

    // The seal first: after it, no field can be a flipped bit, so what differs is foreign.
    let (sealed, seal) = header.rsplit_once('\n').ok_or(EntryError::Header("header"))?;
    let mut hasher = blake3::Hasher::new();
    hasher.update(sealed.as_bytes()).update(b"\n");
    if seal.strip_prefix("header ") != Some(hasher.finalize().to_hex().as_str()) {
        return Err(EntryError::Header("header"));
    }

    let mut fields = Fields(sealed.split('\n'));
    let format_version = fields.next("lenslet variant")?;
    if format_version != FORMAT_VERSION {
        return Err(EntryError::UnknownFormat(format_version.to_owned()));
    }
    fields.expect("epoch", &RENDER_EPOCH.to_string())?;
    fields.expect("key", key.digest())?;
    fields.expect("origin", key.source.origin.as_str())?;
    fields.expect("source", key.source.key.as_str())?;
    fields.expect("version", key.version.as_str())?;
    fields.expect("wish", &key.wish)?;
    let format = Format::from_mime(fields.next("type")?).ok_or(EntryError::Header("type"))?;
    let size = parse_size(fields.next("size")?).ok_or(EntryError::Header("size"))?;
    let source_frames = fields.number("frames")?;
    let announced: u64 = fields.number("bytes")?;
    let digest = fields.next("body")?;
    if fields.0.next().is_some() {
        return Err(EntryError::Header("after body"));
    }

    let found = body.len() as u64;
    if announced != found {
        return Err(EntryError::Length { announced, found });
    }
    if blake3::hash(&body).to_hex().as_str() != digest {
        return Err(EntryError::Body);
    }
    Ok(Variant { format, size, source_frames, body })
}

/// The key of the original, as the beginning of an entry tells it. Nothing is verified: the
/// caller holds it to the name the entry lies under.
pub(super) fn source_key(head: &[u8]) -> Option<String> {
    if !head.starts_with(MAGIC.as_bytes()) {
        return None;
    }
    let mut lines = head.split(|byte| *byte == b'\n').take_while(|line| !line.is_empty());
    let line = lines.find_map(|line| line.strip_prefix(b"source "))?;
    Some(std::str::from_utf8(line).ok()?.to_owned())
}

/// `{width}x{height}`, neither of them 0.
pub(super) fn parse_size(text: &str) -> Option<Size> {
    let (width, height) = text.split_once('x')?;
    let side = |text: &str| text.parse::<u32>().ok().filter(|side| *side > 0);
    Some(Size::new(side(width)?, side(height)?))
}

/// The lines of a header, each `name value`, taken in order.
struct Fields<'a>(std::str::Split<'a, char>);

impl<'a> Fields<'a> {
    fn next(&mut self, name: &'static str) -> Result<&'a str, EntryError> {
        let line = self.0.next().ok_or(EntryError::Header(name))?;
        let value = line.strip_prefix(name).and_then(|rest| rest.strip_prefix(' '));
        value.ok_or(EntryError::Header(name))
    }

    fn expect(&mut self, field: &'static str, expected: &str) -> Result<(), EntryError> {
        let found = self.next(field)?;
        if found == expected {
            return Ok(());
        }
        Err(EntryError::Foreign { field, found: found.to_owned() })
    }

    fn number<N: std::str::FromStr>(&mut self, name: &'static str) -> Result<N, EntryError> {
        self.next(name)?.parse().map_err(|_| EntryError::Header(name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::variants::fixture::{key, variant};
    use proptest::prelude::*;

    fn whole(key: &VariantKey, variant: &Variant) -> Vec<u8> {
        encode(key, variant).concat()
    }

    #[test]
    fn an_entry_reads_as_it_was_written() {
        let (key, variant) = (key("photos/ünï cat.jpg", "etag"), variant(b"\n\npicture\n\n"));
        let entry = Bytes::from(whole(&key, &variant));
        assert_eq!(decode(&key, &entry), Ok(variant));
        let text = String::from_utf8_lossy(&entry);
        assert!(text.starts_with("lenslet variant 1\nepoch 1\nkey "));
        assert!(text.contains("\nsource photos/ünï cat.jpg\n"), "browsable");
        assert!(text.contains(&format!("\nwish {}\n", key.wish)), "browsable");
        assert_eq!(source_key(&entry).as_deref(), Some("photos/ünï cat.jpg"));
        assert_eq!(source_key(b"nothing of ours\nsource a\n"), None);
    }

    #[test]
    fn an_entry_of_another_key_version_or_origin_is_foreign() {
        let written = key("a.jpg", "one");
        let entry = Bytes::from(whole(&written, &variant(b"picture")));
        for other in [key("b.jpg", "one"), key("a.jpg", "two")] {
            let error = decode(&other, &entry).unwrap_err();
            assert!(error.is_foreign(), "{error}");
        }
    }

    #[test]
    fn every_truncation_and_every_flipped_bit_is_noticed() {
        let key = key("a.jpg", "one");
        let entry = whole(&key, &variant(b"a picture of some bytes"));
        for cut in 0..entry.len() {
            let torn = Bytes::copy_from_slice(&entry[..cut]);
            assert!(decode(&key, &torn).is_err(), "cut to {cut}");
        }
        for at in 0..entry.len() {
            for bit in 0..8 {
                let mut flipped = entry.clone();
                flipped[at] ^= 1 << bit;
                assert!(decode(&key, &flipped.into()).is_err(), "bit {bit} of byte {at}");
            }
        }
        let mut longer = entry.clone();
        longer.push(0);
        assert!(matches!(decode(&key, &longer.into()), Err(EntryError::Length { .. })));
        let zeroed = vec![0; entry.len()];
        assert_eq!(decode(&key, &zeroed.into()), Err(EntryError::NotAnEntry));
    }

    #[test]
    fn a_later_format_is_not_misread() {
        let key = key("a.jpg", "one");
        let text = String::from_utf8(encode(&key, &variant(b"x"))[0].to_vec()).unwrap();
        let (sealed, _) = text.split_once("header ").unwrap();
        let sealed = sealed.replacen("variant 1", "variant 2", 1);
        let seal = blake3::hash(sealed.as_bytes()).to_hex();
        let entry = Bytes::from(format!("{sealed}header {seal}\n\nx"));
        assert_eq!(decode(&key, &entry), Err(EntryError::UnknownFormat("2".to_owned())));
    }

    proptest! {
        #[test]
        fn any_bytes_are_refused_without_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
            let key = key("a.jpg", "one");
            prop_assert!(decode(&key, &Bytes::from(bytes.clone())).is_err());
            let mut dressed = MAGIC.as_bytes().to_vec();
            dressed.extend(bytes);
            prop_assert!(decode(&key, &Bytes::from(dressed)).is_err());
        }

        #[test]
        fn any_splice_of_two_entries_is_refused(
            one in proptest::collection::vec(any::<u8>(), 1..300),
            two in proptest::collection::vec(any::<u8>(), 1..300),
            at in any::<prop::sample::Index>(),
        ) {
            prop_assume!(one != two);
            let key = key("a.jpg", "one");
            let (one, two) = (whole(&key, &variant(&one)), whole(&key, &variant(&two)));
            let at = at.index(one.len().min(two.len()) - 1) + 1;
            let spliced = [&one[..at], &two[at..]].concat();
            prop_assume!(spliced != one && spliced != two);
            prop_assert!(decode(&key, &spliced.into()).is_err());
        }

        #[test]
        fn any_variant_comes_back(body in proptest::collection::vec(any::<u8>(), 0..2_000)) {
            let (key, variant) = (key("a/b c/ä.jpg", "one"), variant(&body));
            prop_assert_eq!(decode(&key, &Bytes::from(whole(&key, &variant))), Ok(variant));
        }
    }
}
