//! The object-store tier: reads within a budget, writes behind it, each behind its own breaker
//! (a full disk must not cost the reads), every outcome counted. To its callers a store that
//! fails is a store that has nothing.

use super::breaker::{Breaker, Health, Permit};
use super::delete::Swept;
use super::log::{Class, Log};
use super::metrics::VariantMetrics;
use super::objects::{Fault, Objects};
use super::purge::Epochs;
use super::record::{MAX_RECORD, SourceRecord, Written};
use super::scope::Scope;
use super::{Placement, Variant, VariantSettings, VariantStore};
use crate::model::key::{
    RENDER_EPOCH, SourceId, SourceVersion, VariantKey, source_area, source_record_path,
};
use crate::model::transform::Transform;
use futures_util::StreamExt as _;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt as _};
use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::time::timeout;

/// Objects looked at when the newest version is searched, at most.
const MAX_LISTED: usize = 10_000;
/// Versions tried, newest first, when the newest entries turn out damaged.
const MAX_TRIED: usize = 3;
/// A search lists and reads, so it gets the budget of a read this many times.
const SEARCH_READS: u32 = 4;

/// What became of a write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    Stored,
    Refused,
    Failed,
    /// Not tried: a purge came in between.
    Purged,
}

#[derive(Debug)]
pub(super) struct Store {
    pub(super) objects: Objects,
    epochs: Epochs,
    reads: Breaker,
    writes: Breaker,
    pub(super) read_timeout: Duration,
    write_timeout: Duration,
    records: Written,
    metrics: VariantMetrics,
    pub(super) log: Log,
}

impl Store {
    pub(super) fn new(
        store: VariantStore,
        settings: &VariantSettings,
        metrics: VariantMetrics,
    ) -> Self {
        let breaker = || Breaker::new(settings.breaker_failures, settings.breaker_cool_down);
        Self {
            objects: Objects {
                store,
                max_body: settings.max_body_bytes,
                cache_control: settings.mirror_cache_control.clone(),
                sizes: settings.mirror_sizes.clone(),
            },
            epochs: Epochs::default(),
            reads: breaker(),
            writes: breaker(),
            read_timeout: settings.store_timeout,
            write_timeout: settings.write_timeout,
            records: Written::new(),
            metrics,
            log: Log::default(),
        }
    }

    /// The client of the store.
    pub(super) fn objects(&self) -> Arc<dyn ObjectStore> {
        Arc::clone(&self.objects.store.objects)
    }

    /// The verified variant, or nothing.
    pub(super) async fn read(
        &self,
        key: &VariantKey,
        placement: &Placement,
        deadline: Instant,
    ) -> Option<Variant> {
        let read = async {
            match placement {
                Placement::Versioned => self.objects.read_entry(key).await,
                Placement::Mirror { path } => self.objects.read_mirrored(path, key).await,
            }
        };
        match self.within(self.read_timeout, deadline, read).await {
            Ok(variant) => {
                self.metrics.store_hits.inc();
                Some(variant)
            }
            Err(fault) => {
                self.metrics.store_misses.inc();
                let path = match placement {
                    Placement::Versioned => key.object_path(),
                    Placement::Mirror { path } => path.clone(),
                };
                self.count_read(&fault, &path);
                None
            }
        }
    }

    /// The newest stored variant of a wish, whatever version of the original it was made of.
    pub(super) async fn newest(
        &self,
        source: &SourceId,
        wish: &Transform,
        placement: &Placement,
        deadline: Instant,
    ) -> Option<(VariantKey, Variant)> {
        let search = async {
            match placement {
                Placement::Versioned => self.newest_entry(source, wish).await,
                Placement::Mirror { path } => {
                    let (mark, opened) = self.objects.mark_at(path, source).await?;
                    let version = mark.source_version().ok_or(Fault::Unmarked)?;
                    let key = VariantKey::new(source.clone(), version, wish);
                    let variant = self.objects.marked_body(path, &key, &mark, opened).await?;
                    Ok((key, variant))
                }
            }
        };
        let found = self.within(self.read_timeout * SEARCH_READS, deadline, search).await;
        match found {
            Ok(found) => {
                self.metrics.stale_hits.inc();
                Some(found)
            }
            Err(fault) => {
                self.count_read(&fault, &source_area(source));
                None
            }
        }
    }

    async fn newest_entry(
        &self,
        source: &SourceId,
        wish: &Transform,
    ) -> Result<(VariantKey, Variant), Fault> {
        let area = self.objects.path(&source_area(source))?;
        let mut listing = self.objects.store.objects.list(Some(&area)).take(MAX_LISTED);
        let mut candidates = Vec::new();
        while let Some(object) = listing.next().await {
            let object = object?;
            let mut segments = object.location.as_ref().rsplit('/');
            let (digest, version) = (segments.next(), segments.next());
            let Some(version) = version.and_then(SourceVersion::parse) else { continue };
            // The digest says whether the entry is of this wish; nothing is read to find out.
            let key = VariantKey::new(source.clone(), version, wish);
            if digest == Some(key.digest()) && object.location.as_ref() == key.object_path() {
                candidates.push((object.last_modified, key));
            }
        }
        candidates.sort_by_key(|(modified, _)| std::cmp::Reverse(*modified));
        for (_, key) in candidates.into_iter().take(MAX_TRIED) {
            match self.objects.read_entry(&key).await {
                Ok(variant) => return Ok((key, variant)),
                Err(fault @ Fault::Entry(_)) => self.count_read(&fault, &key.object_path()),
                Err(Fault::Absent) => {}
                Err(fault) => return Err(fault),
            }
        }
        Err(Fault::Absent)
    }

    /// Runs a read behind its breaker, within its budget and the caller's deadline.
    pub(super) async fn within<T>(
        &self,
        budget: Duration,
        deadline: Instant,
        read: impl Future<Output = Result<T, Fault>>,
    ) -> Result<T, Fault> {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(Fault::OutOfTime);
        }
        let permit = self.reads.permit(Instant::now()).ok_or(Fault::LeftAlone)?;
        if permit.is_probe() {
            self.probe(permit);
            return Err(Fault::LeftAlone);
        }
        let read = match timeout(budget.min(left), read).await {
            Ok(read) => read,
            Err(_) if left < budget => Err(Fault::OutOfTime),
            Err(_) => Err(Fault::TimedOut),
        };
        let health = read.as_ref().map_or_else(Fault::health, |_| Health::Well);
        permit.report(health, Instant::now());
        self.metrics.read_breaker_open.set(self.reads.is_open().into());
        read
    }

    /// Finds out behind the requests whether reads are answered again, so that none of them waits
    /// for a store that is still broken. What lies at the place asked for is all the same.
    fn probe(&self, permit: Permit) {
        let (objects, budget) = (Arc::clone(&self.objects.store.objects), self.read_timeout);
        let (reads, metrics) = (self.reads.clone(), self.metrics.clone());
        let place = Path::parse(format!("v{RENDER_EPOCH}/~/probe/read")).unwrap_or_default();
        tokio::spawn(async move {
            let asked = timeout(budget, objects.head(&place)).await;
            let fault = asked.map_or(Some(Fault::TimedOut), |told| told.err().map(Fault::from));
            let health = match fault {
                // It answered; without the right to list, this is how it says "not there".
                None | Some(Fault::Forbidden(_)) => Health::Well,
                Some(fault) => fault.health(),
            };
            permit.report(health, Instant::now());
            metrics.read_breaker_open.set(reads.is_open().into());
        });
    }

    fn count_read(&self, fault: &Fault, path: &str) {
        let metrics = &self.metrics;
        let (counter, class) = match fault {
            Fault::Absent | Fault::OutOfTime | Fault::Exists | Fault::Unplaceable(_) => return,
            Fault::LeftAlone => {
                metrics.read_skipped.inc();
                return;
            }
            // An overwritten original leaves marks of its old version: that is daily life.
            Fault::Entry(error) if error.is_foreign() => (&metrics.foreign, None),
            Fault::Entry(_) | Fault::TooLarge { .. } => (&metrics.torn, Some(Class::Damaged)),
            Fault::Unmarked => (&metrics.unmarked, Some(Class::Unmarked)),
            Fault::Forbidden(_) => (&metrics.read_forbidden, Some(Class::ReadForbidden)),
            Fault::TimedOut => (&metrics.read_timeouts, Some(Class::ReadFailed)),
            Fault::Unsupported(_) | Fault::Broken(_) => {
                (&metrics.read_errors, Some(Class::ReadFailed))
            }
        };
        counter.inc();
        if let Some(class) = class {
            self.log.warn(class, path, fault);
        }
    }

    /// Forgets that records of the scope were written.
    pub(super) fn forget_records(&self, scope: &Scope) {
        if scope.is_of_originals() {
            self.records.forget_covered(scope);
        }
    }

    /// Deletes what the scope covers. Neither breaker nor read budget applies: somebody asked for
    /// exactly this and is told how it went.
    pub(super) async fn purge(&self, scope: &Scope) -> Swept {
        self.forget_records(scope);
        let swept = self.objects.purge(scope, &self.epochs).await;
        // One written meanwhile may have gone, too.
        self.forget_records(scope);
        self.metrics.purged.inc_by(swept.deleted);
        self.metrics.purge_failed.inc_by(swept.failed);
        swept
    }

    /// Writes a variant, and after it the record of its original if this process has not yet.
    pub(super) async fn write(
        &self,
        key: &VariantKey,
        placement: &Placement,
        variant: &Variant,
        record: Option<SourceRecord>,
    ) -> Outcome {
        let path = match placement {
            Placement::Versioned => key.object_path(),
            Placement::Mirror { path } => path.clone(),
        };
        let write = async {
            match placement {
                Placement::Versioned => self.objects.write_entry(key, variant).await,
                Placement::Mirror { path } => self.objects.write_mirrored(path, key, variant).await,
            }
        };
        let outcome = self.write_behind(&path, write).await;
        if outcome == Outcome::Stored {
            self.metrics.writes.inc();
            if let Some(record) = record {
                self.write_record(&key.source, record).await;
            }
        }
        outcome
    }

    /// Writes the record of an original unless this process has; `true` if it is written.
    pub(super) async fn write_record(&self, source: &SourceId, record: SourceRecord) -> bool {
        if !self.records.note(&record) {
            return true;
        }
        let path = source_record_path(source);
        let write = self.objects.write_json(&path, record.to_json());
        let written = self.write_behind(&path, write).await == Outcome::Stored;
        if !written {
            self.records.forget(&record);
        }
        written
    }

    /// The record of an original, of whatever version.
    pub(super) async fn read_record(
        &self,
        source: &SourceId,
        deadline: Instant,
    ) -> Option<SourceRecord> {
        let path = source_record_path(source);
        let read = async {
            let opened = self.objects.open(&path).await?;
            let (bytes, limit) = (opened.meta.size, MAX_RECORD);
            if bytes > limit {
                return Err(Fault::TooLarge { bytes, limit });
            }
            self.objects.body(opened).await
        };
        match self.within(self.read_timeout, deadline, read).await {
            Ok(json) => serde_json::from_slice(&json).ok(),
            Err(fault) => {
                self.count_read(&fault, &path);
                None
            }
        }
    }

    /// Runs a write behind its breaker and within its time.
    pub(super) async fn write_behind(
        &self,
        path: &str,
        write: impl Future<Output = Result<(), Fault>>,
    ) -> Outcome {
        let Some(permit) = self.writes.permit(Instant::now()) else {
            self.metrics.write_skipped.inc();
            return Outcome::Failed;
        };
        let written = timeout(self.write_timeout, write).await.unwrap_or(Err(Fault::TimedOut));
        let health = match &written {
            Ok(()) => Health::Well,
            // No missing object explains this one: the credentials are wrong.
            Err(Fault::Forbidden(_)) => Health::Ill,
            Err(fault) => fault.health(),
        };
        permit.report(health, Instant::now());
        self.metrics.write_breaker_open.set(self.writes.is_open().into());
        let (counter, class, outcome) = match &written {
            // Another replica wrote the same bytes.
            Ok(()) | Err(Fault::Exists) => return Outcome::Stored,
            Err(Fault::Unmarked) => {
                (&self.metrics.mirror_refused, Class::Unmarked, Outcome::Refused)
            }
            Err(Fault::Forbidden(_)) => {
                (&self.metrics.write_forbidden, Class::WriteForbidden, Outcome::Failed)
            }
            Err(_) => (&self.metrics.write_errors, Class::WriteFailed, Outcome::Failed),
        };
        counter.inc();
        if let Err(fault) = &written {
            self.log.warn(class, path, fault);
        }
        outcome
    }
}
