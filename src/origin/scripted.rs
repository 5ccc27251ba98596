//! A store for tests: objects in memory, with counts, waits and lies as scripted.

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::stream::{self, BoxStream, StreamExt};
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, GetResultPayload, ListResult, MultipartUpload,
    ObjectMeta, ObjectStore, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, UNIX_EPOCH};

/// How requests fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Failure {
    /// As by a server with a 500.
    Broken,
    /// As by one with a 403.
    Refused,
}

/// What goes differently from now on.
#[derive(Debug, Clone, Default)]
pub(super) struct Script {
    /// Waited before a HEAD is answered.
    pub(super) head_delay: Duration,
    /// Waited before a GET is answered.
    pub(super) get_delay: Duration,
    /// Every request fails.
    pub(super) fails: Option<Failure>,
    /// No ETag is told.
    pub(super) no_etag: bool,
    /// No time is told.
    pub(super) no_time: bool,
    /// Bytes a body is longer (or shorter) than announced.
    pub(super) lie: i64,
}

/// The store.
#[derive(Debug, Default)]
pub(super) struct Scripted {
    pub(super) inner: InMemory,
    script: Mutex<Script>,
    heads: AtomicUsize,
    gets: AtomicUsize,
}

impl Scripted {
    pub(super) fn play(&self, script: Script) {
        *self.script.lock().unwrap_or_else(PoisonError::into_inner) = script;
    }

    fn script(&self) -> Script {
        self.script.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn heads(&self) -> usize {
        self.heads.load(Ordering::SeqCst)
    }

    pub(super) fn gets(&self) -> usize {
        self.gets.load(Ordering::SeqCst)
    }
}

impl std::fmt::Display for Scripted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("scripted")
    }
}

#[async_trait]
impl ObjectStore for Scripted {
    async fn put_opts(
        &self,
        location: &Path,
        payload: PutPayload,
        options: PutOptions,
    ) -> Result<PutResult> {
        self.inner.put_opts(location, payload, options).await
    }

    async fn put_multipart_opts(
        &self,
        place: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.inner.put_multipart_opts(place, options).await
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        let script = self.script.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let (count, delay) = if options.head {
            (&self.heads, script.head_delay)
        } else {
            (&self.gets, script.get_delay)
        };
        count.fetch_add(1, Ordering::SeqCst);
        match script.fails {
            Some(Failure::Broken) => {
                return Err(Error::Generic {
                    store: "scripted",
                    source: "status code: 500 it is broken".into(),
                });
            }
            Some(Failure::Refused) => {
                return Err(Error::PermissionDenied {
                    path: location.to_string(),
                    source: "refused".into(),
                });
            }
            None => {}
        }
        // The answer is that of the moment of asking, however late it comes.
        let result = self.inner.get_opts(location, options).await;
        tokio::time::sleep(delay).await;
        let mut result = result?;
        if script.no_etag {
            result.meta.e_tag = None;
        }
        if script.no_time {
            result.meta.last_modified = UNIX_EPOCH.into();
        }
        if script.lie != 0 {
            let (meta, range, attributes) =
                (result.meta.clone(), result.range.clone(), result.attributes.clone());
            let extensions = result.extensions.clone();
            let mut body = result.bytes().await?.to_vec();
            let length = i64::try_from(body.len()).unwrap() + script.lie;
            body.resize(usize::try_from(length).unwrap(), b'!');
            // In two pieces, as from a network.
            let rest = body.split_off(body.len() / 2);
            let pieces = [body, rest].map(|piece| Ok(Bytes::from(piece)));
            let payload = GetResultPayload::Stream(stream::iter(pieces).boxed());
            result = GetResult { payload, meta, range, attributes, extensions };
        }
        Ok(result)
    }

    fn delete_stream(
        &self,
        locations: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        self.inner.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        let no_etag = self.script().no_etag;
        let told = move |meta: ObjectMeta| ObjectMeta {
            e_tag: meta.e_tag.clone().filter(|_| !no_etag),
            ..meta
        };
        self.inner.list(prefix).map(move |meta| meta.map(told)).boxed()
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.inner.copy_opts(from, to, options).await
    }
}
