//! The work of one original: ask the store what lies there now, drop what was made of anything
//! else, make ahead what is made ahead, describe it, tell whoever wants to know. Every part may be
//! done twice, or by two pods, with nothing lost; an unchanged original costs one HEAD.

use super::Events;
use super::marker::{self, Note};
use super::metrics::Done;
use super::queue::Waiting;
use super::recovery::jittered;
use crate::model::key::{SourceId, SourceVersion, VariantKey};
use crate::origin::{OriginError, SourceMeta};
use crate::service::ahead::AheadWish;
use crate::service::failure::{ErrorCode, Failure};
use crate::service::purge::{Reach, Scope};
use crate::variants::{Placement, SourceInfo};
use futures_util::FutureExt as _;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long one work may take, its waiting for a render slot included.
const TIME: Duration = Duration::from_mins(2);

/// Works begun for one original before it is given up, where they broke down or were killed.
pub(super) const MOST_ATTEMPTS: u32 = 10;

/// How long a store, a pod or a webhook that does not answer is waited for: less than a sweep
/// leaves the notes alone.
const PATIENCE: Duration = Duration::from_hours(23);

/// Attempts after which an original that the store refuses is taken for deleted: S3 refuses what
/// is merely missing to those who may not list, and everything to those whose keys are wrong.
const REFUSALS: u32 = 6;

/// The pause after the first failure, and the longest one; each is twice the one before.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_mins(5);

/// What was made of an original, for the webhook.
struct Made {
    version: SourceVersion,
    info: Option<Arc<SourceInfo>>,
    wishes: Vec<AheadWish>,
    failed: Vec<String>,
}

impl Events {
    /// Works until the queue is closed.
    pub(super) async fn work_on(self: Arc<Self>) {
        while let Some((source, waiting)) = self.queue.next().await {
            self.work_once(source, waiting).await;
        }
    }

    async fn work_once(self: &Arc<Self>, source: SourceId, waiting: Waiting) {
        let deadline = Instant::now() + TIME;
        // A panic costs this attempt, not the worker.
        let work = self.work(&source, waiting.attempts, deadline);
        let worked = AssertUnwindSafe(work).catch_unwind().await;
        match worked.unwrap_or_else(|_| Err(Failure::internal("the work of an event panicked"))) {
            Ok(done) => {
                tracing::debug!(%source, outcome = done.name(), "an original was worked on");
                self.end(&source, waiting, done, true).await;
            }
            Err(failure) => self.failed(source, waiting, &failure).await,
        }
    }

    /// The end of a work: its notes go, and whoever waits is told.
    async fn end(&self, source: &SourceId, waiting: Waiting, done: Done, well: bool) {
        self.metrics.ended(done);
        if let Some(markers) = &self.markers {
            for name in &waiting.markers {
                if let Err(error) = markers.delete(name).await {
                    // It is found again when its lease is over, and costs one HEAD then.
                    tracing::warn!(%error, %source, "the note of a finished event stays");
                }
            }
        }
        self.queue.finish(source, &waiting.markers);
        for told in waiting.told {
            // Whoever left does not need to know.
            let _ = told.send(well);
        }
    }

    /// Puts a failed work off, or gives it up. Without notes the sender tries again instead.
    async fn failed(self: &Arc<Self>, source: SourceId, mut waiting: Waiting, failure: &Failure) {
        let why = failure.detail.as_deref().unwrap_or(&failure.message);
        waiting.attempts += 1;
        let attempts = waiting.attempts;
        let Some(markers) = &self.markers else {
            tracing::warn!(%source, error = why, "the work of an event failed");
            return self.end(&source, waiting, Done::Retried, false).await;
        };
        let broken = failure.code == ErrorCode::Internal;
        let given_up =
            if broken { attempts >= MOST_ATTEMPTS } else { waiting.since.elapsed() > PATIENCE };
        if given_up {
            tracing::error!(%source, attempts, error = why, "the work of an event is given up");
            return self.end(&source, waiting, Done::GivenUp, false).await;
        }
        let pause = FIRST_PAUSE.saturating_mul(1 << (attempts - 1).min(16)).min(LONGEST_PAUSE);
        let pause = jittered(pause);
        tracing::warn!(
            %source,
            attempts,
            again_in_ms = u64::try_from(pause.as_millis()).unwrap_or(u64::MAX),
            error = why,
            "the work of an event failed"
        );
        self.metrics.ended(Done::Retried);
        // Counted are the works that may be what breaks or kills; others say nothing of the work.
        let counted = if broken { attempts } else { 0 };
        let note = Note::again(&source, waiting.since.elapsed(), counted, pause);
        for name in &waiting.markers {
            if let Err(error) = markers.rewrite(name, &note).await {
                tracing::debug!(%error, %source, "the note of a failed event keeps its old count");
            }
        }
        self.queue.fail(&source, waiting);
        let own = Arc::clone(self);
        self.service.runtime.spawn(async move {
            tokio::time::sleep(pause).await;
            own.queue.ready(&source);
        });
    }

    /// One attempt.
    async fn work(
        &self,
        source: &SourceId,
        attempts: u32,
        deadline: Instant,
    ) -> Result<Done, Failure> {
        let service = &self.service;
        // The event says that what is known may be old, whatever its age.
        service.origins.forget(source);
        let version = match service.origins.version(source, None, deadline).await {
            Err(error @ OriginError::Forbidden) if attempts + 1 < REFUSALS => {
                let why = "the store refuses the original of an event";
                return Err(passing(why, error));
            }
            Err(OriginError::NotFound | OriginError::Forbidden) => {
                service.recent.forget(source);
                if self.places.may_be_ours(source) {
                    // A mirrored picture of ours was deleted, most of the time by ourselves.
                    return Ok(Done::Ours);
                }
                self.purge(source, None).await?;
                return Ok(Done::Purged);
            }
            other => other?,
        };
        if version.ours {
            return Ok(Done::Ours);
        }
        if version.stale {
            return Err(
                OriginError::Unavailable("it did not confirm its version".to_owned()).into()
            );
        }
        let meta = version.meta;
        if service.recent.holds(source, &meta.version) {
            return Ok(Done::Unchanged);
        }
        let purged = self.purge(source, Some(&meta.version)).await;
        match self.process(source, &meta, deadline).await {
            Ok((done, version)) => {
                if version != meta.version {
                    // It was overwritten meanwhile: the purge before kept the wrong version, and
                    // so would its second pass.
                    self.purge(source, Some(&version)).await?;
                }
                purged?;
                service.recent.note(source, version);
                Ok(done)
            }
            Err(failure) if failure.is_of_the_source() => {
                // No other attempt would see another picture.
                tracing::info!(%source, error = %failure, "an uploaded object is no picture");
                service.recent.note(source, meta.version);
                Ok(Done::NoImage)
            }
            Err(failure) => Err(failure),
        }
    }

    /// Purges everywhere what was made of other versions than `keep`.
    ///
    /// # Errors
    /// What was not reached, so that it is tried again.
    async fn purge(&self, source: &SourceId, keep: Option<&SourceVersion>) -> Result<(), Failure> {
        let scope = Scope::Source { id: source.clone(), keep: keep.cloned() };
        let receipt = self.service.purge(scope, Reach::Everywhere).await;
        if receipt.complete {
            return Ok(());
        }
        Err(passing("a purge did not reach everything", receipt.to_json()))
    }

    /// Makes ahead, describes and tells.
    async fn process(
        &self,
        source: &SourceId,
        meta: &SourceMeta,
        deadline: Instant,
    ) -> Result<(Done, SourceVersion), Failure> {
        let wishes = self.ahead.wishes(source);
        let mut made =
            Made { version: meta.version.clone(), info: None, wishes, failed: Vec::new() };
        let mut meta = meta.clone();
        let mut rendered = 0;
        if !made.wishes.is_empty() {
            let report = self.service.make_ahead(source, &made.wishes, deadline).await?;
            rendered = report.rendered.len();
            self.metrics.pregenerated.inc_by(rendered as u64);
            meta = report.meta;
            for (name, failure) in report.failures {
                if is_final(&failure) {
                    tracing::warn!(%source, name, error = %failure, "a variant is not made ahead");
                    made.failed.push(name);
                } else {
                    return Err(failure);
                }
            }
        }
        made.version = meta.version.clone();
        if self.markers.is_some() || self.webhook.is_some() {
            // From memory or the record that was just written; else this is the one GET.
            made.info = Some(self.service.info_of(source, &meta, deadline).await?.0);
        }
        self.tell(source, &made).await?;
        Ok((if rendered > 0 { Done::Made } else { Done::Unchanged }, meta.version))
    }

    /// Tells the webhook, where there is one; at least once for every version processed.
    async fn tell(&self, source: &SourceId, made: &Made) -> Result<(), Failure> {
        let (Some(webhook), Some(info)) = (&self.webhook, &made.info) else { return Ok(()) };
        let variants: Vec<_> = made
            .wishes
            .iter()
            .filter(|wish| !made.failed.contains(&wish.name))
            .map(|wish| self.variant(source, &made.version, wish))
            .collect();
        let letter = serde_json::json!({
            "type": "image.processed",
            "time": marker::now(),
            "origin": source.origin.as_str(),
            "key": source.key.as_str(),
            "image": **info,
            "variants": variants,
            "failed": made.failed,
        });
        let failed = || {
            self.metrics.webhook_failures.inc();
        };
        let told = webhook.tell(letter.to_string().as_bytes(), failed).await;
        told.map_err(|error| passing("the webhook was not told", error))
    }

    /// One variant as the webhook is told of it.
    fn variant(
        &self,
        source: &SourceId,
        version: &SourceVersion,
        wish: &AheadWish,
    ) -> serde_json::Value {
        let (path, url) = match &wish.placement {
            Placement::Versioned => {
                let key = VariantKey::new(source.clone(), version.clone(), &wish.transform);
                (key.object_path(), None)
            }
            Placement::Mirror { path } => {
                let public = self.public_url.as_deref();
                (path.clone(), public.map(|base| crate::service::http::public_url(base, path)))
            }
        };
        serde_json::json!({ "name": wish.name, "path": path, "url": url })
    }
}

/// A failure of somebody else, who may do better at another time.
fn passing(what: &str, why: impl std::fmt::Display) -> Failure {
    let mut failure = Failure::new(ErrorCode::OriginFailed, what);
    failure.detail = Some(format!("{what}: {why}"));
    failure
}

/// Whether another attempt at the same original would end the same way.
fn is_final(failure: &Failure) -> bool {
    failure.is_of_the_source()
        || matches!(
            failure.code,
            ErrorCode::OutputTooLarge | ErrorCode::BadParameter | ErrorCode::Policy
        )
}
