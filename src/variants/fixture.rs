//! What the tests of the tiers share: keys, variants, and a store that fails on request.

use super::{SourceInfo, SourceRecord, Variant, VariantSettings, WriteBack};
use crate::model::format::Format;
use crate::model::geometry::{Flip, Size};
use crate::model::key::{OriginName, SourceId, SourceKey, SourceVersion, VariantKey};
use crate::model::transform::{Bounds, FormatAsk, Output, QualityAsk, Resize, Transform};
use crate::model::units::{Decimal, Px};
use async_trait::async_trait;
use bytes::Bytes;
use futures_util::StreamExt as _;
use futures_util::stream::BoxStream;
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta,
    ObjectStore, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};
use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::Duration;

pub(super) fn settings() -> VariantSettings {
    VariantSettings {
        memory_bytes: 64 << 20,
        write_back: WriteBack::Async,
        queue_bytes: 32 << 20,
        queue_writes: 1_000,
        writers: 8,
        store_timeout: Duration::from_millis(300),
        write_timeout: Duration::from_secs(10),
        max_body_bytes: 128 << 20,
        mirror_cache_control: None,
        mirror_sizes: Vec::new(),
        breaker_failures: 5,
        breaker_cool_down: Duration::from_secs(5),
    }
}

pub(super) fn wish() -> Transform {
    Transform {
        crop: None,
        rotate: Decimal::ZERO,
        flip: Flip::None,
        resize: Resize::Width { width: Px::new(400).unwrap(), enlarge: false },
        gray: false,
        blur: Decimal::ZERO,
        sharpen: Decimal::ZERO,
        background: None,
        output: Output {
            ask: FormatAsk::Named(Format::Webp),
            quality: QualityAsk::default(),
            lossless: false,
            progressive: false,
        },
        bounds: Bounds::default(),
    }
}

pub(super) fn key(key: &str, etag: &str) -> VariantKey {
    let source =
        SourceId { origin: OriginName::default_origin(), key: SourceKey::new(key).unwrap() };
    VariantKey::new(source, SourceVersion::from_etag(etag), &wish())
}

pub(super) fn variant(body: &[u8]) -> Variant {
    Variant {
        format: Format::Webp,
        size: Size::new(400, 300),
        source_frames: 1,
        body: Bytes::copy_from_slice(body),
    }
}

pub(super) fn record(source: &str, etag: &str) -> SourceRecord {
    SourceRecord {
        origin: "default".to_owned(),
        key: source.to_owned(),
        etag: Some(etag.to_owned()),
        recorded_at: 0,
        info: SourceInfo {
            version: SourceVersion::from_etag(etag).as_str().to_owned(),
            bytes: 3,
            format: "jpeg".to_owned(),
            stored_size: [4, 3],
            displayed_size: [4, 3],
            orientation: 1,
            frames: 1,
            alpha: false,
            mime: "image/jpeg".to_owned(),
            gray: false,
            depth: 8,
            progressive: false,
            profile: None,
            modified: None,
        },
    }
}

/// How a [`FaultStore`] answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mood {
    Well,
    /// Everything fails.
    Broken,
    /// Nothing is ever answered.
    Silent,
    /// Reads of missing objects are refused, as S3 does without the right to list.
    RefusesMissing,
    /// Everything is refused.
    RefusesAll,
    /// Writes fail, reads do not: a full disk.
    Full,
    /// A write takes a while.
    SlowToWrite,
    /// Nothing can be deleted.
    Undeletable,
}

/// A store with moods, that counts what reaches it.
#[derive(Debug)]
pub(super) struct FaultStore {
    inner: Arc<dyn ObjectStore>,
    pub(super) mood: Mutex<Mood>,
    pub(super) gets: AtomicUsize,
    pub(super) puts: AtomicUsize,
}

impl FaultStore {
    pub(super) fn over(inner: Arc<dyn ObjectStore>) -> Arc<Self> {
        Arc::new(Self {
            inner,
            mood: Mutex::new(Mood::Well),
            gets: AtomicUsize::new(0),
            puts: AtomicUsize::new(0),
        })
    }

    pub(super) fn feel(&self, mood: Mood) {
        *self.mood.lock().unwrap() = mood;
    }

    async fn fail(&self, writing: bool) -> Result<()> {
        let mood = *self.mood.lock().unwrap();
        let source = || "meant to".into();
        match mood {
            Mood::Broken => Err(Error::Generic { store: "faults", source: source() }),
            Mood::Full if writing => Err(Error::Generic { store: "faults", source: source() }),
            Mood::RefusesAll => {
                Err(Error::PermissionDenied { path: String::new(), source: source() })
            }
            Mood::Silent => std::future::pending().await,
            Mood::SlowToWrite if writing => {
                tokio::time::sleep(Duration::from_millis(150)).await;
                Ok(())
            }
            _ => Ok(()),
        }
    }
}

impl fmt::Display for FaultStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("faults")
    }
}

#[async_trait]
impl ObjectStore for FaultStore {
    async fn put_opts(&self, at: &Path, body: PutPayload, how: PutOptions) -> Result<PutResult> {
        self.puts.fetch_add(1, SeqCst);
        self.fail(true).await?;
        self.inner.put_opts(at, body, how).await
    }

    async fn put_multipart_opts(
        &self,
        at: &Path,
        how: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.inner.put_multipart_opts(at, how).await
    }

    async fn get_opts(&self, at: &Path, how: GetOptions) -> Result<GetResult> {
        self.gets.fetch_add(1, SeqCst);
        self.fail(false).await?;
        match self.inner.get_opts(at, how).await {
            Err(Error::NotFound { path, source })
                if *self.mood.lock().unwrap() == Mood::RefusesMissing =>
            {
                Err(Error::PermissionDenied { path, source })
            }
            other => other,
        }
    }

    fn delete_stream(
        &self,
        locations: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        let error = || Error::Generic { store: "faults", source: "meant to".into() };
        match *self.mood.lock().unwrap() {
            Mood::Broken | Mood::Undeletable => locations.map(move |_| Err(error())).boxed(),
            _ => self.inner.delete_stream(locations),
        }
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        match *self.mood.lock().unwrap() {
            Mood::Broken => {
                let error = Error::Generic { store: "faults", source: "meant to".into() };
                futures_util::stream::once(async { Err(error) }).boxed()
            }
            _ => self.inner.list(prefix),
        }
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, how: CopyOptions) -> Result<()> {
        self.inner.copy_opts(from, to, how).await
    }
}
