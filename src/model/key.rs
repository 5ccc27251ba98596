//! Identity: which original, which version of it, which variant. What enters a key is exactly
//! what determines bytes; signature, expiry, `v`, Host and cookies never do (DESIGN §3).

use super::transform::Transform;
use std::fmt;

/// Bumped whenever the same wish gives other bytes: every key of the old epoch is then unknown.
pub const RENDER_EPOCH: u32 = 1;

/// The name of an origin: `default`, or what stands behind `@` in a URL.
///
/// Invariant: 1–63 of `a–z 0–9 -`, so it can stand in a URL, an object path and a setting.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OriginName(String);

impl OriginName {
    /// Checks the characters.
    #[must_use]
    pub fn new(name: &str) -> Option<Self> {
        let fits = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        let good = (1..=63).contains(&name.len()) && name.bytes().all(fits);
        good.then(|| Self(name.to_owned()))
    }

    /// The origin of URLs that name none.
    #[must_use]
    pub fn default_origin() -> Self {
        Self("default".to_owned())
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for OriginName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Why a key from a URL cannot name an object (SEMANTICS 23).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SourceKeyError {
    /// Nothing there.
    #[error("the key is empty")]
    Empty,
    /// `//`, or a slash at either end.
    #[error("the key has an empty segment")]
    EmptySegment,
    /// `.` or `..`.
    #[error("the key has a segment {0:?}")]
    DotSegment(String),
    /// U+0000–U+001F or U+007F.
    #[error("the key has a control character")]
    Control,
}

/// The key of an original inside its origin, percent-decoded exactly once.
///
/// Invariant: no empty, `.` or `..` segment, no control character, no slash at either end.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SourceKey(String);

impl SourceKey {
    /// Checks the invariant; changes nothing (no Unicode folding, `+` stays a plus).
    ///
    /// # Errors
    /// [`SourceKeyError`] with the first rule broken.
    pub fn new(key: &str) -> Result<Self, SourceKeyError> {
        if key.is_empty() {
            return Err(SourceKeyError::Empty);
        }
        if key.chars().any(char::is_control) {
            return Err(SourceKeyError::Control);
        }
        for segment in key.split('/') {
            match segment {
                "" => return Err(SourceKeyError::EmptySegment),
                "." | ".." => return Err(SourceKeyError::DotSegment(segment.to_owned())),
                _ => {}
            }
        }
        Ok(Self(key.to_owned()))
    }

    /// The key.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The last segment.
    #[must_use]
    pub fn file_name(&self) -> &str {
        self.0.rsplit('/').next().unwrap_or(&self.0)
    }
}

impl fmt::Display for SourceKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Which original.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SourceId {
    /// Where it lies.
    pub origin: OriginName,
    /// Its key there.
    pub key: SourceKey,
}

impl fmt::Display for SourceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.origin, self.key)
    }
}

/// Which version of an original: a digest of its ETag, else of its date and size, else of its
/// bytes. The three kinds cannot collide.
///
/// Invariant: 24 lower-case hex digits.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct SourceVersion(String);

impl SourceVersion {
    /// By the store's ETag, as it came.
    #[must_use]
    pub fn from_etag(etag: &str) -> Self {
        Self::digest(&[b"etag", etag.as_bytes()])
    }

    /// By modification time (nanoseconds since 1970) and size in bytes.
    #[must_use]
    pub fn from_mtime(nanos: i64, size: u64) -> Self {
        Self::digest(&[b"mtime", &nanos.to_be_bytes(), &size.to_be_bytes()])
    }

    /// By the bytes themselves.
    #[must_use]
    pub fn from_body(body: &[u8]) -> Self {
        Self::digest(&[b"body", body])
    }

    /// A version as it was stored; `None` if it is not of the form.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let hex = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
        (text.len() == 24 && text.bytes().all(hex)).then(|| Self(text.to_owned()))
    }

    fn digest(fields: &[&[u8]]) -> Self {
        Self(hex_digest("lenslet source version", fields, 24))
    }

    /// The digits.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for SourceVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Which variant: everything that determines bytes.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct VariantKey {
    /// The original.
    pub source: SourceId,
    /// Its version.
    pub version: SourceVersion,
    /// The wish, canonically spelt.
    pub wish: String,
    digest: String,
}

impl VariantKey {
    /// Keys one wish against one version of one original, in the current epoch.
    #[must_use]
    pub fn new(source: SourceId, version: SourceVersion, transform: &Transform) -> Self {
        let wish = transform.canonical();
        let digest = hex_digest(
            "lenslet variant key",
            &[
                &RENDER_EPOCH.to_be_bytes(),
                source.origin.as_str().as_bytes(),
                source.key.as_str().as_bytes(),
                version.as_str().as_bytes(),
                wish.as_bytes(),
            ],
            32,
        );
        Self { source, version, wish, digest }
    }

    /// 32 hex digits (128 bits) over every field.
    #[must_use]
    pub fn digest(&self) -> &str {
        &self.digest
    }

    /// The strong ETag, quotes included.
    #[must_use]
    pub fn etag(&self) -> String {
        format!("\"{}\"", self.digest)
    }

    /// Where the entry lies in the `versioned` layout.
    #[must_use]
    pub fn object_path(&self) -> String {
        format!("{}/{}/{}", source_area(&self.source), self.version, self.digest)
    }
}

/// The longest object path we write; S3's own limit for a key is 1,024 bytes.
const MAX_OBJECT_PATH: usize = 1_024;

/// The folder of everything derived from one original: `v{epoch}/{origin}/{key}/~`. A key too
/// long to stand there in full is represented by its digest, behind a `%` that no decoded
/// folder name of ours starts with otherwise.
#[must_use]
pub fn source_area(source: &SourceId) -> String {
    let plain = format!("v{RENDER_EPOCH}/{}/{}/~", source.origin, source.key);
    // Room for "/{version}/{digest}", or for "/source.json".
    if plain.len() + 1 + 24 + 1 + 32 <= MAX_OBJECT_PATH {
        return plain;
    }
    let digest = hex_digest("lenslet long key", &[source.key.as_str().as_bytes()], 32);
    format!("v{RENDER_EPOCH}/{}/%{digest}/~", source.origin)
}

/// Bumped whenever the document about an original says more, or the same otherwise.
const INFO_EPOCH: u32 = 1;

/// The strong ETag, quotes included, of the document about one version of an original.
#[must_use]
pub fn info_etag(source: &SourceId, version: &SourceVersion) -> String {
    let fields = [
        &INFO_EPOCH.to_be_bytes()[..],
        source.origin.as_str().as_bytes(),
        source.key.as_str().as_bytes(),
        version.as_str().as_bytes(),
    ];
    format!("\"{}\"", hex_digest("lenslet info document", &fields, 32))
}

/// Where the record of an original lies (`source.json`).
#[must_use]
pub fn source_record_path(source: &SourceId) -> String {
    format!("{}/source.json", source_area(source))
}

/// Hashes fields each behind its length, under a name of their kind, so that no two field lists
/// meet; returns the first `digits` hex digits of BLAKE3 in key-derivation mode.
fn hex_digest(kind: &str, fields: &[&[u8]], digits: usize) -> String {
    let mut hasher = blake3::Hasher::new_derive_key(kind);
    for field in fields {
        hasher.update(&(field.len() as u64).to_be_bytes());
        hasher.update(field);
    }
    hasher.finalize().to_hex().chars().take(digits).collect()
}
