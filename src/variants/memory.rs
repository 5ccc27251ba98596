//! The memory tier: finished variants by key digest, bounded by the bytes they really take, and
//! an index of them by original, so that a purge finds them. Never holds an unverified body and
//! never blocks on I/O.
//!
//! The index is written before the cache and cleared by the cache's own news of what it dropped,
//! each entry under a number of its own: it may for a moment name what is no longer there, never
//! miss what is.

use super::Variant;
use super::metrics::Evictions;
use super::scope::Scope;
use crate::model::key::{SourceId, SourceVersion, VariantKey};
use moka::notification::RemovalCause;
use moka::sync::Cache;
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Bytes an entry takes beside its body: the key, the shared variant, the cache's own nodes, its
/// place in the index, and the entry header in front of a body that came from the store.
const OVERHEAD: usize = 1_024;

/// A variant in memory.
#[derive(Debug, Clone)]
struct Held {
    variant: Arc<Variant>,
    source: Arc<SourceId>,
    number: u64,
}

/// What is in memory of one original: by digest, the number of the entry and its version.
type Shelf = HashMap<String, (u64, SourceVersion)>;

/// Variants by original. Clones share it.
#[derive(Debug, Clone, Default)]
struct Index(Arc<Mutex<HashMap<Arc<SourceId>, Shelf>>>);

impl Index {
    fn lock(&self) -> MutexGuard<'_, HashMap<Arc<SourceId>, Shelf>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Enters a variant; returns the shared name of its original.
    fn enter(&self, key: &VariantKey, number: u64) -> Arc<SourceId> {
        let mut index = self.lock();
        let source = match index.get_key_value(&key.source) {
            Some((source, _)) => Arc::clone(source),
            None => Arc::new(key.source.clone()),
        };
        let shelf = index.entry(Arc::clone(&source)).or_default();
        shelf.insert(key.digest().to_owned(), (number, key.version.clone()));
        source
    }

    /// Takes the entry of that number out, unless a later one has its place.
    fn leave(&self, digest: &str, held: &Held) {
        let mut index = self.lock();
        let Some(shelf) = index.get_mut(&held.source) else { return };
        if shelf.get(digest).is_some_and(|(number, _)| *number == held.number) {
            shelf.remove(digest);
        }
        if shelf.is_empty() {
            index.remove(&held.source);
        }
    }

    /// The digests of what is in the scope.
    fn covered(&self, scope: &Scope) -> Vec<String> {
        let index = self.lock();
        let of_shelf = |shelf: &Shelf| -> Vec<String> {
            let covered = shelf.iter().filter(|(d, (_, version))| scope.covers_entry(version, d));
            covered.map(|(digest, _)| digest.clone()).collect()
        };
        if let Some(source) = scope.source() {
            index.get(source).map(of_shelf).unwrap_or_default()
        } else {
            let shelves = index.iter().filter(|(source, _)| scope.covers_source(source));
            shelves.flat_map(|(_, shelf)| of_shelf(shelf)).collect()
        }
    }
}

/// Variants by key digest. Clones share it.
#[derive(Debug, Clone)]
pub(super) struct Memory {
    cache: Cache<String, Held>,
    index: Index,
    numbers: Arc<AtomicU64>,
    /// Nothing is entered where nothing is kept.
    keeps: bool,
}

impl Memory {
    /// At most `capacity` bytes; 0 keeps nothing. What leaves is counted.
    pub(super) fn new(capacity: u64, evicted: Evictions) -> Self {
        let index = Index::default();
        let gone = index.clone();
        let cache = Cache::builder()
            .name("variants")
            .max_capacity(capacity)
            .weigher(|digest: &String, held: &Held| {
                let name = held.source.key.as_str().len();
                let bytes = held.variant.body.len() + digest.len() + name + OVERHEAD;
                // A body beyond 4 GiB would not be admitted anyway.
                u32::try_from(bytes).unwrap_or(u32::MAX)
            })
            .eviction_listener(move |digest: Arc<String>, held, cause| {
                gone.leave(&digest, &held);
                let counter = match cause {
                    RemovalCause::Size => &evicted.size,
                    RemovalCause::Replaced => &evicted.replaced,
                    RemovalCause::Expired => &evicted.expired,
                    RemovalCause::Explicit => &evicted.explicit,
                };
                counter.inc();
            })
            .build();
        Self { cache, index, numbers: Arc::default(), keeps: capacity > 0 }
    }

    /// The variant with this digest.
    pub(super) fn get(&self, digest: &str) -> Option<Arc<Variant>> {
        self.cache.get(digest).map(|held| held.variant)
    }

    /// Keeps it, if it is worth its bytes.
    pub(super) fn insert(&self, key: &VariantKey, variant: Arc<Variant>) {
        if !self.keeps {
            return;
        }
        let number = self.numbers.fetch_add(1, Ordering::Relaxed);
        let source = self.index.enter(key, number);
        self.cache.insert(key.digest().to_owned(), Held { variant, source, number });
    }

    /// Drops one.
    pub(super) fn remove(&self, digest: &str) {
        self.cache.invalidate(digest);
    }

    /// Drops what is in the scope and was there when this was called; returns how many.
    pub(super) fn purge(&self, scope: &Scope) -> u64 {
        // The index is not held meanwhile: the cache tells it of each.
        let covered = self.index.covered(scope);
        covered.iter().filter(|digest| self.cache.remove(digest.as_str()).is_some()).count() as u64
    }

    /// Bytes taken, lagging behind by the cache's own housekeeping.
    pub(super) fn bytes(&self) -> u64 {
        self.cache.weighted_size()
    }

    /// Entries held, lagging likewise.
    pub(super) fn entries(&self) -> u64 {
        self.cache.entry_count()
    }

    /// Does the cache's housekeeping now.
    #[cfg(test)]
    fn settle(&self) {
        self.cache.run_pending_tasks();
    }

    /// Entries of the index.
    #[cfg(test)]
    fn indexed(&self) -> u64 {
        self.index.lock().values().map(|shelf| shelf.len() as u64).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::variants::fixture::{key, variant};

    fn memory_of(capacity: u64) -> Memory {
        Memory::new(capacity, Evictions::default())
    }

    #[test]
    fn the_bound_is_in_bytes_of_bodies_keys_and_overhead() {
        let memory = memory_of(100_000);
        let body = vec![7; 9_000];
        for n in 0..100 {
            memory.insert(&key(&format!("{n:03}"), "1"), Arc::new(variant(&body)));
        }
        memory.settle();
        assert!(memory.bytes() <= 100_000, "{}", memory.bytes());
        assert_eq!(memory.entries(), 100_000 / (9_000 + 32 + 3 + OVERHEAD as u64));
        assert_eq!(memory.bytes(), memory.entries() * (9_000 + 32 + 3 + OVERHEAD as u64));
    }

    #[test]
    fn what_does_not_fit_is_not_kept() {
        let (memory, a) = (memory_of(1_100), key("a", "1"));
        memory.insert(&a, Arc::new(variant(&[0; 2_000])));
        memory.settle();
        assert_eq!((memory.get(a.digest()), memory.bytes(), memory.indexed()), (None, 0, 0));
        let nothing = memory_of(0);
        nothing.insert(&a, Arc::new(variant(b"x")));
        nothing.settle();
        assert_eq!((nothing.get(a.digest()), nothing.indexed()), (None, 0));
    }

    #[test]
    fn what_leaves_is_counted_by_its_cause() {
        let evicted = Evictions::default();
        let memory = Memory::new(50_000, evicted.clone());
        for n in 0..20 {
            memory.insert(&key(&n.to_string(), "1"), Arc::new(variant(&[7; 9_000])));
        }
        memory.settle();
        let left = evicted.size.get();
        assert_eq!(left + memory.entries(), 20);
        assert!(left > 0 && evicted.replaced.get() == 0);
    }

    #[test]
    fn a_hit_shares_the_body() {
        let (memory, a) = (memory_of(10_000), key("a", "1"));
        let kept = Arc::new(variant(b"picture"));
        memory.insert(&a, Arc::clone(&kept));
        assert!(Arc::ptr_eq(&memory.get(a.digest()).unwrap(), &kept));
        assert_eq!(memory.get(key("b", "1").digest()), None);
    }

    #[test]
    fn a_purge_drops_what_it_covers_and_at_once() {
        let memory = memory_of(10 << 20);
        let keys: Vec<_> = (0..500)
            .flat_map(|n| ["1", "2"].map(|etag| key(&format!("{}/{n}.jpg", n % 5), etag)))
            .collect();
        for key in &keys {
            memory.insert(key, Arc::new(variant(b"picture")));
        }
        let one = &keys[0];
        let kept = keys[1].version.clone();
        let scope = Scope::Source { id: one.source.clone(), keep: Some(kept) };
        assert_eq!((memory.purge(&scope), memory.purge(&scope)), (1, 0));
        assert!(memory.get(one.digest()).is_none() && memory.get(keys[1].digest()).is_some());
        let origin = one.source.origin.clone();
        let prefix = Scope::Prefix { origin, prefix: "3/".to_owned() };
        assert_eq!(memory.purge(&prefix), 200);
        assert!(keys.iter().all(|key| {
            memory.get(key.digest()).is_some() != (prefix.covers(key) || key == one)
        }));
        assert_eq!(memory.purge(&Scope::All), 799);
        memory.settle();
        assert_eq!((memory.entries(), memory.indexed()), (0, 0));
    }

    #[test]
    fn the_index_follows_replacements_and_evictions() {
        let memory = memory_of(200_000);
        for n in 0..3_000 {
            let key = key(&format!("{}.jpg", n % 700), "1");
            memory.insert(&key, Arc::new(variant(&vec![1; n % 900])));
            if n % 3 == 0 {
                memory.get(key.digest());
            }
        }
        memory.settle();
        assert!(memory.entries() > 50);
        let held = memory.entries();
        assert_eq!((memory.indexed(), memory.purge(&Scope::All)), (held, held));
        memory.settle();
        assert_eq!((memory.indexed(), memory.entries()), (0, 0));
    }
}
