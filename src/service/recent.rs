//! Which version of an original was processed lately, so that an event that comes twice costs one
//! HEAD. Forgotten by every purge of the original, also one that came from another pod: then the
//! next event is done in full.

use crate::model::key::{SourceId, SourceVersion};
use moka::sync::Cache;
use std::time::Duration;

/// Originals remembered, and for how long.
const MOST: u64 = 100_000;
const FOR: Duration = Duration::from_mins(10);

/// The versions processed lately.
#[derive(Debug)]
pub struct Recent(Cache<SourceId, SourceVersion>);

impl Default for Recent {
    fn default() -> Self {
        Self(Cache::builder().max_capacity(MOST).time_to_live(FOR).build())
    }
}

impl Recent {
    /// Notes that a version is processed.
    pub(super) fn note(&self, source: &SourceId, version: SourceVersion) {
        self.0.insert(source.clone(), version);
    }

    /// Whether this version is what was processed last.
    pub(super) fn holds(&self, source: &SourceId, version: &SourceVersion) -> bool {
        self.0.get(source).is_some_and(|known| known == *version)
    }

    /// Forgets an original.
    pub(super) fn forget(&self, source: &SourceId) {
        self.0.invalidate(source);
    }

    /// Forgets every original.
    pub(super) fn forget_all(&self) {
        self.0.invalidate_all();
    }
}
