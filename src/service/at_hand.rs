//! The shortest walk of a request: what can be answered from what this process already knows, without
//! waiting for anybody. The same steps in the same order as the story's; wherever one of them would
//! have to wait or to fail it gives up, and the story is told from its beginning.

use super::story::Service;
use crate::model::key::{SourceId, SourceVersion, VariantKey};
use crate::variants::{Placement, Variant};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// What was at hand.
#[derive(Debug)]
pub(in crate::service) struct AtHand<K> {
    /// The identity of the picture, as the caller holds it.
    pub(in crate::service) key: K,
    /// The picture; none: the client's copy is good (304).
    pub(in crate::service) variant: Option<Arc<Variant>>,
    /// Time spent on the version of the original.
    pub(in crate::service) version: Duration,
    /// Time spent on the variant.
    pub(in crate::service) lookup: Duration,
}

impl Service {
    /// Answers a request if its original's version is known and believed, nothing is known against
    /// the original, and the client or the memory tier has the picture. `key_of` gives the key of
    /// the wish for a version, or something that holds it.
    pub(in crate::service) fn at_hand<K: AsRef<VariantKey>>(
        &self,
        (source, v): (&SourceId, Option<&str>),
        placement: &Placement,
        started: Instant,
        key_of: impl FnOnce(&SourceVersion) -> K,
        is_known: impl FnOnce(&K) -> bool,
    ) -> Option<AtHand<K>> {
        let believed = self.origins.believed(source, v)?;
        let key = key_of(believed.version()?);
        let version = started.elapsed();
        // No more than a look: where there is a fault, the story finds it again and tells it.
        if self.faults.contains_key(key.as_ref().digest()) {
            return None;
        }
        if is_known(&key) {
            return Some(AtHand { key, variant: None, version, lookup: Duration::ZERO });
        }
        if !self.is_in_place(placement, key.as_ref()) {
            return None;
        }
        let variant = self.variants.at_hand(key.as_ref())?;
        let lookup = started.elapsed().saturating_sub(version);
        Some(AtHand { key, variant: Some(variant), version, lookup })
    }
}
