//! Metrics: what is counted about requests and renders, and the text that is scraped. Labels are
//! bounded by the code; a path, a key or a host never becomes one. Holds no globals.

use super::process::{Codecs, Process};
use crate::model::format::Format;
use crate::model::stage::Stage;
use prometheus_client::encoding::text;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Registry, Unit};
use std::time::Duration;

/// The media type of [`Metrics::encode`].
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// In front of the name of every metric of ours.
const PREFIX: &str = "lenslet";

/// One label and its value, both fixed in the code.
pub type Label = [(&'static str, &'static str); 1];

/// Two labels and their values, all fixed in the code.
pub type Labels = [(&'static str, &'static str); 2];

/// A part of the service that counts.
pub trait Part {
    /// Registers every metric under its name without the `lenslet_` in front.
    fn register(&self, registry: &mut Registry);
}

/// Everything that is scraped.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
}

impl Metrics {
    /// With the process itself, the build and the linked codecs (name and version each).
    #[must_use]
    pub fn new(codecs: Vec<(&'static str, String)>) -> Self {
        let mut registry = Registry::default();
        registry.register_collector(Box::new(Process));
        let ours = registry.sub_registry_with_prefix(PREFIX);
        let build = Info::new([("version", env!("CARGO_PKG_VERSION"))]);
        ours.register("build", "The running build", build);
        ours.register_collector(Box::new(Codecs(codecs)));
        Self { registry }
    }

    /// Adds a part; returns `self` for the next one.
    pub fn add(&mut self, part: &impl Part) -> &mut Self {
        part.register(self.ours());
        self
    }

    /// The registry that puts `lenslet_` in front of every name; a `Counter` gets `_total`.
    fn ours(&mut self) -> &mut Registry {
        self.registry.sub_registry_with_prefix(PREFIX)
    }

    /// Everything as OpenMetrics text; allocates the whole text.
    #[must_use]
    pub fn encode(&self) -> String {
        let mut out = String::with_capacity(16 << 10);
        // Writing to a String cannot fail, and a collector that fails leaves its own lines out.
        let _ = text::encode(&mut out, &self.registry);
        out
    }
}

/// 1 ms to 33 s, doubling.
fn request_buckets() -> Histogram {
    Histogram::new(exponential_buckets(0.001, 2.0, 16))
}

/// 0.1 ms to 13 s: a stage may be much shorter than a request.
fn stage_buckets() -> Histogram {
    Histogram::new(exponential_buckets(0.000_1, 2.0, 18))
}

/// What is counted about requests.
#[derive(Debug, Clone)]
pub struct HttpMetrics {
    /// By `status_class` (2xx …) and `cache` (as in `X-Cache`, or none).
    pub requests: Family<Labels, Counter>,
    /// Seconds to the answer's head, by `cache`.
    pub duration: Family<Label, Histogram>,
    /// Requests begun and not answered.
    pub in_flight: Gauge,
    /// Bytes of answers, by `format` (or other).
    pub response_bytes: Family<Label, Counter>,
}

impl Default for HttpMetrics {
    fn default() -> Self {
        Self {
            requests: Family::default(),
            duration: Family::new_with_constructor(request_buckets),
            in_flight: Gauge::default(),
            response_bytes: Family::default(),
        }
    }
}

impl HttpMetrics {
    /// Counts one answer. `cache` is a value of `X-Cache`, where the answer has one; a word that
    /// is none of those counts as "other", so that no caller can make up label values.
    pub fn record(
        &self,
        status: u16,
        cache: Option<&str>,
        duration: Duration,
        bytes: u64,
        format: Option<Format>,
    ) {
        let cache = cache_label(cache);
        let class = ("status_class", status_class(status));
        self.requests.get_or_create(&[class, ("cache", cache)]).inc();
        self.duration.get_or_create(&[("cache", cache)]).observe(duration.as_secs_f64());
        let format = format.map_or("other", Format::name);
        self.response_bytes.get_or_create(&[("format", format)]).inc_by(bytes);
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
    }
}

/// How a render ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// With a picture.
    Ok,
    /// The wish cannot be had: a limit, a contradiction.
    ClientError,
    /// The original cannot be had or read.
    SourceError,
    /// Past its deadline.
    Timeout,
    /// Not begun, for want of room.
    Shed,
    /// A bug of ours or of a codec.
    Panic,
}

impl Outcome {
    const fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::ClientError => "client_error",
            Self::SourceError => "source_error",
            Self::Timeout => "timeout",
            Self::Shed => "shed",
            Self::Panic => "panic",
        }
    }
}

/// What is counted about renders.
#[derive(Debug, Clone)]
pub struct RenderMetrics {
    /// Seconds, by `stage`.
    pub stages: Family<Label, Histogram>,
    /// By `format` of the result (or other) and `outcome`.
    pub transforms: Family<Labels, Counter>,
}

impl Default for RenderMetrics {
    fn default() -> Self {
        let stages = Family::<Label, Histogram>::new_with_constructor(stage_buckets);
        // A series that exists from the start has a rate from the first event.
        for stage in Stage::ALL {
            drop(stages.get_or_create(&[("stage", stage.name())]));
        }
        Self { stages, transforms: Family::default() }
    }
}

impl RenderMetrics {
    /// Counts the time of one stage.
    pub fn observe(&self, stage: Stage, time: Duration) {
        self.stages.get_or_create(&[("stage", stage.name())]).observe(time.as_secs_f64());
    }

    /// Counts one render; `format` is the result's, where it was known.
    pub fn ended(&self, format: Option<Format>, outcome: Outcome) {
        let format = ("format", format.map_or("other", Format::name));
        self.transforms.get_or_create(&[format, ("outcome", outcome.name())]).inc();
    }
}

impl Part for RenderMetrics {
    fn register(&self, registry: &mut Registry) {
        registry.register_with_unit(
            "stage_duration",
            "Time of one stage of a request",
            Unit::Seconds,
            self.stages.clone(),
        );
        registry.register("transforms", "Renders by their end", self.transforms.clone());
    }
}

const fn status_class(status: u16) -> &'static str {
    match status {
        100..=199 => "1xx",
        200..=299 => "2xx",
        300..=399 => "3xx",
        400..=499 => "4xx",
        _ => "5xx",
    }
}

fn cache_label(cache: Option<&str>) -> &'static str {
    const KNOWN: [&str; 5] = ["memory", "joined", "store", "rendered", "stale"];
    match cache {
        None => "none",
        Some(word) => KNOWN.into_iter().find(|known| *known == word).unwrap_or("other"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scraped() -> String {
        let (http, render) = (HttpMetrics::default(), RenderMetrics::default());
        let mut metrics = Metrics::new(vec![("libwebp", "1.6.0".to_owned())]);
        metrics.add(&http).add(&render);
        http.in_flight.inc();
        let time = Duration::from_millis(20);
        http.record(200, Some("memory"), time, 1000, Some(Format::Webp));
        http.record(404, None, time, 10, None);
        http.record(200, Some("/made/up"), time, 0, None);
        render.observe(Stage::Decode, time);
        render.ended(Some(Format::Avif), Outcome::Ok);
        render.ended(None, Outcome::Shed);
        metrics.encode()
    }

    #[test]
    fn the_names_are_the_ones_dashboards_are_built_on() {
        let text = scraped();
        for line in [
            "lenslet_http_requests_total{status_class=\"2xx\",cache=\"memory\"} 1\n",
            "lenslet_http_requests_total{status_class=\"4xx\",cache=\"none\"} 1\n",
            "lenslet_http_requests_total{status_class=\"2xx\",cache=\"other\"} 1\n",
            "lenslet_http_request_duration_seconds_count{cache=\"memory\"} 1\n",
            "lenslet_http_request_duration_seconds_bucket{le=\"0.032\",cache=\"memory\"} 1\n",
            "lenslet_http_requests_in_flight 1\n",
            "lenslet_http_response_bytes_total{format=\"webp\"} 1000\n",
            "lenslet_http_response_bytes_total{format=\"other\"} 10\n",
            "lenslet_stage_duration_seconds_count{stage=\"decode\"} 1\n",
            "lenslet_stage_duration_seconds_count{stage=\"fetch\"} 0\n",
            "lenslet_transforms_total{format=\"avif\",outcome=\"ok\"} 1\n",
            "lenslet_transforms_total{format=\"other\",outcome=\"shed\"} 1\n",
            "lenslet_codec_info{name=\"libwebp\",version=\"1.6.0\"} 1\n",
            concat!("lenslet_build_info{version=\"", env!("CARGO_PKG_VERSION"), "\"} 1\n"),
        ] {
            assert!(text.contains(line), "{line} is not in\n{text}");
        }
        assert!(!text.contains("made/up"), "{text}");
        assert!(text.ends_with("# EOF\n"));
    }

    #[test]
    fn the_process_is_measured_when_it_is_scraped() {
        let text = scraped();
        for name in [
            "process_resident_memory_bytes",
            "process_cpu_seconds_total",
            "process_open_fds",
            "process_start_time_seconds",
        ] {
            let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
            let value: f64 = value.unwrap_or_else(|| panic!("{name} in {text}")).parse().unwrap();
            assert!(value > 0.0, "{name} is {value}");
        }
    }

    #[test]
    fn no_metric_is_described_twice() {
        let text = scraped();
        let mut types: Vec<_> = text.lines().filter(|line| line.starts_with("# TYPE")).collect();
        let all = types.len();
        types.sort_unstable();
        types.dedup();
        assert_eq!(types.len(), all);
    }
}
