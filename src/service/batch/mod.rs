//! Several variants of one original at once, before anybody asks for them: one look at the
//! original's version, one look at what the store has, at most one fetch, at most one decode for
//! each scale, the bytes of single renders. In the background class: requests go first. Never
//! loses a variant: what was made is stored when this returns, or named among the failures.

mod pixels;
#[cfg(test)]
pub(super) mod tests;

use super::ahead::AheadWish;
use super::failure::{ErrorCode, Failure};
use super::story::{Service, before};
use crate::codec;
use crate::model::format::Format;
use crate::model::geometry::Size;
use crate::model::key::{SourceId, SourceVersion, VariantKey};
use crate::model::source::Header;
use crate::model::stage::Stage;
use crate::model::transform::Transform;
use crate::origin::{OriginError, SourceMeta};
use crate::telemetry::metrics::Outcome;
use crate::variants::{Kept, Placement, Since, SourceInfo, SourceRecord, StoreFault, Variant};
use pixels::Original;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};
use tokio::task::JoinSet;

/// Finished variants of one batch that are being written while the next one is rendered.
const WRITES_AHEAD: usize = 3;

/// What became of a batch.
#[derive(Debug, Clone)]
pub struct BatchReport {
    /// The version the variants are of: of the bytes read, where they were read.
    pub meta: SourceMeta,
    /// The original's header, where it was read.
    pub header: Option<Header>,
    /// What was made and stored.
    pub rendered: Vec<MadeAhead>,
    /// How many of the wishes were there already.
    pub present: usize,
    /// Wishes that were not met, by name. Never the fault of the original as a whole: that is an
    /// error.
    pub failures: Vec<(String, Failure)>,
}

/// A variant that was made and stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MadeAhead {
    /// Of the wish.
    pub name: String,
    /// Its identity.
    pub key: VariantKey,
    /// Where it lies.
    pub placement: Placement,
    /// What came of the ask.
    pub format: Format,
    /// In pixels.
    pub size: Size,
    /// Of the encoded picture.
    pub bytes: u64,
}

/// What is known already when a batch begins.
#[derive(Debug, Clone)]
pub(crate) enum Known {
    /// Nothing: origin and store are asked.
    Nothing,
    /// The original, freshly listed, and that the store has none of the wishes.
    Missing(SourceMeta),
    /// The original, freshly listed; the store is asked.
    Version(SourceMeta),
}

/// One original and what is to be made of it.
#[derive(Debug, Clone)]
pub(crate) struct Batch {
    pub(crate) source: SourceId,
    pub(crate) wishes: Vec<AheadWish>,
    pub(crate) known: Known,
    pub(crate) deadline: Instant,
}

/// One variant on its way.
#[derive(Debug, Clone)]
struct Item {
    name: String,
    key: VariantKey,
    placement: Placement,
    transform: Arc<Transform>,
}

impl Service {
    /// Makes what is missing of `wishes`, in the background class, and waits until it is stored.
    /// The work goes on, until `deadline`, if the caller leaves.
    ///
    /// # Errors
    /// [`Failure`] of the original as a whole: gone, ours, not readable, over a limit, broken; of
    /// the origin; of the variant store where it cannot be asked; of the deadline. What concerns a
    /// single wish is in the report.
    pub async fn make_ahead(
        self: &Arc<Self>,
        source: &SourceId,
        wishes: &[AheadWish],
        deadline: Instant,
    ) -> Result<BatchReport, Failure> {
        let wishes = wishes.to_vec();
        self.make_batch(Batch { source: source.clone(), wishes, known: Known::Nothing, deadline })
            .await
    }

    /// [`Service::make_ahead`] for those who know something already.
    pub(crate) async fn make_batch(self: &Arc<Self>, batch: Batch) -> Result<BatchReport, Failure> {
        let service = Arc::clone(self);
        // Connections to the stores live on the service's own runtime.
        let work = self.runtime.spawn(async move {
            let made = service.batch(&batch).await;
            if let Err(failure) = &made {
                service.metrics.ended(None, failure.code.outcome());
            }
            made
        });
        work.await.unwrap_or_else(|_lost| Err(Failure::internal("a batch broke off")))
    }

    async fn batch(self: &Arc<Self>, batch: &Batch) -> Result<BatchReport, Failure> {
        let Batch { source, wishes, known, deadline } = batch;
        let deadline = *deadline;
        let since = self.variants.since();
        let expected = match known {
            Known::Missing(meta) | Known::Version(meta) => meta.clone(),
            Known::Nothing => self.confirmed(source, deadline).await?,
        };
        let mut items = items(source, &expected.version, wishes);
        let mut report = BatchReport {
            meta: expected.clone(),
            header: None,
            rendered: Vec::with_capacity(items.len()),
            present: 0,
            failures: Vec::new(),
        };
        if let Some(fault) = items.iter().find_map(|item| self.faults.get(item.key.digest())) {
            return Err(fault.failure);
        }
        if !matches!(known, Known::Missing(_)) {
            items = self.missing(items, &mut report, deadline, since).await?;
        }
        if items.is_empty() {
            return Ok(report);
        }
        let _place = self.cpu.admission().batch(deadline).await?;
        let fetching = Instant::now();
        let (meta, body) = self.original_bytes(source, &expected, before(deadline)).await?;
        self.metrics.observe(Stage::Fetch, fetching.elapsed(), None);
        if meta.version != expected.version {
            // What is stored is of the bytes read; of those, other variants may be there.
            report.meta = meta.clone();
            report.present = 0;
            items = self::items(source, &meta.version, wishes);
            items = self.missing(items, &mut report, deadline, since).await?;
        }
        let header = codec::probe(&body).map_err(Failure::from);
        let header = header.map_err(|failure| self.remember_fault(&items, failure, since))?;
        report.header = Some(header);
        let info = SourceInfo::new(&meta, &header, codec::profile_name(&body, &header));
        let info = self.infos.learn(source, &meta, info);
        let record = SourceRecord::new(source, &meta, info, SystemTime::now());
        let mut store = Store { service: self, record, since, writes: JoinSet::new(), report };
        let original = Original { body, header, since, deadline };
        let rendered = self.render_all(&original, items.clone(), &mut store).await;
        drop(original);
        if let Some(item) = items.first() {
            self.forget_purged(&item.key, since);
        }
        // What was rendered is stored, whatever came of the rest.
        let report = store.settled().await;
        rendered.map_err(|failure| self.remember_fault(&items, failure, since))?;
        Ok(report)
    }

    /// The version of an original as the origin confirms it.
    async fn confirmed(&self, source: &SourceId, deadline: Instant) -> Result<SourceMeta, Failure> {
        let version = self.origins.version(source, None, before(deadline)).await?;
        if version.ours {
            return Err(OriginError::NotFound.into());
        }
        if version.stale {
            // Something older may stand in for a request, not for what is to be kept.
            return Err(OriginError::TimedOut.into());
        }
        Ok(version.meta)
    }

    /// Leaves what neither the store has nor, for want of a store, the memory. What only the
    /// memory has is stored without being rendered again.
    async fn missing(
        self: &Arc<Self>,
        items: Vec<Item>,
        report: &mut BatchReport,
        deadline: Instant,
        since: Since,
    ) -> Result<Vec<Item>, Failure> {
        let looked = Instant::now();
        let wanted: Vec<_> =
            items.iter().map(|item| (item.key.clone(), item.placement.clone())).collect();
        let present = self.variants.present(&wanted, deadline).await.map_err(store_failed)?;
        self.metrics.observe(Stage::Lookup, looked.elapsed(), None);
        let mut missing = Vec::with_capacity(items.len());
        for (item, present) in items.into_iter().zip(present) {
            if present {
                report.present += 1;
                continue;
            }
            let remembered = self.variants.memory(&item.key).filter(|_| self.variants.has_store());
            match remembered {
                None => missing.push(item),
                Some(variant) => {
                    let body = Arc::clone(&variant);
                    let kept =
                        self.variants.put(&item.key, &item.placement, body, None, since).await;
                    self.note_place(&item.placement, &item.key, since);
                    kept_or_not(report, item, &variant, kept);
                }
            }
        }
        Ok(missing)
    }

    /// Remembers for a while what is wrong with the original, so that nobody renders it again.
    fn remember_fault(&self, items: &[Item], failure: Failure, since: Since) -> Failure {
        for item in items {
            self.note_fault(&item.key, &failure, since);
        }
        failure
    }
}

/// The wishes as variants of one version, none of them twice.
fn items(source: &SourceId, version: &SourceVersion, wishes: &[AheadWish]) -> Vec<Item> {
    let mut items: Vec<Item> = Vec::with_capacity(wishes.len());
    for wish in wishes {
        let key = VariantKey::new(source.clone(), version.clone(), &wish.transform);
        if items.iter().any(|item| item.key == key && item.placement == wish.placement) {
            continue;
        }
        items.push(Item {
            name: wish.name.clone(),
            key,
            placement: wish.placement.clone(),
            transform: Arc::clone(&wish.transform),
        });
    }
    items
}

/// Where finished variants go: written while the next one is rendered, a few at a time.
struct Store<'a> {
    service: &'a Arc<Service>,
    record: SourceRecord,
    since: Since,
    writes: JoinSet<(Item, Arc<Variant>, Kept, Duration)>,
    report: BatchReport,
}

impl Store<'_> {
    /// Takes a variant; waits while too many are being written.
    async fn take(&mut self, item: Item, variant: Arc<Variant>) {
        while self.writes.len() >= WRITES_AHEAD {
            self.next().await;
        }
        let (service, record, since) =
            (Arc::clone(self.service), Some(self.record.clone()), self.since);
        self.writes.spawn(async move {
            let begun = Instant::now();
            let body = Arc::clone(&variant);
            let kept = service.variants.put(&item.key, &item.placement, body, record, since).await;
            service.note_place(&item.placement, &item.key, since);
            (item, variant, kept, begun.elapsed())
        });
    }

    /// Counts a wish that cannot be met.
    fn failed(&mut self, item: Item, failure: Failure) {
        self.service.metrics.ended(None, failure.code.outcome());
        self.report.failures.push((item.name, failure));
    }

    /// Counts a variant that was made.
    fn made(&self, format: Format) {
        self.service.metrics.ended(Some(format), Outcome::Ok);
    }

    async fn next(&mut self) {
        match self.writes.join_next().await {
            None => {}
            Some(Ok((item, variant, kept, time))) => {
                self.service.metrics.observe(Stage::Store, time, None);
                kept_or_not(&mut self.report, item, &variant, kept);
            }
            Some(Err(lost)) => {
                let failure = Failure::internal(format!("a write broke off: {lost}"));
                self.report.failures.push(("?".to_owned(), failure));
            }
        }
    }

    /// Waits for every write.
    async fn settled(mut self) -> BatchReport {
        while !self.writes.is_empty() {
            self.next().await;
        }
        self.report
    }
}

/// Enters what became of a write.
fn kept_or_not(report: &mut BatchReport, item: Item, variant: &Variant, kept: Kept) {
    let failure = match kept {
        Kept::Stored | Kept::InMemory | Kept::Queued => {
            report.rendered.push(MadeAhead {
                name: item.name,
                key: item.key,
                placement: item.placement,
                format: variant.format,
                size: variant.size,
                bytes: variant.body.len() as u64,
            });
            return;
        }
        Kept::Refused => {
            let message = "an object that is not ours lies where the variant would be";
            Failure::new(ErrorCode::Policy, message)
        }
        Kept::Purged => {
            let message = "the original was purged while its variants were made";
            let mut failure = Failure::new(ErrorCode::Overloaded, message);
            failure.retry_after = Some(1);
            failure
        }
        Kept::Failed | Kept::Dropped => store_failed("it did not take a variant"),
    };
    report.failures.push((item.name, failure));
}

/// The variant store failed: worth another attempt later.
fn store_failed(why: impl Into<StoreTrouble>) -> Failure {
    let mut failure = Failure::new(ErrorCode::Overloaded, "the variant store does not answer");
    failure.detail = Some(why.into().0);
    failure.retry_after = Some(5);
    failure
}

/// What happened, in words for the operator.
struct StoreTrouble(String);

impl From<StoreFault> for StoreTrouble {
    fn from(fault: StoreFault) -> Self {
        Self(fault.to_string())
    }
}

impl From<&str> for StoreTrouble {
    fn from(words: &str) -> Self {
        Self(words.to_owned())
    }
}
