//! The mark of the mirror layout: what a bare image cannot say of itself. It travels as object
//! metadata where the store has any, else as a JSON record beside the versioned entries. An
//! object without a mark is not ours: never served as a variant, overwritten or deleted.

use super::Variant;
use super::entry::{EntryError, parse_size};
use crate::model::format::Format;
use crate::model::geometry::Size;
use crate::model::key::{SourceVersion, VariantKey};
use crate::origin::MARK as DIGEST;
use bytes::Bytes;
use object_store::{Attribute, Attributes};
use serde::{Deserialize, Serialize};

// Only `[a-z0-9]`: the one alphabet every store keeps as it is in metadata names.
const VERSION: &str = "lensletversion";
const BODY: &str = "lensletbody";
const SIZE: &str = "lensletsize";
const FRAMES: &str = "lensletframes";
/// Digest of the path it was written to: a store that copies an object copies its mark.
const PLACE: &str = "lensletpath";
/// What a CDN in front of the bucket purges by; S3 sends it as `x-amz-meta-cachetag`.
const TAGS: &str = "cachetag";

/// What is known of a mirrored image. As JSON it has the same names as in metadata.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Mark {
    /// The object path of the image.
    pub path: String,
    /// Digest of the variant key.
    #[serde(rename = "lensletdigest")]
    pub digest: String,
    /// Version of the original.
    #[serde(rename = "lensletversion")]
    pub version: String,
    /// BLAKE3 over every other field and the image, 64 hex digits.
    #[serde(rename = "lensletbody")]
    pub seal: String,
    /// `{width}x{height}`.
    #[serde(rename = "lensletsize")]
    pub size: String,
    /// Frames of the original.
    #[serde(rename = "lensletframes")]
    pub frames: String,
    /// The media type.
    #[serde(rename = "type")]
    pub mime: String,
}

impl Mark {
    /// The mark of `variant` at `path`.
    pub(super) fn new(path: &str, key: &VariantKey, variant: &Variant) -> Self {
        let mut mark = Self {
            path: path.to_owned(),
            digest: key.digest().to_owned(),
            version: key.version.as_str().to_owned(),
            seal: String::new(),
            size: variant.size.to_string(),
            frames: variant.source_frames.to_string(),
            mime: variant.format.mime().to_owned(),
        };
        mark.seal = mark.seal_of(&variant.body);
        mark
    }

    /// Hashes the fields each behind its length, then the body. The media type is among them,
    /// so a relabelled object is noticed.
    fn seal_of(&self, body: &[u8]) -> String {
        let mut hasher = blake3::Hasher::new_derive_key("lenslet mirrored variant");
        for field in [&self.path, &self.digest, &self.version, &self.size, &self.frames, &self.mime]
        {
            hasher.update(&(field.len() as u64).to_be_bytes());
            hasher.update(field.as_bytes());
        }
        hasher.update(body);
        hasher.finalize().to_hex().to_string()
    }

    /// As object attributes: what a bucket or CDN needs to serve the image, and the mark.
    /// The tags are those of our own answers, for a CDN that serves the bucket by itself.
    pub(super) fn attributes(&self, cache_control: Option<&str>, tags: &[String]) -> Attributes {
        let mut attributes = Attributes::with_capacity(9);
        attributes.insert(Attribute::Metadata(TAGS.into()), tags.join(",").into());
        attributes.insert(Attribute::ContentType, self.mime.clone().into());
        if let Some(cache_control) = cache_control {
            attributes.insert(Attribute::CacheControl, cache_control.to_owned().into());
        }
        attributes.insert(Attribute::Metadata(PLACE.into()), place(&self.path).into());
        for (name, value) in [
            (DIGEST, &self.digest),
            (VERSION, &self.version),
            (BODY, &self.seal),
            (SIZE, &self.size),
            (FRAMES, &self.frames),
        ] {
            attributes.insert(Attribute::Metadata(name.into()), value.clone().into());
        }
        attributes
    }

    /// Whether the attributes of the object at `path` carry a mark of ours, whatever its contents.
    /// One that was written to another path is a copy that somebody else made, and theirs; marks
    /// of earlier versions do not say where they were written.
    pub(super) fn is_on(path: &str, attributes: &Attributes) -> bool {
        attributes.get(&Attribute::Metadata(DIGEST.into())).is_some()
            && attributes
                .get(&Attribute::Metadata(PLACE.into()))
                .is_none_or(|written| written.as_ref() == place(path))
    }

    /// The mark on the object at `path`; `None` if any part is missing.
    pub(super) fn from_attributes(path: &str, attributes: &Attributes) -> Option<Self> {
        let text = |attribute: Attribute| attributes.get(&attribute).map(|v| v.as_ref().to_owned());
        let own = |name: &'static str| text(Attribute::Metadata(name.into()));
        Some(Self {
            path: path.to_owned(),
            digest: own(DIGEST)?,
            version: own(VERSION)?,
            seal: own(BODY)?,
            size: own(SIZE)?,
            frames: own(FRAMES)?,
            mime: text(Attribute::ContentType)?,
        })
    }

    /// As the record beside the versioned entries, one line.
    pub(super) fn to_json(&self) -> Bytes {
        // A struct of strings always serialises.
        serde_json::to_vec(self).unwrap_or_default().into()
    }

    /// The record of the image at `path`; `None` if it is not one.
    pub(super) fn from_json(path: &str, json: &[u8]) -> Option<Self> {
        serde_json::from_slice::<Self>(json).ok().filter(|mark| mark.path == path)
    }

    /// The version of the original, if it is of the form.
    pub(super) fn source_version(&self) -> Option<SourceVersion> {
        SourceVersion::parse(&self.version)
    }

    /// Refuses the mark of another key, before a byte of the image is read.
    ///
    /// # Errors
    /// [`EntryError::Foreign`].
    pub(super) fn belongs_to(&self, key: &VariantKey) -> Result<(), EntryError> {
        for (field, found, expected) in
            [("key", &self.digest, key.digest()), ("version", &self.version, key.version.as_str())]
        {
            if found != expected {
                return Err(EntryError::Foreign { field, found: found.clone() });
            }
        }
        Ok(())
    }

    /// The variant of `key`, if the image is the one that was marked for it.
    ///
    /// # Errors
    /// [`EntryError`] for another key, an altered mark or an altered image.
    pub(super) fn verify(&self, key: &VariantKey, body: Bytes) -> Result<Variant, EntryError> {
        self.belongs_to(key)?;
        if self.seal_of(&body) != self.seal {
            return Err(EntryError::Body);
        }
        let format = Format::from_mime(&self.mime).ok_or(EntryError::Header("type"))?;
        let size: Size = parse_size(&self.size).ok_or(EntryError::Header("size"))?;
        let frames = self.frames.parse().map_err(|_| EntryError::Header("frames"))?;
        Ok(Variant { format, size, source_frames: frames, body })
    }
}

/// 32 hex digits of BLAKE3 over a path.
fn place(path: &str) -> String {
    blake3::hash(path.as_bytes()).to_hex().chars().take(32).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::variants::fixture::{key, variant};

    const PATH: &str = "300x200/a.jpg";

    #[test]
    fn a_mark_survives_both_ways_of_keeping_it() {
        let (key, variant) = (key("a.jpg", "one"), variant(b"picture"));
        let mark = Mark::new(PATH, &key, &variant);
        let attributes =
            mark.attributes(Some("public, max-age=60"), &["a".to_owned(), "b".to_owned()]);
        assert_eq!(attributes.get(&Attribute::ContentDisposition), None);
        let tags = attributes.get(&Attribute::Metadata("cachetag".into())).unwrap();
        assert_eq!(tags.as_ref(), "a,b");
        assert_eq!(Mark::from_attributes(PATH, &attributes), Some(mark.clone()));
        assert_eq!(Mark::from_json(PATH, &mark.to_json()), Some(mark.clone()));
        assert_eq!(Mark::from_json("300x200/b.jpg", &mark.to_json()), None);
        assert_eq!(mark.verify(&key, variant.body.clone()), Ok(variant));
    }

    #[test]
    fn a_copied_mark_makes_nothing_ours() {
        let mark = Mark::new(PATH, &key("a.jpg", "one"), &variant(b"picture"));
        let attributes = mark.attributes(None, &[]);
        assert!(Mark::is_on(PATH, &attributes) && !Mark::is_on("300x200/b.jpg", &attributes));
        let mut old = Attributes::new();
        assert!(!Mark::is_on(PATH, &old));
        old.insert(Attribute::Metadata(DIGEST.into()), mark.digest.clone().into());
        assert!(Mark::is_on(PATH, &old), "it does not say where it was written");
    }

    #[test]
    fn any_altered_field_or_body_is_noticed() {
        let (key, variant) = (key("a.jpg", "one"), variant(b"picture"));
        let mark = Mark::new(PATH, &key, &variant);
        let alter: [fn(&mut Mark); 7] = [
            |mark| mark.path.push('x'),
            |mark| mark.digest = "0".repeat(32),
            |mark| mark.version = "0".repeat(24),
            |mark| mark.seal = "0".repeat(64),
            |mark| mark.size = "1x1".to_owned(),
            |mark| mark.frames = "9".to_owned(),
            |mark| mark.mime = "image/png".to_owned(),
        ];
        for (at, alter) in alter.into_iter().enumerate() {
            let mut altered = mark.clone();
            alter(&mut altered);
            assert!(altered.verify(&key, variant.body.clone()).is_err(), "field {at}");
        }
        assert_eq!(mark.verify(&key, Bytes::from_static(b"Picture")), Err(EntryError::Body));
        assert_eq!(mark.verify(&key, Bytes::new()), Err(EntryError::Body));
    }

    #[test]
    fn metadata_names_are_of_the_one_safe_alphabet() {
        let mark = Mark::new(PATH, &key("a.jpg", "one"), &variant(b"picture"));
        let attributes = mark.attributes(None, &[]);
        let names: Vec<_> = attributes
            .iter()
            .filter_map(|(attribute, _)| match attribute {
                Attribute::Metadata(name) => Some(name.to_string()),
                _ => None,
            })
            .collect();
        assert_eq!(names.len(), 7);
        for name in names {
            assert!(name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit()), "{name}");
        }
    }
}
