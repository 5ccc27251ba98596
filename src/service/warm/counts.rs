//! How far a warm-up has come, for the bar, the log, the metrics and the checkpoint. Only counts.

use crate::telemetry::metrics::{Label, Part};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use serde::{Deserialize, Serialize};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// Failures that are told by name; the rest is a number.
pub(super) const FAILURES_TOLD: usize = 20;

/// What became of the originals so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Tally {
    /// Originals of which something was made (or, in a dry run, would be).
    pub made: u64,
    /// Originals of which everything was there.
    pub present: u64,
    /// Objects that are no pictures, are gone by now, or are variants of ours.
    pub skipped: u64,
    /// Originals of which something failed.
    pub failed: u64,
    /// Variants made.
    pub variants: u64,
}

impl Tally {
    /// Objects dealt with, in whatever way.
    #[must_use]
    pub const fn seen(&self) -> u64 {
        self.made + self.present + self.skipped + self.failed
    }
}

/// An original that could not be warmed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failed {
    /// Its key.
    pub key: String,
    /// Why, in a sentence.
    pub why: String,
}

/// What became of one original.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum End {
    /// So many variants were made.
    Made(u64),
    Present,
    Skipped,
    /// In a sentence; so many variants were made all the same.
    Failed(String, u64),
}

/// The numbers of a running warm-up. Clones share them.
#[derive(Debug, Clone, Default)]
pub struct Counts(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    state: Mutex<State>,
    /// Objects to deal with, 0 while that is not known.
    total: AtomicU64,
    originals: Family<Label, Counter>,
    variants: Counter,
    under_way: Gauge,
}

#[derive(Debug, Default)]
struct State {
    tally: Tally,
    failures: Vec<Failed>,
}

impl Counts {
    /// How far it is.
    #[must_use]
    pub fn tally(&self) -> Tally {
        self.lock().tally
    }

    /// The first failures.
    #[must_use]
    pub fn failures(&self) -> Vec<Failed> {
        self.lock().failures.clone()
    }

    /// Objects there are to deal with, once they are counted.
    #[must_use]
    pub fn total(&self) -> Option<u64> {
        Some(self.0.total.load(Ordering::Relaxed)).filter(|total| *total > 0)
    }

    /// Originals being worked on.
    #[must_use]
    pub fn under_way(&self) -> i64 {
        self.0.under_way.get()
    }

    pub(super) fn set_total(&self, total: u64) {
        self.0.total.store(total, Ordering::Relaxed);
    }

    /// Goes on counting where an earlier run stopped.
    pub(super) fn go_on(&self, tally: Tally, failures: Vec<Failed>) {
        let mut state = self.lock();
        (state.tally, state.failures) = (tally, failures);
    }

    pub(super) fn begun(&self) {
        self.0.under_way.inc();
    }

    pub(super) fn done(&self) {
        self.0.under_way.dec();
    }

    /// Enters the end of one original.
    pub(super) fn ended(&self, key: &str, end: End) {
        let mut state = self.lock();
        let (tally, outcome) = (
            &mut state.tally,
            match &end {
                End::Made(_) => "made",
                End::Present => "present",
                End::Skipped => "skipped",
                End::Failed(..) => "failed",
            },
        );
        let made = match &end {
            End::Made(variants) => {
                tally.made += 1;
                *variants
            }
            End::Present => {
                tally.present += 1;
                0
            }
            End::Skipped => {
                tally.skipped += 1;
                0
            }
            End::Failed(_, variants) => {
                tally.failed += 1;
                *variants
            }
        };
        tally.variants += made;
        self.0.variants.inc_by(made);
        self.0.originals.get_or_create(&[("outcome", outcome)]).inc();
        if let End::Failed(why, _) = end {
            tracing::warn!(key, why, "cannot be warmed");
            if state.failures.len() < FAILURES_TOLD {
                state.failures.push(Failed { key: key.to_owned(), why });
            }
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Part for Counts {
    fn register(&self, to: &mut Registry) {
        to.register(
            "warm_originals",
            "Originals a warm-up has dealt with",
            self.0.originals.clone(),
        );
        to.register("warm_variants", "Variants a warm-up has made", self.0.variants.clone());
        to.register(
            "warm_originals_under_way",
            "Originals a warm-up works on",
            self.0.under_way.clone(),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_end_is_counted_and_the_first_failures_are_named() {
        let counts = Counts::default();
        counts.ended("a", End::Made(3));
        counts.ended("b", End::Present);
        counts.ended("c", End::Skipped);
        for n in 0..FAILURES_TOLD + 5 {
            counts.ended(&format!("d{n}"), End::Failed("broken".to_owned(), 1));
        }
        let tally = counts.tally();
        assert_eq!((tally.made, tally.present, tally.skipped, tally.failed), (1, 1, 1, 25));
        assert_eq!((tally.seen(), tally.variants), (28, 28));
        assert_eq!(counts.failures().len(), FAILURES_TOLD);
        assert_eq!(counts.failures()[0], Failed { key: "d0".into(), why: "broken".into() });
        let mut metrics = crate::telemetry::metrics::Metrics::new(vec![]);
        metrics.add(&counts);
        let text = metrics.encode();
        assert!(text.contains("lenslet_warm_originals_total{outcome=\"failed\"} 25"), "{text}");
        assert!(text.contains("lenslet_warm_variants_total 28"), "{text}");
    }
}
