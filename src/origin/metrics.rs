//! Counts of what is asked of origins. Never labelled by key or path: label sets stay bounded.
//! Names are given where they are registered.

use super::OriginError;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;

/// The label of an error: `[("kind", OriginError::kind)]`.
pub type ErrorLabel = [(&'static str, &'static str); 1];

/// Counters and gauges of every origin together. Cheap to clone: clones count into the same.
#[derive(Debug, Clone, Default)]
pub struct OriginMetrics {
    /// HEADs sent.
    pub heads: Counter,
    /// GETs sent.
    pub gets: Counter,
    /// Bytes of originals read, whole ones only.
    pub bytes: Counter,
    /// HEADs sent ahead of the expiry of a version.
    pub refreshes: Counter,
    /// Reads begun again because the original changed meanwhile.
    pub restarts: Counter,
    /// Versions given although the origin did not confirm them in time.
    pub stale: Counter,
    /// Failures by kind, counted once for each flight and each refused request.
    pub errors: Family<ErrorLabel, Counter>,
    /// Originals being read now.
    pub in_flight: Gauge,
    /// Originals given from memory.
    pub kept_hits: Counter,
    /// Originals that had to be read.
    pub kept_misses: Counter,
    /// Originals dropped from memory for newer ones.
    pub kept_evicted_size: Counter,
    /// Those dropped because another read needed their memory.
    pub kept_evicted_memory: Counter,
    /// Those dropped because they were forgotten.
    pub kept_evicted_purge: Counter,
    /// Originals in memory.
    pub kept_entries: Gauge,
    /// Bytes of memory reserved for them.
    pub kept_bytes: Gauge,
}

impl OriginMetrics {
    /// Counts a failure.
    pub fn failed(&self, error: &OriginError) {
        self.errors.get_or_create(&[("kind", error.kind())]).inc();
    }
}
