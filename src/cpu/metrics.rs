//! What the render pool counts. Names are given where they are registered; a clone counts into
//! the same numbers.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;

/// Gauges and counters of rendering. All start at 0.
#[derive(Debug, Clone, Default)]
pub struct CpuMetrics {
    /// Renders that may run at a time.
    pub slots: Gauge,
    /// Tickets given out.
    pub slots_in_use: Gauge,
    /// Those of them that background work holds.
    pub background_slots_in_use: Gauge,
    /// Pieces of background work that wait for a slot.
    pub background_waiting: Gauge,
    /// Renders waiting for a ticket.
    pub queue_depth: Gauge,
    /// Bytes renders may take together.
    pub memory_budget: Gauge,
    /// Bytes reserved by tickets given out.
    pub memory_reserved: Gauge,
    /// Bytes of decoded pictures that several renders share, kept or in use.
    pub memory_pictures: Gauge,
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
    /// Running and waiting renders per slot, background work left out; above 1 there is a backlog.
    /// Reckoned when it is asked for: kept beside its parts it would be wrong for as long as
    /// nothing changes, once two of them had changed at the same moment.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "counts of slots are small")]
    pub fn utilization(&self) -> f64 {
        let running = self.slots_in_use.get() - self.background_slots_in_use.get();
        let load = (running + self.queue_depth.get()).max(0);
        load as f64 / self.slots.get().max(1) as f64
    }
}
