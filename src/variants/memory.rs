//! The memory tier: finished variants by key digest, bounded by the bytes they really take.
//! Never holds an unverified body and never blocks on I/O.

use super::Variant;
use moka::sync::Cache;
use std::sync::Arc;

/// Bytes an entry takes beside its body: the key, the shared variant, the cache's own nodes, and
/// the entry header in front of a body that came from the store.
const OVERHEAD: usize = 768;

/// Variants by key digest. Clones share it.
#[derive(Debug, Clone)]
pub(super) struct Memory {
    cache: Cache<String, Arc<Variant>>,
}

impl Memory {
    /// At most `capacity` bytes; 0 keeps nothing.
    pub(super) fn new(capacity: u64) -> Self {
        let cache = Cache::builder()
            .name("variants")
            .max_capacity(capacity)
            .weigher(|key: &String, variant: &Arc<Variant>| {
                let bytes = variant.body.len() + key.len() + OVERHEAD;
                // A body beyond 4 GiB would not be admitted anyway.
                u32::try_from(bytes).unwrap_or(u32::MAX)
            })
            .build();
        Self { cache }
    }

    /// The variant with this digest.
    pub(super) fn get(&self, digest: &str) -> Option<Arc<Variant>> {
        self.cache.get(digest)
    }

    /// Keeps it, if it is worth its bytes.
    pub(super) fn insert(&self, digest: &str, variant: Arc<Variant>) {
        self.cache.insert(digest.to_owned(), variant);
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
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::variants::fixture::variant;

    #[test]
    fn the_bound_is_in_bytes_of_bodies_keys_and_overhead() {
        let memory = Memory::new(100_000);
        let body = vec![7; 9_000];
        for n in 0..100 {
            memory.insert(&format!("{n:032}"), Arc::new(variant(&body)));
        }
        memory.settle();
        assert!(memory.bytes() <= 100_000, "{}", memory.bytes());
        assert_eq!(memory.entries(), 100_000 / (9_000 + 32 + OVERHEAD as u64));
        assert_eq!(memory.bytes(), memory.entries() * (9_000 + 32 + OVERHEAD as u64));
    }

    #[test]
    fn what_does_not_fit_is_not_kept() {
        let memory = Memory::new(1_000);
        memory.insert("a", Arc::new(variant(&[0; 2_000])));
        memory.settle();
        assert_eq!((memory.get("a"), memory.bytes()), (None, 0));
        let nothing = Memory::new(0);
        nothing.insert("a", Arc::new(variant(b"x")));
        nothing.settle();
        assert_eq!(nothing.get("a"), None);
    }

    #[test]
    fn a_hit_shares_the_body() {
        let memory = Memory::new(10_000);
        let kept = Arc::new(variant(b"picture"));
        memory.insert("a", Arc::clone(&kept));
        assert!(Arc::ptr_eq(&memory.get("a").unwrap(), &kept));
        assert_eq!(memory.get("b"), None);
    }
}
