//! What is told of every request: one log line, its metrics, and its spans where it is recorded.
//! Never decides anything, never writes a header, and never lets a signature into a log.

use super::error;
use crate::dialect::request::ImageRequest;
use crate::model::format::Format;
use crate::model::geometry::Size;
use crate::model::source::Header;
use crate::model::stage::Stage;
use crate::service::answer::Made;
use crate::service::failure::{ErrorCode, Failure};
use crate::telemetry::logs::{self, RequestLine};
use crate::telemetry::metrics::{Answered, HttpMetrics, Route};
use crate::telemetry::trace::{Begun, Told, TraceContext, Tracer};
use actix_web::HttpResponse;
use actix_web::body::{BodySize, MessageBody as _};
use actix_web::http::Method;
use actix_web::http::header::{HeaderMap, HeaderName};
use std::time::{Duration, Instant};

/// What became known of a request on its way.
#[derive(Debug)]
pub(super) struct Observation {
    method: Method,
    target: String,
    route: Route,
    trace: Option<Begun>,
    user_agent: Option<String>,
    leader: Option<TraceContext>,
    source: Option<String>,
    source_header: Option<(Header, u64)>,
    result: Option<(Format, Size, &'static str)>,
    stages: Vec<(Stage, Duration)>,
    failure: Option<Failure>,
    quiet: bool,
}

impl Observation {
    fn new(method: &Method, target: &str, headers: &HeaderMap, tracer: &Tracer) -> Self {
        let trace = tracer.begin(|name| once(headers, name));
        let recorded = trace.as_ref().is_some_and(Begun::is_recorded);
        let user_agent = recorded.then(|| once(headers, "user-agent")).flatten();
        Self {
            method: method.clone(),
            target: shortened(target),
            route: Route::Unknown,
            trace,
            user_agent: user_agent.map(str::to_owned),
            leader: None,
            source: None,
            source_header: None,
            result: None,
            stages: Vec::new(),
            failure: None,
            quiet: false,
        }
    }

    /// Health checks are worth neither a line nor a span.
    pub(super) const fn quiet(&mut self) {
        self.quiet = true;
        self.route = Route::Fixed;
    }

    pub(super) fn asked(&mut self, image: &ImageRequest) {
        self.route = Route::of(image);
        self.source = Some(image.source.to_string());
    }

    /// Its place in a trace, for the work that is done for it.
    pub(super) fn trace(&self) -> Option<TraceContext> {
        self.trace.as_ref().map(|begun| begun.own)
    }

    pub(super) fn made(&mut self, made: &Made) {
        let variant = &made.variant;
        self.result = Some((variant.format, variant.size, made.cache.name()));
        self.stages.clone_from(&made.timings);
        self.source_header = made.source;
        self.leader = made.leader;
    }

    pub(super) fn failed(&mut self, failure: Failure) {
        self.failure = Some(failure);
    }
}

/// Longest target in a log line, in bytes: longer ones are noise or an attack.
const MAX_LOGGED_TARGET: usize = 1_024;

fn shortened(target: &str) -> String {
    match target.char_indices().find(|(at, _)| *at >= MAX_LOGGED_TARGET) {
        Some((end, _)) => format!("{}…", target.get(..end).unwrap_or_default()),
        None => target.to_owned(),
    }
}

/// A name that every request is asked for, read once.
static TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// A header that stands there once and can be read.
fn once<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    let mut lines = if name == TRACEPARENT.as_str() {
        headers.get_all(&TRACEPARENT)
    } else {
        headers.get_all(name)
    };
    let first = lines.next()?;
    if lines.next().is_some() { None } else { first.to_str().ok() }
}

/// As what a failure for want of a right is counted.
const fn refusal(code: ErrorCode) -> Option<&'static str> {
    match code {
        ErrorCode::SignatureMissing => Some("signature_missing"),
        ErrorCode::SignatureInvalid => Some("signature_invalid"),
        ErrorCode::Expired => Some("expired"),
        ErrorCode::Policy => Some("policy"),
        _ => None,
    }
}

/// Where observations go.
#[derive(Debug)]
pub struct Observer {
    metrics: HttpMetrics,
    tracer: Tracer,
}

impl Observer {
    /// Counts into `metrics`; spans go to `tracer`.
    #[must_use]
    pub const fn new(metrics: HttpMetrics, tracer: Tracer) -> Self {
        Self { metrics, tracer }
    }

    /// An order came to the admin listener without the token.
    pub(in crate::service) fn order_refused(&self) {
        self.metrics.refused("admin_token");
    }

    /// Sends the spans that wait, at most for `grace`.
    pub async fn flush(&self, grace: Duration) {
        self.tracer.flush(grace).await;
    }

    /// A request has come. What it returns counts it as under way, and tells of it even if its
    /// client leaves before there is an answer.
    pub(super) fn begun(
        &self,
        method: &Method,
        target: &str,
        headers: &HeaderMap,
        at: Instant,
    ) -> UnderWay<'_> {
        self.metrics.in_flight.inc();
        let seen = Observation::new(method, target, headers, &self.tracer);
        UnderWay { observer: self, at, seen, answered: false }
    }

    /// A request came and was answered in one step, with nothing that failed on its way.
    pub(super) fn answered_at_once(
        &self,
        headers: &HeaderMap,
        route: Route,
        mut line: RequestLine<'_>,
    ) {
        let trace = self.tracer.begin(|name| once(headers, name));
        line.trace = trace.as_ref().map(|begun| begun.own);
        self.count(route, trace.as_ref(), &line);
        logs::emit(&line);
        if let Some(begun) = trace.as_ref().filter(|begun| begun.is_recorded()) {
            let (route, user_agent) = (route.template(), once(headers, "user-agent"));
            let told = Told { line: &line, route, user_agent, leader: None, left: false };
            self.tracer.tell(begun, &told);
        }
    }

    fn count(&self, route: Route, trace: Option<&Begun>, line: &RequestLine<'_>) {
        self.metrics.record(&Answered {
            route,
            status: line.status,
            cache: line.cache,
            duration: line.duration,
            bytes: line.bytes_out,
            format: line.out_format,
            trace: trace.and_then(Begun::exemplar),
        });
    }

    /// Counts a request that is over, writes its line and tells of its spans.
    fn tell(&self, seen: &Observation, line: &RequestLine<'_>, left: bool) {
        let trace = seen.trace.as_ref();
        self.count(seen.route, trace, line);
        if let Some(reason) = seen.failure.as_ref().and_then(|failure| refusal(failure.code)) {
            self.metrics.refused(reason);
        }
        if seen.quiet {
            return;
        }
        logs::emit(line);
        if let Some(begun) = trace.filter(|begun| begun.is_recorded()) {
            let route = seen.route.template();
            let user_agent = seen.user_agent.as_deref();
            self.tracer.tell(begun, &Told { line, route, user_agent, leader: seen.leader, left });
        }
    }
}

/// A request under way.
pub(super) struct UnderWay<'a> {
    observer: &'a Observer,
    at: Instant,
    /// What became known of it so far.
    pub(super) seen: Observation,
    answered: bool,
}

/// What nginx calls a client that closed before the answer; no client ever sees it.
const CLIENT_GONE: u16 = 499;

impl UnderWay<'_> {
    /// The reply is ready to be sent.
    pub(super) fn finished(mut self, reply: &HttpResponse, request_id: &str) {
        self.answered = true;
        let seen = &self.seen;
        let bytes_out = match reply.body().size() {
            BodySize::Sized(bytes) if seen.method != Method::HEAD => bytes,
            _ => 0,
        };
        let failure = seen.failure.as_ref();
        let line = RequestLine {
            request_id,
            trace: seen.trace(),
            method: seen.method.as_str(),
            path: &seen.target,
            clean: false,
            status: reply.status().as_u16(),
            bytes_out,
            duration: self.at.elapsed(),
            cache: seen.result.map(|(_, _, cache)| cache),
            source: seen.source.as_deref(),
            source_bytes: seen.source_header.map(|(_, bytes)| bytes),
            source_format: seen.source_header.map(|(header, _)| header.format),
            out_format: seen.result.map(|(format, _, _)| format),
            width: seen.result.map(|(_, size, _)| size.width),
            height: seen.result.map(|(_, size, _)| size.height),
            stages: &seen.stages,
            error_code: failure.map(|failure| error::row(failure.code).name),
            error: failure.map(|failure| failure.detail.as_deref().unwrap_or(&failure.message)),
        };
        self.observer.tell(seen, &line, false);
    }
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.observer.metrics.in_flight.dec();
        if self.answered {
            return;
        }
        let line = RequestLine {
            trace: self.seen.trace(),
            method: self.seen.method.as_str(),
            path: &self.seen.target,
            status: CLIENT_GONE,
            duration: self.at.elapsed(),
            source: self.seen.source.as_deref(),
            error: Some("the client left before the answer"),
            ..RequestLine::default()
        };
        self.observer.tell(&self.seen, &line, true);
    }
}
