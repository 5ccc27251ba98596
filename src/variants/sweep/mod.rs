//! Clearing up the store of variants: what was made of originals that are gone or have changed,
//! of dead epochs, what is too old, what was left half done. Streams the listing, so its memory
//! does not grow with the store, and may run beside a live service. Never deletes what is not
//! ours, and never takes an origin's silence for the absence of its originals.

mod judge;
mod leftovers;
mod tally;

pub use judge::Standing;
pub use tally::{Count, Reason, Tally};

use super::VariantStore;
use super::area::{self, Place};
use super::delete::Swept;
use super::objects::{Fault, Objects};
use super::purge::Marked;
use crate::model::key::{OriginName, RENDER_EPOCH, SourceId, SourceKey};
use crate::model::shard::Shard;
use futures_util::stream::{self, BoxStream};
use futures_util::{StreamExt as _, TryStreamExt as _};
use judge::{Judge, Verdict};
use object_store::ObjectMeta;
use object_store::path::Path;
use std::collections::{HashMap, HashSet};
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

/// Objects of one original that are judged together; further ones are judged by the same rules
/// in a group of their own.
const GROUP: usize = 500;
/// Marks looked at again at a time.
const LOOKS: usize = 16;
/// Paths deleted in one go.
const BATCH: usize = 400;
/// Objects of originals that seem to be gone, held back until their origin has shown that it has
/// any original at all.
const HELD: usize = 20_000;

/// What a sweep does.
#[derive(Debug, Clone)]
pub struct Sweep {
    /// Only what was made of originals of this origin.
    pub origin: Option<OriginName>,
    /// What is older goes, give or take a tenth by its name.
    pub older_than: Option<Duration>,
    /// Only count.
    pub dry_run: bool,
    /// How long an object must have been there when its original was asked for, to be judged by
    /// the answer: clocks differ, and what is newer may be of a version that came after it.
    pub settled: Duration,
    /// Originals asked for at a time, at least 1.
    pub concurrency: usize,
    /// Which part of the originals.
    pub shard: Shard,
    /// Below which sizes pictures are mirrored; empty: they are not.
    pub sizes: Vec<String>,
    /// Where the store is a folder: the folder, to find files half written.
    pub folder: Option<PathBuf>,
    /// What is taken for true of an origin none of whose originals is found.
    pub believe: Believe,
}

/// Whether an origin none of whose originals is found is believed to be empty.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Believe {
    /// It looks like a wrong setting or a mount that is missing: nothing of it goes.
    NothingIsGone,
    /// It is empty: all of it goes.
    ItIsEmpty,
}

/// Why a sweep ended early.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the store of variants cannot be listed: {0}")]
pub struct SweepError(String);

impl From<Fault> for SweepError {
    fn from(fault: Fault) -> Self {
        Self(fault.to_string())
    }
}

/// An object that is to go, and why.
#[derive(Debug, Clone)]
pub(super) struct Victim {
    path: Path,
    bytes: u64,
    reason: Reason,
    /// The file it is the mark of, which goes before it: without its mark nobody would know the
    /// file for ours.
    marks: Option<Path>,
    /// The mark on it when it was judged, where marks lie on objects: it is looked at again before
    /// it goes, since somebody may have written there meanwhile.
    marked: Option<Marked>,
}

/// Objects of one original that were listed one after the other.
#[derive(Debug)]
pub(super) struct Group {
    area: String,
    objects: Vec<ObjectMeta>,
}

impl Sweep {
    /// Sweeps. `ask` tells of an original whether it is there; it is asked once for each, as far
    /// as they are listed together. `seen` is shown the counts every now and then.
    ///
    /// # Errors
    /// [`SweepError`] where the store cannot be listed to its end. What cannot be deleted is
    /// counted, not an error.
    pub async fn run<A, F>(
        &self,
        store: VariantStore,
        ask: A,
        mut seen: impl FnMut(&Tally),
    ) -> Result<Tally, SweepError>
    where
        A: Fn(SourceId) -> F,
        F: Future<Output = Standing>,
    {
        let objects =
            Objects { store, max_body: 1 << 20, cache_control: None, sizes: self.sizes.clone() };
        let judge = Judge::new(self, &objects, ask);
        let mut work = Work::new(self, &objects);
        let groups = Self::groups(&objects);
        let mut verdicts = groups
            .map(|group| judge.verdict(group))
            .buffer_unordered(self.concurrency.max(1))
            .boxed_local();
        while let Some(verdict) = verdicts.next().await {
            work.take(verdict?).await;
            seen(&work.tally);
        }
        if self.shard.is_first() && self.origin.is_none() {
            let mut notes = leftovers::listed(&objects, SystemTime::now());
            while let Some(victim) = notes.next().await {
                work.add(victim?).await;
            }
            if let Some(folder) = self.folder.clone() {
                work.clear_half_written(folder).await;
            }
        }
        work.end().await;
        seen(&work.tally);
        Ok(work.tally)
    }

    /// Everything that could go, grouped.
    fn groups(objects: &Objects) -> BoxStream<'_, Result<Found, Fault>> {
        let versioned = (0..=RENDER_EPOCH).map(move |epoch| {
            // It is asked again after its end, when the last group has been handed out.
            let listing = objects.list(&format!("v{epoch}")).fuse();
            stream::try_unfold((listing, None), async |(mut listing, mut carried)| {
                let mut group: Option<Group> = None;
                let mut foreign = 0;
                loop {
                    let object = match carried.take() {
                        Some(object) => object,
                        None => match listing.try_next().await? {
                            Some(object) => object,
                            None => break,
                        },
                    };
                    let Some(place) = area::place(object.location.as_ref()) else {
                        foreign += 1;
                        if foreign >= GROUP {
                            break;
                        }
                        continue;
                    };
                    let area = place.area();
                    match &mut group {
                        None => group = Some(Group { area, objects: vec![object] }),
                        Some(group) if group.area == area && group.objects.len() < GROUP => {
                            group.objects.push(object);
                        }
                        Some(_) => {
                            carried = Some(object);
                            break;
                        }
                    }
                }
                if group.is_none() && foreign == 0 {
                    return Ok(None);
                }
                Ok(Some((Found::Area { group, foreign }, (listing, carried))))
            })
            .boxed()
        });
        let mirrored = objects.sizes.iter().filter(|_| objects.store.has_metadata).map(|size| {
            objects.list(size).map_ok(|object| Found::Mirrored(Box::new(object))).boxed()
        });
        stream::iter(versioned).flatten().chain(stream::iter(mirrored).flatten()).boxed()
    }

    /// Whether an original is among those looked at.
    pub(super) fn concerns(&self, place: &Place<'_>) -> bool {
        self.origin.as_ref().is_none_or(|origin| *origin == place.origin)
            && self.shard.has(place.area().split_once('/').map_or("", |(_, within)| within))
    }

    /// The original of a mirrored picture, if it is among those looked at.
    pub(super) fn mirrored_source(&self, path: &Path) -> Option<SourceId> {
        let origin = OriginName::default_origin();
        let (_, key) = path.as_ref().split_once('/')?;
        let source = SourceId { origin, key: SourceKey::new(key).ok()? };
        let concerns = self.origin.as_ref().is_none_or(|origin| *origin == source.origin)
            && self.shard.has(&format!("{}/{}/~", source.origin, source.key));
        concerns.then_some(source)
    }
}

/// What a listing gives to be judged.
#[derive(Debug)]
pub(super) enum Found {
    /// Objects of one original in the versioned area, and how many others lay between them.
    Area { group: Option<Group>, foreign: usize },
    /// An object below a size.
    Mirrored(Box<ObjectMeta>),
}

/// What has been decided and is yet to be done.
struct Work<'a> {
    sweep: &'a Sweep,
    objects: &'a Objects,
    tally: Tally,
    batch: Vec<Victim>,
    /// Origins of which an original was found.
    alive: HashSet<OriginName>,
    held: HashMap<OriginName, Vec<Victim>>,
    held_objects: usize,
}

impl<'a> Work<'a> {
    fn new(sweep: &'a Sweep, objects: &'a Objects) -> Self {
        Self {
            sweep,
            objects,
            tally: Tally::default(),
            batch: Vec::with_capacity(BATCH),
            alive: HashSet::new(),
            held: HashMap::new(),
            held_objects: 0,
        }
    }

    async fn take(&mut self, verdict: Verdict) {
        self.tally.add(&verdict.tally);
        if let Some(origin) = verdict.alive
            && self.alive.insert(origin.clone())
        {
            for victim in self.held.remove(&origin).into_iter().flatten() {
                self.held_objects -= 1;
                self.add(victim).await;
            }
        }
        for victim in verdict.victims {
            match &verdict.origin {
                Some(origin)
                    if victim.reason == Reason::Vanished
                        && self.sweep.believe == Believe::NothingIsGone
                        && !self.alive.contains(origin) =>
                {
                    if self.held_objects < HELD {
                        self.held_objects += 1;
                        self.held.entry(origin.clone()).or_default().push(victim);
                    } else {
                        self.tally.unproved += 1;
                    }
                }
                _ => self.add(victim).await,
            }
        }
    }

    async fn add(&mut self, victim: Victim) {
        self.batch.push(victim);
        if self.batch.len() >= BATCH {
            self.flush().await;
        }
    }

    async fn flush(&mut self) {
        let batch = std::mem::take(&mut self.batch);
        let batch = if self.sweep.dry_run { batch } else { self.unchanged(batch).await };
        for victim in &batch {
            self.tally.goes(victim.reason, victim.bytes);
        }
        if self.sweep.dry_run {
            return;
        }
        let (marks, others): (Vec<_>, Vec<_>) =
            batch.into_iter().partition(|victim| victim.marks.is_some());
        let files = marks.iter().filter_map(|victim| victim.marks.clone()).collect();
        if self.delete(files).await {
            self.delete(marks.into_iter().map(|victim| victim.path).collect()).await;
        }
        self.delete(others.into_iter().map(|victim| victim.path).collect()).await;
    }

    /// Those that still carry the mark they were judged by, and those that carry none.
    async fn unchanged(&mut self, batch: Vec<Victim>) -> Vec<Victim> {
        let objects = self.objects;
        let looks = batch.into_iter().map(|victim| async move {
            let now = match &victim.marked {
                None => return Ok(Some(victim)),
                Some(_) => objects.version_of_mirrored(&victim.path).await?,
            };
            Ok::<_, Fault>((victim.marked.as_ref() == Some(&now)).then_some(victim))
        });
        let mut looks = stream::iter(looks).buffer_unordered(LOOKS);
        let mut unchanged = Vec::with_capacity(BATCH);
        while let Some(looked) = looks.next().await {
            match looked {
                Ok(victim) => unchanged.extend(victim),
                Err(fault) => {
                    self.tally.failed += 1;
                    self.tally.error.get_or_insert(fault.to_string());
                }
            }
        }
        unchanged
    }

    /// Deletes all of them; says whether all of them are gone.
    async fn delete(&mut self, paths: Vec<Path>) -> bool {
        let paths = stream::iter(paths.into_iter().map(Ok)).boxed();
        let swept: Swept = self.objects.delete_all(paths).await;
        let complete = swept.is_complete();
        self.tally.failed += swept.failed;
        if let Some(error) = swept.error {
            self.tally.error.get_or_insert(error);
        }
        complete
    }

    /// Removes what no listing of the folder shows. The client would not take such names.
    async fn clear_half_written(&mut self, folder: PathBuf) {
        let dry_run = self.sweep.dry_run;
        let cleared = tokio::task::spawn_blocking(move || {
            let found = leftovers::half_written(&folder, SystemTime::now());
            let gone = |path: &PathBuf| dry_run || std::fs::remove_file(path).is_ok();
            found.into_iter().map(|(path, bytes)| (gone(&path), bytes)).collect::<Vec<_>>()
        });
        for (gone, bytes) in cleared.await.unwrap_or_default() {
            self.tally.goes(Reason::Leftover, bytes);
            self.tally.failed += u64::from(!gone);
        }
    }

    async fn end(&mut self) {
        self.flush().await;
        self.tally.unproved += self.held_objects as u64;
        let silent = self.held.iter().filter(|(_, held)| !held.is_empty());
        self.tally.silent_origins = silent.map(|(origin, _)| origin.to_string()).collect();
    }
}
