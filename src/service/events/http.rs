//! Events over HTTP: who may send, how much, and which status each end has. The token is asked for
//! before anything else is looked at, and neither it nor the query is ever logged or said back.

use super::Events;
use super::intake::{Answer, NotTaken, Receipt};
use super::shapes::{self, Head, Parsed};
use crate::config::BasePath;
use actix_web::http::{Method, StatusCode, header};
use actix_web::{HttpRequest, HttpResponse, HttpResponseBuilder, web};
use futures_util::StreamExt as _;
use std::sync::Arc;
use std::time::Duration;

/// The largest body: what Event Grid sends at most.
const MAX_BODY: usize = 1 << 20;

/// How long a sender may take to send it.
const BODY_TIME: Duration = Duration::from_secs(10);

/// Seconds after which a sender that was put off should try again.
const RETRY_AFTER: u32 = 5;

const METHODS: &str = "GET, HEAD, OPTIONS, POST";

/// `/events` of the admin listener.
pub(crate) fn admin_routes(events: Arc<Events>) -> impl FnOnce(&mut web::ServiceConfig) {
    move |config| {
        let resource = web::resource("/events").app_data(web::Data::from(events)).to(handle);
        config.service(resource);
    }
}

/// `/_/events` of the public listener, below the base path.
pub(crate) fn public_routes(
    events: Arc<Events>,
    base: &BasePath,
) -> impl FnOnce(&mut web::ServiceConfig) {
    let path = format!("{}/_/events", base.as_str());
    move |config| {
        let resource = web::resource(path).app_data(web::Data::from(events)).to(handle);
        config.service(resource);
    }
}

/// Why a request got no further than its head or body.
#[derive(Debug, thiserror::Error)]
enum Refused {
    #[error(
        "show the token of LENSLET_EVENTS_TOKEN: as Bearer, as the password of Basic, or as ?token="
    )]
    Unauthorized,
    #[error("{0} is not allowed here, only {METHODS}")]
    Method(Method),
    #[error("the body has more than {MAX_BODY} bytes")]
    TooLarge,
    #[error("the body did not arrive within {} s", BODY_TIME.as_secs())]
    TooSlow,
    #[error("the body broke off")]
    BrokeOff,
    #[error(transparent)]
    BadBody(#[from] shapes::BadBody),
    #[error(transparent)]
    NotTaken(#[from] NotTaken),
    #[error("something went wrong on our side; send it again later")]
    Internal,
}

impl Refused {
    /// Status, and the word in metrics.
    const fn row(&self) -> (StatusCode, &'static str) {
        match self {
            Self::Unauthorized => (StatusCode::UNAUTHORIZED, "unauthorized"),
            Self::Method(_) => (StatusCode::METHOD_NOT_ALLOWED, "method"),
            Self::TooLarge => (StatusCode::PAYLOAD_TOO_LARGE, "too_large"),
            Self::TooSlow => (StatusCode::REQUEST_TIMEOUT, "too_slow"),
            Self::BrokeOff => (StatusCode::BAD_REQUEST, "broke_off"),
            Self::BadBody(_) => (StatusCode::BAD_REQUEST, "bad_body"),
            Self::NotTaken(NotTaken::Topic { .. }) => (StatusCode::FORBIDDEN, "topic"),
            Self::NotTaken(NotTaken::NotConfirmed(_)) => (StatusCode::BAD_GATEWAY, "not_confirmed"),
            Self::NotTaken(NotTaken::Full) => (StatusCode::SERVICE_UNAVAILABLE, "full"),
            Self::NotTaken(NotTaken::Going) => (StatusCode::SERVICE_UNAVAILABLE, "going"),
            Self::NotTaken(NotTaken::NotNoted) => (StatusCode::SERVICE_UNAVAILABLE, "not_noted"),
            Self::NotTaken(NotTaken::NotDone) => (StatusCode::SERVICE_UNAVAILABLE, "not_done"),
            Self::Internal => (StatusCode::INTERNAL_SERVER_ERROR, "internal"),
        }
    }
}

async fn handle(
    request: HttpRequest,
    payload: web::Payload,
    events: web::Data<Events>,
) -> HttpResponse {
    let events = events.into_inner();
    match answer(&request, payload, &events).await {
        Ok(reply) => reply,
        Err(refused) => {
            let (status, reason) = refused.row();
            events.metrics.refused(reason);
            tracing::warn!(
                target: "lenslet::events",
                status = status.as_u16(),
                reason,
                error = %refused,
                "events were not taken"
            );
            let mut reply = sentence(status);
            match status {
                StatusCode::UNAUTHORIZED => {
                    reply.insert_header((header::WWW_AUTHENTICATE, "Bearer realm=\"events\""));
                }
                StatusCode::METHOD_NOT_ALLOWED => {
                    reply.insert_header((header::ALLOW, METHODS));
                }
                StatusCode::SERVICE_UNAVAILABLE => {
                    reply.insert_header((header::RETRY_AFTER, RETRY_AFTER));
                }
                _ => {}
            }
            reply.body(format!("{refused}\n"))
        }
    }
}

fn sentence(status: StatusCode) -> HttpResponseBuilder {
    let mut reply = HttpResponse::build(status);
    reply
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .insert_header((header::X_CONTENT_TYPE_OPTIONS, "nosniff"))
        .content_type("text/plain; charset=utf-8");
    reply
}

fn said(status: StatusCode, json: &serde_json::Value) -> HttpResponse {
    sentence(status).content_type("application/json").body(format!("{json}\n"))
}

async fn answer(
    request: &HttpRequest,
    payload: web::Payload,
    events: &Arc<Events>,
) -> Result<HttpResponse, Refused> {
    let authorization =
        request.headers().get(header::AUTHORIZATION).map(header::HeaderValue::as_bytes);
    if !events.gate.admits(authorization, request.query_string()) {
        return Err(Refused::Unauthorized);
    }
    match *request.method() {
        Method::POST => {}
        Method::GET | Method::HEAD => {
            // MinIO asks so whether anybody is there.
            return Ok(sentence(StatusCode::OK).body("events are taken here\n"));
        }
        Method::OPTIONS => return Ok(may_send(request)),
        ref other => return Err(Refused::Method(other.clone())),
    }
    if events.lifecycle.is_draining() {
        return Err(NotTaken::Going.into());
    }
    let body = read(request, payload).await?;
    let parsed = shapes::parse(&head(request), &body)?;
    drop(body);
    let shape = parsed.shape;
    let taken = take(events, parsed).await?;
    Ok(match taken {
        Answer::Validation(code) => {
            said(StatusCode::OK, &serde_json::json!({ "validationResponse": code }))
        }
        Answer::Said(words) => sentence(StatusCode::OK).body(format!("{words}\n")),
        Answer::Receipt(receipt) => {
            tracing::info!(
                target: "lenslet::events",
                shape = shape.name(),
                accepted = receipt.accepted,
                done = receipt.done,
                ignored = receipt.ignored,
                "events"
            );
            given(&receipt)
        }
    })
}

/// 202 while something is still to be done, else 200: also for what was passed over, which a
/// sender must not send for ever.
fn given(receipt: &Receipt) -> HttpResponse {
    let status = if receipt.accepted > 0 { StatusCode::ACCEPTED } else { StatusCode::OK };
    said(status, &serde_json::json!(receipt))
}

/// Takes events where neither a sender that leaves nor this listener's thread ends it, and where
/// the connections to the stores live.
async fn take(events: &Arc<Events>, parsed: Parsed) -> Result<Answer, Refused> {
    let own = Arc::clone(events);
    let taken = events.service.runtime.spawn(async move { own.take(parsed).await });
    taken.await.map_err(|_broken| Refused::Internal)?.map_err(Refused::NotTaken)
}

/// The handshake of CloudEvents webhooks: whoever asks with the token may send.
fn may_send(request: &HttpRequest) -> HttpResponse {
    let mut reply = sentence(StatusCode::OK);
    reply.insert_header((header::ALLOW, METHODS));
    if let Some(origin) = request.headers().get("webhook-request-origin") {
        reply.insert_header(("webhook-allowed-origin", origin.clone()));
        reply.insert_header(("webhook-allowed-rate", "*"));
    }
    reply.finish()
}

fn head(request: &HttpRequest) -> Head<'_> {
    let text = |name: &str| request.headers().get(name).and_then(|value| value.to_str().ok());
    Head {
        content_type: text("content-type").unwrap_or_default(),
        ce_type: text("ce-type").filter(|_| text("ce-specversion").is_some()),
        ce_source: text("ce-source"),
        ce_subject: text("ce-subject"),
        sns_topic: text("x-amz-sns-topic-arn"),
    }
}

/// The body, whatever length is announced.
async fn read(request: &HttpRequest, mut payload: web::Payload) -> Result<Vec<u8>, Refused> {
    let announced = request.headers().get(header::CONTENT_LENGTH);
    let announced = announced.and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    if announced.is_some_and(|bytes| bytes > MAX_BODY as u64) {
        return Err(Refused::TooLarge);
    }
    let whole = async {
        let mut body = Vec::new();
        while let Some(chunk) = payload.next().await {
            let chunk = chunk.map_err(|_error| Refused::BrokeOff)?;
            if body.len() + chunk.len() > MAX_BODY {
                return Err(Refused::TooLarge);
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body)
    };
    tokio::time::timeout(BODY_TIME, whole).await.unwrap_or(Err(Refused::TooSlow))
}
