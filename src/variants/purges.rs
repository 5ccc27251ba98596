//! The order of purges and of everything else. Each purge gets a number; work that began before
//! a purge of what it makes is told so when it wants to keep the result, and a purge can wait for
//! the writes that had begun before it. Never touches a cache or a store itself.

use super::scope::Scope;
use crate::model::key::{SourceId, VariantKey};
use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::Notify;

/// Purges remembered, at most, and for how long: longer than any request and its write take. Who
/// began before the oldest one remembered is taken for purged: that costs a render, no more.
const REMEMBERED: usize = 20_000;
const MEMORY: Duration = Duration::from_mins(30);

/// Purges of prefixes and of everything remembered, at most: each is held against every piece of
/// work. Beyond them, too, who began before is taken for purged.
const WIDE: usize = 1_000;

/// A moment in the order of purges: what was begun then is of no use after a later purge of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Since(u64);

/// The order. Clones share it.
#[derive(Debug, Clone, Default)]
pub(super) struct Purges(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    /// The number of the last purge, readable without the lock.
    last: AtomicU64,
    state: Mutex<State>,
    /// A write has ended.
    ended: Notify,
}

#[derive(Debug, Default)]
struct State {
    /// Purges up to this number have been forgotten.
    floor: u64,
    /// Purges of single originals and of single variants of them, the many.
    sources: HashMap<SourceId, Vec<(u64, Scope)>>,
    /// The other purges, the few.
    wide: VecDeque<(u64, Scope)>,
    /// The last of them that was forgotten because there were too many.
    wide_floor: u64,
    /// All of them in order.
    order: VecDeque<(u64, Instant, Option<SourceId>)>,
    /// Writes under way, by a number of their own.
    writing: HashMap<u64, (VariantKey, Since)>,
    writes: u64,
}

impl State {
    fn is_purged(&self, key: &VariantKey, since: Since) -> bool {
        since.0 < self.floor || self.matching(key).any(|number| number > since.0)
    }

    /// The numbers of the purges that cover the key, in no order.
    fn matching(&self, key: &VariantKey) -> impl Iterator<Item = u64> {
        let own = self.sources.get(&key.source).into_iter().flatten();
        let all = own.chain(&self.wide).filter(|(_, scope)| scope.covers(key));
        all.map(|(number, _)| *number)
    }

    fn forget_old(&mut self, now: Instant) {
        while self.wide.len() > WIDE
            && let Some((number, _)) = self.wide.pop_front()
        {
            self.wide_floor = number;
            self.floor = self.floor.max(number);
        }
        while let Some((number, at, source)) = self.order.front() {
            if self.order.len() <= REMEMBERED && now.duration_since(*at) < MEMORY {
                return;
            }
            let number = *number;
            match source {
                Some(source) => {
                    if let Some(purges) = self.sources.get_mut(source) {
                        purges.retain(|(other, _)| *other != number);
                        if purges.is_empty() {
                            self.sources.remove(source);
                        }
                    }
                }
                None => self.wide.retain(|(other, _)| *other != number),
            }
            self.floor = self.floor.max(number);
            self.order.pop_front();
        }
    }
}

impl Purges {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Now. Costs one load.
    pub(super) fn since(&self) -> Since {
        Since(self.0.last.load(Ordering::Acquire))
    }

    /// Enters a purge: from here on, what began before it is not kept.
    pub(super) fn note(&self, scope: &Scope, now: Instant) -> Since {
        let mut state = self.lock();
        let number = self.0.last.load(Ordering::Acquire) + 1;
        let source = scope.source().cloned();
        match &source {
            Some(id) => {
                state.sources.entry(id.clone()).or_default().push((number, scope.clone()));
            }
            None => state.wide.push_back((number, scope.clone())),
        }
        state.order.push_back((number, now, source));
        state.forget_old(now);
        self.0.last.store(number, Ordering::Release);
        Since(number)
    }

    /// Whether a purge of it came after `since`.
    pub(super) fn is_purged(&self, key: &VariantKey, since: Since) -> bool {
        since != self.since() && self.lock().is_purged(key, since)
    }

    /// The number of the last purge of the variant up to `since`, 0 for none: work begun before
    /// it and after it must not be shared.
    pub(super) fn generation(&self, key: &VariantKey, since: Since) -> u64 {
        if since.0 == 0 {
            return 0;
        }
        let state = self.lock();
        // Of those forgotten for their number nobody knows what they were about.
        let numbers = state.matching(key).chain([state.wide_floor]);
        numbers.filter(|number| *number <= since.0).max().unwrap_or(0)
    }

    /// Leave to write what was begun at `since`; `None` if it has been purged since then. A
    /// purge waits for those who have leave.
    pub(super) fn begin_write(&self, key: &VariantKey, since: Since) -> Option<Writing> {
        let mut state = self.lock();
        if state.is_purged(key, since) {
            return None;
        }
        state.writes += 1;
        let number = state.writes;
        state.writing.insert(number, (key.clone(), since));
        Some(Writing { purges: self.clone(), number })
    }

    /// Waits until no write of the scope is under way that began before the purge; returns how
    /// many still are at `until`.
    pub(super) async fn settle(&self, scope: &Scope, purge: Since, until: Instant) -> usize {
        loop {
            let ended = self.0.ended.notified();
            let under_way = {
                let state = self.lock();
                let earlier =
                    |(key, since): &&(VariantKey, Since)| *since < purge && scope.covers(key);
                state.writing.values().filter(earlier).count()
            };
            if under_way == 0 || tokio::time::timeout_at(until.into(), ended).await.is_err() {
                return under_way;
            }
        }
    }
}

/// A write under way; it ends when this is dropped.
#[derive(Debug)]
pub(super) struct Writing {
    purges: Purges,
    number: u64,
}

impl Drop for Writing {
    fn drop(&mut self) {
        self.purges.lock().writing.remove(&self.number);
        self.purges.0.ended.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::variants::fixture::{key, wish};

    fn purge(key: &VariantKey, keep: Option<&VariantKey>) -> Scope {
        Scope::Source { id: key.source.clone(), keep: keep.map(|key| key.version.clone()) }
    }

    #[test]
    fn what_began_before_a_purge_of_it_is_purged_and_nothing_else() {
        let (purges, now) = (Purges::default(), Instant::now());
        let (cat, dog) = (key("cat.jpg", "1"), key("dog.jpg", "1"));
        let before = purges.since();
        assert!(!purges.is_purged(&cat, before));
        purges.note(&purge(&cat, None), now);
        let after = purges.since();
        assert!(purges.is_purged(&cat, before) && !purges.is_purged(&dog, before));
        assert!(!purges.is_purged(&cat, after));
        purges.note(&Scope::All, now);
        assert!(purges.is_purged(&dog, before) && purges.is_purged(&cat, after));
    }

    #[test]
    fn a_version_that_stays_is_not_purged_by_that_purge_but_by_the_next() {
        let (purges, now) = (Purges::default(), Instant::now());
        let (old, new) = (key("cat.jpg", "1"), key("cat.jpg", "2"));
        let before = purges.since();
        purges.note(&purge(&old, Some(&new)), now);
        assert!(purges.is_purged(&old, before) && !purges.is_purged(&new, before));
        assert_eq!(purges.generation(&new, purges.since()), 0, "flights of it may be joined");
        assert_eq!(purges.generation(&old, purges.since()), 1);
        purges.note(&purge(&old, None), now);
        assert!(purges.is_purged(&new, before));
        assert_eq!(purges.generation(&new, purges.since()), 2);
    }

    #[test]
    fn the_memory_of_purges_is_bounded_and_errs_on_the_side_of_the_purge() {
        let (purges, now) = (Purges::default(), Instant::now());
        let before = purges.since();
        let cats: Vec<_> = (0..REMEMBERED + 10).map(|n| key(&format!("{n}.jpg"), "1")).collect();
        for cat in &cats {
            purges.note(&purge(cat, None), now);
        }
        let dog = key("dog.jpg", "1");
        assert!(purges.is_purged(&dog, before), "what is no longer known is taken for purged");
        assert!(!purges.is_purged(&dog, Since(100)));
        assert!(purges.is_purged(cats.last().unwrap(), Since(100)));
        assert_eq!(purges.lock().sources.len(), REMEMBERED);
        purges.note(&Scope::All, now + MEMORY);
        let state = purges.lock();
        assert_eq!((state.sources.len(), state.order.len(), state.wide.len()), (0, 1, 1));
    }

    #[test]
    fn single_variants_are_known_by_their_original_and_prefixes_are_few() {
        let (purges, now) = (Purges::default(), Instant::now());
        let (cat, dog) = (key("cat.jpg", "1"), key("dog.jpg", "1"));
        let before = purges.since();
        let variant = Scope::Variant {
            id: cat.source.clone(),
            wishes: vec![wish()],
            path: None,
            target: String::new(),
        };
        purges.note(&variant, now);
        assert!(purges.is_purged(&cat, before) && !purges.is_purged(&dog, before));
        assert_eq!(purges.lock().wide.len(), 0);
        let prefix = |prefix: String| Scope::Prefix { origin: cat.source.origin.clone(), prefix };
        purges.note(&prefix("dog".to_owned()), now);
        let after = purges.since();
        for n in 0..=WIDE {
            purges.note(&prefix(format!("photos/{n}/")), now);
        }
        assert_eq!(purges.lock().wide.len(), WIDE);
        let bird = key("bird.jpg", "1");
        assert!(purges.is_purged(&bird, before), "what is no longer known is taken for purged");
        assert!(!purges.is_purged(&bird, purges.since()));
        assert!(
            purges.generation(&dog, purges.since()) >= after.0,
            "it is shared with none before"
        );
        purges.note(&Scope::All, now + MEMORY);
        let state = purges.lock();
        assert_eq!((state.sources.len(), state.order.len(), state.wide.len()), (0, 1, 1));
    }

    #[tokio::test]
    async fn a_purge_waits_for_the_writes_that_had_begun_and_no_write_begins_after_it() {
        let purges = Purges::default();
        let (cat, before) = (key("cat.jpg", "1"), purges.since());
        let writing = purges.begin_write(&cat, before).unwrap();
        let other = purges.begin_write(&key("dog.jpg", "1"), before).unwrap();
        let scope = purge(&cat, None);
        let number = purges.note(&scope, Instant::now());
        assert!(purges.begin_write(&cat, before).is_none());
        let soon = Instant::now() + Duration::from_millis(30);
        assert_eq!(purges.settle(&scope, number, soon).await, 1);
        let later = purges.begin_write(&cat, purges.since()).unwrap();
        let (settled, ()) = tokio::join!(
            purges.settle(&scope, number, Instant::now() + Duration::from_secs(10)),
            async {
                tokio::time::sleep(Duration::from_millis(20)).await;
                drop(writing);
            }
        );
        assert_eq!(settled, 0, "neither the other original nor the later write is waited for");
        drop((other, later));
        assert!(purges.lock().writing.is_empty());
    }
}
