//! The queue between requests and the collector: bounded in spans, emptied by one task that
//! sends batches. A request only puts its spans down; the task is woken for the first one and for
//! a full batch. A full queue drops what is new and counts it. Says at most once a minute that
//! something is wrong.

use super::TraceMetrics;
use super::otlp::Exporter;
use super::spans::Span;
use crate::config::{Batches, SpanExport};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::sync::{Notify, oneshot};
use tokio::time::{Instant, timeout, timeout_at};

/// What both ends share.
#[derive(Debug)]
struct Shared {
    waiting: Mutex<Waiting>,
    wake: Notify,
    metrics: TraceMetrics,
}

#[derive(Debug, Default)]
struct Waiting {
    spans: Vec<Span>,
    /// Who is to be told when everything was sent.
    flushes: Vec<oneshot::Sender<()>>,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        // Nothing that could panic half way runs under this lock.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn gauge(&self, waiting: usize) {
        self.metrics.queued.set(i64::try_from(waiting).unwrap_or(i64::MAX));
    }
}

/// The requests' end of the queue.
#[derive(Debug)]
pub(super) struct Queue {
    shared: Arc<Shared>,
    limits: Batches,
}

impl Queue {
    /// Starts the task.
    pub(super) fn start(settings: &SpanExport, runtime: &Handle, metrics: TraceMetrics) -> Self {
        let shared = Arc::new(Shared { waiting: Mutex::default(), wake: Notify::new(), metrics });
        let limits = settings.batches;
        let sending = Sending {
            exporter: Exporter::new(settings),
            limits,
            shared: Arc::clone(&shared),
            complaints: Complaints::default(),
        };
        runtime.spawn(sending.run());
        Self { shared, limits }
    }

    /// Queues the spans of one request, or drops all of them: half a trace misleads.
    pub(super) fn offer(&self, spans: Vec<Span>) {
        let shared = &self.shared;
        let (before, after) = {
            let mut waiting = shared.lock();
            let before = waiting.spans.len();
            if before + spans.len() > self.limits.queue {
                drop(waiting);
                shared.metrics.dropped.inc_by(spans.len() as u64);
                return;
            }
            waiting.spans.extend(spans);
            let after = waiting.spans.len();
            shared.gauge(after);
            (before, after)
        };
        if before == 0 || (before < self.limits.size && after >= self.limits.size) {
            shared.wake.notify_one();
        }
    }

    /// Sends what waits, at most for `grace`.
    pub(super) async fn flush(&self, grace: Duration) {
        let (tell, told) = oneshot::channel();
        self.shared.lock().flushes.push(tell);
        self.shared.wake.notify_one();
        if timeout(grace, told).await.is_err() {
            let waiting = self.shared.lock().spans.len();
            tracing::warn!(waiting, "spans were not taken in time and are lost");
        }
    }
}

/// The task's end.
struct Sending {
    exporter: Exporter,
    limits: Batches,
    shared: Arc<Shared>,
    complaints: Complaints,
}

impl Sending {
    async fn run(mut self) {
        loop {
            self.shared.wake.notified().await;
            // The first span starts the time of its batch.
            let due = Instant::now() + self.limits.delay;
            while !self.is_time(due) {
                let _ = timeout_at(due, self.shared.wake.notified()).await;
            }
            while self.is_time(due) && self.send().await {}
            let mut waiting = self.shared.lock();
            if waiting.spans.is_empty() {
                for told in waiting.flushes.drain(..) {
                    // Whoever asked may have lost patience.
                    let _ = told.send(());
                }
            } else {
                // What came meanwhile starts a batch of its own.
                self.shared.wake.notify_one();
            }
        }
    }

    /// Whether something is to be sent now: a full batch, an old one, or on demand.
    fn is_time(&self, due: Instant) -> bool {
        let waiting = self.shared.lock();
        waiting.spans.len() >= self.limits.size
            || !waiting.flushes.is_empty()
            || Instant::now() >= due
    }

    /// Sends one batch, if there is one; what is not taken in its time is given up.
    async fn send(&mut self) -> bool {
        let batch: Vec<Span> = {
            let mut waiting = self.shared.lock();
            let count = waiting.spans.len().min(self.limits.size);
            let batch = waiting.spans.drain(..count).collect();
            self.shared.gauge(waiting.spans.len());
            batch
        };
        if batch.is_empty() {
            return false;
        }
        let sent = timeout(self.limits.timeout, self.exporter.send(&batch)).await;
        let (metrics, count) = (&self.shared.metrics, batch.len() as u64);
        let error = match sent {
            Ok(Ok(refused)) => {
                let refused = refused.min(count);
                metrics.exported.inc_by(count - refused);
                metrics.failed.inc_by(refused);
                (refused > 0).then(|| format!("the collector refused {refused} spans"))
            }
            Ok(Err(error)) => {
                metrics.failed.inc_by(count);
                Some(error.to_string())
            }
            Err(_elapsed) => {
                metrics.failed.inc_by(count);
                Some("the collector did not answer in time".to_owned())
            }
        };
        self.complaints.about(error.as_deref(), metrics, Instant::now());
        true
    }
}

/// One warning a minute, however much goes wrong.
#[derive(Debug, Default)]
struct Complaints {
    last: Option<Instant>,
    /// Spans lost up to the last warning.
    told: u64,
}

const QUIET: Duration = Duration::from_mins(1);

impl Complaints {
    fn about(&mut self, error: Option<&str>, metrics: &TraceMetrics, now: Instant) {
        if let Some(lost) = self.lost(error.is_some(), metrics, now) {
            let error = error.unwrap_or("more spans come than are taken");
            tracing::warn!(error, lost, "spans are lost");
        }
    }

    /// How many were lost since the last warning, where one is due.
    fn lost(&mut self, failed: bool, metrics: &TraceMetrics, now: Instant) -> Option<u64> {
        let all = metrics.dropped.get() + metrics.failed.get();
        let quiet = self.last.is_some_and(|last| now.duration_since(last) < QUIET);
        if quiet || (all == self.told && !failed) {
            return None;
        }
        self.last = Some(now);
        Some(all - std::mem::replace(&mut self.told, all))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_warning_comes_once_a_minute_with_what_was_lost_since() {
        let (mut complaints, metrics) = (Complaints::default(), TraceMetrics::default());
        let now = Instant::now();
        assert_eq!(complaints.lost(false, &metrics, now), None);
        metrics.failed.inc_by(8);
        assert_eq!(complaints.lost(true, &metrics, now), Some(8));
        metrics.dropped.inc_by(5);
        assert_eq!(complaints.lost(true, &metrics, now + QUIET / 2), None);
        assert_eq!(complaints.lost(false, &metrics, now + QUIET), Some(5));
        assert_eq!(complaints.lost(false, &metrics, now + QUIET * 2), None);
    }
}
