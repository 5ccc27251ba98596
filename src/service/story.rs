//! The walk of a request (DESIGN §1), in order: version, key, 304, memory, flight, store, render,
//! keep. Knows no HTTP: what comes in is a parsed request, what goes out a variant or a failure.

use super::answer::{Answer, Ask, CacheStatus, Made};
use super::failure::{ErrorCode, Failure};
use super::info::Infos;
use super::purge::Purging;
use super::recent::Recent;
use super::render::{Order, Render, Timings, render};
use crate::cpu::Cpu;
use crate::decoded::Pictures;
use crate::flight::{Abandoned, Flights, Role};
use crate::model::key::{OriginName, SourceId, VariantKey};
use crate::model::limits::Limits;
use crate::model::stage::Stage;
use crate::origin::{OriginError, Original, Origins, SourceMeta, Version};
use crate::telemetry::metrics::{Outcome, RenderMetrics};
use crate::telemetry::trace::TraceId;
use crate::variants::{Kept, Placement, Since, SourceInfo, SourceRecord, Variant, Variants};
use bytes::Bytes;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

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
    /// Decoded pictures that renders share.
    pub(super) pictures: Pictures,
    pub(super) limits: Limits,
    /// Limits of origins that have some of their own.
    pub(super) own_limits: HashMap<OriginName, Limits>,
    pub(super) metrics: RenderMetrics,
    /// The flights, each about its variant.
    pub(super) flights: Flights<Flown, VariantKey>,
    /// Which digest lies at which mirrored path, for a short while: then it is looked at again.
    pub(super) mirrored: moka::sync::Cache<String, String>,
    /// Faults of originals, by key digest, for a short while.
    pub(super) faults: moka::sync::Cache<String, Fault>,
    /// Documents about originals.
    pub(super) infos: Infos,
    /// Originals whose events were done lately.
    pub(super) recent: Recent,
    /// How purges are done.
    pub(super) purging: Purging,
}

/// What is wrong with an original.
#[derive(Debug, Clone)]
pub(super) struct Fault {
    /// Which original.
    pub(super) source: SourceId,
    pub(super) failure: Failure,
}

/// When an origin must have answered for its own slowness to be told from ours.
pub(super) fn before(deadline: Instant) -> Instant {
    deadline.checked_sub(ORIGIN_MARGIN).unwrap_or(deadline)
}

/// The trace that the times of this request may point to.
fn recorded(ask: &Ask) -> Option<TraceId> {
    ask.trace.filter(|trace| trace.sampled).map(|trace| trace.trace)
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
        // Before anything is looked up: what a purge covers that comes after is not kept.
        let since = self.variants.since();
        let version = match self.original(&ask.source, ask.v.as_deref(), ask.deadline).await {
            Ok(version) => version,
            Err(failure) => return self.stale(ask, failure, since).await,
        };
        let asked = started.elapsed();
        let Version { meta, stale, .. } = version;
        let key = VariantKey::new(ask.source.clone(), meta.version.clone(), &ask.wish);
        if let Some(fault) = self.faults.get(key.digest()) {
            return Err(fault.failure);
        }
        if is_known(&key.etag()) {
            return Ok(Answer { key, made: None, stale });
        }
        if self.is_in_place(&ask.placement, &key)
            && let Some(variant) = self.variants.memory(&key)
        {
            let lookup = started.elapsed().saturating_sub(asked);
            let timings = vec![(Stage::Version, asked), (Stage::Lookup, lookup)];
            let made = Made {
                variant,
                cache: if stale { CacheStatus::Stale } else { CacheStatus::Memory },
                timings,
                source: None,
                stored: false,
                leader: None,
            };
            return Ok(Answer { key, made: Some(made), stale });
        }
        let deadline = ask.deadline;
        // What began before a purge is not for those who come after it.
        let generation = self.variants.generation(&key, since);
        let flight = match &ask.placement {
            Placement::Versioned => format!("{generation} {}", key.digest()),
            // The same picture under another path is another object to be written.
            Placement::Mirror { path } => format!("{generation} {} {path}", key.digest()),
        };
        let again = ask.clone();
        let joined = self.flights.join_about(&self.runtime, &flight, key.clone(), |abandoned| {
            let service = Arc::clone(self);
            async move { service.make(ask, key, meta, since, abandoned).await }
        });
        let followed = joined.role == Role::Followed;
        let flown = match tokio::time::timeout_at(deadline.into(), joined.wait()).await {
            Ok(Ok(flown)) => flown,
            Ok(Err(lost)) => Err(Failure::internal(lost.to_string())),
            Err(_elapsed) => Err(Failure::deadline()),
        };
        let (key, mut made) = match flown {
            Ok(flown) => flown,
            // Of its newest version there is nothing; what was made of an older one may do.
            Err(failure) => return self.stale(again, failure, since).await,
        };
        // The rest of the times is the flight's.
        made.timings.insert(0, (Stage::Version, asked));
        if stale {
            made.cache = CacheStatus::Stale;
        } else if followed {
            made.cache = CacheStatus::Joined;
        }
        Ok(Answer { key, made: Some(made), stale })
    }

    /// What an original of this origin may cost.
    #[must_use]
    pub fn limits_of(&self, source: &SourceId) -> Limits {
        self.own_limits.get(&source.origin).copied().unwrap_or(self.limits)
    }

    /// Whether the picture is where whoever sent the request will look for it next. A mirrored
    /// picture is asked of us because the bucket did not have it: memory must not hide that.
    pub(super) fn is_in_place(&self, placement: &Placement, key: &VariantKey) -> bool {
        match placement {
            Placement::Versioned => true,
            Placement::Mirror { path } => {
                self.mirrored.get(path).is_some_and(|digest| digest == key.digest())
            }
        }
    }

    pub(super) fn note_place(&self, placement: &Placement, key: &VariantKey, since: Since) {
        if let Placement::Mirror { path } = placement {
            self.mirrored.insert(path.clone(), key.digest().to_owned());
            if self.variants.is_purged(key, since) {
                self.mirrored.invalidate(path);
            }
        }
    }

    /// Which version of the original lies there. What carries our own mark is a variant, never
    /// an original: originals and variants may share a bucket.
    pub(super) async fn original(
        &self,
        source: &SourceId,
        v: Option<&str>,
        deadline: Instant,
    ) -> Result<Version, Failure> {
        let version = self.origins.version(source, v, before(deadline)).await?;
        if version.ours {
            return Err(OriginError::NotFound.into());
        }
        Ok(version)
    }

    /// The origin cannot be asked: the newest stored variant of the same wish is better than an
    /// error, unless the origin's answer was that the original is gone.
    async fn stale(
        self: &Arc<Self>,
        ask: Ask,
        failure: Failure,
        since: Since,
    ) -> Result<Answer, Failure> {
        if !matches!(failure.code, ErrorCode::OriginFailed | ErrorCode::OriginTimeout) {
            return Err(failure);
        }
        // The time the origin took is gone: a stored picture late beats an error in time.
        let deadline = ask.deadline.max(Instant::now() + STALE_LOOKUP);
        let service = Arc::clone(self);
        // Connections to the store live on the runtime of the flights.
        let looked = self.runtime.spawn(async move {
            service.variants.newest(&ask.source, &ask.wish, &ask.placement, deadline, since).await
        });
        let Ok(Some((key, variant))) = looked.await else { return Err(failure) };
        let made = Made {
            variant,
            cache: CacheStatus::Stale,
            timings: Timings::new(),
            source: None,
            stored: true,
            leader: None,
        };
        Ok(Answer { key, made: Some(made), stale: true })
    }

    /// The flight of one variant: from the store, or rendered and kept.
    async fn make(
        self: Arc<Self>,
        ask: Ask,
        key: VariantKey,
        expected: SourceMeta,
        since: Since,
        abandoned: Abandoned,
    ) -> Flown {
        let looked = Instant::now();
        let stored = self.variants.stored(&key, &ask.placement, ask.deadline, since).await;
        if let Some(variant) = stored {
            self.note_place(&ask.placement, &key, since);
            let lookup = looked.elapsed();
            self.metrics.observe(Stage::Lookup, lookup, recorded(&ask));
            let made = Made {
                variant,
                cache: CacheStatus::Store,
                timings: vec![(Stage::Lookup, lookup)],
                source: None,
                stored: true,
                leader: ask.trace,
            };
            return Ok((key, made));
        }
        if matches!(ask.placement, Placement::Mirror { .. })
            && let Some(variant) = self.variants.memory(&key)
        {
            return Ok(self.put_in_place(ask, key, variant, since).await);
        }
        let lookup = looked.elapsed();
        let result =
            self.make_from_original(&ask, &key, &expected, lookup, since, &abandoned).await;
        if let Err(failure) = &result {
            self.note_fault(&key, failure, since);
        }
        result
    }

    /// Remembers for a short while what is wrong with an original, if it is that which is wrong.
    pub(super) fn note_fault(&self, key: &VariantKey, failure: &Failure, since: Since) {
        if !failure.is_of_the_source() {
            return;
        }
        let fault = Fault { source: key.source.clone(), failure: failure.clone() };
        self.faults.insert(key.digest().to_owned(), fault);
        if self.variants.is_purged(key, since) {
            self.faults.invalidate(key.digest());
        }
    }

    /// A picture that is in memory but not where the bucket would serve it from.
    async fn put_in_place(
        &self,
        ask: Ask,
        key: VariantKey,
        variant: Arc<Variant>,
        since: Since,
    ) -> (VariantKey, Made) {
        let storing = Instant::now();
        let placement = ask.placement.clone();
        let kept = self.variants.keep(&key, placement, Arc::clone(&variant), None, since).await;
        self.note_place(&ask.placement, &key, since);
        let timings = vec![(Stage::Store, storing.elapsed())];
        let stored = kept == Kept::Stored;
        let made = Made {
            variant,
            cache: CacheStatus::Memory,
            timings,
            source: None,
            stored,
            leader: ask.trace,
        };
        (key, made)
    }

    /// The bytes of an original and what they are; a variant of ours is no original, whatever a
    /// HEAD before it said.
    pub(super) async fn original_bytes(
        &self,
        source: &SourceId,
        expected: &SourceMeta,
        deadline: Instant,
    ) -> Result<(SourceMeta, Bytes), Failure> {
        let Original { meta, body, ours } = self.origins.fetch(source, expected, deadline).await?;
        if ours { Err(OriginError::NotFound.into()) } else { Ok((meta, body)) }
    }

    async fn make_from_original(
        &self,
        ask: &Ask,
        key: &VariantKey,
        expected: &SourceMeta,
        lookup: Duration,
        since: Since,
        abandoned: &Abandoned,
    ) -> Flown {
        let fetching = Instant::now();
        let (meta, body) = self.original_bytes(&ask.source, expected, before(ask.deadline)).await?;
        let mut timings = vec![(Stage::Lookup, lookup), (Stage::Fetch, fetching.elapsed())];
        // What is stored is of the bytes read, whatever the HEAD had said.
        let key = if meta.version == key.version {
            key.clone()
        } else {
            VariantKey::new(ask.source.clone(), meta.version.clone(), &ask.wish)
        };
        let order = Order {
            original: body,
            key: &key,
            generation: self.variants.generation(&key, since),
            wish: &ask.wish,
            limits: self.limits_of(&ask.source),
            deadline: ask.deadline,
        };
        let rendered = render(&self.cpu, &self.pictures, order, || abandoned.commit()).await;
        self.forget_purged(&key, since);
        self.count(&rendered, &timings, meta.bytes, recorded(ask));
        let Render { variant, header, profile, timings: rendering } = rendered?;
        timings.extend(rendering);
        let variant = Arc::new(variant);
        let storing = Instant::now();
        let info = SourceInfo::new(&meta, &header, profile);
        let info = self.infos.learn(&ask.source, &meta, info);
        let record = SourceRecord::new(&ask.source, &meta, info, SystemTime::now());
        let placement = ask.placement.clone();
        let kept =
            self.variants.keep(&key, placement, Arc::clone(&variant), Some(record), since).await;
        self.note_place(&ask.placement, &key, since);
        if kept == Kept::Stored {
            let time = storing.elapsed();
            self.metrics.observe(Stage::Store, time, recorded(ask));
            timings.push((Stage::Store, time));
        }
        let made = Made {
            variant,
            cache: CacheStatus::Rendered,
            timings,
            source: Some((header, meta.bytes)),
            stored: kept == Kept::Stored,
            leader: ask.trace,
        };
        Ok((key, made))
    }

    /// Counts one render and its stages, once, however many wait for it.
    fn count(
        &self,
        rendered: &Result<Render, Failure>,
        before: &Timings,
        source_bytes: u64,
        trace: Option<TraceId>,
    ) {
        let (format, outcome) = match rendered {
            Ok(Render { variant, header, .. }) => {
                let bytes = variant.body.len() as u64;
                self.metrics.made(header.format, source_bytes, variant.format, bytes);
                (Some(variant.format), Outcome::Ok)
            }
            Err(failure) => (None, failure.code.outcome()),
        };
        self.metrics.ended(format, outcome);
        let rendering = rendered.iter().flat_map(|render| &render.timings);
        for (stage, time) in before.iter().chain(rendering) {
            self.metrics.observe(*stage, *time, trace);
        }
    }
}
