//! Things by key, each with its weight in bytes, least recently used first. Decides nothing: who
//! holds it says when something has to go, and which of them may.

use std::collections::{BTreeMap, HashMap};
use std::hash::Hash;

/// Things in the order of their last use. Every operation but those that look at all of them is
/// O(log n); a key is cloned once.
#[derive(Debug, Clone)]
pub struct Lru<K, V> {
    entries: HashMap<K, Entry<V>>,
    /// Keys by the moment of their last use.
    order: BTreeMap<u64, K>,
    now: u64,
    bytes: u64,
}

#[derive(Debug, Clone)]
struct Entry<V> {
    value: V,
    bytes: u64,
    used: u64,
}

impl<K, V> Default for Lru<K, V> {
    fn default() -> Self {
        Self { entries: HashMap::new(), order: BTreeMap::new(), now: 0, bytes: 0 }
    }
}

impl<K: Clone + Eq + Hash, V> Lru<K, V> {
    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The sum of their weights.
    #[must_use]
    pub const fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Whether it is there; no use of it.
    #[must_use]
    pub fn contains(&self, key: &K) -> bool {
        self.entries.contains_key(key)
    }

    /// Uses it.
    pub fn get(&mut self, key: &K) -> Option<&V> {
        let entry = self.entries.get_mut(key)?;
        self.now = self.now.wrapping_add(1);
        if let Some(key) = self.order.remove(&entry.used) {
            self.order.insert(self.now, key);
        }
        entry.used = self.now;
        Some(&entry.value)
    }

    /// Puts it in as used last; returns what was there under that key.
    pub fn insert(&mut self, key: K, value: V, bytes: u64) -> Option<V> {
        let replaced = self.remove(&key);
        self.now = self.now.wrapping_add(1);
        self.bytes = self.bytes.saturating_add(bytes);
        self.order.insert(self.now, key.clone());
        self.entries.insert(key, Entry { value, bytes, used: self.now });
        replaced
    }

    /// Takes it out.
    pub fn remove(&mut self, key: &K) -> Option<V> {
        let entry = self.entries.remove(key)?;
        self.order.remove(&entry.used);
        self.bytes = self.bytes.saturating_sub(entry.bytes);
        Some(entry.value)
    }

    /// Takes out those that may go, least recently used first, for as long as `goes_on` says so of
    /// the bytes that are left.
    pub fn evict(
        &mut self,
        mut goes_on: impl FnMut(u64) -> bool,
        may_go: impl Fn(&K, &V) -> bool,
    ) -> Vec<V> {
        let mut gone = Vec::new();
        if !goes_on(self.bytes) {
            return gone;
        }
        let in_order: Vec<K> = self.order.values().cloned().collect();
        for key in in_order {
            if !goes_on(self.bytes) {
                break;
            }
            if self.entries.get(&key).is_some_and(|entry| may_go(&key, &entry.value)) {
                gone.extend(self.remove(&key));
            }
        }
        gone
    }

    /// All of them with their weights, in no order.
    pub fn iter(&self) -> impl Iterator<Item = (&K, &V, u64)> {
        self.entries.iter().map(|(key, entry)| (key, &entry.value, entry.bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_one_not_used_for_longest_goes_first() {
        let mut lru = Lru::default();
        for key in ["a", "b", "c"] {
            lru.insert(key, key.to_uppercase(), 10);
        }
        assert_eq!(lru.get(&"a").map(String::as_str), Some("A"));
        assert_eq!(lru.evict(|bytes| bytes > 20, |_, _| true), ["B"]);
        assert_eq!(lru.evict(|bytes| bytes > 10, |key, _| *key != "c"), ["A"]);
        assert_eq!((lru.len(), lru.bytes(), lru.contains(&"c")), (1, 10, true));
        assert!(lru.evict(|bytes| bytes > 0, |key, _| *key != "c").is_empty());
    }

    proptest! {
        #[test]
        fn bytes_and_order_follow_every_change(
            steps in prop::collection::vec((0..4_u8, 0..6_u8, 0..100_u64), 0..200),
        ) {
            let mut lru = Lru::default();
            // The model: a list, last used last.
            let mut model: Vec<(u8, u64)> = Vec::new();
            for (step, key, bytes) in steps {
                let at = model.iter().position(|(k, _)| *k == key);
                match step {
                    0 => {
                        let old = at.map(|at| model.remove(at).1);
                        prop_assert_eq!(lru.insert(key, bytes, bytes), old);
                        model.push((key, bytes));
                    }
                    1 => {
                        let found = at.map(|at| model.remove(at));
                        model.extend(found);
                        prop_assert_eq!(lru.get(&key).copied(), found.map(|(_, bytes)| bytes));
                    }
                    2 => {
                        let found = at.map(|at| model.remove(at).1);
                        prop_assert_eq!(lru.remove(&key), found);
                    }
                    _ => {
                        let mut gone = Vec::new();
                        while model.iter().map(|(_, b)| b).sum::<u64>() > bytes {
                            gone.push(model.remove(0).1);
                        }
                        prop_assert_eq!(lru.evict(|left| left > bytes, |_, _| true), gone);
                    }
                }
                prop_assert_eq!(lru.bytes(), model.iter().map(|(_, bytes)| bytes).sum::<u64>());
                prop_assert_eq!(lru.len(), model.len());
                prop_assert_eq!(lru.iter().count(), lru.order.len());
            }
        }
    }
}
