//! What the render pool counts. Names are given where they are registered; a clone counts into
//! the same numbers.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use std::sync::atomic::AtomicU64;

/// Gauges and counters of rendering. All start at 0.
#[derive(Debug, Clone, Default)]
pub struct CpuMetrics {
    /// Renders that may run at a time.
    pub slots: Gauge,
    /// Tickets given out.
    pub slots_in_use: Gauge,
    /// Renders waiting for a ticket.
    pub queue_depth: Gauge,
    /// Running and waiting renders per slot; above 1 there is a backlog.
    pub utilization: Gauge<f64, AtomicU64>,
    /// Bytes renders may take together.
    pub memory_budget: Gauge,
    /// Bytes reserved by tickets given out.
    pub memory_reserved: Gauge,
    /// Jobs run to their end, panics included.
    pub jobs: Counter,
    /// Jobs that panicked.
    pub panics: Counter,
    /// Jobs not started because their caller had gone.
    pub skipped: Counter,
    /// Renders refused because too many waited.
    pub busy: Counter,
    /// Renders refused because they cost more than the whole budget.
    pub too_costly: Counter,
    /// Renders not started because their deadline passed.
    pub expired: Counter,
}

impl CpuMetrics {
    /// Brings the ratio up to date after one of its parts changed.
    #[expect(clippy::cast_precision_loss, reason = "counts of slots are small")]
    pub(super) fn balance(&self) {
        let load = self.slots_in_use.get() + self.queue_depth.get();
        self.utilization.set(load as f64 / self.slots.get().max(1) as f64);
    }
}
