//! What is counted about events. Labels are words of the code: no bucket, key or topic ever is one.

use super::places::Ignored;
use super::shapes::Shape;
use crate::telemetry::metrics::{Label, Labels, Part};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};
use std::sync::atomic::AtomicU64;

/// How the work of one original ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Done {
    /// Variants were made.
    Made,
    /// Nothing was left to be made.
    Unchanged,
    /// The original is gone: what was made of it was purged.
    Purged,
    /// It is a variant of ours.
    Ours,
    /// It is no image, or a damaged one.
    NoImage,
    /// It failed and is tried again.
    Retried,
    /// It failed so often that it was given up.
    GivenUp,
}

impl Done {
    const ALL: [Self; 7] = [
        Self::Made,
        Self::Unchanged,
        Self::Purged,
        Self::Ours,
        Self::NoImage,
        Self::Retried,
        Self::GivenUp,
    ];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Made => "made",
            Self::Unchanged => "unchanged",
            Self::Purged => "purged",
            Self::Ours => "ours",
            Self::NoImage => "no_image",
            Self::Retried => "retried",
            Self::GivenUp => "given_up",
        }
    }
}

/// Counters and gauges of the intake. All start at 0.
#[derive(Debug, Clone, Default)]
pub(crate) struct EventMetrics {
    /// Events by `shape` and `outcome`.
    events: Family<Labels, Counter>,
    /// Requests refused, by `reason`.
    refused: Family<Label, Counter>,
    /// Originals by how their work ended.
    works: Family<Label, Counter>,
    /// Originals waiting or being worked on.
    pub(crate) queue_depth: Gauge,
    /// Seconds since the longest waiting one was accepted.
    pub(crate) oldest: Gauge<f64, AtomicU64>,
    /// Variants made because of events.
    pub(crate) pregenerated: Counter,
    /// Notes of accepted events that were taken up later.
    pub(crate) recovered: Counter,
    /// Calls of the webhook that failed.
    pub(crate) webhook_failures: Counter,
}

impl EventMetrics {
    pub(crate) fn accepted(&self, shape: Shape, events: usize) {
        self.count(shape, "accepted", events);
    }

    pub(crate) fn ignored(&self, shape: Shape, why: Ignored) {
        let outcome = match why {
            Ignored::UnknownBucket => "unknown_bucket",
            Ignored::OutsidePrefix => "outside_prefix",
            Ignored::NoSourceKey => "bad_key",
            Ignored::Ours => "ours",
        };
        self.count(shape, outcome, 1);
    }

    pub(crate) fn passed_over(&self, shape: Shape, other: usize, unreadable: usize) {
        self.count(shape, "other_kind", other);
        self.count(shape, "bad_key", unreadable);
    }

    fn count(&self, shape: Shape, outcome: &'static str, events: usize) {
        if events > 0 {
            let labels = [("shape", shape.name()), ("outcome", outcome)];
            self.events.get_or_create(&labels).inc_by(events as u64);
        }
    }

    /// A request that was answered with an error; `reason` is a word of the code.
    pub(crate) fn refused(&self, reason: &'static str) {
        self.refused.get_or_create(&[("reason", reason)]).inc();
    }

    pub(crate) fn ended(&self, done: Done) {
        self.works.get_or_create(&[("outcome", done.name())]).inc();
    }
}

impl Part for EventMetrics {
    fn register(&self, registry: &mut Registry) {
        // A series that exists from the start has a rate from the first event.
        for shape in Shape::ALL {
            let labels = [("shape", shape.name()), ("outcome", "accepted")];
            drop(self.events.get_or_create(&labels));
        }
        for done in Done::ALL {
            drop(self.works.get_or_create(&[("outcome", done.name())]));
        }
        registry.register("events", "Events received", self.events.clone());
        registry.register(
            "events_refused",
            "Requests with events that were answered with an error",
            self.refused.clone(),
        );
        registry.register(
            "event_works",
            "Originals looked at because of events",
            self.works.clone(),
        );
        registry.register(
            "event_queue_depth",
            "Originals waiting for the work of their events, or in it",
            self.queue_depth.clone(),
        );
        registry.register_with_unit(
            "event_queue_age",
            "Time since the longest waiting one was accepted",
            Unit::Seconds,
            self.oldest.clone(),
        );
        registry.register(
            "event_variants",
            "Variants made because of events",
            self.pregenerated.clone(),
        );
        registry.register(
            "event_markers_recovered",
            "Notes of accepted events taken up after their pod had not finished them",
            self.recovered.clone(),
        );
        registry.register(
            "event_webhook_failures",
            "Calls of LENSLET_EVENTS_WEBHOOK that failed",
            self.webhook_failures.clone(),
        );
    }
}
