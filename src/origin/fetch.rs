//! Requests to a store: one HEAD, or one GET pinned to the version that is expected, within its
//! slot, its share of memory and its time. Runs inside flights. Never trusts an announced length.

use super::failure::{ReadFault, origin_error};
use super::freshness::Found;
use super::kept::{self, Held};
use super::origins::{Core, Origin};
use super::{MARK, OriginError, Original, SourceMeta};
use crate::flight::Abandoned;
use crate::model::key::{SourceId, SourceVersion};
use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::BoxStream;
use object_store::path::Path;
use object_store::{Attribute, Attributes, GetOptions, ObjectMeta};
use prometheus_client::metrics::gauge::Gauge;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{AcquireError, OwnedSemaphorePermit};
use tokio::time::{Instant, timeout_at};

/// What one fetch is to read.
#[derive(Debug)]
pub(super) struct Read {
    /// Of which original.
    pub(super) id: SourceId,
    /// As it was last seen.
    pub(super) expected: SourceMeta,
    /// How long it may wait for its slot and its memory.
    pub(super) queue: Duration,
}

/// Why a fetch ended without bytes.
#[derive(Debug, Clone)]
pub(super) enum FetchEnd {
    /// Nobody waited any more.
    Abandoned,
    /// It failed.
    Failed(OriginError),
}

impl Core {
    /// One HEAD, entered into the table of versions.
    pub(super) async fn head(&self, id: &SourceId) -> Result<Found, OriginError> {
        let origin = self.origin(&id.origin)?;
        let asked = Instant::now();
        let found = within(asked + origin.fetch_timeout, self.look_at(origin, id)).await;
        let found = match found {
            Err(OriginError::NotFound) => Found::Gone,
            Err(error) => {
                if error.is_of_the_origin() {
                    origin.trouble.failed(error.clone(), asked, Instant::now());
                }
                return Err(self.count(error));
            }
            Ok(found) => found,
        };
        self.fresh.learn(id, found.clone(), asked);
        origin.trouble.ends(Instant::now());
        Ok(found)
    }

    async fn look_at(&self, origin: &Origin, id: &SourceId) -> Result<Found, OriginError> {
        let patience = origin.fetch_timeout / 4;
        let queue = Instant::now() + patience;
        let permit = admitted(queue, Arc::clone(&origin.heads).acquire_owned()).await?;
        self.metrics.heads.inc();
        let options = GetOptions { head: true, ..GetOptions::default() };
        let answer =
            origin.store.get_opts(&path(id)?, options).await.map_err(|e| origin_error(&e))?;
        drop(permit);
        if let Some(meta) = described(&answer.meta) {
            return Ok(Found::Here { meta, ours: marked(&answer.attributes) });
        }
        // Nothing but the bytes themselves tells one version from the next.
        let read = Read { id: id.clone(), expected: undescribed(&answer.meta), queue: patience };
        let original = self.read(read).await?;
        Ok(Found::Here { meta: original.meta, ours: marked(&answer.attributes) })
    }

    /// One fetch, until nobody waits for it any more.
    pub(super) async fn fly(
        &self,
        read: Read,
        abandoned: &Abandoned,
    ) -> Result<Original, FetchEnd> {
        let patience = match self.origin(&read.id.origin) {
            Ok(origin) => origin.fetch_timeout,
            Err(error) => return Err(FetchEnd::Failed(error)),
        };
        let until = Instant::now() + patience;
        let outcome = tokio::select! {
            biased;
            () = abandoned.wait() => return Err(FetchEnd::Abandoned),
            outcome = within(until, self.read(read)) => outcome,
        };
        outcome.map_err(|error| FetchEnd::Failed(self.count(error)))
    }

    /// Takes a slot and memory, then reads; begins once again if the original changed meanwhile.
    async fn read(&self, read: Read) -> Result<Original, OriginError> {
        let Read { id, expected, queue } = read;
        let origin = self.origin(&id.origin)?;
        let until = Instant::now() + queue;
        // The origin's own slot first: waiting for it must not hold one that others could use.
        let _own = admitted(until, Arc::clone(&origin.slots).acquire_owned()).await?;
        let _slot = admitted(until, Arc::clone(&self.slots).acquire_owned()).await?;
        let _counted = InFlight::new(&self.metrics.in_flight);
        let epoch = self.kept.epoch();
        let share = self.share(expected.bytes);
        let mut memory = {
            let _waits = self.kept.make_room(self.lacking(share));
            admitted(until, Arc::clone(&self.memory).acquire_many_owned(share)).await?
        };

        let mut expected = expected;
        for attempt in 0..2 {
            let asked = Instant::now();
            match self.read_once(origin, &id, &expected, &mut memory).await {
                Ok((meta, body, ours)) => {
                    origin.trouble.ends(Instant::now());
                    let mut held = Held::new(body, memory);
                    if !ours {
                        held = self.kept.keep(&id, &meta, held, epoch);
                    }
                    return Ok(kept::original(meta, &held, ours));
                }
                Err(ReadFault::Failed(error)) => {
                    if error == OriginError::NotFound {
                        self.fresh.learn(&id, Found::Gone, asked);
                    }
                    return Err(error);
                }
                Err(ReadFault::Changed) if attempt == 0 => {
                    self.metrics.restarts.inc();
                    expected = match Box::pin(self.head(&id)).await? {
                        Found::Here { meta, .. } => meta,
                        Found::Gone => return Err(OriginError::NotFound),
                    };
                }
                Err(ReadFault::Changed) => break,
            }
        }
        Err(OriginError::Unavailable("the original changes faster than it can be read".to_owned()))
    }

    /// One GET. The bytes and what is told of them come from the same answer.
    async fn read_once(
        &self,
        origin: &Origin,
        id: &SourceId,
        expected: &SourceMeta,
        memory: &mut OwnedSemaphorePermit,
    ) -> Result<(SourceMeta, Bytes, bool), ReadFault> {
        let asked = Instant::now();
        self.metrics.gets.inc();
        // A weak tag never matches in If-Match.
        let if_match = expected.etag.clone().filter(|tag| !tag.starts_with("W/"));
        let answer = origin
            .store
            .get_opts(&path(id)?, GetOptions { if_match, ..GetOptions::default() })
            .await?;
        let (announced, limit) = (answer.meta.size, origin.max_source_bytes);
        if announced > limit {
            return Err(OriginError::TooLarge { bytes: announced, limit }.into());
        }
        if let Some(coding) = coding(&answer.attributes) {
            let text = format!("the original is stored with content encoding {coding:?}");
            return Err(OriginError::Unavailable(text).into());
        }
        self.grow(memory, announced)?;
        let (told, ours) = (answer.meta.clone(), marked(&answer.attributes));
        let body = collect(answer.into_stream(), announced, limit).await?;
        let meta = described(&told).unwrap_or_else(|| SourceMeta {
            version: SourceVersion::from_body(&body),
            ..undescribed(&told)
        });
        self.metrics.bytes.inc_by(announced);
        self.fresh.learn(id, Found::Here { meta: meta.clone(), ours }, asked);
        Ok((meta, body, ours))
    }

    /// Bytes in units of the memory share, never more than all of it.
    fn share(&self, bytes: u64) -> u32 {
        u32::try_from(bytes.div_ceil(1024)).unwrap_or(u32::MAX).clamp(1, self.memory_kib)
    }

    /// Bytes that are not free of so many KiB.
    fn lacking(&self, share: u32) -> u64 {
        (u64::from(share)).saturating_sub(self.memory.available_permits() as u64) * 1024
    }

    /// Takes what a body needs beyond what was reserved for it. Never waits: two that each hold a
    /// part would wait for each other.
    fn grow(&self, memory: &mut OwnedSemaphorePermit, bytes: u64) -> Result<(), OriginError> {
        let missing = (self.share(bytes) as usize).saturating_sub(memory.num_permits());
        let missing = u32::try_from(missing).unwrap_or(u32::MAX);
        if missing > 0 {
            let _waits = self.kept.make_room(self.lacking(missing));
            let more = Arc::clone(&self.memory).try_acquire_many_owned(missing);
            memory.merge(more.map_err(|_| OriginError::Busy)?);
        }
        Ok(())
    }
}

/// Ends a request to a store when its time is over.
async fn within<T>(
    until: Instant,
    work: impl Future<Output = Result<T, OriginError>>,
) -> Result<T, OriginError> {
    timeout_at(until, work).await.unwrap_or(Err(OriginError::TimedOut))
}

/// Waits for a permit, or sheds.
async fn admitted(
    until: Instant,
    permit: impl Future<Output = Result<OwnedSemaphorePermit, AcquireError>>,
) -> Result<OwnedSemaphorePermit, OriginError> {
    match timeout_at(until, permit).await {
        Ok(Ok(permit)) => Ok(permit),
        _ => Err(OriginError::Busy),
    }
}

fn path(id: &SourceId) -> Result<Path, OriginError> {
    let key = id.key.as_str();
    // A path that is not spelt as the key would be another object.
    Path::parse(key).ok().filter(|path| path.as_ref() == key).ok_or(OriginError::NotFound)
}

/// What a store tells of an object, if it tells its versions apart at all.
pub(super) fn described(meta: &ObjectMeta) -> Option<SourceMeta> {
    // object_store says 1970 for a store that names no time.
    let nanos = meta.last_modified.timestamp_nanos_opt().filter(|nanos| *nanos != 0);
    let version = match (&meta.e_tag, nanos) {
        (Some(etag), _) => SourceVersion::from_etag(etag),
        (None, Some(nanos)) => SourceVersion::from_mtime(nanos, meta.size),
        (None, None) => return None,
    };
    let modified = nanos.map(|_| meta.last_modified.timestamp());
    Some(SourceMeta { version, bytes: meta.size, etag: meta.e_tag.clone(), modified })
}

/// The description of an object whose version its bytes have yet to tell.
fn undescribed(meta: &ObjectMeta) -> SourceMeta {
    SourceMeta {
        version: SourceVersion::from_body(&[]),
        bytes: meta.size,
        etag: None,
        modified: None,
    }
}

fn marked(attributes: &Attributes) -> bool {
    attributes.get(&Attribute::Metadata(MARK.into())).is_some()
}

/// A content coding that would have to be undone. `aws-chunked` is how a body travelled.
fn coding(attributes: &Attributes) -> Option<&str> {
    let coding = attributes.get(&Attribute::ContentEncoding)?;
    let codings = coding.split(',').map(str::trim);
    codings.into_iter().find(|c| !matches!(*c, "" | "identity" | "aws-chunked"))
}

/// Reads a body of the announced length, no byte more: with one allocation, or none if it comes
/// in one piece.
async fn collect(
    mut stream: BoxStream<'static, object_store::Result<Bytes>>,
    announced: u64,
    limit: u64,
) -> Result<Bytes, ReadFault> {
    let unavailable = |text: String| ReadFault::Failed(OriginError::Unavailable(text));
    let mut body = Vec::new();
    let mut whole = None;
    let mut read: u64 = 0;
    while let Some(chunk) = stream.next().await {
        let chunk = chunk?;
        read = read.saturating_add(chunk.len() as u64);
        if read > limit {
            return Err(OriginError::TooLarge { bytes: read, limit }.into());
        }
        if read > announced {
            return Err(unavailable(format!("it announced {announced} bytes and sent more")));
        }
        if chunk.len() as u64 == announced {
            whole = Some(chunk);
            continue;
        }
        if body.capacity() == 0 {
            let room = usize::try_from(announced).unwrap_or(usize::MAX);
            body.try_reserve_exact(room).map_err(|_| ReadFault::Failed(OriginError::Busy))?;
        }
        body.extend_from_slice(&chunk);
    }
    if read != announced {
        return Err(unavailable(format!("its body ended after {read} of {announced} bytes")));
    }
    Ok(whole.unwrap_or_else(|| body.into()))
}

/// Counts a fetch for as long as it lives.
struct InFlight<'a>(&'a Gauge);

impl<'a> InFlight<'a> {
    fn new(gauge: &'a Gauge) -> Self {
        gauge.inc();
        Self(gauge)
    }
}

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.0.dec();
    }
}
