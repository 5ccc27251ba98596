//! Counts of decodes and of what becomes of decoded pictures. Labels are the four scales and three
//! causes; names are given where they are registered.

use crate::model::source::Scale;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;

/// Counters and gauges of decoded pictures. Clones count into the same.
#[derive(Debug, Clone, Default)]
pub struct DecodedMetrics {
    decodes: [Counter; 4],
    /// Renders that began with a picture somebody else had decoded.
    pub hits: Counter,
    /// Renders that had to decode although pictures are shared.
    pub misses: Counter,
    /// Pictures dropped for newer ones.
    pub evicted_size: Counter,
    /// Pictures dropped because a render needed their memory.
    pub evicted_memory: Counter,
    /// Pictures dropped by a purge.
    pub evicted_purge: Counter,
    /// Pictures kept.
    pub entries: Gauge,
}

impl DecodedMetrics {
    /// The decodes at a scale.
    #[must_use]
    pub fn decodes(&self, scale: Scale) -> &Counter {
        let [full, half, quarter, eighth] = &self.decodes;
        match scale {
            Scale::Full => full,
            Scale::Half => half,
            Scale::Quarter => quarter,
            Scale::Eighth => eighth,
        }
    }
}
