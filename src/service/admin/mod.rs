//! The admin listener: probes and metrics, on its own thread so that they answer under overload,
//! and orders, for who shows the admin token. Never on the public port.

mod purge;
pub(super) mod token;

use crate::service::events;
use crate::service::http::Public;
use crate::service::run::Lifecycle;
use crate::telemetry::exposition;
use actix_web::http::header;
use actix_web::{HttpRequest, HttpResponse, web};
use std::sync::Arc;

/// What the admin listener reads.
pub(super) struct AdminState {
    /// Ready, draining, stopped.
    pub(super) lifecycle: Arc<Lifecycle>,
    /// Writes the metrics page.
    pub(super) scrape: Box<dyn Fn() -> String + Send + Sync>,
    /// What orders are about.
    pub(super) public: Arc<Public>,
}

/// Every admin route.
pub(super) fn routes(state: web::Data<AdminState>) -> impl FnOnce(&mut web::ServiceConfig) {
    move |config| {
        if let Some(events) = &state.public.events {
            config.configure(events::http::admin_routes(Arc::clone(events)));
        }
        config
            .app_data(state)
            .route("/livez", web::get().to(livez))
            .route("/readyz", web::get().to(readyz))
            .route("/metrics", web::get().to(metrics))
            .configure(purge::routes)
            .default_service(web::to(nothing));
    }
}

/// Alive: this thread answers.
async fn livez() -> HttpResponse {
    HttpResponse::Ok().content_type("text/plain").body("alive\n")
}

/// Ready: listening and not draining. Whether an origin is well is not asked: a dead bucket must
/// not take every pod out of the load balancer at once.
async fn readyz(state: web::Data<AdminState>) -> HttpResponse {
    if state.lifecycle.is_draining() {
        return HttpResponse::ServiceUnavailable().content_type("text/plain").body("draining\n");
    }
    HttpResponse::Ok().content_type("text/plain").body("ready\n")
}

async fn metrics(request: HttpRequest, state: web::Data<AdminState>) -> HttpResponse {
    scraped(&request, (state.scrape)())
}

/// The metrics page in the format that the scraper asks for.
pub(super) fn scraped(request: &HttpRequest, page: String) -> HttpResponse {
    let accept = request.headers().get(header::ACCEPT).and_then(|value| value.to_str().ok());
    let (kind, page) = exposition::for_scraper(accept, page);
    let vary = (header::VARY, "Accept");
    HttpResponse::Ok().content_type(kind).insert_header(vary).body(page)
}

async fn nothing(request: HttpRequest) -> HttpResponse {
    let body = format!(
        "nothing at {}: try /livez, /readyz, /metrics, /purge or /events\n",
        request.path()
    );
    HttpResponse::NotFound().content_type("text/plain").body(body)
}
