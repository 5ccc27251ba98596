//! `source.json`: what is known of an original, beside its variants: for people and tools that
//! browse the store, and for `f=json`, which then needs no original. Never decides about a
//! picture: a record that is missing, old or of another version costs a look at the original.

use super::Variants;
use super::scope::Scope;
use crate::model::key::{OriginName, SourceId, SourceKey};
use crate::model::source::Header;
use crate::origin::SourceMeta;
use bytes::Bytes;
use moka::sync::Cache;
use object_store::ObjectStore;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// The document about one version of one original: what `f=json` answers. Records written by
/// earlier versions lack the fields behind `alpha`; see [`SourceInfo::is_whole`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceInfo {
    /// The version, 24 hex digits, as in the paths of its variants.
    pub version: String,
    /// Bytes of the original.
    pub bytes: u64,
    /// The format by magic bytes, such as `jpeg`.
    pub format: String,
    /// `[width, height]` as stored.
    pub stored_size: [u32; 2],
    /// `[width, height]` as a person sees it.
    pub displayed_size: [u32; 2],
    /// EXIF orientation, 1–8.
    pub orientation: u8,
    /// Frames, at least 1.
    pub frames: u32,
    /// Whether it may have transparent pixels.
    pub alpha: bool,
    /// The media type, such as `image/jpeg`; empty in earlier records.
    #[serde(default)]
    pub mime: String,
    /// Whether it has one grey channel (or grey and alpha).
    #[serde(default)]
    pub gray: bool,
    /// Bits per sample, 1–32.
    #[serde(default)]
    pub depth: u8,
    /// Whether it is a progressive JPEG.
    #[serde(default)]
    pub progressive: bool,
    /// The name of the embedded colour profile, where there is one.
    #[serde(default)]
    pub profile: Option<String>,
    /// When it was last modified, seconds since 1970, where the store tells.
    #[serde(default)]
    pub modified: Option<i64>,
}

impl SourceInfo {
    /// Brings together what the store and the probe say.
    #[must_use]
    pub fn new(meta: &SourceMeta, header: &Header, profile: Option<String>) -> Self {
        let displayed = header.display_size();
        Self {
            version: meta.version.as_str().to_owned(),
            bytes: meta.bytes,
            format: header.format.name().to_owned(),
            stored_size: [header.size.width, header.size.height],
            displayed_size: [displayed.width, displayed.height],
            orientation: header.orientation.to_exif(),
            frames: header.frames,
            alpha: header.alpha,
            mime: header.format.mime().to_owned(),
            gray: header.gray,
            depth: header.depth,
            progressive: header.progressive,
            profile,
            modified: meta.modified,
        }
    }

    /// Whether every field was known to whoever wrote it.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        !self.mime.is_empty()
    }

    /// The body of an answer: indented JSON and a line end.
    #[must_use]
    pub fn to_json(&self) -> Bytes {
        json(self)
    }
}

/// The record of one version of one original.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceRecord {
    /// The origin's name.
    pub origin: String,
    /// The key there.
    pub key: String,
    /// The store's ETag, where it has one.
    pub etag: Option<String>,
    /// When this version was first looked at, seconds since 1970.
    #[serde(alias = "rendered_at")]
    pub recorded_at: u64,
    /// What `f=json` says of it.
    #[serde(flatten)]
    pub info: SourceInfo,
}

impl SourceRecord {
    /// Brings together whose document it is and what the clock says.
    #[must_use]
    pub fn new(source: &SourceId, meta: &SourceMeta, info: SourceInfo, now: SystemTime) -> Self {
        Self {
            origin: source.origin.as_str().to_owned(),
            key: source.key.as_str().to_owned(),
            etag: meta.etag.clone(),
            recorded_at: now.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs()),
            info,
        }
    }

    /// The object's bytes: indented JSON and a line end.
    pub(super) fn to_json(&self) -> Bytes {
        json(self)
    }
}

fn json(value: &impl Serialize) -> Bytes {
    // Strings and numbers always serialise.
    let mut json = serde_json::to_vec_pretty(value).unwrap_or_default();
    json.push(b'\n');
    json.into()
}

/// The longest record read, in bytes: keys end at a kilobyte.
pub(super) const MAX_RECORD: u64 = 64 << 10;

impl Variants {
    /// The record of an original, of whatever version, if the store has one that can be read.
    /// Takes at most the store's read budget and ends at `deadline`.
    pub async fn record(&self, source: &SourceId, deadline: Instant) -> Option<SourceRecord> {
        self.store.as_ref()?.read_record(source, deadline).await
    }

    /// The store itself, for notes that are no variants.
    #[must_use]
    pub fn objects(&self) -> Option<Arc<dyn ObjectStore>> {
        Some(self.store.as_ref()?.objects())
    }

    /// Writes the record of an original and waits for that; `true` if it lies in the store now.
    pub async fn keep_record(&self, source: &SourceId, record: SourceRecord) -> bool {
        match &self.store {
            Some(store) if self.write_back != super::WriteBack::Off => {
                store.write_record(source, record).await
            }
            _ => false,
        }
    }
}

/// How long a record that was written is believed to lie in the store: another process may have
/// deleted it.
const BELIEVED: Duration = Duration::from_hours(1);

/// Which records this process has written already, bounded; what falls out is written again.
#[derive(Debug)]
pub(super) struct Written(Cache<Box<str>, ()>);

impl Written {
    pub(super) fn new() -> Self {
        Self(Cache::builder().max_capacity(10_000).time_to_live(BELIEVED).build())
    }

    /// Takes the notes of every original of the scope back: their records are being deleted.
    /// Looks at every note.
    pub(super) fn forget_covered(&self, scope: &Scope) {
        for (name, ()) in &self.0 {
            let mut parts = name.splitn(3, ':').skip(1);
            let origin = parts.next().and_then(OriginName::new);
            let key = parts.next().and_then(|key| SourceKey::new(key).ok());
            if let (Some(origin), Some(key)) = (origin, key)
                && scope.covers_source(&SourceId { origin, key })
            {
                self.0.invalidate(&**name);
            }
        }
    }

    /// Notes the record; `true` if it was not noted before.
    pub(super) fn note(&self, record: &SourceRecord) -> bool {
        self.0.entry(Self::name(record)).or_insert(()).is_fresh()
    }

    /// Takes the note back, because the write failed.
    pub(super) fn forget(&self, record: &SourceRecord) {
        self.0.invalidate(&*Self::name(record));
    }

    /// A version has no colon and an origin neither, so names do not meet.
    fn name(record: &SourceRecord) -> Box<str> {
        format!("{}:{}:{}", record.info.version, record.origin, record.key).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::format::{Format, SourceFormat};
    use crate::model::geometry::{Orientation, Size};
    use crate::model::key::SourceVersion;
    use crate::variants::fixture;

    const HEADER: Header = Header {
        format: SourceFormat::Web(Format::Jpeg),
        size: Size::new(4_032, 3_024),
        orientation: Orientation::Rotate90,
        alpha: false,
        gray: false,
        frames: 1,
        progressive: false,
        whole: false,
        depth: 8,
        planes: None,
    };

    #[test]
    fn a_record_reads_as_it_was_written() {
        let meta = SourceMeta {
            version: SourceVersion::from_etag("\"e\""),
            bytes: 3_750_000,
            etag: Some("\"e\"".to_owned()),
            modified: Some(1_600_000_000),
        };
        let source = fixture::key("photos/cat.jpg", "e").source;
        let now = UNIX_EPOCH + Duration::from_secs(1_700_000_000);
        let info = SourceInfo::new(&meta, &HEADER, Some("Display P3".to_owned()));
        assert_eq!(info.displayed_size, [3_024, 4_032]);
        assert!(info.is_whole());
        let record = SourceRecord::new(&source, &meta, info.clone(), now);
        let back: SourceRecord = serde_json::from_slice(&record.to_json()).unwrap();
        assert_eq!(back, record);
        assert_eq!((back.info.orientation, back.recorded_at), (6, 1_700_000_000));
        let document: SourceInfo = serde_json::from_slice(&record.to_json()).unwrap();
        assert_eq!(document, info, "the record holds the document");
    }

    #[test]
    fn a_record_of_an_earlier_version_is_read_and_known_to_be_short() {
        let old = br#"{"origin":"default","key":"a.jpg","version":"0123456789abcdef01234567",
            "etag":null,"bytes":3,"format":"jpeg","stored_size":[4,3],"displayed_size":[4,3],
            "orientation":1,"frames":1,"alpha":false,"rendered_at":1700000000}"#;
        let record: SourceRecord = serde_json::from_slice(old).unwrap();
        assert_eq!((record.recorded_at, record.info.stored_size), (1_700_000_000, [4, 3]));
        assert!(!record.info.is_whole());
    }

    #[test]
    fn a_record_is_noted_once_per_version_and_again_after_a_failure() {
        let written = Written::new();
        let mut record = fixture::record("a.jpg", "one");
        assert!(written.note(&record));
        assert!(!written.note(&record));
        written.forget(&record);
        assert!(written.note(&record));
        record.info.version = SourceVersion::from_etag("two").as_str().to_owned();
        assert!(written.note(&record));
        let other = fixture::key("b.jpg", "one").source;
        written.forget_covered(&Scope::Source { id: other, keep: None });
        assert!(!written.note(&record));
        let own = fixture::key("a.jpg", "one").source;
        written.forget_covered(&Scope::Source { id: own, keep: None });
        assert!(written.note(&record));
    }
}
