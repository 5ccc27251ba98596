//! `POST /purge`: a JSON body in, a JSON receipt out. 200 when all of it was done, 502 when a
//! part behind us (store, pod, CDN) was not, with the same receipt. Never does anything for who
//! has not shown the token.

use super::{AdminState, token};
use crate::dialect::request::DialectSettings;
use crate::service::http::Public;
use crate::service::peers::FORWARDED;
use crate::service::purge::order::{self, Rules};
use crate::service::purge::{Reach, Scope};
use actix_web::http::{StatusCode, header};
use actix_web::{HttpRequest, HttpResponse, web};
use futures_util::StreamExt as _;
use std::sync::Arc;

/// Bytes of the longest body; a target has at most 8 KiB.
const MAX_BODY: usize = 16 << 10;

/// The route.
pub(super) fn routes(config: &mut web::ServiceConfig) {
    config.service(
        web::resource("/purge").route(web::post().to(purge)).default_service(web::to(wrong_method)),
    );
}

async fn purge(
    request: HttpRequest,
    body: web::Payload,
    state: web::Data<AdminState>,
) -> HttpResponse {
    match answer(&request, body, &state.public).await {
        Ok(reply) | Err(reply) => reply,
    }
}

async fn answer(
    request: &HttpRequest,
    body: web::Payload,
    public: &Public,
) -> Result<HttpResponse, HttpResponse> {
    let service = &public.service;
    let Some(token) = service.purging.token() else {
        let sentence = "nothing at /purge: set LENSLET_ADMIN_TOKEN to have it";
        return Err(refusal(StatusCode::NOT_FOUND, sentence));
    };
    token::admit(request, token).inspect_err(|_refused| public.observer.order_refused())?;
    let kind = request.headers().get(header::CONTENT_TYPE).map(header::HeaderValue::as_bytes);
    if let Some(kind) = kind.map(String::from_utf8_lossy) {
        let essence = kind.split(';').next().unwrap_or_default().trim();
        if !essence.eq_ignore_ascii_case("application/json") {
            let sentence = format!("the body is {essence:?}; send Content-Type: application/json");
            return Err(refusal(StatusCode::UNSUPPORTED_MEDIA_TYPE, &sentence));
        }
    }
    let body = read(body).await?;
    let scope =
        scope(&body, public).map_err(|sentence| refusal(StatusCode::BAD_REQUEST, &sentence))?;
    let forwarded = request.headers().get(FORWARDED).and_then(|value| value.to_str().ok());
    if let Some(from) = forwarded {
        let (heard, from) = (Arc::clone(service), from.to_owned());
        let heard = service.runtime.spawn(async move { heard.heard_purge(scope, &from).await });
        let Ok(heard) = heard.await else {
            return Err(refusal(StatusCode::INTERNAL_SERVER_ERROR, "the purge broke off"));
        };
        return Ok(json(StatusCode::OK, serde_json::to_string(&heard).unwrap_or_default()));
    }
    let receipt = service.purge(scope, Reach::Everywhere).await;
    let status = if receipt.complete { StatusCode::OK } else { StatusCode::BAD_GATEWAY };
    Ok(json(status, receipt.to_json()))
}

fn scope(body: &[u8], public: &Public) -> Result<Scope, String> {
    let settings = &public.settings;
    let origins: Vec<_> = public.service.origins.names().cloned().collect();
    let rules = Rules {
        dialect: DialectSettings {
            presets: &settings.presets,
            unknown: settings.unknown,
            ignored: &settings.ignored,
        },
        base_path: &settings.base_path,
        limits: &public.service.limits,
        mirror: settings.mirror,
        origins: &origins,
    };
    order::read(body, &rules)
}

async fn read(mut body: web::Payload) -> Result<Vec<u8>, HttpResponse> {
    let mut bytes = Vec::new();
    while let Some(chunk) = body.next().await {
        let chunk = chunk.map_err(|error| {
            refusal(StatusCode::BAD_REQUEST, &format!("the body cannot be read: {error}"))
        })?;
        if bytes.len() + chunk.len() > MAX_BODY {
            let sentence = format!("the body has more than {MAX_BODY} bytes");
            return Err(refusal(StatusCode::PAYLOAD_TOO_LARGE, &sentence));
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes)
}

async fn wrong_method(request: HttpRequest) -> HttpResponse {
    let sentence = format!("{} is not allowed at /purge, only POST", request.method());
    let mut reply = refusal(StatusCode::METHOD_NOT_ALLOWED, &sentence);
    reply.headers_mut().insert(header::ALLOW, header::HeaderValue::from_static("POST"));
    reply
}

fn json(status: StatusCode, mut body: String) -> HttpResponse {
    body.push('\n');
    HttpResponse::build(status)
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .content_type("application/json")
        .body(body)
}

fn refusal(status: StatusCode, sentence: &str) -> HttpResponse {
    HttpResponse::build(status)
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .content_type("text/plain; charset=utf-8")
        .body(format!("{sentence}\n"))
}
