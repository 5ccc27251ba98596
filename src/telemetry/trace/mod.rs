//! Traces: which one a request belongs to, and the spans that are told of it. The spans are made
//! when the request is over, so that nothing is paid for one that is not recorded; they wait in a
//! bounded queue and never make a request wait. Off while no endpoint is set.

mod context;
mod spans;

#[cfg(feature = "otel")]
mod batch;
#[cfg(feature = "otel")]
mod otlp;
#[cfg(test)]
#[cfg(feature = "otel")]
mod tests;

pub(crate) use context::random;
pub use context::{SpanId, TraceContext, TraceId};
pub use spans::Told;

use crate::config::{Sampling, Tracing};
use crate::telemetry::metrics::Part;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use std::time::Duration;
use tokio::runtime::Handle;

/// What becomes of the traces of this process.
#[derive(Debug)]
pub struct Tracer {
    propagate: bool,
    recorder: Option<Recorder>,
}

#[derive(Debug)]
struct Recorder {
    sampling: Sampling,
    #[cfg(feature = "otel")]
    queue: batch::Queue,
}

/// A request's place in a trace.
#[derive(Debug, Clone)]
pub struct Begun {
    /// Its own span; the caller's where it is not ours to make one.
    pub own: TraceContext,
    parent: Option<SpanId>,
    state: Option<String>,
    recorded: bool,
}

impl Begun {
    /// Whether spans are told of it.
    #[must_use]
    pub const fn is_recorded(&self) -> bool {
        self.recorded
    }

    /// The trace that an exemplar may point to.
    #[must_use]
    pub fn exemplar(&self) -> Option<TraceId> {
        self.own.sampled.then_some(self.own.trace)
    }
}

/// A longer `tracestate` is not handed on (W3C asks for no more).
const MAX_STATE: usize = 512;

impl Tracer {
    /// Nothing is taken up, nothing is sent.
    #[must_use]
    pub const fn off() -> Self {
        Self { propagate: false, recorder: None }
    }

    /// As the settings say. Sending runs on `runtime`; the first request to the collector is made
    /// when there is something to send.
    #[must_use]
    pub fn start(settings: &Tracing, runtime: &Handle, metrics: &TraceMetrics) -> Self {
        let recorder = settings.export.as_ref().map(|export| Recorder {
            sampling: export.sampling,
            #[cfg(feature = "otel")]
            queue: batch::Queue::start(export, runtime, metrics.clone()),
        });
        if let Some(export) = &settings.export {
            let (endpoint, share) = (export.endpoint.as_str(), export.sampling.to_string());
            tracing::info!(endpoint, share, "traces are sent");
        }
        // Without the feature nothing runs.
        let _ = (runtime, metrics);
        Self { propagate: settings.propagate, recorder }
    }

    /// The place of a request that has just come, if it has one. `header` looks up a request
    /// header that stands there once.
    pub fn begin<'h>(&self, header: impl Fn(&str) -> Option<&'h str>) -> Option<Begun> {
        let parent =
            if self.propagate { header("traceparent").and_then(TraceContext::parse) } else { None };
        let Some(recorder) = &self.recorder else {
            return parent.map(|own| Begun { own, parent: None, state: None, recorded: false });
        };
        let own = TraceContext::below(parent, recorder.sampling);
        let state = parent
            .filter(|_| own.sampled)
            .and_then(|_| header("tracestate"))
            .filter(|state| state.len() <= MAX_STATE)
            .map(str::to_owned);
        let parent = parent.map(|parent| parent.span);
        Some(Begun { own, parent, state, recorded: own.sampled })
    }

    /// Tells of a request that is over, if it is recorded. Never waits.
    pub fn tell(&self, begun: &Begun, told: &Told<'_>) {
        #[cfg(feature = "otel")]
        if let Some(recorder) = self.recorder.as_ref().filter(|_| begun.recorded) {
            recorder.queue.offer(spans::of(told, begun));
        }
        #[cfg(not(feature = "otel"))]
        let _ = (begun.recorded.then(|| spans::of(told, begun)), &self.recorder);
    }

    /// Sends what waits, at most for `grace`.
    pub async fn flush(&self, grace: Duration) {
        #[cfg(feature = "otel")]
        if let Some(recorder) = &self.recorder {
            recorder.queue.flush(grace).await;
        }
        #[cfg(not(feature = "otel"))]
        let _ = grace;
    }
}

/// What is counted about spans.
#[derive(Debug, Clone)]
pub struct TraceMetrics {
    /// Taken by the collector.
    pub exported: Counter,
    /// Not queued: too many waited.
    pub dropped: Counter,
    /// Given up: the collector did not take them.
    pub failed: Counter,
    /// Waiting.
    pub queued: Gauge,
    spans: Family<[(&'static str, &'static str); 1], Counter>,
}

impl Default for TraceMetrics {
    fn default() -> Self {
        let spans = Family::<[(&'static str, &'static str); 1], Counter>::default();
        let counter = |outcome| spans.get_or_create_owned(&[("outcome", outcome)]);
        Self {
            exported: counter("exported"),
            dropped: counter("dropped"),
            failed: counter("failed"),
            queued: Gauge::default(),
            spans: spans.clone(),
        }
    }
}

impl Part for TraceMetrics {
    fn register(&self, to: &mut Registry) {
        to.register("trace_spans", "Spans by what became of them", self.spans.clone());
        to.register("trace_queue_depth", "Spans waiting to be sent", self.queued.clone());
    }
}
