//! A store that counts what is asked of it: every request of ours by what it is and how it ended,
//! with its time. Never changes an answer, and never counts what the store's client does by
//! itself (its retries are part of the request they belong to).

use super::metrics::{Labels, Part};
use async_trait::async_trait;
use bytes::Bytes;
use futures_util::StreamExt as _;
use futures_util::stream::BoxStream;
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, GetResultPayload, ListResult, MultipartUpload,
    ObjectMeta, ObjectStore, PutMultipartOptions, PutOptions, PutPayload, PutResult, RenameOptions,
    Result,
};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};
use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use std::time::Instant;

/// Labels: store, op, outcome.
type RequestLabels = [(&'static str, &'static str); 3];

/// What is asked of a store.
#[derive(Debug, Clone, Copy)]
enum Op {
    Head,
    Get,
    Put,
    Delete,
    List,
    Copy,
}

impl Op {
    const fn name(self) -> &'static str {
        match self {
            Self::Head => "head",
            Self::Get => "get",
            Self::Put => "put",
            Self::Delete => "delete",
            Self::List => "list",
            Self::Copy => "copy",
        }
    }
}

/// 1 ms to 16 s, doubling.
fn buckets() -> Histogram {
    Histogram::new(exponential_buckets(0.001, 2.0, 15))
}

/// What is counted about stores. Clones count into the same.
#[derive(Debug, Clone)]
pub struct StoreMetrics {
    requests: Family<RequestLabels, Counter>,
    duration: Family<Labels, Histogram>,
}

impl Default for StoreMetrics {
    fn default() -> Self {
        let metrics =
            Self { requests: Family::default(), duration: Family::new_with_constructor(buckets) };
        // A series that exists from the start has a rate from the first event.
        for (store, op) in [
            ("origin", Op::Get),
            ("origin", Op::Head),
            ("variants", Op::Get),
            ("variants", Op::Put),
        ] {
            let labels = [("store", store), ("op", op.name())];
            drop(metrics.duration.get_or_create(&labels));
            for outcome in ["ok", "error"] {
                let [store, op] = labels;
                drop(metrics.requests.get_or_create(&[store, op, ("outcome", outcome)]));
            }
        }
        metrics
    }
}

impl Part for StoreMetrics {
    fn register(&self, to: &mut Registry) {
        to.register("store_requests", "Requests to stores by their end", self.requests.clone());
        to.register_with_unit(
            "store_request_duration",
            "Time of a request to a store, to the last byte of its answer",
            Unit::Seconds,
            self.duration.clone(),
        );
    }
}

/// A store behind its counters.
#[derive(Debug)]
struct Metered {
    store: Arc<dyn ObjectStore>,
    counts: Counts,
}

/// `store` with everything that is asked of it counted under `name`.
#[must_use]
pub fn metered(
    store: Arc<dyn ObjectStore>,
    name: &'static str,
    metrics: &StoreMetrics,
) -> Arc<dyn ObjectStore> {
    Arc::new(Metered { store, counts: Counts { store: name, metrics: metrics.clone() } })
}

#[derive(Debug, Clone)]
struct Counts {
    store: &'static str,
    metrics: StoreMetrics,
}

impl Counts {
    /// A request begins; it is counted when what comes back is told its end, or dropped.
    fn begin(&self, op: Op) -> UnderWay {
        UnderWay { counts: self.clone(), op, begun: Instant::now(), outcome: "cancelled" }
    }
}

/// A request under way. Dropped without an end it was given up: out of time, or nobody waited.
struct UnderWay {
    counts: Counts,
    op: Op,
    begun: Instant,
    outcome: &'static str,
}

impl UnderWay {
    fn ended<T>(mut self, result: Result<T>) -> Result<T> {
        self.outcome = outcome(result.as_ref().err());
        result
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        let (store, op) = (("store", self.counts.store), ("op", self.op.name()));
        let metrics = &self.counts.metrics;
        metrics.requests.get_or_create(&[store, op, ("outcome", self.outcome)]).inc();
        metrics.duration.get_or_create(&[store, op]).observe(self.begun.elapsed().as_secs_f64());
    }
}

fn outcome(error: Option<&Error>) -> &'static str {
    match error {
        None => "ok",
        Some(Error::NotFound { .. }) => "not_found",
        Some(Error::PermissionDenied { .. } | Error::Unauthenticated { .. }) => "forbidden",
        Some(
            Error::AlreadyExists { .. } | Error::Precondition { .. } | Error::NotModified { .. },
        ) => "conflict",
        Some(_) => "error",
    }
}

impl fmt::Display for Metered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.store.fmt(f)
    }
}

/// Passes a stream on and ends the request with it.
fn counted<T: Send + 'static>(
    stream: BoxStream<'static, Result<T>>,
    under_way: UnderWay,
) -> BoxStream<'static, Result<T>> {
    let state = (stream, Some(under_way));
    futures_util::stream::unfold(state, |(mut stream, mut under_way)| async move {
        match stream.next().await {
            None => {
                if let Some(under_way) = under_way {
                    let _ended = under_way.ended(Ok(()));
                }
                None
            }
            Some(item) => {
                if item.is_err()
                    && let Some(mut under_way) = under_way.take()
                {
                    under_way.outcome = outcome(item.as_ref().err());
                }
                Some((item, (stream, under_way)))
            }
        }
    })
    // A listing may be asked again after its end.
    .fuse()
    .boxed()
}

#[async_trait]
impl ObjectStore for Metered {
    async fn put_opts(
        &self,
        location: &Path,
        payload: PutPayload,
        options: PutOptions,
    ) -> Result<PutResult> {
        let under_way = self.counts.begin(Op::Put);
        under_way.ended(self.store.put_opts(location, payload, options).await)
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        let under_way = self.counts.begin(Op::Put);
        under_way.ended(self.store.put_multipart_opts(location, options).await)
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        let op = if options.head { Op::Head } else { Op::Get };
        let under_way = self.counts.begin(op);
        match (op, self.store.get_opts(location, options).await) {
            (
                Op::Get,
                Ok(GetResult {
                    payload: GetResultPayload::Stream(stream),
                    meta,
                    range,
                    attributes,
                    extensions,
                }),
            ) => {
                // The request is over when its body is.
                let payload = GetResultPayload::Stream(counted(stream, under_way));
                Ok(GetResult { payload, meta, range, attributes, extensions })
            }
            (_, result) => under_way.ended(result),
        }
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        let under_way = self.counts.begin(Op::Get);
        under_way.ended(self.store.get_ranges(location, ranges).await)
    }

    fn delete_stream(
        &self,
        locations: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        // One answer for each object, whatever number of them goes into one request.
        let counts = self.counts.clone();
        let deleted = self.store.delete_stream(locations);
        deleted.map(move |item| counts.begin(Op::Delete).ended(item)).boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        counted(self.store.list(prefix), self.counts.begin(Op::List))
    }

    fn list_with_offset(
        &self,
        prefix: Option<&Path>,
        offset: &Path,
    ) -> BoxStream<'static, Result<ObjectMeta>> {
        counted(self.store.list_with_offset(prefix, offset), self.counts.begin(Op::List))
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        let under_way = self.counts.begin(Op::List);
        under_way.ended(self.store.list_with_delimiter(prefix).await)
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        let under_way = self.counts.begin(Op::Copy);
        under_way.ended(self.store.copy_opts(from, to, options).await)
    }

    async fn rename_opts(&self, from: &Path, to: &Path, options: RenameOptions) -> Result<()> {
        let under_way = self.counts.begin(Op::Copy);
        under_way.ended(self.store.rename_opts(from, to, options).await)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use object_store::ObjectStoreExt as _;
    use object_store::memory::InMemory;

    #[tokio::test]
    async fn every_request_is_counted_once_by_its_end() {
        let metrics = StoreMetrics::default();
        let store = metered(Arc::new(InMemory::new()), "variants", &metrics);
        let count = |op: Op, outcome| {
            let labels = [("store", "variants"), ("op", op.name()), ("outcome", outcome)];
            metrics.requests.get_or_create_owned(&labels).get()
        };
        let path = Path::from("a");
        assert!(store.get(&path).await.is_err());
        store.put(&path, "bytes".into()).await.unwrap();
        let read = store.get(&path).await.unwrap();
        assert_eq!(count(Op::Get, "ok"), 0, "its body is not read yet");
        assert_eq!(read.bytes().await.unwrap(), "bytes");
        drop(store.get(&path).await.unwrap());
        store.head(&path).await.unwrap();
        assert_eq!(store.list(None).count().await, 1);
        store.delete(&path).await.unwrap();
        for (op, outcome, times) in [
            (Op::Get, "not_found", 1),
            (Op::Put, "ok", 1),
            (Op::Get, "ok", 1),
            (Op::Get, "cancelled", 1),
            (Op::Head, "ok", 1),
            (Op::List, "ok", 1),
            (Op::Delete, "ok", 1),
        ] {
            assert_eq!(count(op, outcome), times, "{op:?} {outcome}");
        }
    }
}
