//! The walk of a request (DESIGN §1), in order: version, key, 304, memory, flight, store, render,
//! keep. Knows no HTTP: what comes in is a parsed request, what goes out a variant or a failure.

use super::failure::{ErrorCode, Failure};
use super::render::{Render, Timings, render};
use crate::cpu::Cpu;
use crate::flight::{Abandoned, Flights, Role};
use crate::model::key::{SourceId, VariantKey};
use crate::model::limits::Limits;
use crate::model::source::Header;
use crate::model::stage::Stage;
use crate::model::transform::Transform;
use crate::origin::{OriginError, Original, Origins, SourceMeta, Version};
use crate::telemetry::metrics::{Outcome, RenderMetrics};
use crate::variants::{Drained, Kept, Placement, SourceRecord, Variant, Variants};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

/// What one request asks of the service.
#[derive(Debug, Clone)]
pub struct Ask {
    /// Which original.
    pub source: SourceId,
    /// The version label of the URL; a new one forces a look at the origin.
    pub v: Option<String>,
    /// The canonical wish.
    pub wish: Arc<Transform>,
    /// Where the variant lies in the store.
    pub placement: Placement,
    /// When the answer must be there.
    pub deadline: Instant,
}

/// How an answer came about, for `X-Cache`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum CacheStatus {
    /// From this process's memory.
    Memory,
    /// Made for somebody else who asked at the same time.
    Joined,
    /// Read from the variant store.
    Store,
    /// Rendered for this request.
    Rendered,
    /// An older version, because the origin is down.
    Stale,
}

impl CacheStatus {
    /// The word on the wire.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Joined => "joined",
            Self::Store => "store",
            Self::Rendered => "rendered",
            Self::Stale => "stale",
        }
    }
}

/// A picture to answer with, or the news that the client has it.
#[derive(Debug, Clone)]
pub struct Answer {
    /// Its identity, and so its ETag.
    pub key: VariantKey,
    /// The picture; none: the client's copy is good (304).
    pub made: Option<Made>,
    /// Whether the origin could not confirm that this is the newest version.
    pub stale: bool,
}

/// A variant and how it came about.
#[derive(Debug, Clone)]
pub struct Made {
    /// The picture.
    pub variant: Arc<Variant>,
    /// Where it came from.
    pub cache: CacheStatus,
    /// Where the time went.
    pub timings: Timings,
    /// The original's header and length, where it was read.
    pub source: Option<(Header, u64)>,
    /// Whether the store is known to hold it (for `ON_MISS=redirect`).
    pub stored: bool,
}

/// What a flight ends in: the key may differ from the one asked for, where the original changed
/// between HEAD and GET.
type Flown = Result<(VariantKey, Made), Failure>;

/// What a look for a stale variant may take when the request's own time is up.
const STALE_LOOKUP: Duration = Duration::from_millis(1_500);

/// What an origin has less than the request it is asked for.
const ORIGIN_MARGIN: Duration = Duration::from_millis(100);

/// The parts of the house, put together once by `compose`.
#[derive(Debug)]
pub struct Service {
    pub(super) runtime: tokio::runtime::Handle,
    pub(super) origins: Origins,
    pub(super) variants: Variants,
    pub(super) cpu: Cpu,
    pub(super) limits: Limits,
    pub(super) metrics: RenderMetrics,
    pub(super) flights: Flights<Flown>,
    /// Which digest lies at which mirrored path, for a short while: then it is looked at again.
    pub(super) mirrored: moka::sync::Cache<String, String>,
    /// Faults of originals, by key digest, for a short while.
    pub(super) faults: moka::sync::Cache<String, Failure>,
}

/// When an origin must have answered for its own slowness to be told from ours.
fn before(deadline: Instant) -> Instant {
    deadline.checked_sub(ORIGIN_MARGIN).unwrap_or(deadline)
}

impl Service {
    /// Answers one request. `is_known` tells whether the client already has an ETag.
    ///
    /// # Errors
    /// [`Failure`].
    pub async fn answer(
        self: &Arc<Self>,
        ask: Ask,
        is_known: impl Fn(&str) -> bool,
    ) -> Result<Answer, Failure> {
        let started = Instant::now();
        let version = match self.version(&ask).await {
            Ok(version) => version,
            Err(failure) => return self.stale(ask, failure).await,
        };
        let Version { meta, stale, .. } = version;
        let key = VariantKey::new(ask.source.clone(), meta.version.clone(), &ask.wish);
        if let Some(fault) = self.faults.get(key.digest()) {
            return Err(fault);
        }
        if is_known(&key.etag()) {
            return Ok(Answer { key, made: None, stale });
        }
        if self.is_in_place(&ask.placement, &key)
            && let Some(variant) = self.variants.memory(&key)
        {
            let timings = vec![(Stage::Lookup, started.elapsed())];
            let made = Made {
                variant,
                cache: if stale { CacheStatus::Stale } else { CacheStatus::Memory },
                timings,
                source: None,
                stored: false,
            };
            return Ok(Answer { key, made: Some(made), stale });
        }
        let deadline = ask.deadline;
        let flight = match &ask.placement {
            Placement::Versioned => key.digest().to_owned(),
            // The same picture under another path is another object to be written.
            Placement::Mirror { path } => format!("{} {path}", key.digest()),
        };
        let joined = self.flights.join(&self.runtime, &flight, |abandoned| {
            let (service, key) = (Arc::clone(self), key.clone());
            async move { service.make(ask, key, meta, abandoned).await }
        });
        let followed = joined.role == Role::Followed;
        let flown = match tokio::time::timeout_at(deadline.into(), joined.wait()).await {
            Ok(Ok(flown)) => flown,
            Ok(Err(lost)) => Err(Failure::internal(lost.to_string())),
            Err(_elapsed) => Err(Failure::deadline()),
        };
        let (key, mut made) = flown?;
        if stale {
            made.cache = CacheStatus::Stale;
        } else if followed {
            made.cache = CacheStatus::Joined;
        }
        Ok(Answer { key, made: Some(made), stale })
    }

    /// Whether the picture is where whoever sent the request will look for it next. A mirrored
    /// picture is asked of us because the bucket did not have it: memory must not hide that.
    fn is_in_place(&self, placement: &Placement, key: &VariantKey) -> bool {
        match placement {
            Placement::Versioned => true,
            Placement::Mirror { path } => {
                self.mirrored.get(path).is_some_and(|digest| digest == key.digest())
            }
        }
    }

    fn note_place(&self, placement: &Placement, key: &VariantKey) {
        if let Placement::Mirror { path } = placement {
            self.mirrored.insert(path.clone(), key.digest().to_owned());
        }
    }

    /// Which version of the original lies there. What carries our own mark is a variant, never
    /// an original: originals and variants may share a bucket.
    async fn version(&self, ask: &Ask) -> Result<Version, Failure> {
        let patience = before(ask.deadline);
        let version = self.origins.version(&ask.source, ask.v.as_deref(), patience).await?;
        if version.ours {
            return Err(OriginError::NotFound.into());
        }
        Ok(version)
    }

    /// The origin cannot be asked: the newest stored variant of the same wish is better than an
    /// error, unless the origin's answer was that the original is gone.
    async fn stale(self: &Arc<Self>, ask: Ask, failure: Failure) -> Result<Answer, Failure> {
        if !matches!(failure.code, ErrorCode::OriginFailed | ErrorCode::OriginTimeout) {
            return Err(failure);
        }
        // The time the origin took is gone: a stored picture late beats an error in time.
        let deadline = ask.deadline.max(Instant::now() + STALE_LOOKUP);
        let service = Arc::clone(self);
        // Connections to the store live on the runtime of the flights.
        let looked = self.runtime.spawn(async move {
            service.variants.newest(&ask.source, &ask.wish, &ask.placement, deadline).await
        });
        let Ok(Some((key, variant))) = looked.await else { return Err(failure) };
        let made = Made {
            variant,
            cache: CacheStatus::Stale,
            timings: Timings::new(),
            source: None,
            stored: true,
        };
        Ok(Answer { key, made: Some(made), stale: true })
    }

    /// The flight of one variant: from the store, or rendered and kept.
    async fn make(
        self: Arc<Self>,
        ask: Ask,
        key: VariantKey,
        expected: SourceMeta,
        abandoned: Abandoned,
    ) -> Flown {
        let looked = Instant::now();
        if let Some(variant) = self.variants.stored(&key, &ask.placement, ask.deadline).await {
            self.note_place(&ask.placement, &key);
            let timings = vec![(Stage::Lookup, looked.elapsed())];
            let made =
                Made { variant, cache: CacheStatus::Store, timings, source: None, stored: true };
            return Ok((key, made));
        }
        if matches!(ask.placement, Placement::Mirror { .. })
            && let Some(variant) = self.variants.memory(&key)
        {
            return Ok(self.put_in_place(ask, key, variant).await);
        }
        let lookup = looked.elapsed();
        let result = self.make_from_original(&ask, &key, &expected, lookup, &abandoned).await;
        if let Err(failure) = &result
            && failure.is_of_the_source()
        {
            self.faults.insert(key.digest().to_owned(), failure.clone());
        }
        result
    }

    /// A picture that is in memory but not where the bucket would serve it from.
    async fn put_in_place(
        &self,
        ask: Ask,
        key: VariantKey,
        variant: Arc<Variant>,
    ) -> (VariantKey, Made) {
        let storing = Instant::now();
        let placement = ask.placement.clone();
        let kept = self.variants.keep(&key, placement, Arc::clone(&variant), None).await;
        self.note_place(&ask.placement, &key);
        let timings = vec![(Stage::Store, storing.elapsed())];
        let stored = kept == Kept::Stored;
        let made = Made { variant, cache: CacheStatus::Memory, timings, source: None, stored };
        (key, made)
    }

    async fn make_from_original(
        &self,
        ask: &Ask,
        key: &VariantKey,
        expected: &SourceMeta,
        lookup: Duration,
        abandoned: &Abandoned,
    ) -> Flown {
        let fetching = Instant::now();
        let Original { meta, body } =
            self.origins.fetch(&ask.source, expected, before(ask.deadline)).await?;
        let mut timings = vec![(Stage::Lookup, lookup), (Stage::Fetch, fetching.elapsed())];
        // What is stored is of the bytes read, whatever the HEAD had said.
        let key = if meta.version == key.version {
            key.clone()
        } else {
            VariantKey::new(ask.source.clone(), meta.version.clone(), &ask.wish)
        };
        let rendered =
            render(&self.cpu, self.limits, body, &ask.wish, ask.deadline, || abandoned.commit())
                .await;
        self.count(&rendered, &timings);
        let Render { variant, header, timings: rendering } = rendered?;
        timings.extend(rendering);
        let variant = Arc::new(variant);
        let storing = Instant::now();
        let record = SourceRecord::new(&ask.source, &meta, &header, SystemTime::now());
        let placement = ask.placement.clone();
        let kept = self.variants.keep(&key, placement, Arc::clone(&variant), Some(record)).await;
        self.note_place(&ask.placement, &key);
        if kept == Kept::Stored {
            timings.push((Stage::Store, storing.elapsed()));
        }
        let made = Made {
            variant,
            cache: CacheStatus::Rendered,
            timings,
            source: Some((header, meta.bytes)),
            stored: kept == Kept::Stored,
        };
        Ok((key, made))
    }

    /// Counts one render and its stages, once, however many wait for it.
    fn count(&self, rendered: &Result<Render, Failure>, before: &Timings) {
        let (format, outcome) = match rendered {
            Ok(render) => (Some(render.variant.format), Outcome::Ok),
            Err(failure) => (None, failure.code.outcome()),
        };
        self.metrics.ended(format, outcome);
        let rendering = rendered.iter().flat_map(|render| &render.timings);
        for (stage, time) in before.iter().chain(rendering) {
            self.metrics.observe(*stage, *time);
        }
    }

    /// Brings gauges up to date that nobody keeps.
    pub fn refresh_gauges(&self) {
        self.variants.observe();
    }

    /// Waits for flights whose callers have gone, then for accepted writes; at most for `grace`.
    pub async fn drain(&self, grace: Duration) -> Drained {
        let deadline = Instant::now() + grace;
        while !self.flights.is_empty() && Instant::now() < deadline {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        self.variants.drain(deadline).await
    }
}
