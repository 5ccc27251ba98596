//! Builds every answer: the one place that writes response headers (SEMANTICS 24–26), the same
//! for GET and HEAD, pictures and errors.

use super::caching::CachePolicy;
use super::disposition::{self, Show};
use super::error;
use crate::model::key::{SourceId, VariantKey};
use crate::service::answer::{CacheStatus, Made};
use crate::service::failure::{ErrorCode, Failure};
use crate::service::info::InfoAnswer;
use crate::service::render::Timings;
use crate::variants::tags;
use actix_web::http::StatusCode;
use actix_web::http::header::{self, HeaderName, HeaderValue};
use actix_web::{HttpResponse, HttpResponseBuilder};
use bytes::Bytes;
use std::fmt::Write as _;
use std::time::Duration;

/// The sandbox every picture is served in: nothing inside it may run or load.
const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; sandbox";

/// What a reply needs to know of its deployment and request.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ReplyTo<'a> {
    /// `Access-Control-Allow-Origin`, empty for none.
    pub(crate) cors_origin: &'a str,
    /// `X-Request-Id`.
    pub(crate) request_id: &'a str,
    /// Whether the answer depends on `Accept`.
    pub(crate) negotiable: bool,
    /// Whether the client asked for errors as JSON.
    pub(crate) json_errors: bool,
}

/// What a picture's reply says beside the picture.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Dress<'a> {
    /// How long it may be kept.
    pub(crate) policy: CachePolicy<'a>,
    /// Seconds until the URL expires.
    pub(crate) seconds_left: Option<u64>,
    /// Inline or download.
    pub(crate) show: Show<'a>,
    /// Time since the request's arrival.
    pub(crate) total: Duration,
}

fn value(text: &str) -> HeaderValue {
    // Everything written here is ASCII or checked; what is not sent is no harm.
    HeaderValue::from_str(text).unwrap_or_else(|_invalid| HeaderValue::from_static(""))
}

const fn name(name: &'static str) -> HeaderName {
    HeaderName::from_static(name)
}

impl ReplyTo<'_> {
    /// Headers on every answer.
    fn common(&self, reply: &mut HttpResponseBuilder) {
        reply.insert_header((name("x-request-id"), value(self.request_id)));
        reply.insert_header((header::X_CONTENT_TYPE_OPTIONS, "nosniff"));
        reply.insert_header((header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY));
        reply.insert_header((name("cross-origin-resource-policy"), "cross-origin"));
        if !self.cors_origin.is_empty() {
            reply.insert_header((header::ACCESS_CONTROL_ALLOW_ORIGIN, value(self.cors_origin)));
            reply.insert_header((name("timing-allow-origin"), value(self.cors_origin)));
            let exposed = "x-cache, x-size, x-frames, x-error-code, x-request-id, server-timing";
            reply.insert_header((header::ACCESS_CONTROL_EXPOSE_HEADERS, exposed));
        }
        if self.negotiable {
            reply.insert_header((header::VARY, "Accept"));
        }
    }

    /// Headers of a picture that do not depend on how it was made: 200 and 304 share them.
    fn identity(
        &self,
        reply: &mut HttpResponseBuilder,
        (etag, source): (&str, &SourceId),
        dress: &Dress<'_>,
    ) {
        self.common(reply);
        reply.insert_header((header::ETAG, value(etag)));
        let cache_control = dress.policy.header(dress.seconds_left);
        reply.insert_header((header::CACHE_CONTROL, value(&cache_control)));
        let tags = tags(source);
        reply.insert_header((name("cache-tag"), value(&tags.join(","))));
        reply.insert_header((name("surrogate-key"), value(&tags.join(" "))));
    }

    /// 304: the client's copy is good.
    pub(crate) fn not_modified(
        &self,
        etag: &str,
        source: &SourceId,
        dress: &Dress<'_>,
    ) -> HttpResponse {
        let mut reply = HttpResponse::NotModified();
        self.identity(&mut reply, (etag, source), dress);
        reply.finish()
    }

    /// 200 with the picture.
    pub(crate) fn picture(&self, key: &VariantKey, made: &Made, dress: &Dress<'_>) -> HttpResponse {
        let variant = &made.variant;
        let mut reply = HttpResponse::Ok();
        self.identity(&mut reply, (&key.etag(), &key.source), dress);
        reply.insert_header((header::CONTENT_TYPE, variant.format.mime()));
        reply.insert_header((header::ACCEPT_RANGES, "none"));
        let file_name = key.source.key.file_name();
        let disposition = disposition::header(dress.show, file_name, variant.format);
        reply.insert_header((header::CONTENT_DISPOSITION, value(&disposition)));
        reply.insert_header((name("x-cache"), made.cache.name()));
        reply.insert_header((name("x-size"), value(&variant.size.to_string())));
        if variant.source_frames > 1 {
            let frames = format!("1/{}", variant.source_frames);
            reply.insert_header((name("x-frames"), value(&frames)));
        }
        let timing = server_timing(made.cache, &made.timings, dress.total);
        reply.insert_header((name("server-timing"), value(&timing)));
        reply.body(variant.body.clone())
    }

    /// 200 with the document about an original.
    pub(crate) fn info(&self, answer: &InfoAnswer, body: Bytes, dress: &Dress<'_>) -> HttpResponse {
        let mut reply = HttpResponse::Ok();
        self.identity(&mut reply, (&answer.etag, &answer.source), dress);
        reply.insert_header((header::CONTENT_TYPE, "application/json"));
        let file_name = answer.source.key.file_name();
        let disposition = disposition::with_extension(dress.show, file_name, "json");
        reply.insert_header((header::CONTENT_DISPOSITION, value(&disposition)));
        reply.insert_header((name("x-cache"), answer.cache.name()));
        reply.body(body)
    }

    /// 302 to the stored object (`ON_MISS=redirect`).
    pub(crate) fn redirect(&self, location: &str) -> HttpResponse {
        let mut reply = HttpResponse::Found();
        self.common(&mut reply);
        reply.insert_header((header::LOCATION, value(location)));
        reply.insert_header((header::CACHE_CONTROL, CachePolicy::NoStore.header(None)));
        reply.finish()
    }

    /// An error, with the status, the lifetime and the words of its code.
    pub(crate) fn error(&self, failure: &Failure) -> HttpResponse {
        let row = error::row(failure.code);
        let mut reply = HttpResponse::build(row.status);
        // The body's form depends on Accept whatever the URL says.
        ReplyTo { negotiable: true, ..*self }.common(&mut reply);
        reply.insert_header((name("x-error-code"), row.name));
        let policy = row.max_age.map_or(CachePolicy::NoStore, CachePolicy::Error);
        reply.insert_header((header::CACHE_CONTROL, policy.header(None)));
        if let Some(seconds) = failure.retry_after {
            reply.insert_header((header::RETRY_AFTER, seconds));
        }
        if failure.code == ErrorCode::MethodNotAllowed {
            reply.insert_header((header::ALLOW, "GET, HEAD"));
        }
        let (kind, body) = error::body(failure, self.request_id, self.json_errors);
        reply.insert_header((header::CONTENT_TYPE, kind));
        reply.body(body)
    }

    /// A plain line of text that is no picture: `/`, `/health`.
    pub(crate) fn text(&self, body: &'static str) -> HttpResponse {
        let mut reply = HttpResponse::build(StatusCode::OK);
        self.common(&mut reply);
        reply.insert_header((header::CACHE_CONTROL, CachePolicy::NoStore.header(None)));
        reply.insert_header((header::CONTENT_TYPE, "text/plain; charset=utf-8"));
        reply.body(body)
    }
}

/// `Server-Timing` (W3C), in milliseconds: browsers show it in their network panel.
fn server_timing(cache: CacheStatus, timings: &Timings, total: Duration) -> String {
    let mut text = format!("cache;desc={}", cache.name());
    for (stage, time) in timings {
        // Writing to a String cannot fail.
        let _ = write!(text, ", {};dur={:.2}", stage.name(), time.as_secs_f64() * 1e3);
    }
    let _ = write!(text, ", total;dur={:.2}", total.as_secs_f64() * 1e3);
    text
}
