//! What goes and what stays, object by object. An original's absence or change counts only for
//! objects that were there well before it was asked for: a variant written meanwhile may be of a
//! version that came after the answer. Never deletes anything itself.

use super::tally::{Reason, Tally};
use super::{Found, Group, Sweep, Victim};
use crate::model::key::{OriginName, RENDER_EPOCH, SourceId, SourceVersion};
use crate::variants::area::{self, Place, What};
use crate::variants::mirror::record_path;
use crate::variants::objects::{Fault, Objects};
use crate::variants::purge::Marked;
use moka::sync::Cache;
use object_store::ObjectMeta;
use object_store::path::Path;
use std::time::{Duration, SystemTime};

/// Originals whose standing is remembered.
const REMEMBERED: u64 = 10_000;

/// What an origin says of an original.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// It is there, in this version.
    Here(SourceVersion),
    /// It is not there, and the origin said so.
    Gone,
    /// The origin did not tell: with these words it refused, failed or kept silent.
    Unanswered(String),
    /// No such origin is configured (any more), so nobody can be asked.
    Unknown,
}

/// What is to be done with a group.
#[derive(Debug, Default)]
pub(super) struct Verdict {
    pub(super) victims: Vec<Victim>,
    pub(super) tally: Tally,
    /// The origin, if an original of it was found.
    pub(super) alive: Option<OriginName>,
    pub(super) origin: Option<OriginName>,
}

/// A standing and when it was asked for.
#[derive(Debug, Clone)]
struct Asked {
    standing: Standing,
    at: SystemTime,
}

pub(super) struct Judge<'a, A> {
    sweep: &'a Sweep,
    objects: &'a Objects,
    ask: A,
    known: Cache<SourceId, Asked>,
    now: SystemTime,
}

impl<'a, A, F> Judge<'a, A>
where
    A: Fn(SourceId) -> F,
    F: Future<Output = Standing>,
{
    pub(super) fn new(sweep: &'a Sweep, objects: &'a Objects, ask: A) -> Self {
        Self { sweep, objects, ask, known: Cache::new(REMEMBERED), now: SystemTime::now() }
    }

    /// # Errors
    /// That of the listing, handed on.
    pub(super) async fn verdict(&self, found: Result<Found, Fault>) -> Result<Verdict, Fault> {
        match found? {
            Found::Area { group, foreign } => {
                let mut verdict = Verdict::default();
                verdict.tally.foreign = foreign as u64;
                if let Some(group) = group {
                    self.of_group(group, &mut verdict).await;
                }
                Ok(verdict)
            }
            Found::Mirrored(object) => Ok(self.of_mirrored(*object).await),
        }
    }

    async fn of_group(&self, group: Group, verdict: &mut Verdict) {
        let places = || {
            let read = |object: &'_ ObjectMeta| area::place(object.location.as_ref()).map(|_| ());
            group.objects.iter().filter(move |object| read(object).is_some())
        };
        let Some(first) = places().next() else { return };
        let Some(place) = area::place(first.location.as_ref()) else { return };
        if !self.sweep.concerns(&place) {
            return;
        }
        for object in places() {
            verdict.tally.saw(object.size);
        }
        let dead = place.epoch < RENDER_EPOCH;
        let asked = if dead { None } else { self.standing_of(first, &place, verdict).await };
        verdict.origin = Some(place.origin.clone());
        if asked.as_ref().is_some_and(|asked| asked.standing == Standing::Unknown) {
            verdict.tally.unknown += places().count() as u64;
            return;
        }
        let mut survivors = 0;
        let mut records = Vec::new();
        for object in places() {
            let Some(place) = area::place(object.location.as_ref()) else { continue };
            let reason = if dead {
                is_older(object, self.now, self.sweep.settled).then_some(Reason::DeadEpoch)
            } else {
                self.reason(object, &place, asked.as_ref(), verdict).await
            };
            match (reason, &place.what) {
                (None, What::Record) => records.push(object),
                (None, _) => survivors += 1,
                (Some(reason), What::Mark) => self.mark_goes(object, reason, &place, verdict).await,
                (Some(reason), _) => verdict.victims.push(victim(object, reason)),
            }
        }
        // The record of an original nothing of which is left goes by its age, too.
        for record in records {
            if survivors == 0 && self.is_old(record, record.location.as_ref()) {
                verdict.victims.push(victim(record, Reason::Old));
            }
        }
    }

    /// Asks for the original of a group, unless that was done lately.
    async fn standing_of(
        &self,
        first: &ObjectMeta,
        place: &Place<'_>,
        verdict: &mut Verdict,
    ) -> Option<Asked> {
        match self.objects.source_of(&first.location, place).await {
            Ok(Some(source)) => Some(self.standing(source, verdict).await),
            // A damaged object under the digest of a key: nobody knows what it was made of.
            Ok(None) => None,
            Err(fault) => {
                verdict.tally.unanswered += 1;
                verdict.tally.error.get_or_insert(fault.to_string());
                None
            }
        }
    }

    async fn standing(&self, source: SourceId, verdict: &mut Verdict) -> Asked {
        let asked = if let Some(asked) = self.known.get(&source) {
            asked
        } else {
            verdict.tally.asked += 1;
            let at = SystemTime::now();
            let asked = Asked { standing: (self.ask)(source.clone()).await, at };
            if let Standing::Unanswered(words) = &asked.standing {
                verdict.tally.unanswered += 1;
                verdict.tally.error.get_or_insert(format!("{source}: {words}"));
            }
            self.known.insert(source.clone(), asked.clone());
            asked
        };
        if matches!(asked.standing, Standing::Here(_)) {
            verdict.alive = Some(source.origin);
        }
        asked
    }

    /// Why an object of the current epoch goes, if it does.
    async fn reason(
        &self,
        object: &ObjectMeta,
        place: &Place<'_>,
        asked: Option<&Asked>,
        verdict: &mut Verdict,
    ) -> Option<Reason> {
        let settled = |asked: &Asked| is_older(object, asked.at, self.sweep.settled);
        if let Some(asked) = asked.filter(|asked| settled(asked)) {
            match (&asked.standing, &place.what) {
                (Standing::Gone, _) => return Some(Reason::Vanished),
                (Standing::Here(now), What::Entry { version, .. }) if version != now => {
                    return Some(Reason::Changed);
                }
                (Standing::Here(now), What::Mark) => {
                    match self.objects.mark_of_file(&object.location).await {
                        Ok(Some(mark)) if mark.source_version().as_ref() != Some(now) => {
                            return Some(Reason::Changed);
                        }
                        Ok(_) => {}
                        Err(fault) => {
                            verdict.tally.error.get_or_insert(fault.to_string());
                        }
                    }
                }
                _ => {}
            }
        }
        let by_age = match place.what {
            What::Entry { digest, .. } => self.is_old(object, digest),
            What::Mark => self.is_old(object, object.location.as_ref()),
            What::Record => false,
        };
        by_age.then_some(Reason::Old)
    }

    /// A mark goes together with the file it marks, unless a newer mark is about the same file.
    async fn mark_goes(
        &self,
        object: &ObjectMeta,
        reason: Reason,
        place: &Place<'_>,
        verdict: &mut Verdict,
    ) {
        match self.marked_file(object, place).await {
            Ok(marks) => verdict.victims.push(Victim { marks, ..victim(object, reason) }),
            Err(fault) => {
                verdict.tally.failed += 1;
                verdict.tally.error.get_or_insert(fault.to_string());
            }
        }
    }

    async fn marked_file(
        &self,
        object: &ObjectMeta,
        place: &Place<'_>,
    ) -> Result<Option<Path>, Fault> {
        let Some(mark) = self.objects.mark_of_file(&object.location).await? else {
            return Ok(None);
        };
        if place.epoch < RENDER_EPOCH
            && let Some(source) = place.source()
            && self.objects.head(&record_path(RENDER_EPOCH, &source, &mark.path)).await.is_ok()
        {
            return Ok(None);
        }
        self.objects.path(&mark.path).map(Some)
    }

    /// An object below a size of the mirror, in a store with metadata.
    async fn of_mirrored(&self, object: ObjectMeta) -> Verdict {
        let mut verdict = Verdict::default();
        let Some(source) = self.sweep.mirrored_source(&object.location) else { return verdict };
        verdict.origin = Some(source.origin.clone());
        let marked = match self.objects.version_of_mirrored(&object.location).await {
            Ok(marked @ Marked::Of(_)) => marked,
            Ok(Marked::No) => {
                verdict.tally.foreign += 1;
                return verdict;
            }
            Err(fault) => {
                verdict.tally.error.get_or_insert(fault.to_string());
                verdict.tally.unanswered += 1;
                return verdict;
            }
        };
        verdict.tally.saw(object.size);
        let asked = self.standing(source, &mut verdict).await;
        let by_original = match &asked.standing {
            Standing::Gone => Some(Reason::Vanished),
            Standing::Here(now) if marked != Marked::Of(Some(now.clone())) => Some(Reason::Changed),
            Standing::Here(_) | Standing::Unanswered(_) => None,
            Standing::Unknown => {
                verdict.tally.unknown += 1;
                return verdict;
            }
        };
        let by_original = by_original.filter(|_| is_older(&object, asked.at, self.sweep.settled));
        let by_age = || self.is_old(&object, object.location.as_ref()).then_some(Reason::Old);
        if let Some(reason) = by_original.or_else(by_age) {
            verdict.victims.push(Victim { marked: Some(marked), ..victim(&object, reason) });
        }
        verdict
    }

    /// Whether an object is over the limit of age, moved by up to a tenth either way by its name,
    /// so that what was made on one day is not made again on one day.
    fn is_old(&self, object: &ObjectMeta, name: &str) -> bool {
        let Some(limit) = self.sweep.older_than else { return false };
        let [a, b, ..] = *blake3::hash(name.as_bytes()).as_bytes();
        let share = f64::from(u16::from_be_bytes([a, b])) / f64::from(u16::MAX);
        is_older(object, self.now, limit.mul_f64(0.9 + 0.2 * share))
    }
}

fn victim(object: &ObjectMeta, reason: Reason) -> Victim {
    Victim { path: object.location.clone(), bytes: object.size, reason, marks: None, marked: None }
}

/// Whether an object was last written that long before `then`.
pub(super) fn is_older(object: &ObjectMeta, then: SystemTime, age: Duration) -> bool {
    let modified = SystemTime::from(object.last_modified);
    then.duration_since(modified).is_ok_and(|found| found >= age)
}
