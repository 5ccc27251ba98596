//! What is known of originals and for how long it may be believed. Reads no clock: the time is
//! given. Never asks a store.

use super::SourceMeta;
use super::origins::SourceTtl;
use crate::model::key::SourceId;
use moka::sync::Cache;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;
use tokio::time::Instant;

/// About how much memory the table of versions may take, in bytes.
const KNOWN_BYTES: u64 = 16 << 20;
/// How many pairs of version and `v` are remembered, at some 100 bytes each.
const SEEN_PAIRS: u64 = 50_000;

/// What a HEAD found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Found {
    /// An original.
    Here {
        /// What is told of it.
        meta: SourceMeta,
        /// Whether it carries the mark of our variants.
        ours: bool,
    },
    /// Nothing.
    Gone,
}

/// What a store said, and when it was asked.
#[derive(Debug, Clone)]
struct Known {
    /// `None` once forgotten: only the time and the generation still count.
    found: Option<Arc<Found>>,
    /// When the question was *sent*: the answer may be older than its arrival, never than this.
    asked: Instant,
    /// Grows each time the source is forgotten, so that no later question joins an earlier one.
    generation: u64,
    /// Set by the one request that asks ahead.
    ahead: Arc<AtomicBool>,
}

/// What to do about a source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Look {
    /// Believe this.
    Fresh(Found),
    /// Believe this, and ask ahead in the flight of this name.
    Ahead(Found, String),
    /// Ask in the flight of this name; what was last known may stand in if that fails.
    Ask(String, Option<Found>),
}

/// What is known of a source, judged.
enum Judged<'v> {
    /// To be believed.
    Fresh,
    /// To be believed, but not for much longer.
    Late,
    /// Beyond its life.
    Old,
    /// Not known together with this `v`.
    NewV(&'v str),
}

/// The table.
#[derive(Debug)]
pub(super) struct Freshness {
    negative_ttl: Duration,
    known: Cache<SourceId, Known>,
    seen: Cache<[u8; 32], ()>,
    wide: RwLock<Wide>,
}

/// The last time that many sources were forgotten together, named or not.
#[derive(Debug, Clone, Copy, Default)]
struct Wide {
    /// Grows each time, so that no later question joins an earlier one, whatever it is about.
    generation: u64,
    /// Answers to questions sent before are not entered.
    at: Option<Instant>,
}

impl Freshness {
    pub(super) fn new(negative_ttl: Duration) -> Self {
        let weigh = |id: &SourceId, _: &Known| {
            u32::try_from(id.key.as_str().len() + 400).unwrap_or(u32::MAX)
        };
        let known = Cache::builder().weigher(weigh).max_capacity(KNOWN_BYTES).build();
        Self { negative_ttl, known, seen: Cache::new(SEEN_PAIRS), wide: RwLock::default() }
    }

    fn wide(&self) -> Wide {
        *self.wide.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// What to do about `id`, whose origin's versions live for `ttl`, for a request that came at
    /// `now` with this `v`.
    pub(super) fn look(
        &self,
        id: &SourceId,
        ttl: SourceTtl,
        v: Option<&str>,
        now: Instant,
    ) -> Look {
        let known = self.known.get(id);
        let generation = known.as_ref().map_or(0, |k| k.generation);
        let flight = || format!("{}.{generation}\n{id}", self.wide().generation);
        let Some((known, found)) = known.and_then(|k| k.found.clone().map(|found| (k, found)))
        else {
            let flight = flight();
            return Look::Ask(v.map_or(flight.clone(), |v| format!("{flight}\n{v}")), None);
        };
        let found = found.as_ref();
        match self.judge(id, found, known.asked, (ttl, v), now) {
            Judged::Fresh => Look::Fresh(found.clone()),
            Judged::Late if known.ahead.swap(true, Ordering::Relaxed) => Look::Fresh(found.clone()),
            Judged::Late => Look::Ahead(found.clone(), flight()),
            Judged::Old => Look::Ask(flight(), Some(found.clone())),
            // Whoever sends a new `v` knows of a change: a question asked before is no answer.
            Judged::NewV(v) => Look::Ask(format!("{}\n{v}", flight()), Some(found.clone())),
        }
    }

    /// What may be believed without asking, and the name of the flight that has to ask ahead, where
    /// that falls to this request; `None` where [`Freshness::look`] says to ask. Allocates nothing.
    pub(super) fn believed(
        &self,
        id: &SourceId,
        ttl: SourceTtl,
        v: Option<&str>,
        now: Instant,
    ) -> Option<(Arc<Found>, Option<String>)> {
        let Known { found, asked, generation, ahead } = self.known.get(id)?;
        let found = found?;
        let flight = match self.judge(id, &found, asked, (ttl, v), now) {
            Judged::Fresh => None,
            Judged::Late if ahead.swap(true, Ordering::Relaxed) => None,
            Judged::Late => Some(format!("{}.{generation}\n{id}", self.wide().generation)),
            Judged::Old | Judged::NewV(_) => return None,
        };
        Some((found, flight))
    }

    /// What `found`, asked for at `asked`, is worth at `now` to a request with this `v`.
    fn judge<'v>(
        &self,
        id: &SourceId,
        found: &Found,
        asked: Instant,
        (ttl, v): (SourceTtl, Option<&'v str>),
        now: Instant,
    ) -> Judged<'v> {
        if let Some(v) = v.filter(|v| !self.seen.contains_key(&pair(id, found, v))) {
            return Judged::NewV(v);
        }
        let life = match (found, ttl) {
            (Found::Gone, _) => self.negative_ttl,
            (Found::Here { .. }, SourceTtl::For(ttl)) => ttl,
            (Found::Here { .. }, SourceTtl::Immutable) => return Judged::Fresh,
        };
        let age = now.saturating_duration_since(asked);
        if age >= life {
            return Judged::Old;
        }
        // Nobody asks ahead so early, whatever the source.
        let early = age < life.mul_f64(EARLIEST);
        if early || *found == Found::Gone || age < life.mul_f64(ahead_at(id)) {
            return Judged::Fresh;
        }
        Judged::Late
    }

    /// Enters an answer to a question sent at `asked`, unless a later one is known.
    pub(super) fn learn(&self, id: &SourceId, found: Found, asked: Instant) {
        // Held to the end: who forgets meanwhile waits, and then finds this entry.
        let wide = self.wide.read().unwrap_or_else(PoisonError::into_inner);
        if wide.at.is_some_and(|at| asked < at) {
            return;
        }
        self.known.entry_by_ref(id).and_upsert_with(|held| {
            let held = held.map(moka::Entry::into_value);
            let generation = held.as_ref().map_or(0, |k| k.generation);
            match held {
                Some(later) if later.asked > asked => later,
                _ => {
                    Known { found: Some(Arc::new(found)), asked, generation, ahead: Arc::default() }
                }
            }
        });
    }

    /// Remembers that `v` was asked for together with what was found.
    pub(super) fn saw(&self, id: &SourceId, found: &Found, v: &str) {
        self.seen.insert(pair(id, found, v), ());
    }

    /// Drops what is known, and whatever answer to an earlier question is still to come.
    pub(super) fn forget(&self, id: &SourceId, now: Instant) {
        self.known.entry_by_ref(id).and_upsert_with(|held| {
            let generation = held.map_or(0, |k| k.into_value().generation) + 1;
            Known { found: None, asked: now, generation, ahead: Arc::default() }
        });
    }
}

impl Freshness {
    /// [`Freshness::forget`] for every source that `matches`, those included of which a question
    /// is under way and nothing is known yet. Looks at all that is known.
    pub(super) fn forget_matching(&self, matches: impl Fn(&SourceId) -> bool, now: Instant) {
        let mut wide = self.wide.write().unwrap_or_else(PoisonError::into_inner);
        wide.generation += 1;
        wide.at = Some(now);
        for (id, _) in &self.known {
            if matches(&id) {
                self.known.invalidate(&*id);
            }
        }
    }
}

/// One digest for a source, its version and a `v`.
fn pair(id: &SourceId, found: &Found, v: &str) -> [u8; 32] {
    let version = match found {
        Found::Here { meta, .. } => meta.version.as_str(),
        Found::Gone => "gone",
    };
    let mut hasher = blake3::Hasher::new_derive_key("lenslet seen version");
    for field in [id.origin.as_str(), id.key.as_str(), version, v] {
        hasher.update(&(field.len() as u64).to_be_bytes());
        hasher.update(field.as_bytes());
    }
    *hasher.finalize().as_bytes()
}

/// The earliest part of its life after which a source is asked for ahead.
const EARLIEST: f64 = 0.8;

/// The part of its life after which this source is: 0.80 to 0.90 by its name, so that what was
/// learnt together is not asked for together.
fn ahead_at(id: &SourceId) -> f64 {
    let [first, ..] = *blake3::hash(id.to_string().as_bytes()).as_bytes();
    EARLIEST + 0.1 * f64::from(first) / 255.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::key::{OriginName, SourceKey, SourceVersion};

    const TTL: Duration = Duration::from_mins(1);
    const NEGATIVE: Duration = Duration::from_secs(10);

    fn id(key: &str) -> SourceId {
        SourceId { origin: OriginName::default_origin(), key: SourceKey::new(key).unwrap() }
    }

    fn here(etag: &str) -> Found {
        let version = SourceVersion::from_etag(etag);
        let meta = SourceMeta { version, bytes: 1, etag: Some(etag.to_owned()), modified: None };
        Found::Here { meta, ours: false }
    }

    fn table() -> Freshness {
        Freshness::new(NEGATIVE)
    }

    impl Freshness {
        fn at(&self, id: &SourceId, v: Option<&str>, now: Instant) -> Look {
            self.look(id, SourceTtl::For(TTL), v, now)
        }
    }

    #[test]
    fn what_is_believed_without_asking_is_what_a_look_would_say() {
        let (cat, start) = (id("cat"), Instant::now());
        for learnt in [None, Some(here("1")), Some(Found::Gone)] {
            for part in [0.0, 0.5, 0.79, 0.85, 0.95, 0.999, 1.0, 2.0] {
                for v in [None, Some("seen"), Some("new")] {
                    let twice = [table(), table()].map(|table| {
                        if let Some(found) = &learnt {
                            table.learn(&cat, found.clone(), start);
                            table.saw(&cat, found, "seen");
                        }
                        table
                    });
                    let [one, other] = &twice;
                    let now = start + TTL.mul_f64(part);
                    // The first to look asks ahead, the second does not.
                    for _ in 0..2 {
                        let believed = one.believed(&cat, SourceTtl::For(TTL), v, now);
                        let believed = match believed {
                            Some((found, None)) => Some(Look::Fresh((*found).clone())),
                            Some((found, Some(flight))) => {
                                Some(Look::Ahead((*found).clone(), flight))
                            }
                            None => None,
                        };
                        let looked = match other.at(&cat, v, now) {
                            Look::Ask(..) => None,
                            look => Some(look),
                        };
                        assert_eq!(believed, looked, "{learnt:?} at {part} with {v:?}");
                    }
                }
            }
        }
    }

    #[test]
    fn a_version_is_believed_for_its_ttl_and_no_longer() {
        let (table, cat, start) = (table(), id("cat"), Instant::now());
        assert!(matches!(table.at(&cat, None, start), Look::Ask(_, None)));
        table.learn(&cat, here("1"), start);
        assert_eq!(table.at(&cat, None, start + TTL.mul_f64(0.79)), Look::Fresh(here("1")));
        assert!(matches!(table.at(&cat, None, start + TTL), Look::Ask(_, Some(_))));
    }

    #[test]
    fn one_request_asks_ahead_late_in_the_life_of_a_version() {
        let (table, cat, start) = (table(), id("cat"), Instant::now());
        table.learn(&cat, here("1"), start);
        let late = start + TTL.mul_f64(0.95);
        assert!(matches!(table.at(&cat, None, late), Look::Ahead(..)));
        assert_eq!(table.at(&cat, None, late), Look::Fresh(here("1")));
        table.learn(&cat, here("1"), late);
        assert_eq!(table.at(&cat, None, late + TTL.mul_f64(0.79)), Look::Fresh(here("1")));
    }

    #[test]
    fn sources_learnt_together_are_asked_ahead_at_different_times() {
        let times: std::collections::BTreeSet<_> =
            (0..20).map(|n| (ahead_at(&id(&n.to_string())) * 1e6).round().to_bits()).collect();
        assert!(times.len() > 10);
        assert!((0..200).all(|n| (0.8..=0.9).contains(&ahead_at(&id(&n.to_string())))));
    }

    #[test]
    fn a_new_v_asks_once_for_each_version_even_if_immutable() {
        let (cat, now) = (id("cat"), Instant::now());
        let table = table();
        let look = |v, at| table.look(&cat, SourceTtl::Immutable, v, at);
        table.learn(&cat, here("1"), now);
        assert_eq!(look(None, now + TTL * 1_000), Look::Fresh(here("1")));
        assert!(matches!(look(Some("a"), now), Look::Ask(_, Some(_))));
        table.saw(&cat, &here("1"), "a");
        assert_eq!(look(Some("a"), now), Look::Fresh(here("1")));
        assert!(matches!(look(Some("b"), now), Look::Ask(_, Some(_))));
        table.learn(&cat, here("2"), now + TTL);
        assert!(matches!(look(Some("a"), now + TTL), Look::Ask(_, Some(_))));
    }

    #[test]
    fn different_vs_never_share_a_question_with_each_other_or_with_none() {
        let (table, cat, now) = (table(), id("cat"), Instant::now());
        table.learn(&cat, here("1"), now);
        let name = |v: Option<&str>, at| match table.at(&cat, v, at) {
            Look::Ask(name, _) => name,
            other => panic!("{other:?}"),
        };
        let names = [name(Some("a"), now), name(Some("b"), now), name(None, now + TTL)];
        assert!(names[0] != names[1] && names[1] != names[2] && names[0] != names[2]);
    }

    #[test]
    fn a_missing_original_is_remembered_for_the_shorter_time() {
        let (table, cat, start) = (table(), id("cat"), Instant::now());
        table.learn(&cat, Found::Gone, start);
        assert_eq!(table.at(&cat, None, start + NEGATIVE / 2), Look::Fresh(Found::Gone));
        assert!(matches!(table.at(&cat, None, start + NEGATIVE), Look::Ask(_, Some(Found::Gone))));
    }

    #[test]
    fn an_answer_to_an_earlier_question_never_replaces_a_later_one() {
        let (table, cat, start) = (table(), id("cat"), Instant::now());
        let later = start + Duration::from_secs(1);
        table.learn(&cat, here("new"), later);
        table.learn(&cat, here("old"), start);
        assert_eq!(table.at(&cat, None, later), Look::Fresh(here("new")));
    }

    #[test]
    fn what_is_forgotten_stays_forgotten_when_an_old_answer_arrives() {
        let (table, cat, start) = (table(), id("cat"), Instant::now());
        let Look::Ask(before, _) = table.at(&cat, None, start) else { panic!("known") };
        table.forget(&cat, start + Duration::from_secs(1));
        table.learn(&cat, here("old"), start);
        let Look::Ask(after, None) = table.at(&cat, None, start + Duration::from_secs(1)) else {
            panic!("known")
        };
        assert_ne!(before, after, "a question sent before would be joined");
    }

    #[test]
    fn many_are_forgotten_together_with_the_questions_under_way() {
        let (table, start) = (table(), Instant::now());
        let (cat, dog, cow) = (id("pets/cat"), id("pets/dog"), id("cow"));
        table.learn(&cat, here("1"), start);
        table.learn(&cow, here("1"), start);
        let Look::Ask(before, _) = table.at(&dog, None, start) else { panic!("known") };
        let then = start + Duration::from_secs(1);
        table.forget_matching(|id| id.key.as_str().starts_with("pets/"), then);
        table.learn(&dog, here("old"), start);
        assert!(matches!(table.at(&cat, None, then), Look::Ask(_, None)));
        let Look::Ask(after, None) = table.at(&dog, None, then) else { panic!("known") };
        assert_ne!(before, after, "a question sent before would be joined");
        assert_eq!(table.at(&cow, None, then), Look::Fresh(here("1")), "not meant");
        table.learn(&dog, here("new"), then);
        assert_eq!(table.at(&dog, None, then), Look::Fresh(here("new")));
    }
}
