//! Metrics: the registry that everything countable is registered with, and the text that is
//! scraped. Labels are bounded by the code; a path, a key or a host never becomes one. Holds no
//! globals.

pub use super::renders::{Outcome, RenderMetrics};
pub use super::requests::{Answered, HttpMetrics, Route};

use super::process::{Codecs, LostLines, Process};
use super::trace::TraceId;
use prometheus_client::encoding::text;
use prometheus_client::metrics::exemplar::HistogramWithExemplars;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;

/// In front of the name of every metric of ours.
const PREFIX: &str = "lenslet";

/// One label and its value, both fixed in the code.
pub type Label = [(&'static str, &'static str); 1];

/// Two labels and their values, all fixed in the code.
pub type Labels = [(&'static str, &'static str); 2];

/// What an exemplar says: `trace_id`.
pub type Exemplar = [(&'static str, TraceId); 1];

/// A histogram whose buckets may point to a trace.
pub(super) type Traced = HistogramWithExemplars<Exemplar>;

/// The exemplar of a recorded request.
pub(super) fn exemplar(trace: Option<TraceId>) -> Option<Exemplar> {
    trace.map(|trace| [("trace_id", trace)])
}

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
        ours.register("build", "The running build", Info::new(build()));
        ours.register_collector(Box::new(Codecs(codecs)));
        ours.register_collector(Box::new(LostLines));
        Self { registry }
    }

    /// Adds a part; returns `self` for the next one.
    pub fn add(&mut self, part: &impl Part) -> &mut Self {
        part.register(self.ours());
        self
    }

    /// Adds which settings are in effect, by their fingerprint.
    pub fn configured(&mut self, fingerprint: &str) -> &mut Self {
        let info = Info::new([("hash", fingerprint.to_owned())]);
        self.ours().register("config", "The settings in effect", info);
        self
    }

    /// The registry that puts `lenslet_` in front of every name; a `Counter` gets `_total`.
    fn ours(&mut self) -> &mut Registry {
        self.registry.sub_registry_with_prefix(PREFIX)
    }

    /// Everything as OpenMetrics text; allocates the whole text.
    #[must_use]
    pub fn encode(&self) -> String {
        let mut out = String::with_capacity(32 << 10);
        // Writing to a String cannot fail, and a collector that fails leaves its own lines out.
        let _ = text::encode(&mut out, &self.registry);
        out
    }
}

/// The labels of the build; the commit only where the build was told it (`GIT_SHA`).
fn build() -> Vec<(&'static str, &'static str)> {
    let mut labels = vec![("version", env!("CARGO_PKG_VERSION")), ("rustc", env!("BUILD_RUSTC"))];
    labels.extend(option_env!("GIT_SHA").filter(|sha| !sha.is_empty()).map(|sha| ("git_sha", sha)));
    labels
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::format::Format;
    use crate::model::format::SourceFormat;
    use crate::model::stage::Stage;
    use crate::telemetry::trace::TraceContext;
    use std::time::Duration;

    fn scraped() -> String {
        let (http, render) = (HttpMetrics::default(), RenderMetrics::default());
        let mut metrics = Metrics::new(vec![("libwebp", "1.6.0".to_owned())]);
        metrics.add(&http).add(&render).configured("00112233");
        http.in_flight.inc();
        let time = Duration::from_millis(20);
        let answered = Answered {
            route: Route::Native,
            status: 200,
            cache: Some("memory"),
            duration: time,
            bytes: 1000,
            format: Some(Format::Webp),
            trace: None,
        };
        http.record(&answered);
        http.record(&Answered {
            route: Route::Unknown,
            status: 404,
            cache: None,
            bytes: 10,
            format: None,
            ..answered
        });
        http.record(&Answered { cache: Some("/made/up"), bytes: 0, ..answered });
        http.refused("expired");
        render.observe(Stage::Decode, time, None);
        render.ended(Some(Format::Avif), Outcome::Ok);
        render.ended(None, Outcome::Shed);
        render.made(SourceFormat::Tiff, 5_000, Format::Avif, 900);
        metrics.encode()
    }

    #[test]
    fn the_names_are_the_ones_dashboards_are_built_on() {
        let text = scraped();
        for line in [
            "lenslet_http_requests_total{route=\"native\",status_class=\"2xx\",cache=\"memory\"} 1\n",
            "lenslet_http_requests_total{route=\"none\",status_class=\"4xx\",cache=\"none\"} 1\n",
            "lenslet_http_requests_total{route=\"native\",status_class=\"2xx\",cache=\"other\"} 1\n",
            "lenslet_http_request_duration_seconds_count{route=\"native\",cache=\"memory\"} 1\n",
            "lenslet_http_request_duration_seconds_bucket{le=\"0.032\",route=\"native\",cache=\"memory\"} 1\n",
            "lenslet_http_requests_in_flight 1\n",
            "lenslet_http_response_bytes_total{format=\"webp\"} 1000\n",
            "lenslet_http_response_bytes_total{format=\"other\"} 10\n",
            "lenslet_auth_failures_total{reason=\"expired\"} 1\n",
            "lenslet_auth_failures_total{reason=\"signature_invalid\"} 0\n",
            "lenslet_stage_duration_seconds_count{stage=\"decode\"} 1\n",
            "lenslet_stage_duration_seconds_count{stage=\"fetch\"} 0\n",
            "lenslet_transforms_total{format=\"avif\",outcome=\"ok\"} 1\n",
            "lenslet_transforms_total{format=\"other\",outcome=\"shed\"} 1\n",
            "lenslet_source_bytes_sum{format=\"tiff\"} 5000.0\n",
            "lenslet_variant_bytes_bucket{le=\"1024.0\",format=\"avif\"} 1\n",
            "lenslet_codec_info{name=\"libwebp\",version=\"1.6.0\"} 1\n",
            "lenslet_config_info{hash=\"00112233\"} 1\n",
            concat!(
                "lenslet_build_info{version=\"",
                env!("CARGO_PKG_VERSION"),
                "\",rustc=\"",
                env!("BUILD_RUSTC"),
                "\""
            ),
        ] {
            assert!(text.contains(line), "{line} is not in\n{text}");
        }
        assert!(env!("BUILD_RUSTC").starts_with("1."));
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
            "process_max_fds",
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

    #[test]
    fn a_recorded_request_leaves_its_trace_in_its_bucket() {
        let (http, mut metrics) = (HttpMetrics::default(), Metrics::new(vec![]));
        metrics.add(&http);
        let header = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        let trace = TraceContext::parse(header).unwrap().trace;
        http.record(&Answered {
            route: Route::Sized,
            status: 200,
            cache: Some("rendered"),
            duration: Duration::from_millis(3),
            bytes: 1,
            format: None,
            trace: Some(trace),
        });
        let text = metrics.encode();
        let bucket = "lenslet_http_request_duration_seconds_bucket{le=\"0.004\",route=\"sized\",cache=\"rendered\"} 1";
        let line = text.lines().find(|line| line.starts_with(bucket)).unwrap();
        assert!(line.contains(&format!(" # {{trace_id=\"{trace}\"}} 0.003")), "{line}");
    }
}
