//! Floor 2: variants. Two tiers (memory, object store), write-back behind the reply, verified
//! reads: an entry that is torn, foreign or of another key is a miss, never an answer. Never
//! renders and never fails an image because the store is broken.

mod ahead;
mod area;
mod breaker;
mod delete;
mod entry;
#[cfg(test)]
mod fixture;
mod log;
mod mark;
mod memory;
mod metrics;
mod mirror;
mod objects;
mod purge;
mod purges;
mod record;
mod scope;
mod store;
mod sweep;
mod tags;
#[cfg(test)]
mod tests;
mod writeback;

pub use ahead::{Listed, StoreFault};
pub use delete::Swept;
pub use entry::{EntryError, decode, encode};
pub use metrics::VariantMetrics;
pub use purges::Since;
pub use record::{SourceInfo, SourceRecord};
pub use scope::Scope;
pub use sweep::{Believe, Count, Reason, Standing, Sweep, SweepError, Tally};
pub use tags::{tags, tags_of};
pub use writeback::Drained;

use crate::model::format::Format;
use crate::model::geometry::Size;
use crate::model::key::{SourceId, VariantKey};
use crate::model::transform::Transform;
use bytes::Bytes;
use log::Class;
use memory::Memory;
use object_store::ObjectStore;
use purges::Purges;
use std::sync::Arc;
use std::time::{Duration, Instant};
use store::{Outcome, Store};
use tokio::runtime::Handle;
use writeback::Queue;

/// A finished result with what its answer needs to say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Variant {
    /// The resulting type (it may differ from what was asked: `f=auto`).
    pub format: Format,
    /// The resulting size, for `X-Size`.
    pub size: Size,
    /// Frames of the original, for `X-Frames` where only the first is shown.
    pub source_frames: u32,
    /// The encoded picture.
    pub body: Bytes,
}

/// Where a variant lies in the store (DESIGN §3).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Placement {
    /// `v{epoch}/{origin}/{key}/~/{version}/{digest}`: a self-describing entry.
    Versioned,
    /// The request path itself, a bare image any file server can serve.
    Mirror {
        /// The object path, such as `300x200/photos/cat.jpg`.
        path: String,
    },
}

/// The store variants are kept in.
#[derive(Debug, Clone)]
pub struct VariantStore {
    /// Its client, with retries and timeouts of its own that fit the budgets here.
    pub objects: Arc<dyn ObjectStore>,
    /// Whether it keeps attributes with an object (buckets and memory do, files do not).
    pub has_metadata: bool,
}

/// When a variant is written to the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WriteBack {
    /// Behind the reply.
    Async,
    /// Before the reply: where the platform freezes the process after it, or a redirect needs
    /// the object to be there.
    Sync,
    /// Never: the store is only read.
    Off,
}

/// How the tiers behave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VariantSettings {
    /// Bytes of the memory tier; 0 = none.
    pub memory_bytes: u64,
    /// When variants are written.
    pub write_back: WriteBack,
    /// Bytes of bodies waiting to be written, at most.
    pub queue_bytes: u64,
    /// Variants waiting to be written, at most.
    pub queue_writes: usize,
    /// Writes that run at a time.
    pub writers: usize,
    /// What one read may cost a request that turns out to be a miss.
    pub store_timeout: Duration,
    /// What one write may take.
    pub write_timeout: Duration,
    /// Bytes of the largest body read from the store; larger is a miss.
    pub max_body_bytes: u64,
    /// `Cache-Control` of mirrored images.
    pub mirror_cache_control: Option<String>,
    /// Below which sizes images are mirrored, such as `300x200`; empty: none are.
    pub mirror_sizes: Vec<String>,
    /// Failures in a row that make the service leave the store alone, reads and writes apart.
    pub breaker_failures: u32,
    /// For how long, before one request tries again.
    pub breaker_cool_down: Duration,
}

/// What became of a variant that was to be kept. It is in the memory tier in every case.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kept {
    /// There is no store, or it is not to be written.
    InMemory,
    /// It will be written behind the reply.
    Queued,
    /// It lies in the store (only in [`WriteBack::Sync`]).
    Stored,
    /// An object that is not ours lies there (only in [`WriteBack::Sync`]).
    Refused,
    /// The store failed or is left alone for now (only in [`WriteBack::Sync`]).
    Failed,
    /// The queue was full or is closed.
    Dropped,
    /// A purge of it came since the work began: it is kept nowhere.
    Purged,
}

/// What a purge did in this process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Forgotten {
    /// The purge's own moment: what begins now is kept again.
    pub at: Since,
    /// Variants dropped from memory.
    pub memory: u64,
}

/// The tiers. Clones share them.
#[derive(Debug, Clone)]
pub struct Variants {
    memory: Memory,
    store: Option<Arc<Store>>,
    queue: Queue,
    write_back: WriteBack,
    purges: Purges,
    metrics: VariantMetrics,
}

impl Variants {
    /// The tiers over `store`, or memory alone. Writes run on `runtime`; reads run where they
    /// are awaited, which should be the same runtime, since connections to a store live there.
    #[must_use]
    pub fn new(
        settings: &VariantSettings,
        store: Option<VariantStore>,
        runtime: Handle,
        metrics: VariantMetrics,
    ) -> Self {
        let queue = Queue::new(
            runtime,
            settings.queue_writes,
            settings.queue_bytes,
            settings.writers,
            metrics.clone(),
        );
        let store = store.map(|store| Arc::new(Store::new(store, settings, metrics.clone())));
        let memory = Memory::new(settings.memory_bytes, metrics.evicted.clone());
        let purges = Purges::default();
        Self { memory, store, queue, write_back: settings.write_back, purges, metrics }
    }

    /// The moment at which work begins, to be asked for before anything is looked up: the result
    /// is kept unless a purge of it comes after. Costs one load.
    #[must_use]
    pub fn since(&self) -> Since {
        self.purges.since()
    }

    /// Whether a purge of it came after `since`.
    #[must_use]
    pub fn is_purged(&self, key: &VariantKey, since: Since) -> bool {
        self.purges.is_purged(key, since)
    }

    /// Differs for work begun before and after a purge of the variant, and is the same
    /// otherwise: those who differ must not share a flight.
    #[must_use]
    pub fn generation(&self, key: &VariantKey, since: Since) -> u64 {
        self.purges.generation(key, since)
    }

    /// The variant, if it is in memory. Never blocks, allocates nothing.
    #[must_use]
    pub fn memory(&self, key: &VariantKey) -> Option<Arc<Variant>> {
        let found = self.memory.get(key.digest());
        match found {
            Some(_) => self.metrics.memory_hits.inc(),
            None => self.metrics.memory_misses.inc(),
        };
        found
    }

    /// [`Variants::memory`] for whoever will look again where there is none: only a hit is counted.
    #[must_use]
    pub fn at_hand(&self, key: &VariantKey) -> Option<Arc<Variant>> {
        let found = self.memory.get(key.digest())?;
        self.metrics.memory_hits.inc();
        Some(found)
    }

    /// The variant, if the store has it whole and verified; then it is in memory too. Takes at
    /// most the store's read budget, whatever the store does, and ends at `deadline`.
    pub async fn stored(
        &self,
        key: &VariantKey,
        placement: &Placement,
        deadline: Instant,
        since: Since,
    ) -> Option<Arc<Variant>> {
        let variant = self.store.as_ref()?.read(key, placement, deadline).await?;
        Some(self.remember(key, Arc::new(variant), since))
    }

    /// For when the origin is down: the newest stored variant of `wish`, of whatever version of
    /// `source`, with the key it lies under (its version and ETag). Lists the source's area, so
    /// it may take four times the read budget.
    pub async fn newest(
        &self,
        source: &SourceId,
        wish: &Transform,
        placement: &Placement,
        deadline: Instant,
        since: Since,
    ) -> Option<(VariantKey, Arc<Variant>)> {
        let store = self.store.as_ref()?;
        let (key, variant) = store.newest(source, wish, placement, deadline).await?;
        let variant = self.remember(&key, Arc::new(variant), since);
        Some((key, variant))
    }

    /// Keeps a fresh variant in memory and, as the settings say, in the store, with the record
    /// of its original where that is given and not yet written by this process. Waits only in
    /// [`WriteBack::Sync`], and there at most for the write timeouts and the writes before it.
    /// What was purged after `since` is not kept.
    pub async fn keep(
        &self,
        key: &VariantKey,
        placement: Placement,
        variant: Arc<Variant>,
        record: Option<SourceRecord>,
        since: Since,
    ) -> Kept {
        if self.purges.is_purged(key, since) {
            return Kept::Purged;
        }
        let variant = self.remember(key, variant, since);
        let Some(store) = self.store.as_ref() else { return Kept::InMemory };
        if self.write_back == WriteBack::Off {
            return Kept::InMemory;
        }
        let (writer, written_key) = (Arc::clone(store), key.clone());
        let (purges, metrics) = (self.purges.clone(), self.metrics.clone());
        let bytes = variant.body.len() as u64;
        let told = self.queue.offer(bytes, async move {
            // A purge waits for whoever has leave, and nobody gets leave after it.
            let Some(_leave) = purges.begin_write(&written_key, since) else {
                metrics.write_purged.inc();
                return Outcome::Purged;
            };
            writer.write(&written_key, &placement, &variant, record).await
        });
        let Some(told) = told else {
            store.log.warn(Class::Overflow, &key.object_path(), &"dropped");
            return Kept::Dropped;
        };
        if self.write_back == WriteBack::Async {
            return Kept::Queued;
        }
        match told.await {
            Ok(Outcome::Stored) => Kept::Stored,
            Ok(Outcome::Refused) => Kept::Refused,
            Ok(Outcome::Failed) => Kept::Failed,
            Ok(Outcome::Purged) => Kept::Purged,
            // Given up at shutdown.
            Err(_) => Kept::Dropped,
        }
    }

    fn remember(&self, key: &VariantKey, variant: Arc<Variant>, since: Since) -> Arc<Variant> {
        self.memory.insert(key, Arc::clone(&variant));
        // A purge notes itself before it looks into memory: whoever of both is later sees the other.
        if self.purges.is_purged(key, since) {
            self.memory.remove(key.digest());
        }
        self.observe();
        variant
    }

    /// Drops what the scope covers from memory, and what is known of records in the store: whoever
    /// ordered the purge, in this process or another, deletes them. From here on nothing of it is kept whose making
    /// began before.
    #[must_use]
    pub fn forget(&self, scope: &Scope) -> Forgotten {
        let at = self.purges.note(scope, Instant::now());
        let memory = self.memory.purge(scope);
        if let Some(store) = &self.store {
            store.forget_records(scope);
        }
        self.observe();
        Forgotten { at, memory }
    }

    /// Waits, until `until` at most, for writes of the scope that had begun before it was
    /// forgotten; returns how many are still under way.
    pub async fn settle(&self, scope: &Scope, forgotten: Forgotten, until: Instant) -> usize {
        self.purges.settle(scope, forgotten.at, until).await
    }

    /// Whether variants are kept in a store.
    #[must_use]
    pub const fn has_store(&self) -> bool {
        self.store.is_some()
    }

    /// Deletes what the scope covers from the store, in every epoch: entries and records by
    /// names that are ours, mirrored images by our mark. `None` without a store. Lists the areas
    /// concerned, holds a few hundred names at a time.
    pub async fn purge_store(&self, scope: &Scope) -> Option<Swept> {
        Some(self.store.as_ref()?.purge(scope).await)
    }

    /// Brings the memory gauges up to date; call it when metrics are read.
    pub fn observe(&self) {
        let gauge = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
        self.metrics.memory_bytes.set(gauge(self.memory.bytes()));
        self.metrics.memory_entries.set(gauge(self.memory.entries()));
    }

    /// Accepts no more writes and waits for the accepted ones until `deadline`.
    pub async fn drain(&self, deadline: Instant) -> Drained {
        self.queue.drain(deadline).await
    }
}
