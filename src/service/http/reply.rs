//! Builds every answer: the one place that writes response headers (SEMANTICS 24–26), the same
//! for GET and HEAD, pictures and errors.

use super::caching::CachePolicy;
use super::disposition;
use super::error;
use super::prepared::{Identity, Look, value};
use super::{body, request_id, timing};
use crate::model::stage::Stage;
use crate::service::answer::CacheStatus;
use crate::service::failure::{ErrorCode, Failure};
use crate::service::info::InfoAnswer;
use crate::variants::Variant;
use actix_web::HttpResponse;
use actix_web::body::BoxBody;
use actix_web::http::StatusCode;
use actix_web::http::header::{self, HeaderMap, HeaderName, HeaderValue};
use bytes::Bytes;
use std::time::Duration;

/// The sandbox every picture is served in: nothing inside it may run or load.
const CONTENT_SECURITY_POLICY: HeaderValue =
    HeaderValue::from_static("default-src 'none'; sandbox");

/// What scripts of other origins may read.
const EXPOSED: HeaderValue = HeaderValue::from_static(
    "x-cache, x-size, x-frames, x-error-code, x-request-id, server-timing",
);

// Names that the library has none for, read once.
static RESOURCE_POLICY: HeaderName = HeaderName::from_static("cross-origin-resource-policy");
static TIMING_ALLOW_ORIGIN: HeaderName = HeaderName::from_static("timing-allow-origin");
static CACHE_TAG: HeaderName = HeaderName::from_static("cache-tag");
static SURROGATE_KEY: HeaderName = HeaderName::from_static("surrogate-key");
static CACHE: HeaderName = HeaderName::from_static("x-cache");
static SIZE: HeaderName = HeaderName::from_static("x-size");
static FRAMES: HeaderName = HeaderName::from_static("x-frames");
static SERVER_TIMING: HeaderName = HeaderName::from_static("server-timing");
static CODE: HeaderName = HeaderName::from_static("x-error-code");

/// What a reply needs to know of its deployment and request.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ReplyTo<'a> {
    /// `Access-Control-Allow-Origin`, where there is one.
    pub(crate) cors_origin: Option<&'a HeaderValue>,
    /// `X-Request-Id`.
    pub(crate) request_id: &'a str,
    /// Whether the answer depends on `Accept`.
    pub(crate) negotiable: bool,
    /// Whether the client asked for errors as JSON.
    pub(crate) json_errors: bool,
}

/// What a reply says beside the picture: what it is, and how long it may be kept.
#[derive(Debug)]
pub(crate) struct Dress<'a> {
    /// Its identity.
    pub(crate) identity: &'a Identity,
    /// `Cache-Control`.
    pub(crate) cache_control: HeaderValue,
}

/// How a picture came about.
#[derive(Debug)]
pub(crate) struct How<'a> {
    /// From where.
    pub(crate) cache: CacheStatus,
    /// Where the time went.
    pub(crate) stages: &'a [(Stage, Duration)],
    /// Time since the request's arrival.
    pub(crate) total: Duration,
}

const fn fixed(text: &'static str) -> HeaderValue {
    HeaderValue::from_static(text)
}

impl ReplyTo<'_> {
    /// Headers on every answer.
    fn common(&self, headers: &mut HeaderMap) {
        headers.insert(request_id::NAME.clone(), value(self.request_id));
        headers.insert(header::X_CONTENT_TYPE_OPTIONS, fixed("nosniff"));
        headers.insert(header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY);
        headers.insert(RESOURCE_POLICY.clone(), fixed("cross-origin"));
        if let Some(origin) = self.cors_origin {
            headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
            headers.insert(TIMING_ALLOW_ORIGIN.clone(), origin.clone());
            headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED);
        }
        if self.negotiable {
            headers.insert(header::VARY, fixed("Accept"));
        }
    }

    /// Headers of a picture that do not depend on how it was made: 200 and 304 share them.
    fn identity(&self, headers: &mut HeaderMap, dress: Dress<'_>) {
        self.common(headers);
        let Dress { identity, cache_control } = dress;
        headers.insert(header::ETAG, identity.etag.clone());
        headers.insert(header::CACHE_CONTROL, cache_control);
        headers.insert(CACHE_TAG.clone(), identity.cache_tag.clone());
        headers.insert(SURROGATE_KEY.clone(), identity.surrogate_key.clone());
    }

    /// 304: the client's copy is good.
    pub(crate) fn not_modified(&self, dress: Dress<'_>) -> HttpResponse {
        let mut reply = HttpResponse::new(StatusCode::NOT_MODIFIED);
        self.identity(reply.headers_mut(), dress);
        reply
    }

    /// 200 with the picture.
    pub(crate) fn picture(
        &self,
        dress: Dress<'_>,
        look: &Look,
        variant: &Variant,
        how: &How<'_>,
    ) -> HttpResponse {
        let mut reply = HttpResponse::new(StatusCode::OK);
        let headers = reply.headers_mut();
        self.identity(headers, dress);
        headers.insert(header::CONTENT_TYPE, fixed(variant.format.mime()));
        headers.insert(header::ACCEPT_RANGES, fixed("none"));
        headers.insert(header::CONTENT_DISPOSITION, look.disposition.clone());
        headers.insert(CACHE.clone(), fixed(how.cache.name()));
        headers.insert(SIZE.clone(), look.size.clone());
        if let Some(frames) = &look.frames {
            headers.insert(FRAMES.clone(), frames.clone());
        }
        let timing = timing::header(how.cache, how.stages, how.total);
        headers.insert(SERVER_TIMING.clone(), timing);
        reply.set_body(body::sliced(&variant.body))
    }

    /// 200 with the document about an original.
    pub(crate) fn info(
        &self,
        answer: &InfoAnswer,
        body: Bytes,
        show: disposition::Show<'_>,
        dress: Dress<'_>,
    ) -> HttpResponse {
        let mut reply = HttpResponse::new(StatusCode::OK);
        let headers = reply.headers_mut();
        self.identity(headers, dress);
        headers.insert(header::CONTENT_TYPE, fixed("application/json"));
        let file_name = answer.source.key.file_name();
        let disposition = disposition::with_extension(show, file_name, "json");
        headers.insert(header::CONTENT_DISPOSITION, value(&disposition));
        headers.insert(CACHE.clone(), fixed(answer.cache.name()));
        reply.set_body(BoxBody::new(body))
    }

    /// 302 to the stored object (`ON_MISS=redirect`).
    pub(crate) fn redirect(&self, location: &str) -> HttpResponse {
        let mut reply = HttpResponse::new(StatusCode::FOUND);
        let headers = reply.headers_mut();
        self.common(headers);
        headers.insert(header::LOCATION, value(location));
        headers.insert(header::CACHE_CONTROL, value(&CachePolicy::NoStore.header(None)));
        reply
    }

    /// An error, with the status, the lifetime and the words of its code.
    pub(crate) fn error(&self, failure: &Failure) -> HttpResponse {
        let row = error::row(failure.code);
        let mut reply = HttpResponse::new(row.status);
        let headers = reply.headers_mut();
        // The body's form depends on Accept whatever the URL says.
        ReplyTo { negotiable: true, ..*self }.common(headers);
        headers.insert(CODE.clone(), fixed(row.name));
        let policy = row.max_age.map_or(CachePolicy::NoStore, CachePolicy::Error);
        headers.insert(header::CACHE_CONTROL, value(&policy.header(None)));
        if let Some(seconds) = failure.retry_after {
            headers.insert(header::RETRY_AFTER, seconds.into());
        }
        if failure.code == ErrorCode::MethodNotAllowed {
            headers.insert(header::ALLOW, fixed("GET, HEAD"));
        }
        let (kind, body) = error::body(failure, self.request_id, self.json_errors);
        headers.insert(header::CONTENT_TYPE, fixed(kind));
        reply.set_body(BoxBody::new(body))
    }

    /// A plain line of text that is no picture: `/`, `/health`.
    pub(crate) fn text(&self, body: &'static str) -> HttpResponse {
        let mut reply = HttpResponse::new(StatusCode::OK);
        let headers = reply.headers_mut();
        self.common(headers);
        headers.insert(header::CACHE_CONTROL, value(&CachePolicy::NoStore.header(None)));
        headers.insert(header::CONTENT_TYPE, fixed("text/plain; charset=utf-8"));
        reply.set_body(BoxBody::new(body))
    }
}
