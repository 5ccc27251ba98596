//! What the tiers count. Names and labels are given where they are registered; a clone counts
//! into the same numbers.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;

/// Why variants left the memory tier.
#[derive(Debug, Clone, Default)]
pub struct Evictions {
    /// To make room.
    pub size: Counter,
    /// The same variant came anew.
    pub replaced: Counter,
    /// Their time was over.
    pub expired: Counter,
    /// They were told to go.
    pub explicit: Counter,
}

/// Counters and gauges of the variant tiers. All start at 0.
#[derive(Debug, Clone, Default)]
pub struct VariantMetrics {
    /// Lookups answered from memory.
    pub memory_hits: Counter,
    /// Lookups not answered from memory.
    pub memory_misses: Counter,
    /// Bytes held in memory, bodies and overhead.
    pub memory_bytes: Gauge,
    /// Variants held in memory.
    pub memory_entries: Gauge,
    /// Variants that left memory, by cause.
    pub evicted: Evictions,
    /// Reads answered by the store.
    pub store_hits: Counter,
    /// Reads not answered by the store, for whatever reason.
    pub store_misses: Counter,
    /// Stored objects that were cut off or altered.
    pub torn: Counter,
    /// Stored objects that were whole but of something else.
    pub foreign: Counter,
    /// Objects without our mark where a mirrored variant was looked for.
    pub unmarked: Counter,
    /// Reads the store refused (401, 403): most often a missing permission to list.
    pub read_forbidden: Counter,
    /// Reads that failed.
    pub read_errors: Counter,
    /// Reads the store did not answer within its budget.
    pub read_timeouts: Counter,
    /// Reads not tried while the breaker was open.
    pub read_skipped: Counter,
    /// Newest stored versions served in place of an unreachable original's.
    pub stale_hits: Counter,
    /// Variants written.
    pub writes: Counter,
    /// Writes that failed or timed out.
    pub write_errors: Counter,
    /// Writes the store refused (401, 403).
    pub write_forbidden: Counter,
    /// Writes not tried while the breaker was open.
    pub write_skipped: Counter,
    /// Mirrored variants not written because an object without our mark lies there.
    pub mirror_refused: Counter,
    /// Writes not accepted because the queue was full or closed, or given up at shutdown.
    pub write_dropped: Counter,
    /// Variants not written because a purge came in between.
    pub write_purged: Counter,
    /// Objects deleted by purges.
    pub purged: Counter,
    /// Objects a purge could not delete.
    pub purge_failed: Counter,
    /// Writes accepted and not yet finished.
    pub queue_depth: Gauge,
    /// Bytes of their bodies.
    pub queue_bytes: Gauge,
    /// 1 while reads leave the store alone.
    pub read_breaker_open: Gauge,
    /// 1 while writes leave the store alone.
    pub write_breaker_open: Gauge,
}
