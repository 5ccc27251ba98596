//! Settings of tracing, under the names that OpenTelemetry gives them. Off while no endpoint is
//! set. What these variables can ask for and this service cannot do is an error, not silence.
//! Never sends anything, and never shows a header's value.

use super::env::Env;
use super::fault::Faults;
use super::read::Reader;
use super::values::{self, Switch, deserialize_from_text, unreadable, words};
use http::{HeaderName, HeaderValue};
use percent_encoding::percent_decode_str;
use serde::Deserialize;
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

/// What becomes of traces.
#[derive(Debug, Clone)]
pub struct Tracing {
    /// Whether a caller's `traceparent` is taken up.
    pub propagate: bool,
    /// Where spans are sent; none: nowhere, and none are made.
    pub export: Option<SpanExport>,
}

/// Where spans are sent, and which.
#[derive(Debug, Clone)]
pub struct SpanExport {
    /// The whole URL that spans are posted to.
    pub endpoint: String,
    /// Sent with every batch. Their values are marked sensitive, so that `Debug` hides them.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// Certificates to trust beside the system's, a PEM file.
    pub certificate: Option<PathBuf>,
    /// Whether bodies are compressed.
    pub gzip: bool,
    /// One request to the collector, 1 ms to 10 min.
    pub timeout: Duration,
    /// What the collector is told of this process, `service.name` among it.
    pub resource: Vec<(String, String)>,
    /// Which requests are recorded.
    pub sampling: Sampling,
    /// How spans are collected before they are sent.
    pub batches: Batches,
}

/// Which requests are recorded.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sampling {
    /// Whether a caller's decision counts before ours.
    pub by_parent: bool,
    /// The share of traces of our own, 0 to 1.
    pub ratio: f64,
}

/// How spans are collected before they are sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Batches {
    /// How long a span waits for others, at most.
    pub delay: Duration,
    /// What sending a batch may take with all its retries.
    pub timeout: Duration,
    /// Spans that wait, at most; further ones are dropped.
    pub queue: usize,
    /// Spans of one batch, at most; never more than `queue`.
    pub size: usize,
}

words! {
    Exporter {
        Otlp = "otlp",
        None = "none",
    }
}

words! {
    Protocol {
        Protobuf = "http/protobuf",
        Json = "http/json",
        Grpc = "grpc",
    }
}

words! {
    Compression {
        None = "none",
        Gzip = "gzip",
    }
}

words! {
    SamplerName {
        AlwaysOn = "always_on",
        AlwaysOff = "always_off",
        Ratio = "traceidratio",
        ParentAlwaysOn = "parentbased_always_on",
        ParentAlwaysOff = "parentbased_always_off",
        ParentRatio = "parentbased_traceidratio",
    }
}

#[derive(Deserialize)]
#[expect(clippy::struct_field_names, reason = "they are OpenTelemetry's names of its variables")]
struct OtelVars {
    otel_sdk_disabled: Switch,
    otel_traces_exporter: Exporter,
    otel_exporter_otlp_endpoint: Option<Collector>,
    otel_exporter_otlp_traces_endpoint: Option<Collector>,
    otel_exporter_otlp_protocol: Protocol,
    otel_exporter_otlp_traces_protocol: Option<Protocol>,
    otel_exporter_otlp_headers: Option<Headers>,
    otel_exporter_otlp_traces_headers: Option<Headers>,
    otel_exporter_otlp_timeout: Millis,
    otel_exporter_otlp_traces_timeout: Option<Millis>,
    otel_exporter_otlp_compression: Compression,
    otel_exporter_otlp_traces_compression: Option<Compression>,
    otel_exporter_otlp_certificate: Option<Plain>,
    otel_exporter_otlp_traces_certificate: Option<Plain>,
    otel_service_name: Plain,
    otel_resource_attributes: Option<Attributes>,
    otel_traces_sampler: SamplerName,
    otel_traces_sampler_arg: Option<Ratio>,
    otel_bsp_schedule_delay: Millis,
    otel_bsp_export_timeout: Millis,
    #[serde(deserialize_with = "values::whole::<1, 1_000_000, _>")]
    otel_bsp_max_queue_size: u32,
    #[serde(deserialize_with = "values::whole::<1, 1_000_000, _>")]
    otel_bsp_max_export_batch_size: u32,
    otel_propagators: Propagators,
}

/// A URL of a collector, http or https, without credentials and query.
struct Collector(String);

impl FromStr for Collector {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        text.parse::<super::url::PublicUrl>()
            .map(|url| Self(url.as_str().to_owned()))
            .map_err(|rule| rule.replace("https://cdn.example", "http://collector:4318"))
    }
}

/// Milliseconds, as OpenTelemetry counts time: a bare number.
#[derive(Clone, Copy)]
struct Millis(Duration);

impl FromStr for Millis {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        const MOST: u64 = 600_000;
        let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        match text.parse::<u64>() {
            Ok(millis) if digits && (1..=MOST).contains(&millis) => {
                Ok(Self(Duration::from_millis(millis)))
            }
            _ => Err(unreadable(text, "milliseconds, a whole number from 1 to 600000")),
        }
    }
}

/// Text that may stand in a name or a path.
struct Plain(String);

impl FromStr for Plain {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.chars().any(char::is_control) {
            return Err(unreadable(text, "text without control characters"));
        }
        Ok(Self(text.to_owned()))
    }
}

/// A share of traces.
struct Ratio(f64);

impl FromStr for Ratio {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.parse::<f64>() {
            Ok(share) if (0.0..=1.0).contains(&share) => Ok(Self(share)),
            _ => Err(unreadable(text, "a share of traces from 0 to 1, such as 0.1")),
        }
    }
}

/// `key=value` pairs by comma, the values percent-encoded.
fn pairs(text: &str) -> Option<Vec<(String, String)>> {
    let items = text.split(',').map(str::trim).filter(|item| !item.is_empty());
    let pair = |item: &str| {
        let (key, value) = item.split_once('=')?;
        let value = percent_decode_str(value.trim()).decode_utf8().ok()?.into_owned();
        let key = key.trim();
        (!key.is_empty() && !key.chars().any(char::is_control)).then(|| (key.to_owned(), value))
    };
    items.map(pair).collect()
}

struct Attributes(Vec<(String, String)>);

impl FromStr for Attributes {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let expected = "pairs such as deployment.environment=production,service.version=7";
        pairs(text).map(Self).ok_or_else(|| unreadable(text, expected))
    }
}

struct Headers(Vec<(HeaderName, HeaderValue)>);

impl FromStr for Headers {
    type Err = String;

    // The value is a secret: no error quotes it.
    fn from_str(text: &str) -> Result<Self, String> {
        let header = |(name, value): (String, String)| {
            let mut value = HeaderValue::try_from(value).ok()?;
            value.set_sensitive(true);
            Some((HeaderName::try_from(name).ok()?, value))
        };
        let read = pairs(text).and_then(|pairs| pairs.into_iter().map(header).collect());
        read.map(Self).ok_or_else(|| {
            "cannot be read (expected headers, their values percent-encoded: \
             Authorization=Bearer%20…,X-Scope=photos)"
                .to_owned()
        })
    }
}

/// Whether `traceparent` is taken up. Baggage goes nowhere from here, so it needs no reading.
struct Propagators(bool);

impl FromStr for Propagators {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut context = false;
        for word in text.split(',').map(str::trim).filter(|word| !word.is_empty()) {
            match word {
                "tracecontext" => context = true,
                "baggage" | "none" => {}
                _ => return Err(unreadable(text, "a list of tracecontext, baggage; or none")),
            }
        }
        Ok(Self(context))
    }
}

deserialize_from_text!(Collector, Millis, Plain, Ratio, Attributes, Headers, Propagators);

impl Tracing {
    pub(super) fn read(reader: &mut Reader<'_>) -> Option<Self> {
        let vars = reader.read_plain::<OtelVars>()?;
        let env = reader.env();
        Some(vars.settings(env, reader.faults()))
    }
}

impl OtelVars {
    fn settings(self, env: &Env, faults: &mut Faults) -> Tracing {
        let propagate = self.otel_propagators.0;
        let endpoint =
            match (self.otel_exporter_otlp_traces_endpoint, self.otel_exporter_otlp_endpoint) {
                (Some(whole), _) => Some(whole.0),
                (None, Some(base)) => Some(format!("{}/v1/traces", base.0)),
                (None, None) => None,
            };
        let off = self.otel_sdk_disabled.0 || self.otel_traces_exporter == Exporter::None;
        let Some(endpoint) = endpoint.filter(|_| !off) else {
            return Tracing { propagate, export: None };
        };
        refuse_what_is_not_built(
            self.otel_exporter_otlp_traces_protocol,
            self.otel_exporter_otlp_protocol,
            faults,
        );
        let (queue, size) = (self.otel_bsp_max_queue_size, self.otel_bsp_max_export_batch_size);
        let names = ["OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "OTEL_BSP_MAX_QUEUE_SIZE"];
        faults.cross(&names, size > queue, || {
            format!("is {size}, which must not be more than OTEL_BSP_MAX_QUEUE_SIZE, {queue}")
        });
        let mut resource = self.otel_resource_attributes.map(|list| list.0).unwrap_or_default();
        let named = resource.iter().any(|(key, _)| key == "service.name");
        if !named || env.is_set("OTEL_SERVICE_NAME") {
            resource.retain(|(key, _)| key != "service.name");
            resource.push(("service.name".to_owned(), self.otel_service_name.0));
        }
        let compression = self
            .otel_exporter_otlp_traces_compression
            .unwrap_or(self.otel_exporter_otlp_compression);
        let headers = self.otel_exporter_otlp_traces_headers.or(self.otel_exporter_otlp_headers);
        let certificate =
            self.otel_exporter_otlp_traces_certificate.or(self.otel_exporter_otlp_certificate);
        let timeout =
            self.otel_exporter_otlp_traces_timeout.unwrap_or(self.otel_exporter_otlp_timeout);
        let ratio = self.otel_traces_sampler_arg.map_or(1.0, |ratio| ratio.0);
        let export = SpanExport {
            endpoint,
            headers: headers.map(|headers| headers.0).unwrap_or_default(),
            certificate: certificate.map(|path| PathBuf::from(path.0)),
            gzip: compression == Compression::Gzip,
            timeout: timeout.0,
            resource,
            sampling: Sampling::new(self.otel_traces_sampler, ratio),
            batches: Batches {
                delay: self.otel_bsp_schedule_delay.0,
                timeout: self.otel_bsp_export_timeout.0,
                queue: queue as usize,
                size: size as usize,
            },
        };
        Tracing { propagate, export: Some(export) }
    }
}

fn refuse_what_is_not_built(own: Option<Protocol>, general: Protocol, faults: &mut Faults) {
    let (name, protocol) = match own {
        Some(own) => ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", own),
        None => ("OTEL_EXPORTER_OTLP_PROTOCOL", general),
    };
    let word = match protocol {
        Protocol::Protobuf => None,
        Protocol::Json => Some("http/json"),
        Protocol::Grpc => Some("grpc"),
    };
    if let Some(word) = word {
        let rule = format!(
            "is {word}, which is not spoken here; set it to http/protobuf and the endpoint to the \
             collector's HTTP port, usually 4318"
        );
        faults.add(name, rule);
    }
    if !cfg!(feature = "otel") {
        let rule = "is set, but this build sends no traces (it was built without the feature otel)";
        faults.add("OTEL_EXPORTER_OTLP_ENDPOINT", rule);
    }
}

impl Sampling {
    const fn new(name: SamplerName, ratio: f64) -> Self {
        let (by_parent, ratio) = match name {
            SamplerName::AlwaysOn => (false, 1.0),
            SamplerName::AlwaysOff => (false, 0.0),
            SamplerName::Ratio => (false, ratio),
            SamplerName::ParentAlwaysOn => (true, 1.0),
            SamplerName::ParentAlwaysOff => (true, 0.0),
            SamplerName::ParentRatio => (true, ratio),
        };
        Self { by_parent, ratio }
    }
}

impl fmt::Display for Sampling {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.ratio)?;
        if self.by_parent { f.write_str(", unless the caller decided") } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(vars: &[(&str, &str)]) -> Result<Tracing, String> {
        let env = Env::gather(vars.iter().map(|(n, v)| (n.into(), v.into())), None);
        let mut reader = Reader::new(&env);
        let tracing = Tracing::read(&mut reader);
        let faults = reader.finish();
        if faults.is_empty() { Ok(tracing.unwrap()) } else { Err(faults.to_string()) }
    }

    const ENDPOINT: (&str, &str) = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:4318/");

    #[test]
    fn nothing_is_sent_until_an_endpoint_is_set() {
        assert!(read(&[]).unwrap().export.is_none());
        assert!(read(&[]).unwrap().propagate);
        let export = read(&[ENDPOINT]).unwrap().export.unwrap();
        assert_eq!(export.endpoint, "http://collector:4318/v1/traces");
        assert_eq!(export.resource, [("service.name".to_owned(), "lenslet".to_owned())]);
        assert_eq!(export.sampling, Sampling { by_parent: true, ratio: 1.0 });
        assert_eq!((export.batches.queue, export.batches.size), (2_048, 512));
        for off in [("OTEL_SDK_DISABLED", "true"), ("OTEL_TRACES_EXPORTER", "none")] {
            assert!(read(&[ENDPOINT, off]).unwrap().export.is_none(), "{off:?}");
        }
    }

    #[test]
    fn what_is_said_of_traces_alone_wins() {
        let export = read(&[
            ENDPOINT,
            ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "https://traces.example/in"),
            ("OTEL_EXPORTER_OTLP_TIMEOUT", "3000"),
            ("OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "1500"),
            ("OTEL_EXPORTER_OTLP_TRACES_COMPRESSION", "gzip"),
            ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"),
            ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "http/protobuf"),
        ])
        .unwrap()
        .export
        .unwrap();
        assert_eq!(export.endpoint, "https://traces.example/in");
        assert_eq!(export.timeout, Duration::from_millis(1_500));
        assert!(export.gzip);
    }

    #[test]
    fn the_service_is_named_by_its_variable_then_by_its_attributes() {
        let attributes = ("OTEL_RESOURCE_ATTRIBUTES", "service.name=a,where=K%C3%B6ln");
        let resource = |vars: &[(&str, &str)]| read(vars).unwrap().export.unwrap().resource;
        let pair = |key: &str, value: &str| (key.to_owned(), value.to_owned());
        let by_attributes = resource(&[ENDPOINT, attributes]);
        assert_eq!(by_attributes, [pair("service.name", "a"), pair("where", "Köln")]);
        let both = resource(&[ENDPOINT, attributes, ("OTEL_SERVICE_NAME", "b")]);
        assert_eq!(both, [pair("where", "Köln"), pair("service.name", "b")]);
    }

    #[test]
    fn headers_are_decoded_and_hidden() {
        let headers = ("OTEL_EXPORTER_OTLP_HEADERS", "Authorization=Bearer%20hunter2, x-a=b");
        let tracing = read(&[ENDPOINT, headers]).unwrap();
        assert!(!format!("{tracing:?}").contains("hunter2"), "{tracing:?}");
        let export = tracing.export.unwrap();
        let [(name, value), (_, other)] = export.headers.as_slice() else { panic!() };
        assert_eq!((name.as_str(), value.to_str().unwrap()), ("authorization", "Bearer hunter2"));
        assert_eq!(other, "b");
        let broken = read(&[ENDPOINT, ("OTEL_EXPORTER_OTLP_HEADERS", "hunter2")]).unwrap_err();
        assert!(broken.starts_with("OTEL_EXPORTER_OTLP_HEADERS: cannot be read"), "{broken}");
        assert!(!broken.contains("hunter2"), "{broken}");
    }

    #[test]
    fn a_sampler_is_one_of_the_standard_ones() {
        let sampling = |name: &str, arg: &str| {
            let vars = [ENDPOINT, ("OTEL_TRACES_SAMPLER", name), ("OTEL_TRACES_SAMPLER_ARG", arg)];
            read(&vars).map(|tracing| tracing.export.unwrap().sampling)
        };
        for (name, by_parent, ratio) in [
            ("always_on", false, 1.0),
            ("always_off", false, 0.0),
            ("traceidratio", false, 0.25),
            ("parentbased_always_on", true, 1.0),
            ("parentbased_always_off", true, 0.0),
            ("parentbased_traceidratio", true, 0.25),
        ] {
            assert_eq!(sampling(name, "0.25"), Ok(Sampling { by_parent, ratio }), "{name}");
        }
        assert!(sampling("jaeger_remote", "").unwrap_err().contains("one of: always_on"));
        assert!(sampling("always_on", "2").unwrap_err().contains("from 0 to 1"));
    }

    #[test]
    fn what_cannot_be_done_is_told() {
        for (name, value, words) in [
            ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc", "set it to http/protobuf"),
            ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/json", "set it to http/protobuf"),
            ("OTEL_TRACES_EXPORTER", "zipkin", "one of: otlp, none"),
            ("OTEL_EXPORTER_OTLP_TIMEOUT", "10s", "milliseconds"),
            ("OTEL_EXPORTER_OTLP_TIMEOUT", "0", "milliseconds"),
            ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "collector:4318", "http://collector:4318"),
            ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://a:b@c", "credentials"),
            ("OTEL_PROPAGATORS", "b3", "tracecontext"),
            ("OTEL_RESOURCE_ATTRIBUTES", "a", "pairs"),
            ("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "4096", "OTEL_BSP_MAX_QUEUE_SIZE, 2048"),
        ] {
            let said = read(&[ENDPOINT, (name, value)]).unwrap_err();
            assert!(said.starts_with(&format!("{name}: ")) && said.contains(words), "{said}");
        }
        // A cluster that sets grpc for everybody and sends no traces from here is no fault.
        assert!(read(&[("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")]).is_ok());
    }
}
