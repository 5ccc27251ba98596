//! `source.json`: what is known of an original, beside its variants, for people and tools that
//! browse the store. Never read while serving.

use crate::model::key::SourceId;
use crate::model::source::Header;
use crate::origin::SourceMeta;
use bytes::Bytes;
use moka::sync::Cache;
use serde::{Deserialize, Serialize};
use std::time::{SystemTime, UNIX_EPOCH};

/// The record of one version of one original.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceRecord {
    /// The origin's name.
    pub origin: String,
    /// The key there.
    pub key: String,
    /// The version, 24 hex digits, as in the paths of its variants.
    pub version: String,
    /// The store's ETag, where it has one.
    pub etag: Option<String>,
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
    /// When the first variant of this version was rendered, seconds since 1970.
    pub rendered_at: u64,
}

impl SourceRecord {
    /// Brings together what the store, the probe and the clock say.
    #[must_use]
    pub fn new(source: &SourceId, meta: &SourceMeta, header: &Header, now: SystemTime) -> Self {
        let displayed = header.display_size();
        Self {
            origin: source.origin.as_str().to_owned(),
            key: source.key.as_str().to_owned(),
            version: meta.version.as_str().to_owned(),
            etag: meta.etag.clone(),
            bytes: meta.bytes,
            format: header.format.name().to_owned(),
            stored_size: [header.size.width, header.size.height],
            displayed_size: [displayed.width, displayed.height],
            orientation: header.orientation.to_exif(),
            frames: header.frames,
            alpha: header.alpha,
            rendered_at: now.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs()),
        }
    }

    /// The object's bytes: indented JSON and a line end.
    pub(super) fn to_json(&self) -> Bytes {
        // Strings and numbers always serialise.
        let mut json = serde_json::to_vec_pretty(self).unwrap_or_default();
        json.push(b'\n');
        json.into()
    }
}

/// Which records this process has written already, bounded; what falls out is written again.
#[derive(Debug)]
pub(super) struct Written(Cache<Box<str>, ()>);

impl Written {
    pub(super) fn new() -> Self {
        Self(Cache::new(10_000))
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
        format!("{}:{}:{}", record.version, record.origin, record.key).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::format::{Format, SourceFormat};
    use crate::model::geometry::{Orientation, Size};
    use crate::model::key::SourceVersion;
    use crate::variants::fixture;
    use std::time::Duration;

    #[test]
    fn a_record_reads_as_it_was_written() {
        let header = Header {
            format: SourceFormat::Web(Format::Jpeg),
            size: Size::new(4_032, 3_024),
            orientation: Orientation::Rotate90,
            alpha: false,
            gray: false,
            frames: 1,
            progressive: false,
            depth: 8,
        };
        let meta = SourceMeta {
            version: SourceVersion::from_etag("\"e\""),
            bytes: 3_750_000,
            etag: Some("\"e\"".to_owned()),
            modified: None,
        };
        let source = fixture::key("photos/cat.jpg", "e").source;
        let now = UNIX_EPOCH + Duration::from_secs(1_700_000_000);
        let record = SourceRecord::new(&source, &meta, &header, now);
        assert_eq!(record.displayed_size, [3_024, 4_032]);
        let back: SourceRecord = serde_json::from_slice(&record.to_json()).unwrap();
        assert_eq!(back, record);
        assert_eq!((back.orientation, back.rendered_at), (6, 1_700_000_000));
    }

    #[test]
    fn a_record_is_noted_once_per_version_and_again_after_a_failure() {
        let written = Written::new();
        let mut record = fixture::record("a.jpg", "one");
        assert!(written.note(&record));
        assert!(!written.note(&record));
        written.forget(&record);
        assert!(written.note(&record));
        record.version = SourceVersion::from_etag("two").as_str().to_owned();
        assert!(written.note(&record));
    }
}
