//! Spans over the wire: OTLP as protobuf in an HTTP POST, by a client of our own: no proxy of the
//! environment, no redirects, TLS by ring. Tries again what the protocol calls passing. Never
//! reads the environment, which is why the SDK's own exporter is not used, and never sends a
//! header anywhere but to the endpoint.

use super::context::TraceContext;
use super::spans::{Span, Value};
use crate::config::SpanExport;
use crate::origin;
use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::common::v1::any_value::Value as Any;
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::span::{Link, SpanKind};
use opentelemetry_proto::tonic::trace::v1::status::StatusCode as SpanStatus;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span as Wire, Status};
use prost::Message as _;
use std::io::Write as _;
use std::path::PathBuf;
use std::time::Duration;
use tokio::sync::OnceCell;

/// How we name ourselves to a collector.
const USER_AGENT: &str = concat!("lenslet/", env!("CARGO_PKG_VERSION"));

/// Between a failure in passing and the next try; twice as long each time.
const FIRST_PAUSE: Duration = Duration::from_secs(1);

/// Answers are short; what is longer is not read.
const MAX_ANSWER: usize = 64 << 10;

/// Why a batch was not taken.
#[derive(Debug, thiserror::Error)]
pub(super) enum ExportError {
    #[error("cannot talk to the collector: {0}")]
    Client(String),
    #[error("the collector cannot be reached")]
    Unreachable,
    #[error("the collector answered {0}")]
    Refused(StatusCode),
}

/// A collector and how to talk to it.
pub(super) struct Exporter {
    endpoint: String,
    headers: HeaderMap,
    certificate: Option<PathBuf>,
    gzip: bool,
    timeout: Duration,
    resource: Resource,
    client: OnceCell<reqwest::Client>,
}

impl Exporter {
    /// Connects to nothing yet.
    pub(super) fn new(settings: &SpanExport) -> Self {
        let mut headers: HeaderMap = settings.headers.iter().cloned().collect();
        let protobuf = HeaderValue::from_static("application/x-protobuf");
        headers.insert(header::CONTENT_TYPE, protobuf);
        if settings.gzip {
            headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        }
        Self {
            endpoint: settings.endpoint.clone(),
            headers,
            certificate: settings.certificate.clone(),
            gzip: settings.gzip,
            timeout: settings.timeout,
            resource: resource(&settings.resource),
            client: OnceCell::new(),
        }
    }

    /// Sends a batch until it is taken or refused for good; whoever calls puts a time around it.
    /// Returns how many of its spans were refused.
    pub(super) async fn send(&self, spans: &[Span]) -> Result<u64, ExportError> {
        let body = self.body(spans).map_err(|error| ExportError::Client(error.to_string()))?;
        let mut pause = FIRST_PAUSE;
        loop {
            let wait = match self.post(body.clone()).await {
                Ok(answer) if answer.status.is_success() => return Ok(refused(&answer.body)),
                Ok(answer) if passing(answer.status) => answer.wait.unwrap_or(pause).max(pause),
                Ok(answer) => return Err(ExportError::Refused(answer.status)),
                Err(ExportError::Unreachable) => pause,
                Err(error) => return Err(error),
            };
            tokio::time::sleep(wait).await;
            pause *= 2;
        }
    }

    async fn post(&self, body: Bytes) -> Result<Answer, ExportError> {
        let client = self.client.get_or_try_init(|| self.connect()).await?;
        let request =
            client.post(&self.endpoint).headers(self.headers.clone()).timeout(self.timeout);
        let mut answer =
            request.body(body).send().await.map_err(|_error| ExportError::Unreachable)?;
        let seconds =
            answer.headers().get(header::RETRY_AFTER).and_then(|value| value.to_str().ok());
        let wait = seconds.and_then(|text| text.parse().ok()).map(Duration::from_secs);
        let status = answer.status();
        let mut body = Vec::new();
        while let Ok(Some(chunk)) = answer.chunk().await {
            if body.len() + chunk.len() > MAX_ANSWER {
                break;
            }
            body.extend_from_slice(&chunk);
        }
        Ok(Answer { status, wait, body })
    }

    async fn connect(&self) -> Result<reqwest::Client, ExportError> {
        let (path, secure) = (self.certificate.clone(), self.endpoint.starts_with("https"));
        // Reading certificates blocks.
        let built = tokio::task::spawn_blocking(move || client(path, secure)).await;
        built.map_err(|error| ExportError::Client(error.to_string()))?
    }

    fn body(&self, spans: &[Span]) -> std::io::Result<Bytes> {
        let request = ExportTraceServiceRequest {
            resource_spans: vec![ResourceSpans {
                resource: Some(self.resource.clone()),
                scope_spans: vec![ScopeSpans {
                    scope: Some(InstrumentationScope {
                        name: "lenslet".to_owned(),
                        version: env!("CARGO_PKG_VERSION").to_owned(),
                        ..InstrumentationScope::default()
                    }),
                    spans: spans.iter().map(wire).collect(),
                    schema_url: String::new(),
                }],
                schema_url: String::new(),
            }],
        };
        let plain = request.encode_to_vec();
        if !self.gzip {
            return Ok(plain.into());
        }
        let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
        gzip.write_all(&plain)?;
        Ok(gzip.finish()?.into())
    }
}

struct Answer {
    status: StatusCode,
    wait: Option<Duration>,
    body: Vec<u8>,
}

fn client(certificate: Option<PathBuf>, secure: bool) -> Result<reqwest::Client, ExportError> {
    origin::install_tls();
    let failed = |error: &dyn std::fmt::Display| ExportError::Client(error.to_string());
    let builder = reqwest::Client::builder()
        .user_agent(USER_AGENT)
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .http1_only();
    let builder = match certificate.filter(|_| secure) {
        Some(path) => {
            let pem = std::fs::read(&path)
                .map_err(|error| failed(&format!("{}: {error}", path.display())))?;
            let certificates =
                reqwest::Certificate::from_pem_bundle(&pem).map_err(|error| failed(&error))?;
            builder.tls_certs_merge(certificates)
        }
        // Without TLS the system's certificates need not be read.
        None if !secure => builder.tls_certs_only([]),
        None => builder,
    };
    builder.build().map_err(|error| failed(&error))
}

/// The answers after which OTLP asks to try again.
fn passing(status: StatusCode) -> bool {
    matches!(status.as_u16(), 429 | 502 | 503 | 504)
}

/// How many spans an answer of success says were refused all the same.
fn refused(body: &[u8]) -> u64 {
    let answer = ExportTraceServiceResponse::decode(body).unwrap_or_default();
    let refused = answer.partial_success.map_or(0, |partial| partial.rejected_spans);
    u64::try_from(refused).unwrap_or(0)
}

fn attribute(key: &str, value: Any) -> KeyValue {
    KeyValue {
        key: key.to_owned(),
        value: Some(AnyValue { value: Some(value) }),
        ..KeyValue::default()
    }
}

/// What the settings say of this process, and what only it knows.
fn resource(settings: &[(String, String)]) -> Resource {
    let text = |text: &str| Any::StringValue(text.to_owned());
    let mut attributes: Vec<KeyValue> =
        settings.iter().map(|(key, value)| attribute(key, text(value))).collect();
    for (key, value) in [
        ("service.version", env!("CARGO_PKG_VERSION")),
        ("telemetry.sdk.language", "rust"),
        ("telemetry.sdk.name", "lenslet"),
        ("telemetry.sdk.version", env!("CARGO_PKG_VERSION")),
    ] {
        if !settings.iter().any(|(known, _)| known == key) {
            attributes.push(attribute(key, text(value)));
        }
    }
    Resource { attributes, ..Resource::default() }
}

/// Bits of a span's flags beside those of its context: whether its parent is somebody else's.
const KNOWS_PARENT: u32 = 0x100;
const REMOTE_PARENT: u32 = 0x200;

fn wire(span: &Span) -> Wire {
    let remote = if span.is_server && span.parent.is_some() { REMOTE_PARENT } else { 0 };
    let kind = if span.is_server { SpanKind::Server } else { SpanKind::Internal };
    let status =
        span.failed.then(|| Status { code: SpanStatus::Error.into(), ..Status::default() });
    let attributes = span.attributes.iter().map(|(key, value)| {
        let value = match value {
            Value::Word(word) => Any::StringValue((*word).to_owned()),
            Value::Text(text) => Any::StringValue(text.clone()),
            Value::Whole(number) => Any::IntValue(i64::try_from(*number).unwrap_or(i64::MAX)),
        };
        attribute(key, value)
    });
    Wire {
        trace_id: span.context.trace.0.to_vec(),
        span_id: span.context.span.0.to_vec(),
        trace_state: span.state.clone().unwrap_or_default(),
        parent_span_id: span.parent.map(|parent| parent.0.to_vec()).unwrap_or_default(),
        flags: flags(span.context) | KNOWS_PARENT | remote,
        name: span.name.clone().into_owned(),
        kind: kind.into(),
        start_time_unix_nano: span.start,
        end_time_unix_nano: span.end,
        attributes: attributes.collect(),
        links: span.link.map(link).into_iter().collect(),
        status,
        ..Wire::default()
    }
}

fn flags(context: TraceContext) -> u32 {
    u32::from(context.sampled)
}

fn link(to: TraceContext) -> Link {
    Link {
        trace_id: to.trace.0.to_vec(),
        span_id: to.span.0.to_vec(),
        flags: flags(to) | KNOWS_PARENT,
        ..Link::default()
    }
}
