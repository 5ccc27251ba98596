//! Warming: what is made ahead, made of every original of an origin that lacks it. A walk along
//! the listing that holds a stretch of it at a time, so that millions of originals take no more
//! memory than hundreds. Can be killed at any moment and run again: what is there is not made
//! again. Never touches an original, never makes what nobody could ask for.

mod checkpoint;
mod counts;
mod look;
#[cfg(test)]
mod tests;
mod work;

pub use counts::{Counts, Failed, Tally};

use super::ahead::Ahead;
use super::story::Service;
use super::territory::{Claim, Territory};
use crate::model::key::{OriginName, SourceId, SourceKey};
use crate::model::shard::Shard;
use crate::origin::{ListedOriginal, OriginError};
use crate::variants::StoreFault;
use checkpoint::{Checkpoint, Window, seconds};
use counts::End;
use futures_util::StreamExt as _;
use futures_util::stream::BoxStream;
use look::Seen;
use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};
use tokio::task::JoinSet;

/// Originals looked up together.
const STRETCH: usize = 500;

/// Originals begun and not yet finished in order; one that takes long must not let the list grow.
const MAX_WINDOW: usize = 20_000;

/// Between two checkpoints.
const CHECKPOINT_EVERY: Duration = Duration::from_secs(5);

/// How often a listing that failed is taken up again without having come further: the origin's,
/// and the one of what the store of variants has of a stretch.
const LISTING_ATTEMPTS: u32 = 6;

/// What originals under way may still take once the walk was told to stop.
const GRACE: Duration = Duration::from_secs(20);

/// What to warm.
#[derive(Debug, Clone)]
pub struct Job {
    /// Whose originals.
    pub origin: OriginName,
    /// Those whose keys begin so; empty: all.
    pub prefix: String,
    /// What is made of each.
    pub ahead: Ahead,
    /// Which of them are this process's share.
    pub shard: Shard,
    /// Originals under way at a time, at least 1.
    pub concurrency: usize,
    /// Begin at the beginning, whatever an earlier run left behind.
    pub restart: bool,
    /// Make nothing, tell what would be made.
    pub dry_run: bool,
}

/// How a warm-up ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ended {
    /// The whole listing was dealt with.
    Finished,
    /// Somebody asked to stop; the next run goes on.
    Stopped,
    /// The origin or the store failed for good.
    Failed(String),
}

/// One warm-up.
#[derive(Debug, Clone)]
pub struct Warm {
    service: Arc<Service>,
    territory: Arc<Territory>,
    job: Arc<Job>,
    counts: Counts,
}

/// How far along the listing the walk is.
struct Along {
    /// The last key seen.
    after: Option<String>,
    /// What comes behind it.
    listing: BoxStream<'static, ListedOriginal>,
}

/// Why the walk cannot go on.
#[derive(Debug, thiserror::Error)]
enum Halt {
    #[error("the origin cannot be listed: {0}")]
    Listing(#[from] OriginError),
    #[error(transparent)]
    Store(#[from] StoreFault),
}

impl Warm {
    /// Prepares a warm-up; nothing is asked of any store yet.
    #[must_use]
    pub fn new(service: Arc<Service>, territory: Territory, job: Job) -> Self {
        Self {
            service,
            territory: Arc::new(territory),
            job: Arc::new(job),
            counts: Counts::default(),
        }
    }

    /// Its numbers.
    #[must_use]
    pub fn counts(&self) -> &Counts {
        &self.counts
    }

    /// Counts what there is to do, by a listing of its own, for whoever watches.
    pub async fn count_total(&self) {
        let Ok(mut listing) = self.listing(None) else { return };
        let mut total = 0;
        while let Some(Ok((key, _))) = listing.next().await {
            total += u64::from(self.is_ours_to_do(&key));
        }
        self.counts.set_total(total);
    }

    /// Warms until everything is dealt with, or until `stop` comes; then what is under way is
    /// finished, a little while is given to it, and the place is noted.
    pub async fn run(&self, stop: impl Future<Output = ()>) -> Ended {
        let mut window = Window::default();
        let mut tasks = JoinSet::new();
        let after = self.resume().await;
        let ended = {
            let walk = self.walk(after.as_deref(), &mut window, &mut tasks);
            tokio::select! {
                walked = walk => walked.map_or_else(|halt| Ended::Failed(halt.to_string()), |()| Ended::Finished),
                () = stop => Ended::Stopped,
            }
        };
        let settle = async { while self.settle_one(&mut window, &mut tasks).await {} };
        match ended {
            Ended::Finished => settle.await,
            Ended::Stopped | Ended::Failed(_) => {
                // What does not end in time is begun anew by the next run.
                let _ = tokio::time::timeout(GRACE, settle).await;
            }
        }
        self.note(&window, after.as_deref(), ended == Ended::Finished).await;
        ended
    }

    /// The walk along the listing. Leaves when everything was given to a task.
    async fn walk(
        &self,
        after: Option<&str>,
        window: &mut Window,
        tasks: &mut JoinSet<(u64, SourceKey, End)>,
    ) -> Result<(), Halt> {
        let mut along = Along { after: after.map(str::to_owned), listing: self.listing(after)? };
        let mut noted = Instant::now();
        loop {
            let (stretch, more) = self.stretch(&mut along, window).await?;
            // Once for each stretch: of a long run of what is no picture nothing is looked up.
            while window.len() >= MAX_WINDOW && self.settle_one(window, tasks).await {}
            for todo in self.look(stretch).await? {
                if noted.elapsed() >= CHECKPOINT_EVERY {
                    self.note(window, after, false).await;
                    noted = Instant::now();
                }
                if todo.wishes.is_empty() {
                    self.counts.ended(todo.source.key.as_str(), End::Present);
                    window.finish(todo.number);
                    continue;
                }
                while tasks.len() >= self.job.concurrency {
                    if !self.settle_one(window, tasks).await {
                        break;
                    }
                }
                let warm = self.clone();
                self.counts.begun();
                tasks.spawn_on(
                    async move {
                        let (number, key) = (todo.number, todo.source.key.clone());
                        (number, key, warm.make(todo).await)
                    },
                    &self.service.runtime,
                );
            }
            if noted.elapsed() >= CHECKPOINT_EVERY {
                self.note(window, after, false).await;
                noted = Instant::now();
            }
            if !more {
                while self.settle_one(window, tasks).await {}
                return Ok(());
            }
        }
    }

    /// The next stretch of the listing, and whether there may be more. A listing that fails in
    /// passing is taken up again where it broke off.
    async fn stretch(
        &self,
        along: &mut Along,
        window: &mut Window,
    ) -> Result<(Vec<Seen>, bool), Halt> {
        let mut stretch = Vec::with_capacity(STRETCH);
        let mut failures = 0;
        let mut read = 0;
        // A stretch ends, too, where much was read of which nothing is to be looked up.
        while stretch.len() < STRETCH && read < MAX_WINDOW {
            match along.listing.next().await {
                None => return Ok((stretch, false)),
                Some(Ok((key, meta))) => {
                    (failures, read) = (0, read + 1);
                    along.after = Some(key.as_str().to_owned());
                    if !self.is_ours_to_do(&key) {
                        continue;
                    }
                    let number = window.begin(key.clone());
                    if is_no_picture(&key) {
                        self.counts.ended(key.as_str(), End::Skipped);
                        window.finish(number);
                        continue;
                    }
                    let source = SourceId { origin: self.job.origin.clone(), key };
                    stretch.push(Seen { number, source, meta });
                }
                Some(Err(error)) => {
                    failures += 1;
                    if !error.is_passing() || failures >= LISTING_ATTEMPTS {
                        return Err(error.into());
                    }
                    tracing::warn!(%error, after = along.after.as_deref(), "listing again");
                    tokio::time::sleep(Duration::from_millis(250) * 2_u32.pow(failures)).await;
                    along.listing = self.listing(along.after.as_deref())?;
                }
            }
        }
        Ok((stretch, true))
    }

    fn listing(
        &self,
        after: Option<&str>,
    ) -> Result<BoxStream<'static, ListedOriginal>, OriginError> {
        self.service.origins.list(&self.job.origin, &self.job.prefix, after)
    }

    /// Whether an object is an original, and of this share.
    fn is_ours_to_do(&self, key: &SourceKey) -> bool {
        self.job.shard.has(key.as_str())
            && self.territory.claim(&self.job.origin, key.as_str()) == Claim::Original
    }

    /// Waits for one original to end; false if none is under way.
    async fn settle_one(
        &self,
        window: &mut Window,
        tasks: &mut JoinSet<(u64, SourceKey, End)>,
    ) -> bool {
        match tasks.join_next().await {
            None => return false,
            Some(Ok((number, key, end))) => {
                self.counts.ended(key.as_str(), end);
                window.finish(number);
            }
            // It stays in the window: the next run begins there.
            Some(Err(lost)) => tracing::error!(%lost, "the work on an original broke off"),
        }
        self.counts.done();
        true
    }

    /// Where an earlier run stopped.
    async fn resume(&self) -> Option<String> {
        if self.job.restart || self.job.dry_run {
            return None;
        }
        let deadline = Instant::now() + GRACE;
        let json = match self.service.variants.note(&self.note_name(), deadline).await {
            Ok(json) => json?,
            Err(error) => {
                tracing::warn!(%error, "no checkpoint can be read; beginning at the beginning");
                return None;
            }
        };
        let Checkpoint { after, tally, failures, .. } =
            Checkpoint::from_json(&json, SystemTime::now())?;
        tracing::info!(after, seen = tally.seen(), "going on where an earlier run stopped");
        self.counts.go_on(tally, failures);
        Some(after)
    }

    /// Notes how far everything is finished.
    async fn note(&self, window: &Window, begun_after: Option<&str>, finished: bool) {
        if self.job.dry_run {
            return;
        }
        let Some(after) = window.after().or(begun_after) else { return };
        let checkpoint = Checkpoint {
            after: after.to_owned(),
            finished,
            tally: self.counts.tally(),
            failures: self.counts.failures(),
            written_at: seconds(SystemTime::now()),
        };
        if let Err(error) =
            self.service.variants.put_note(&self.note_name(), checkpoint.to_json()).await
        {
            tracing::warn!(%error, "the checkpoint cannot be written");
        }
    }

    /// One note for each share of each job: another prefix, other wishes, another number of shares
    /// are another job.
    fn note_name(&self) -> String {
        let Job { origin, prefix, ahead, shard, .. } = self.job.as_ref();
        let mut hasher = blake3::Hasher::new_derive_key("lenslet warm job");
        let mut enter = |text: &str| {
            hasher.update(&(text.len() as u64).to_be_bytes());
            hasher.update(text.as_bytes());
        };
        enter(origin.as_str());
        enter(prefix);
        for wish in ahead.wishes(&SourceId { origin: origin.clone(), key: sample_key() }) {
            enter(&wish.transform.canonical());
            enter(&format!("{:?}", wish.placement));
        }
        let digest = hasher.finalize().to_hex();
        let digest = digest.get(..16).unwrap_or_default();
        format!("warm/{digest}/{}.json", shard.to_string().replace('/', "-of-"))
    }
}

/// A key that stands for all.
#[expect(clippy::unwrap_used, reason = "a constant that its tests have read")]
fn sample_key() -> SourceKey {
    SourceKey::new("image").unwrap()
}

/// Whether the name says that it is nothing we read: what is not fetched need not be refused.
fn is_no_picture(key: &SourceKey) -> bool {
    const OTHERS: [&str; 30] = [
        "7z", "avi", "css", "csv", "doc", "docx", "gz", "htm", "html", "ini", "js", "json", "log",
        "m4a", "md", "mkv", "mov", "mp3", "mp4", "ogg", "pdf", "svg", "tar", "txt", "wav", "webm",
        "xml", "yaml", "yml", "zip",
    ];
    let ending = key.file_name().rsplit_once('.').map(|(_, ending)| ending.to_ascii_lowercase());
    ending.is_some_and(|ending| OTHERS.binary_search(&ending.as_str()).is_ok())
}
