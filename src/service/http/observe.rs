//! What is told of every request: one log line, its metrics. Never decides anything, never
//! writes a header, and never lets a signature into a log.

use super::error;
use crate::dialect::request::ImageRequest;
use crate::model::format::Format;
use crate::model::geometry::Size;
use crate::model::source::Header;
use crate::model::stage::Stage;
use crate::service::failure::Failure;
use crate::service::story::Made;
use crate::telemetry::logs::{self, RequestLine};
use crate::telemetry::metrics::HttpMetrics;
use actix_web::HttpResponse;
use actix_web::body::{BodySize, MessageBody as _};
use actix_web::http::Method;
use std::time::{Duration, Instant};

/// What became known of a request on its way.
#[derive(Debug)]
pub(super) struct Observation {
    method: Method,
    target: String,
    source: Option<String>,
    source_header: Option<(Header, u64)>,
    result: Option<(Format, Size, &'static str)>,
    stages: Vec<(Stage, Duration)>,
    failure: Option<Failure>,
    quiet: bool,
}

impl Observation {
    fn new(method: &Method, target: &str) -> Self {
        Self {
            method: method.clone(),
            target: shortened(target),
            source: None,
            source_header: None,
            result: None,
            stages: Vec::new(),
            failure: None,
            quiet: false,
        }
    }

    /// Health checks are not worth a line.
    pub(super) const fn quiet(&mut self) {
        self.quiet = true;
    }

    pub(super) fn asked(&mut self, image: &ImageRequest) {
        self.source = Some(image.source.to_string());
    }

    pub(super) fn made(&mut self, made: &Made) {
        let variant = &made.variant;
        self.result = Some((variant.format, variant.size, made.cache.name()));
        self.stages.clone_from(&made.timings);
        self.source_header = made.source;
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

/// Where observations go.
#[derive(Debug)]
pub struct Observer {
    metrics: HttpMetrics,
}

impl Observer {
    /// Counts into `metrics`.
    #[must_use]
    pub const fn new(metrics: HttpMetrics) -> Self {
        Self { metrics }
    }

    /// A request has come. What it returns counts it as under way, and tells of it even if its
    /// client leaves before there is an answer.
    pub(super) fn begun(&self, method: &Method, target: &str, at: Instant) -> UnderWay<'_> {
        self.metrics.in_flight.inc();
        UnderWay { observer: self, at, seen: Observation::new(method, target), answered: false }
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
        let (metrics, duration) = (&self.observer.metrics, self.at.elapsed());
        let status = reply.status().as_u16();
        let bytes_out = match reply.body().size() {
            BodySize::Sized(bytes) if seen.method != Method::HEAD => bytes,
            _ => 0,
        };
        let format = seen.result.map(|(format, _, _)| format);
        let cache = seen.result.map(|(_, _, cache)| cache);
        metrics.record(status, cache, duration, bytes_out, format);
        if seen.quiet {
            return;
        }
        let failure = seen.failure.as_ref();
        logs::emit(&RequestLine {
            request_id,
            method: seen.method.as_str(),
            path: &seen.target,
            status,
            bytes_out,
            duration,
            cache,
            source: seen.source.as_deref(),
            source_bytes: seen.source_header.map(|(_, bytes)| bytes),
            source_format: seen.source_header.map(|(header, _)| header.format),
            out_format: format,
            width: seen.result.map(|(_, size, _)| size.width),
            height: seen.result.map(|(_, size, _)| size.height),
            stages: &seen.stages,
            error_code: failure.map(|failure| error::row(failure.code).name),
            error: failure.map(|failure| failure.detail.as_deref().unwrap_or(&failure.message)),
        });
    }
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        let metrics = &self.observer.metrics;
        metrics.in_flight.dec();
        if self.answered {
            return;
        }
        let duration = self.at.elapsed();
        metrics.record(CLIENT_GONE, None, duration, 0, None);
        logs::emit(&RequestLine {
            method: self.seen.method.as_str(),
            path: &self.seen.target,
            status: CLIENT_GONE,
            duration,
            error: Some("the client left before the answer"),
            ..RequestLine::default()
        });
    }
}
