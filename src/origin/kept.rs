//! Originals kept as they were read, for the next variant of them: by version, so that nothing
//! older than what a HEAD told is ever given. They lie in the memory for originals and are given
//! up the moment another one needs it. Never asks a store.

use super::{OriginMetrics, Original, SourceMeta};
use crate::model::key::{SourceId, SourceVersion};
use crate::model::lru::Lru;
use bytes::Bytes;
use prometheus_client::metrics::counter::Counter;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::OwnedSemaphorePermit;

/// Bytes up to which a body may be a small part of the buffer it was received in.
const RECEIVED_TOGETHER: usize = 512 << 10;

/// Bytes of an original with the memory reserved for them.
#[derive(Debug)]
pub(super) struct Held {
    body: Bytes,
    memory: OwnedSemaphorePermit,
}

impl Held {
    pub(super) fn new(body: Bytes, memory: OwnedSemaphorePermit) -> Arc<Self> {
        Arc::new(Self { body, memory })
    }

    /// Reserved for it.
    fn bytes(&self) -> u64 {
        self.memory.num_permits() as u64 * 1024
    }
}

/// What bodies are made from: the memory comes back with the last of them.
#[derive(Debug)]
struct Reader(Arc<Held>);

impl AsRef<[u8]> for Reader {
    fn as_ref(&self) -> &[u8] {
        &self.0.body
    }
}

/// The original whose bytes these are.
pub(super) fn original(meta: SourceMeta, held: &Arc<Held>, ours: bool) -> Original {
    Original { meta, body: Bytes::from_owner(Reader(Arc::clone(held))), ours }
}

/// A purge or a `forget` came by so many times: what was read before is not kept after.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Epoch(u64);

/// The originals.
#[derive(Debug)]
pub(super) struct Kept {
    state: Mutex<State>,
    capacity: u64,
    /// Reads that wait for memory.
    waiting: AtomicUsize,
    metrics: OriginMetrics,
}

#[derive(Debug, Default)]
struct State {
    originals: Lru<(SourceId, SourceVersion), (SourceMeta, Arc<Held>)>,
    forgotten: u64,
}

impl Kept {
    /// At most `capacity` bytes; 0 keeps nothing.
    pub(super) fn new(capacity: u64, metrics: OriginMetrics) -> Self {
        Self { state: Mutex::default(), capacity, waiting: AtomicUsize::new(0), metrics }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The original in this version.
    pub(super) fn get(&self, id: &SourceId, version: &SourceVersion) -> Option<Original> {
        if self.capacity == 0 {
            return None;
        }
        let mut state = self.lock();
        let found = state.originals.get(&(id.clone(), version.clone())).cloned();
        drop(state);
        let (meta, held) = found?;
        self.metrics.kept_hits.inc();
        Some(original(meta, &held, false))
    }

    /// Now; to be had before a read begins.
    pub(super) fn epoch(&self) -> Epoch {
        Epoch(self.lock().forgotten)
    }

    /// Keeps what was read, unless something was forgotten since `epoch` or a read waits for
    /// memory. A small body is copied out of the buffer it was received in.
    pub(super) fn keep(
        &self,
        id: &SourceId,
        meta: &SourceMeta,
        held: Arc<Held>,
        epoch: Epoch,
    ) -> Arc<Held> {
        self.metrics.kept_misses.inc();
        if held.bytes() > self.capacity {
            return held;
        }
        let held = match Arc::try_unwrap(held) {
            Ok(Held { body, memory }) if body.len() <= RECEIVED_TOGETHER => {
                Held::new(Bytes::copy_from_slice(&body), memory)
            }
            Ok(held) => Arc::new(held),
            Err(shared) => shared,
        };
        let mut state = self.lock();
        if state.forgotten != epoch.0 {
            return held;
        }
        let key = (id.clone(), meta.version.clone());
        let kept = (meta.clone(), Arc::clone(&held));
        let replaced = state.originals.insert(key, kept, held.bytes());
        let gone = state.originals.evict(|bytes| bytes > self.capacity, |_, _| true);
        self.told(&state, &self.metrics.kept_evicted_size, gone.len());
        drop(state);
        drop((replaced, gone));
        // Who waits has looked before this was there to be given up.
        if self.waiting.load(Ordering::SeqCst) > 0 {
            self.give_up(u64::MAX);
        }
        held
    }

    /// Says, for as long as the result lives, that a read waits for memory, and gives up what it
    /// lacks: what nobody reads first, then the rest, whose memory comes back when it is read.
    pub(super) fn make_room(&self, lacking: u64) -> Waits<'_> {
        self.waiting.fetch_add(1, Ordering::SeqCst);
        if lacking > 0 {
            self.give_up(lacking);
        }
        Waits(self)
    }

    fn give_up(&self, bytes: u64) {
        let mut state = self.lock();
        let left = |state: &State, missing: u64| state.originals.bytes().saturating_sub(missing);
        let idle = |held: &Arc<Held>| Arc::strong_count(held) == 1;
        let target = left(&state, bytes);
        let mut gone = state.originals.evict(|bytes| bytes > target, |_, (_, held)| idle(held));
        let freed: u64 = gone.iter().map(|(_, held)| held.bytes()).sum();
        let target = left(&state, bytes.saturating_sub(freed));
        gone.extend(state.originals.evict(|bytes| bytes > target, |_, _| true));
        self.told(&state, &self.metrics.kept_evicted_memory, gone.len());
        drop(state);
    }

    /// Drops those that `matches`; returns how many.
    pub(super) fn forget(&self, matches: impl Fn(&SourceId) -> bool) -> u64 {
        let mut state = self.lock();
        state.forgotten += 1;
        let gone = state.originals.evict(|_| true, |(id, _), _| matches(id));
        self.told(&state, &self.metrics.kept_evicted_purge, gone.len());
        drop(state);
        gone.len() as u64
    }

    fn told(&self, state: &State, counter: &Counter, gone: usize) {
        counter.inc_by(gone as u64);
        let gauge = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
        self.metrics.kept_entries.set(gauge(state.originals.len() as u64));
        self.metrics.kept_bytes.set(gauge(state.originals.bytes()));
    }
}

/// A read that waits for memory.
#[derive(Debug)]
pub(super) struct Waits<'a>(&'a Kept);

impl Drop for Waits<'_> {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::SeqCst);
    }
}
