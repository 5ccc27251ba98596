//! The origins of the service: versions by a HEAD that is cached, shared and asked ahead; bytes
//! by a GET that is shared (`fetch`), or from memory (`kept`). Never renders.

use super::fetch::{FetchEnd, Read};
use super::freshness::{Found, Freshness, Look};
use super::kept::Kept;
use super::trouble::{Gate, Trouble};
use super::{OriginError, OriginMetrics, Original, SourceMeta, store::OpenStore};
use crate::flight::{Flights, Joined};
use crate::model::key::{OriginName, SourceId, SourceVersion};
use crate::model::units::ByteSize;
use object_store::ObjectStore;
use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout_at};

/// How long a version is believed without asking again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SourceTtl {
    /// For this long.
    For(Duration),
    /// For ever: only a new `v` or a purge asks again.
    Immutable,
}

/// One origin: its name and where its originals lie.
#[derive(Debug, Clone)]
pub struct OriginSpec {
    /// As it stands behind `@` in URLs.
    pub name: OriginName,
    /// Its store.
    pub store: OpenStore,
    /// What it has of its own.
    pub own: OwnBounds,
}

/// Bounds of one origin; absent ones are those of the [`FetchPolicy`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct OwnBounds {
    /// In place of [`FetchPolicy::source_ttl`].
    pub source_ttl: Option<SourceTtl>,
    /// In place of [`FetchPolicy::fetch_timeout`].
    pub fetch_timeout: Option<Duration>,
    /// In place of [`FetchPolicy::max_source_bytes`].
    pub max_source_bytes: Option<ByteSize>,
}

/// The bounds of fetching.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FetchPolicy {
    /// How long a version is believed.
    pub source_ttl: SourceTtl,
    /// How long a missing original is.
    pub negative_ttl: Duration,
    /// The most one HEAD, or one fetch with its queue, may take.
    pub fetch_timeout: Duration,
    /// The largest original.
    pub max_source_bytes: ByteSize,
    /// Originals read at the same time, at least 1; each origin gets at most half of them, at
    /// least 1.
    pub max_fetches: usize,
    /// Memory for originals, being read or read. One larger than all of it is read alone.
    pub source_memory: ByteSize,
    /// Part of it for originals that were read and may be asked for again; 0 keeps none.
    pub kept_sources: ByteSize,
}

/// A version as far as it is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Version {
    /// The original.
    pub meta: SourceMeta,
    /// The origin did not confirm it in time: it is what was last known.
    pub stale: bool,
    /// It carries [`super::MARK`]: a variant of ours, not an original.
    pub ours: bool,
}

/// An original that is known to lie there, as its store told of it within the TTL.
#[derive(Debug, Clone)]
pub struct Believed(Arc<Found>);

impl Believed {
    /// `None` where there is none, or a variant of ours in its place.
    fn of(found: Arc<Found>) -> Option<Self> {
        matches!(*found, Found::Here { ours: false, .. }).then_some(Self(found))
    }

    /// Its version.
    #[must_use]
    pub fn version(&self) -> Option<&SourceVersion> {
        match &*self.0 {
            Found::Here { meta, .. } => Some(&meta.version),
            Found::Gone => None,
        }
    }
}

/// Every origin. Cheap to clone.
#[derive(Clone)]
pub struct Origins {
    pub(super) core: Arc<Core>,
}

/// What flights share.
pub(super) struct Core {
    origins: HashMap<OriginName, Origin>,
    runtime: Handle,
    pub(super) fresh: Freshness,
    heads: Flights<Result<Found, OriginError>>,
    gets: Flights<Result<Original, FetchEnd>>,
    pub(super) slots: Arc<Semaphore>,
    /// Counts KiB.
    pub(super) memory: Arc<Semaphore>,
    pub(super) memory_kib: u32,
    pub(super) kept: Kept,
    pub(super) metrics: OriginMetrics,
}

/// One origin at work.
pub(super) struct Origin {
    pub(super) store: Arc<dyn ObjectStore>,
    source_ttl: SourceTtl,
    pub(super) fetch_timeout: Duration,
    pub(super) max_source_bytes: u64,
    /// Its part of the fetches.
    pub(super) slots: Arc<Semaphore>,
    /// HEADs are small, so there may be more of them; but a black hole must not collect them.
    pub(super) heads: Arc<Semaphore>,
    /// Whether it failed lately.
    pub(super) trouble: Trouble,
}

/// HEADs in flight for every fetch in flight.
const HEADS_PER_FETCH: usize = 4;

/// What a request that has nothing older waits for an origin that failed again and again.
const PROBE_PATIENCE: Duration = Duration::from_secs(1);

/// How often a fetch is joined anew that ended because everybody before had left.
const JOINS: usize = 3;

impl Origins {
    /// Builds them. `runtime` is where every request to a store runs. Of two specs with the same
    /// name the later one counts.
    #[must_use]
    pub fn new(specs: Vec<OriginSpec>, policy: FetchPolicy, runtime: Handle) -> Self {
        let total = policy.max_fetches.clamp(1, Semaphore::MAX_PERMITS / HEADS_PER_FETCH);
        let each = (total / 2).max(1);
        let origin = |spec: OriginSpec| {
            let (slots, heads) =
                (Arc::new(Semaphore::new(each)), Arc::new(Semaphore::new(each * HEADS_PER_FETCH)));
            let OwnBounds { source_ttl, fetch_timeout, max_source_bytes } = spec.own;
            let origin = Origin {
                store: spec.store.store,
                source_ttl: source_ttl.unwrap_or(policy.source_ttl),
                fetch_timeout: fetch_timeout.unwrap_or(policy.fetch_timeout),
                max_source_bytes: max_source_bytes.unwrap_or(policy.max_source_bytes).get(),
                slots,
                heads,
                trouble: Trouble::default(),
            };
            (spec.name, origin)
        };
        let memory_kib =
            u32::try_from(policy.source_memory.get() / 1024).unwrap_or(u32::MAX).max(1);
        let metrics = OriginMetrics::default();
        let core = Core {
            origins: specs.into_iter().map(origin).collect(),
            runtime,
            fresh: Freshness::new(policy.negative_ttl),
            heads: Flights::new(),
            gets: Flights::new(),
            slots: Arc::new(Semaphore::new(total)),
            memory: Arc::new(Semaphore::new(memory_kib as usize)),
            memory_kib,
            kept: Kept::new(policy.kept_sources.get(), metrics.clone()),
            metrics,
        };
        Self { core: Arc::new(core) }
    }

    /// Its counters.
    #[must_use]
    pub fn metrics(&self) -> &OriginMetrics {
        &self.core.metrics
    }

    /// Which version of an original lies there now, never older than the TTL unless it says
    /// `stale`. A `v` not seen before with this version asks the origin. Where an older version is
    /// known, at most half of the time left is spent on asking.
    ///
    /// # Errors
    /// [`OriginError::NotFound`] (remembered for the negative TTL) and every other but
    /// `TooLarge`; of a passing one only if no older version is known.
    pub async fn version(
        &self,
        id: &SourceId,
        v: Option<&str>,
        deadline: std::time::Instant,
    ) -> Result<Version, OriginError> {
        let core = &self.core;
        let origin = core.origin(&id.origin)?;
        let now = Instant::now();
        let (found, stale) = match core.fresh.look(id, origin.source_ttl, v, now) {
            Look::Fresh(found) => (found, false),
            Look::Ahead(found, flight) => {
                core.metrics.refreshes.inc();
                // Nobody waits for it: whoever comes after the expiry finds it done, or joins it.
                drop(core.join_head(id, &flight));
                (found, false)
            }
            Look::Ask(flight, older) => {
                let older = older.filter(|found| *found != Found::Gone);
                let deadline = Instant::from_std(deadline);
                let left = deadline.saturating_duration_since(now);
                let gate = origin.trouble.gate(older.is_some(), now);
                let until = match (&gate, &older) {
                    (Gate::Shut(_), _) => now,
                    // Nobody waits for the probe who has something to answer with.
                    (Gate::Probe(_), Some(_)) => {
                        drop(core.join_head(id, &flight));
                        now
                    }
                    (Gate::Probe(_), None) => now + left.min(PROBE_PATIENCE),
                    (Gate::Open, Some(_)) => now + left / 2,
                    (Gate::Open, None) => deadline,
                };
                let left_waiting = gate == Gate::Open;
                let asked = match gate {
                    Gate::Shut(last) => Err(core.count(last)),
                    Gate::Probe(last) if older.is_some() => Err(last),
                    Gate::Probe(_) | Gate::Open => core.ask(id, &flight, until).await,
                };
                match (asked, older) {
                    (Ok(found), _) => {
                        if let Some(v) = v {
                            core.fresh.saw(id, &found, v);
                        }
                        (found, false)
                    }
                    (Err(error), Some(older)) if error.is_passing() => {
                        if left_waiting && error == OriginError::TimedOut {
                            // Its HEAD may go on for long; the next ones need not.
                            origin.trouble.failed(error, now, Instant::now());
                        }
                        core.metrics.stale.inc();
                        (older, true)
                    }
                    (Err(error), _) => return Err(error),
                }
            }
        };
        found.version(stale)
    }

    /// The original as [`Origins::version`] would tell it at once, and nothing where that would have
    /// to ask or to fail: by the same rules of age and `v`, asking ahead where it would. Never waits;
    /// allocates nothing, but to ask ahead.
    #[must_use]
    pub fn believed(&self, id: &SourceId, v: Option<&str>) -> Option<Believed> {
        let core = &self.core;
        let origin = core.origins.get(&id.origin)?;
        let (found, ahead) = core.fresh.believed(id, origin.source_ttl, v, Instant::now())?;
        if let Some(flight) = ahead {
            core.metrics.refreshes.inc();
            drop(core.join_head(id, &flight));
        }
        Believed::of(found)
    }

    /// The bytes of an original, read once for all who ask at the same time or while they are kept.
    /// `meta` of the result is that of the bytes read, which may be newer than `expected`. The bytes
    /// count against the memory share until the last clone of `body` is dropped.
    ///
    /// # Errors
    /// Every [`OriginError`]; `Busy` if neither a slot nor memory came free within a quarter of
    /// the time left.
    pub async fn fetch(
        &self,
        id: &SourceId,
        expected: &SourceMeta,
        deadline: std::time::Instant,
    ) -> Result<Original, OriginError> {
        let core = &self.core;
        let origin = core.origin(&id.origin)?;
        let deadline = Instant::from_std(deadline);
        let limit = origin.max_source_bytes;
        if expected.bytes > limit {
            return Err(core.count(OriginError::TooLarge { bytes: expected.bytes, limit }));
        }
        if let Some(original) = core.kept.get(id, &expected.version) {
            return Ok(original);
        }
        if let Gate::Shut(last) = origin.trouble.gate(false, Instant::now()) {
            return Err(core.count(last));
        }
        let flight = format!("{}\n{id}", expected.version);
        for _ in 0..JOINS {
            let left = deadline.saturating_duration_since(Instant::now()).min(origin.fetch_timeout);
            let read = Read { id: id.clone(), expected: expected.clone(), queue: left / 4 };
            let own = Arc::clone(core);
            let joined = core.gets.join(&core.runtime, &flight, move |abandoned| async move {
                own.fly(read, &abandoned).await
            });
            match timeout_at(deadline, joined.wait()).await {
                Err(_) => return Err(core.count(OriginError::TimedOut)),
                Ok(Err(_)) => return Err(core.count(lost())),
                Ok(Ok(Ok(original))) => return Ok(original),
                Ok(Ok(Err(FetchEnd::Failed(error)))) => return Err(error),
                // We came just as the last of those before us had left.
                Ok(Ok(Err(FetchEnd::Abandoned))) => {}
            }
        }
        Err(core.count(OriginError::Busy))
    }

    /// Forgets what is known of an original, and its bytes: the next request asks the origin.
    /// Returns how many originals were dropped from memory, of which there may be several versions.
    #[expect(clippy::must_use_candidate, reason = "the number is for receipts alone")]
    pub fn forget(&self, id: &SourceId) -> u64 {
        self.core.fresh.forget(id, Instant::now());
        self.core.kept.forget(|kept| kept == id)
    }

    /// [`Origins::forget`] for every original that `matches`.
    pub fn forget_matching(&self, matches: impl Fn(&SourceId) -> bool) -> u64 {
        self.core.fresh.forget_matching(&matches, Instant::now());
        self.core.kept.forget(matches)
    }

    /// The names of the origins, in no order.
    pub fn names(&self) -> impl Iterator<Item = &OriginName> {
        self.core.origins.keys()
    }
}

impl fmt::Debug for Origins {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.core.origins.keys().map(OriginName::as_str).collect();
        f.debug_struct("Origins").field("names", &names).finish_non_exhaustive()
    }
}

impl Found {
    fn version(self, stale: bool) -> Result<Version, OriginError> {
        match self {
            Self::Here { meta, ours } => Ok(Version { meta, stale, ours }),
            Self::Gone => Err(OriginError::NotFound),
        }
    }
}

/// The flight ended without an answer.
fn lost() -> OriginError {
    OriginError::Unavailable("the request ended without an answer".to_owned())
}

impl Core {
    pub(super) fn origin(&self, name: &OriginName) -> Result<&Origin, OriginError> {
        self.origins.get(name).ok_or_else(|| OriginError::UnknownOrigin(name.to_string()))
    }

    /// Counts an error on its way out.
    pub(super) fn count(&self, error: OriginError) -> OriginError {
        self.metrics.failed(&error);
        error
    }

    fn join_head(
        self: &Arc<Self>,
        id: &SourceId,
        flight: &str,
    ) -> Joined<Result<Found, OriginError>> {
        let (own, id) = (Arc::clone(self), id.clone());
        // A HEAD is finished even if nobody waits any more: the next request is glad of it.
        self.heads.join(&self.runtime, flight, move |abandoned| {
            abandoned.commit();
            async move { own.head(&id).await }
        })
    }

    /// Asks the origin and waits until then.
    async fn ask(
        self: &Arc<Self>,
        id: &SourceId,
        flight: &str,
        until: Instant,
    ) -> Result<Found, OriginError> {
        match timeout_at(until, self.join_head(id, flight).wait()).await {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(_)) => Err(self.count(lost())),
            Err(_) => Err(self.count(OriginError::TimedOut)),
        }
    }
}
