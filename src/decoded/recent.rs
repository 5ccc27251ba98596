//! Which originals were decoded lately: a small table that forgets by being overwritten. Never
//! grows, and never says more than that something is likely.

use crate::model::key::{SourceId, SourceVersion};
use std::hash::{BuildHasher as _, RandomState};

/// Originals remembered, at most.
const PLACES: usize = 4_096;

/// The originals, by hash. Two of the same place push each other out.
#[derive(Debug)]
pub(super) struct Recent {
    hasher: RandomState,
    places: Vec<u64>,
}

impl Default for Recent {
    fn default() -> Self {
        Self { hasher: RandomState::new(), places: vec![0; PLACES] }
    }
}

impl Recent {
    /// Notes a decode; says whether the same version of the same original was noted before.
    pub(super) fn note(&mut self, source: &SourceId, version: &SourceVersion) -> bool {
        let hash = self.hasher.hash_one((source, version)).max(1);
        let place = usize::try_from(hash % PLACES as u64).unwrap_or(0);
        self.places.get_mut(place).is_some_and(|known| std::mem::replace(known, hash) == hash)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::key::{OriginName, SourceKey};

    #[test]
    fn the_second_time_is_told_from_the_first_and_a_new_version_from_the_old_one() {
        let source = |key: &str| SourceId {
            origin: OriginName::default_origin(),
            key: SourceKey::new(key).unwrap(),
        };
        let (one, two) = (SourceVersion::from_etag("1"), SourceVersion::from_etag("2"));
        let mut recent = Recent::default();
        let told = [("a", &one), ("a", &one), ("a", &two), ("b", &two), ("b", &two)]
            .map(|(key, version)| recent.note(&source(key), version));
        assert_eq!(told, [false, true, false, false, true]);
        // However many come by, it is no larger, and it forgets.
        for n in 0..20 * PLACES {
            recent.note(&source(&n.to_string()), &one);
        }
        assert_eq!((recent.places.len(), recent.note(&source("b"), &two)), (PLACES, false));
    }
}
