//! What is counted about requests. The counters of a kind of answer are looked up once and then
//! held, so that an answer from memory pays for additions and nothing else.

use super::metrics::{Label, Labels, Part, Traced, exemplar};
use super::trace::TraceId;
use crate::dialect::request::ImageRequest;
use crate::model::format::Format;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::exponential_buckets;
use prometheus_client::registry::{Registry, Unit};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, SystemTime};

/// What kind of URL was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Route {
    /// A key with parameters.
    Native,
    /// A size in front of a key.
    Sized,
    /// `/`, `/health`.
    Fixed,
    /// None of ours, or not understood.
    #[default]
    Unknown,
}

impl Route {
    const ALL: [Self; 4] = [Self::Native, Self::Sized, Self::Fixed, Self::Unknown];

    /// Of a picture, or of the document about one.
    #[must_use]
    pub const fn of(image: &ImageRequest) -> Self {
        if image.sized.is_some() { Self::Sized } else { Self::Native }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Native => "native",
            Self::Sized => "sized",
            Self::Fixed => "fixed",
            Self::Unknown => "none",
        }
    }

    /// The template of its URLs, for spans.
    #[must_use]
    pub const fn template(self) -> Option<&'static str> {
        match self {
            Self::Native => Some("/{key}"),
            Self::Sized => Some("/{size}/{key}"),
            Self::Fixed | Self::Unknown => None,
        }
    }
}

/// One answer, as it is counted.
#[derive(Debug, Clone, Copy)]
pub struct Answered<'a> {
    /// What was asked for.
    pub route: Route,
    /// Of the answer; 499 for a client that left before it.
    pub status: u16,
    /// A value of `X-Cache`, where the answer has one. A word that is none of those counts as
    /// "other", so that no caller can make up label values.
    pub cache: Option<&'a str>,
    /// To the answer's head.
    pub duration: Duration,
    /// Of its body.
    pub bytes: u64,
    /// Of the picture, where it is one.
    pub format: Option<Format>,
    /// The trace of the request, where it is recorded.
    pub trace: Option<TraceId>,
}

/// Values of the label `cache`; the last one stands for any other word.
const CACHES: [&str; 7] = ["none", "memory", "joined", "store", "rendered", "stale", "other"];

/// Values of the label `status_class`.
const CLASSES: [&str; 5] = ["1xx", "2xx", "3xx", "4xx", "5xx"];

/// Why a request may be refused for want of a right; the last one on the admin listener.
const REASONS: [&str; 5] =
    ["signature_missing", "signature_invalid", "expired", "policy", "admin_token"];

/// Labels: route, `status_class`, cache.
type RequestLabels = [(&'static str, &'static str); 3];

/// What is counted about requests. Clones count into the same.
#[derive(Debug, Clone)]
pub struct HttpMetrics {
    requests: Family<RequestLabels, Counter>,
    duration: Family<Labels, Traced>,
    /// Requests begun and not answered.
    pub in_flight: Gauge,
    response_bytes: Family<Label, Counter>,
    auth_failures: Family<Label, Counter>,
    held: Arc<Held>,
}

/// The counters that were asked for before.
#[derive(Debug, Default)]
struct Held {
    kinds: [[Kind; CACHES.len()]; Route::ALL.len()],
    bytes: [OnceLock<Counter>; Format::ALL.len() + 1],
}

/// Answers of one route and one `X-Cache`.
#[derive(Debug, Default)]
struct Kind {
    classes: [OnceLock<Counter>; CLASSES.len()],
    duration: OnceLock<Traced>,
}

/// 1 ms to 33 s, doubling.
fn request_buckets() -> Traced {
    Traced::new(exponential_buckets(0.001, 2.0, 16))
}

impl Default for HttpMetrics {
    fn default() -> Self {
        let metrics = Self {
            requests: Family::default(),
            duration: Family::new_with_constructor(request_buckets),
            in_flight: Gauge::default(),
            response_bytes: Family::default(),
            auth_failures: Family::default(),
            held: Arc::default(),
        };
        // A series that exists from the start has a rate from the first event.
        for class in ["2xx", "4xx", "5xx"] {
            let route = ("route", Route::Native.name());
            let labels = [route, ("status_class", class), ("cache", "none")];
            drop(metrics.requests.get_or_create(&labels));
        }
        for reason in REASONS {
            drop(metrics.auth_failures.get_or_create(&[("reason", reason)]));
        }
        metrics
    }
}

impl HttpMetrics {
    /// Counts one answer.
    pub fn record(&self, answered: &Answered<'_>) {
        let (route, cache) = (answered.route, cache_index(answered.cache));
        let class = class_index(answered.status);
        // Every index is that of a table of ours, so there always is a kind.
        let kind = self.held.kinds.get(route as usize).and_then(|kinds| kinds.get(cache));
        if let Some(kind) = kind {
            let route = ("route", route.name());
            let cache = ("cache", CACHES.get(cache).copied().unwrap_or("other"));
            if let Some(counter) = kind.classes.get(class) {
                let class = ("status_class", CLASSES.get(class).copied().unwrap_or("5xx"));
                let find = || self.requests.get_or_create_owned(&[route, class, cache]);
                counter.get_or_init(find).inc();
            }
            let find = || self.duration.get_or_create_owned(&[route, cache]);
            let (histogram, trace) = (kind.duration.get_or_init(find), exemplar(answered.trace));
            let at = trace.is_some().then(SystemTime::now);
            histogram.observe(answered.duration.as_secs_f64(), trace, at);
        }
        let index = answered.format.map_or(Format::ALL.len(), |format| format as usize);
        if let Some(bytes) = self.held.bytes.get(index) {
            let name = answered.format.map_or("other", Format::name);
            let find = || self.response_bytes.get_or_create_owned(&[("format", name)]);
            bytes.get_or_init(find).inc_by(answered.bytes);
        }
    }

    /// Counts a request that was refused for want of a right. A word that is none of the known
    /// reasons is not counted: labels are ours to give.
    pub fn refused(&self, reason: &str) {
        if let Some(reason) = REASONS.into_iter().find(|known| *known == reason) {
            self.auth_failures.get_or_create(&[("reason", reason)]).inc();
        }
    }
}

impl Part for HttpMetrics {
    fn register(&self, registry: &mut Registry) {
        registry.register("http_requests", "Answers given", self.requests.clone());
        registry.register_with_unit(
            "http_request_duration",
            "Time from the request's first byte to the answer's head",
            Unit::Seconds,
            self.duration.clone(),
        );
        registry.register(
            "http_requests_in_flight",
            "Requests begun and not answered",
            self.in_flight.clone(),
        );
        registry.register_with_unit(
            "http_response",
            "Bytes of the bodies of answers",
            Unit::Bytes,
            self.response_bytes.clone(),
        );
        registry.register(
            "auth_failures",
            "Requests refused for want of a right",
            self.auth_failures.clone(),
        );
    }
}

const fn class_index(status: u16) -> usize {
    match status {
        100..=199 => 0,
        200..=299 => 1,
        300..=399 => 2,
        400..=499 => 3,
        _ => 4,
    }
}

fn cache_index(cache: Option<&str>) -> usize {
    let Some(word) = cache else { return 0 };
    CACHES.iter().position(|known| *known == word).unwrap_or(CACHES.len() - 1)
}
