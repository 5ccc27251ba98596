//! The names under which the lower floors' counters are scraped. They count; only here are they
//! called anything.

use super::metrics::Part;
use crate::cpu::CpuMetrics;
use crate::decoded::DecodedMetrics;
use crate::model::source::Scale;
use crate::origin::OriginMetrics;
use crate::variants::VariantMetrics;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::{ConstGauge, Gauge};
use prometheus_client::registry::{Registry, Unit};
use std::fmt;

/// Metrics of one kind that the floors below keep apart, under one name with `N` labels.
#[derive(Debug)]
struct Grouped<M, const N: usize> {
    name: &'static str,
    help: &'static str,
    metrics: Vec<([(&'static str, &'static str); N], M)>,
}

impl<M, const N: usize> Collector for Grouped<M, N>
where
    M: EncodeMetric + fmt::Debug + Send + Sync + 'static,
{
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let kind = self.metrics.first().map_or(MetricType::Unknown, |(_, one)| one.metric_type());
        let mut family = encoder.encode_descriptor(self.name, self.help, None, kind)?;
        self.metrics.iter().try_for_each(|(labels, one)| one.encode(family.encode_family(labels)?))
    }
}

/// Metrics under one name with one label.
fn by_label<M>(
    to: &mut Registry,
    (name, help, label): (&'static str, &'static str, &'static str),
    metrics: impl IntoIterator<Item = (&'static str, M)>,
) where
    M: EncodeMetric + fmt::Debug + Send + Sync + 'static,
{
    let metrics = metrics.into_iter().map(|(value, one)| ([(label, value)], one)).collect();
    to.register_collector(Box::new(Grouped { name, help, metrics }));
}

/// How much of the slots is spoken for, reckoned when it is scraped.
#[derive(Debug)]
struct Utilization(CpuMetrics);

impl Collector for Utilization {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let help = "Renders running and waiting per slot; above 1 there is a backlog";
        let name = "transform_utilization_ratio";
        let metric = ConstGauge::new(self.0.utilization());
        metric.encode(encoder.encode_descriptor(name, help, None, metric.metric_type())?)
    }
}

impl Part for CpuMetrics {
    fn register(&self, to: &mut Registry) {
        to.register("transform_slots", "Renders that may run at a time", self.slots.clone());
        to.register("transform_slots_in_use", "Renders running", self.slots_in_use.clone());
        to.register(
            "background_slots_in_use",
            "Slots held by work that no request waits for",
            self.background_slots_in_use.clone(),
        );
        to.register(
            "background_waiting",
            "Background work that waits for a slot",
            self.background_waiting.clone(),
        );
        to.register("transform_queue_depth", "Renders waiting", self.queue_depth.clone());
        to.register_collector(Box::new(Utilization(self.clone())));
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
        to.register_with_unit(
            "decoded_cache",
            "Decoded pictures that renders share, kept or in use",
            Unit::Bytes,
            self.memory_pictures.clone(),
        );
        to.register("render_jobs", "Renders run to their end", self.jobs.clone());
        to.register("panics", "Renders that panicked", self.panics.clone());
        to.register("renders_skipped", "Renders whose caller had gone", self.skipped.clone());
        to.register("renders_shed", "Renders refused: too many waiting", self.busy.clone());
        to.register("renders_too_costly", "Renders over the whole budget", self.too_costly.clone());
        to.register("renders_expired", "Renders past their deadline", self.expired.clone());
    }
}

impl Part for DecodedMetrics {
    fn register(&self, to: &mut Registry) {
        let decodes =
            ("decodes", "Decodes of originals, by the scale they were decoded at", "scale");
        by_label(to, decodes, Scale::ALL.map(|scale| (scale.name(), self.decodes(scale).clone())));
        let requests = ("decoded_cache_requests", "Looks for a decoded picture", "result");
        by_label(to, requests, [("hit", self.hits.clone()), ("miss", self.misses.clone())]);
        let evictions = ("decoded_cache_evictions", "Decoded pictures let go, by cause", "cause");
        let causes: [(_, Counter); 3] = [
            ("size", self.evicted_size.clone()),
            ("memory", self.evicted_memory.clone()),
            ("explicit", self.evicted_purge.clone()),
        ];
        by_label(to, evictions, causes);
        to.register("decoded_cache_entries", "Decoded pictures kept", self.entries.clone());
    }
}

/// The labels of a look into a tier and its result.
const fn look(tier: &'static str, result: &'static str) -> [(&'static str, &'static str); 2] {
    [("tier", tier), ("result", result)]
}

impl Part for VariantMetrics {
    fn register(&self, to: &mut Registry) {
        to.register_collector(Box::new(Grouped {
            name: "cache_requests",
            help: "Looks for a variant, by tier and result",
            metrics: vec![
                (look("memory", "hit"), self.memory_hits.clone()),
                (look("memory", "miss"), self.memory_misses.clone()),
                (look("store", "hit"), self.store_hits.clone()),
                (look("store", "miss"), self.store_misses.clone()),
                (look("store", "stale"), self.stale_hits.clone()),
            ],
        }));
        to.register_with_unit("cache", "Held in memory", Unit::Bytes, self.memory_bytes.clone());
        to.register("cache_entries", "Variants in memory", self.memory_entries.clone());
        let evictions = ("cache_evictions", "Variants that left memory, by cause", "cause");
        let evicted = &self.evicted;
        let causes: [(_, Counter); 4] = [
            ("size", evicted.size.clone()),
            ("replaced", evicted.replaced.clone()),
            ("expired", evicted.expired.clone()),
            ("explicit", evicted.explicit.clone()),
        ];
        by_label(to, evictions, causes);
        let faults = ("store_read_faults", "Reads of a stored variant that gave none", "kind");
        let kinds: [(_, Counter); 7] = [
            ("torn", self.torn.clone()),
            ("foreign", self.foreign.clone()),
            ("unmarked", self.unmarked.clone()),
            // Most often a missing permission to list.
            ("forbidden", self.read_forbidden.clone()),
            ("error", self.read_errors.clone()),
            ("timeout", self.read_timeouts.clone()),
            ("skipped", self.read_skipped.clone()),
        ];
        by_label(to, faults, kinds);
        let writes = ("store_writes", "Variants written to the store, or not", "outcome");
        let outcomes: [(_, Counter); 5] = [
            ("stored", self.writes.clone()),
            ("error", self.write_errors.clone()),
            ("forbidden", self.write_forbidden.clone()),
            ("skipped", self.write_skipped.clone()),
            // Something that is not ours lies there.
            ("refused", self.mirror_refused.clone()),
        ];
        by_label(to, writes, outcomes);
        to.register("writeback_dropped", "Variants not written at all", self.write_dropped.clone());
        to.register(
            "writeback_purged",
            "Variants not written because a purge came in between",
            self.write_purged.clone(),
        );
        to.register("purge_objects_deleted", "Objects purges deleted", self.purged.clone());
        to.register(
            "purge_objects_failed",
            "Objects purges could not delete",
            self.purge_failed.clone(),
        );
        to.register("writeback_queue_depth", "Writes accepted", self.queue_depth.clone());
        to.register_with_unit(
            "writeback_queue",
            "Held by accepted writes",
            Unit::Bytes,
            self.queue_bytes.clone(),
        );
        let breaker = ("store_breaker_open", "1 while the variant store is left alone", "op");
        let breakers: [(_, Gauge); 2] =
            [("read", self.read_breaker_open.clone()), ("write", self.write_breaker_open.clone())];
        by_label(to, breaker, breakers);
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
        // A series that exists from the start has a rate from the first event.
        for kind in ["not_found", "forbidden", "too_large", "unavailable", "timed_out", "busy"] {
            drop(self.errors.get_or_create(&[("kind", kind)]));
        }
        to.register("origin_errors", "Failures by kind", self.errors.clone());
        to.register("origin_in_flight", "Originals being read", self.in_flight.clone());
        let requests = ("source_cache_requests", "Looks for an original in memory", "result");
        let results = [("hit", self.kept_hits.clone()), ("miss", self.kept_misses.clone())];
        by_label(to, requests, results);
        let evictions = ("source_cache_evictions", "Originals that left memory, by cause", "cause");
        let causes: [(_, Counter); 3] = [
            ("size", self.kept_evicted_size.clone()),
            ("memory", self.kept_evicted_memory.clone()),
            ("explicit", self.kept_evicted_purge.clone()),
        ];
        by_label(to, evictions, causes);
        to.register("source_cache_entries", "Originals in memory", self.kept_entries.clone());
        let kept = "Originals kept in memory";
        to.register_with_unit("source_cache", kept, Unit::Bytes, self.kept_bytes.clone());
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

    #[test]
    fn what_the_floors_keep_apart_is_scraped_under_one_name() {
        let (variants, cpu) = (VariantMetrics::default(), CpuMetrics::default());
        let mut metrics = Metrics::new(vec![]);
        metrics.add(&variants).add(&cpu);
        variants.store_hits.inc_by(3);
        variants.read_breaker_open.set(1);
        cpu.slots.set(4);
        cpu.slots_in_use.set(4);
        cpu.background_slots_in_use.set(1);
        cpu.queue_depth.set(3);
        let text = metrics.encode();
        for line in [
            "# TYPE lenslet_cache_requests counter\n",
            "lenslet_cache_requests_total{tier=\"store\",result=\"hit\"} 3\n",
            "lenslet_cache_requests_total{tier=\"memory\",result=\"miss\"} 0\n",
            "# TYPE lenslet_store_breaker_open gauge\n",
            "lenslet_store_breaker_open{op=\"read\"} 1\n",
            "lenslet_cache_evictions_total{cause=\"size\"} 0\n",
            "lenslet_transform_utilization_ratio 1.5\n",
        ] {
            assert!(text.contains(line), "{line} is not in\n{text}");
        }
    }
}
