//! The names under which the lower floors' counters are scraped. They count; only here are they
//! called anything.

use super::metrics::Part;
use crate::cpu::CpuMetrics;
use crate::origin::OriginMetrics;
use crate::variants::VariantMetrics;
use prometheus_client::registry::{Registry, Unit};

impl Part for CpuMetrics {
    fn register(&self, to: &mut Registry) {
        to.register("transform_slots", "Renders that may run at a time", self.slots.clone());
        to.register("transform_slots_in_use", "Renders running", self.slots_in_use.clone());
        to.register("transform_queue_depth", "Renders waiting", self.queue_depth.clone());
        to.register(
            "transform_utilization_ratio",
            "Renders running and waiting per slot; above 1 there is a backlog",
            self.utilization.clone(),
        );
        to.register_with_unit(
            "memory_budget",
            "What renders may take together",
            Unit::Bytes,
            self.memory_budget.clone(),
        );
        to.register_with_unit(
            "memory_reserved",
            "What running renders have reserved",
            Unit::Bytes,
            self.memory_reserved.clone(),
        );
        to.register("render_jobs", "Renders run to their end", self.jobs.clone());
        to.register("panics", "Renders that panicked", self.panics.clone());
        to.register("renders_skipped", "Renders whose caller had gone", self.skipped.clone());
        to.register("renders_shed", "Renders refused: too many waiting", self.busy.clone());
        to.register("renders_too_costly", "Renders over the whole budget", self.too_costly.clone());
        to.register("renders_expired", "Renders past their deadline", self.expired.clone());
    }
}

impl Part for VariantMetrics {
    fn register(&self, to: &mut Registry) {
        to.register("memory_cache_hits", "Found in memory", self.memory_hits.clone());
        to.register("memory_cache_misses", "Not found in memory", self.memory_misses.clone());
        to.register_with_unit(
            "memory_cache",
            "Held in memory",
            Unit::Bytes,
            self.memory_bytes.clone(),
        );
        to.register("memory_cache_entries", "Variants in memory", self.memory_entries.clone());
        to.register("store_hits", "Found in the variant store", self.store_hits.clone());
        to.register("store_misses", "Not found in the variant store", self.store_misses.clone());
        to.register("store_torn", "Stored objects cut off or altered", self.torn.clone());
        to.register("store_foreign", "Stored objects of something else", self.foreign.clone());
        to.register("store_unmarked", "Mirrored objects without our mark", self.unmarked.clone());
        to.register(
            "store_read_forbidden",
            "Reads the store refused: is the permission to list missing?",
            self.read_forbidden.clone(),
        );
        to.register("store_read_errors", "Reads that failed", self.read_errors.clone());
        to.register("store_read_timeouts", "Reads out of time", self.read_timeouts.clone());
        to.register("store_read_skipped", "Reads spared by the breaker", self.read_skipped.clone());
        to.register("stale_hits", "Answers while the origin was down", self.stale_hits.clone());
        to.register("store_writes", "Variants written", self.writes.clone());
        to.register("store_write_errors", "Writes that failed", self.write_errors.clone());
        to.register("store_write_forbidden", "Writes refused", self.write_forbidden.clone());
        to.register(
            "store_write_skipped",
            "Writes spared by the breaker",
            self.write_skipped.clone(),
        );
        to.register(
            "mirror_refused",
            "Writes given up because something not ours lies there",
            self.mirror_refused.clone(),
        );
        to.register("writeback_dropped", "Variants not written at all", self.write_dropped.clone());
        to.register("writeback_queue_depth", "Writes accepted", self.queue_depth.clone());
        to.register_with_unit(
            "writeback_queue",
            "Held by accepted writes",
            Unit::Bytes,
            self.queue_bytes.clone(),
        );
        to.register(
            "store_read_breaker_open",
            "1 while reads leave the store alone",
            self.read_breaker_open.clone(),
        );
        to.register(
            "store_write_breaker_open",
            "1 while writes leave the store alone",
            self.write_breaker_open.clone(),
        );
    }
}

impl Part for OriginMetrics {
    fn register(&self, to: &mut Registry) {
        to.register("origin_heads", "HEADs sent to origins", self.heads.clone());
        to.register("origin_gets", "GETs sent to origins", self.gets.clone());
        to.register_with_unit("origin_read", "Originals read", Unit::Bytes, self.bytes.clone());
        to.register("origin_refreshes", "HEADs sent ahead of expiry", self.refreshes.clone());
        to.register("origin_restarts", "Reads begun again after a change", self.restarts.clone());
        to.register("origin_stale", "Versions given unconfirmed", self.stale.clone());
        to.register("origin_errors", "Failures by kind", self.errors.clone());
        to.register("origin_in_flight", "Originals being read", self.in_flight.clone());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::origin::OriginError;
    use crate::telemetry::metrics::Metrics;

    #[test]
    fn failures_of_origins_are_counted_by_kind() {
        let (origins, mut metrics) = (OriginMetrics::default(), Metrics::new(vec![]));
        metrics.add(&origins);
        origins.failed(&OriginError::Busy);
        let text = metrics.encode();
        assert!(text.contains("lenslet_origin_errors_total{kind=\"busy\"} 1"), "{text}");
    }
}
