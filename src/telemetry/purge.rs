//! What is counted about purges. The labels are the four kinds of scope; no name of an original,
//! a peer or a CDN becomes one.

use super::metrics::{Label, Part};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

/// Counters and gauges of purges.
#[derive(Debug, Clone)]
pub struct PurgeMetrics {
    /// Purges ordered here, by `scope`.
    pub purges: Family<Label, Counter>,
    /// Purges heard from other pods.
    pub heard: Counter,
    /// Pods that were told of a purge and did not confirm it.
    pub peers_failed: Counter,
    /// Calls to the CDN's webhook that failed for good.
    pub webhook_failed: Counter,
    /// Second passes still to come.
    pub pending: Gauge,
    /// Second passes given up at shutdown.
    pub lost: Counter,
}

impl Default for PurgeMetrics {
    fn default() -> Self {
        let purges = Family::<Label, Counter>::default();
        // A series that exists from the start has a rate from the first event.
        for scope in ["source", "prefix", "variant", "all"] {
            drop(purges.get_or_create(&[("scope", scope)]));
        }
        Self {
            purges,
            heard: Counter::default(),
            peers_failed: Counter::default(),
            webhook_failed: Counter::default(),
            pending: Gauge::default(),
            lost: Counter::default(),
        }
    }
}

impl Part for PurgeMetrics {
    fn register(&self, to: &mut Registry) {
        to.register("purges", "Purges ordered here, by scope", self.purges.clone());
        to.register("purges_heard", "Purges heard from other pods", self.heard.clone());
        to.register(
            "purge_peers_failed",
            "Pods that did not confirm a purge",
            self.peers_failed.clone(),
        );
        to.register(
            "cdn_webhook_failed",
            "Calls to the CDN's webhook that failed for good",
            self.webhook_failed.clone(),
        );
        to.register(
            "purge_second_passes_pending",
            "Second listings still to come",
            self.pending.clone(),
        );
        to.register(
            "purge_second_passes_lost",
            "Second listings given up at shutdown",
            self.lost.clone(),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::metrics::Metrics;

    #[test]
    fn every_scope_is_there_from_the_start() {
        let (purges, mut metrics) = (PurgeMetrics::default(), Metrics::new(vec![]));
        metrics.add(&purges);
        purges.purges.get_or_create(&[("scope", "prefix")]).inc();
        let text = metrics.encode();
        assert!(text.contains("lenslet_purges_total{scope=\"prefix\"} 1"), "{text}");
        assert!(text.contains("lenslet_purges_total{scope=\"all\"} 0"), "{text}");
        assert!(text.contains("lenslet_purge_peers_failed_total 0"), "{text}");
    }
}
