//! The listener of a process that does a job and serves nobody: whether it is alive, and what it
//! has counted. A job runs without it where its address is taken.

use super::admin::scraped;
use super::run::{Server, serve};
use actix_web::{App, HttpRequest, HttpResponse, HttpServer, web};
use std::io;
use std::net::{SocketAddr, TcpListener};

/// Writes the metrics page.
pub type Scrape = Box<dyn Fn() -> String + Send + Sync>;

/// A listener with `/livez` and `/metrics`.
pub struct JobListener {
    /// Its address, the port real.
    pub address: SocketAddr,
    server: Server,
}

impl std::fmt::Debug for JobListener {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "JobListener({})", self.address)
    }
}

impl JobListener {
    /// Listens on a thread of its own.
    ///
    /// # Errors
    /// Why the address cannot be had, with the system's words.
    pub fn start(address: SocketAddr, scrape: Scrape) -> io::Result<Self> {
        let socket = TcpListener::bind(address)?;
        let address = socket.local_addr()?;
        let scrape = web::Data::new(scrape);
        let server = serve("job", move || {
            let routes = move |config: &mut web::ServiceConfig| {
                config
                    .app_data(scrape.clone())
                    .route("/livez", web::get().to(livez))
                    .route("/metrics", web::get().to(metrics));
            };
            let server = HttpServer::new(move || App::new().configure(routes.clone()))
                .workers(1)
                .shutdown_timeout(1)
                .disable_signals()
                .listen(socket)?;
            Ok(server.run())
        })?;
        Ok(Self { address, server })
    }

    /// Stops listening.
    pub async fn stop(self) {
        self.server.handle.stop(false).await;
        // A listener thread that panicked has said so already.
        let _ = self.server.thread.join();
    }
}

async fn livez() -> HttpResponse {
    HttpResponse::Ok().content_type("text/plain").body("alive\n")
}

async fn metrics(request: HttpRequest, scrape: web::Data<Scrape>) -> HttpResponse {
    scraped(&request, scrape())
}
