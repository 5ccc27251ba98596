//! The admin listener: probes and metrics, on its own thread so that they answer under overload.
//! Never on the public port.

use crate::service::run::Lifecycle;
use crate::telemetry::metrics::CONTENT_TYPE;
use actix_web::{HttpRequest, HttpResponse, web};
use std::sync::Arc;

/// What the admin listener reads.
pub(super) struct AdminState {
    /// Ready, draining, stopped.
    pub(super) lifecycle: Arc<Lifecycle>,
    /// Writes the metrics page.
    pub(super) scrape: Box<dyn Fn() -> String + Send + Sync>,
}

/// Every admin route.
pub(super) fn routes(state: web::Data<AdminState>) -> impl FnOnce(&mut web::ServiceConfig) {
    move |config| {
        config
            .app_data(state)
            .route("/livez", web::get().to(livez))
            .route("/readyz", web::get().to(readyz))
            .route("/metrics", web::get().to(metrics))
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

async fn metrics(state: web::Data<AdminState>) -> HttpResponse {
    HttpResponse::Ok().content_type(CONTENT_TYPE).body((state.scrape)())
}

async fn nothing(request: HttpRequest) -> HttpResponse {
    let body = format!("nothing at {}: try /livez, /readyz or /metrics\n", request.path());
    HttpResponse::NotFound().content_type("text/plain").body(body)
}
