//! The process's life: listeners up, ready, draining, gone. Knows no request.

use super::admin::{self, AdminState};
use super::http::{self, Public};
use super::story::Service;
use crate::variants::Drained;
use actix_web::dev::ServerHandle;
use actix_web::rt::System;
use actix_web::{App, HttpServer, web};
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tokio::runtime::Runtime;
use tokio::sync::oneshot;

/// Where in its life the process is; read by the readiness probe.
#[derive(Debug, Default)]
pub struct Lifecycle {
    draining: AtomicBool,
}

impl Lifecycle {
    /// Whether the process has been told to go.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }

    fn drain(&self) {
        self.draining.store(true, Ordering::Relaxed);
    }
}

/// How the listeners behave.
#[derive(Debug, Clone)]
pub struct Listeners {
    /// Public address; port 0 takes a free one.
    pub public: SocketAddr,
    /// Admin address; port 0 takes a free one.
    pub admin: SocketAddr,
    /// Threads of the public listener.
    pub workers: usize,
    /// Idle connections are closed after this.
    pub keep_alive: Duration,
    /// Between "not ready" and closing the listener: load balancers need time to look away.
    pub drain_delay: Duration,
    /// How long requests under way and accepted writes may take at the end.
    pub grace: Duration,
}

/// A request's head must be complete within this.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);

/// How long the collector of traces may take at the end.
const FLUSH: Duration = Duration::from_secs(5);

/// A process that serves.
pub struct Running {
    /// The public address, its port real.
    pub public: SocketAddr,
    /// The admin address, its port real.
    pub admin: SocketAddr,
    state: Arc<Public>,
    lifecycle: Arc<Lifecycle>,
    listeners: Listeners,
    runtime: Runtime,
    servers: [Server; 2],
}

pub(super) struct Server {
    pub(super) handle: ServerHandle,
    pub(super) thread: JoinHandle<io::Result<()>>,
}

impl std::fmt::Debug for Running {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Running({}, admin {})", self.public, self.admin)
    }
}

/// Brings both listeners up. `runtime` carries everything that outlives a request: flights,
/// fetches, write-backs.
///
/// # Errors
/// The address that could not be bound, with the system's words.
pub fn start(
    public: Public,
    scrape: Box<dyn Fn() -> String + Send + Sync>,
    listeners: Listeners,
    runtime: Runtime,
) -> io::Result<Running> {
    let bind = |address: SocketAddr| {
        TcpListener::bind(address).map_err(|error| {
            io::Error::new(error.kind(), format!("cannot listen on {address}: {error}"))
        })
    };
    let (public_socket, admin_socket) = (bind(listeners.public)?, bind(listeners.admin)?);
    let (public_address, admin_address) = (public_socket.local_addr()?, admin_socket.local_addr()?);

    let state = Arc::new(public);
    let data = web::Data::from(Arc::clone(&state));
    let options = listeners.clone();
    let public_server = serve("public", move || {
        let server = HttpServer::new(move || App::new().configure(http::routes(data.clone())))
            .workers(options.workers)
            .keep_alive(options.keep_alive)
            // The end of a picture shall not wait for the receipt of what came before it.
            .tcp_nodelay(true)
            .client_request_timeout(HEAD_TIMEOUT)
            // A client that leaves takes its request with it, so that work nobody waits for ends.
            .h1_allow_half_closed(false)
            .shutdown_timeout(options.grace.as_secs())
            .disable_signals()
            .listen(public_socket)?;
        Ok(server.run())
    })?;

    let lifecycle = Arc::clone(&state.lifecycle);
    let admin_state = web::Data::new(AdminState {
        lifecycle: Arc::clone(&lifecycle),
        scrape,
        public: Arc::clone(&state),
    });
    let admin_server = serve("admin", move || {
        let server =
            HttpServer::new(move || App::new().configure(admin::routes(admin_state.clone())))
                .workers(1)
                .shutdown_timeout(1)
                .disable_signals()
                .listen(admin_socket)?;
        Ok(server.run())
    })?;
    Ok(Running {
        public: public_address,
        admin: admin_address,
        state,
        lifecycle,
        listeners,
        runtime,
        servers: [public_server, admin_server],
    })
}

/// Runs a server on a thread of its own and hands its handle back.
pub(super) fn serve(
    name: &'static str,
    build: impl FnOnce() -> io::Result<actix_web::dev::Server> + Send + 'static,
) -> io::Result<Server> {
    let (tell, told) = oneshot::channel();
    let thread = std::thread::Builder::new().name(format!("{name}-listener")).spawn(move || {
        System::new().block_on(async move {
            let server = build()?;
            // The receiver waits right below; if it is gone the process is ending anyway.
            let _ = tell.send(server.handle());
            server.await
        })
    })?;
    match told.blocking_recv() {
        Ok(handle) => Ok(Server { handle, thread }),
        Err(_gone) => Err(match thread.join() {
            Ok(Err(error)) => error,
            Ok(Ok(())) | Err(_) => io::Error::other(format!("the {name} listener did not start")),
        }),
    }
}

impl Running {
    /// The story behind the listeners, for tests.
    #[must_use]
    pub fn state(&self) -> &Public {
        &self.state
    }

    /// Waits for SIGTERM or SIGINT, then leaves in order.
    pub fn until_signal(self) -> Drained {
        self.runtime.block_on(signal());
        tracing::info!(drain_delay_ms = millis(self.listeners.drain_delay), "stopping");
        self.stop()
    }

    /// Not ready; after the drain delay the listener closes, requests under way finish, accepted
    /// writes are written. A second signal during the delay cuts it short.
    pub fn stop(self) -> Drained {
        self.lifecycle.drain();
        if let Some(events) = &self.state.events {
            events.close();
        }
        let [public, admin] = self.servers;
        let delay = self.listeners.drain_delay;
        let grace = self.listeners.grace;
        let drained = self.runtime.block_on(async {
            tokio::select! {
                () = tokio::time::sleep(delay) => {}
                () = signal() => tracing::warn!("second signal, not waiting for the load balancer"),
            }
            public.handle.stop(true).await;
            // One grace for all that is left. Works of events order purges and write variants, so
            // the queue of writes, which empties all the while, is closed last.
            let (begun, service) = (Instant::now(), &self.state.service);
            if let Some(events) = &self.state.events {
                events.drain(begun + grace / 2).await;
            }
            service.finish_purges(begun + grace * 3 / 4).await;
            let drained = service.drain(grace.saturating_sub(begun.elapsed())).await;
            self.state.observer.flush(FLUSH).await;
            admin.handle.stop(false).await;
            drained
        });
        for server in [public.thread, admin.thread] {
            // A listener thread that panicked has said so already.
            let _ = server.join();
        }
        self.runtime.shutdown_timeout(Duration::from_secs(1));
        drained
    }
}

impl Service {
    /// Brings gauges up to date that nobody keeps.
    pub fn refresh_gauges(&self) {
        self.variants.observe();
    }

    /// Waits for flights whose callers have gone, then for accepted writes; at most for `grace`.
    pub async fn drain(&self, grace: Duration) -> Drained {
        let deadline = Instant::now() + grace;
        while !(self.flights.is_empty() && self.infos.is_idle()) && Instant::now() < deadline {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        self.variants.drain(deadline).await
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// Waits for SIGTERM or SIGINT.
pub async fn signal() {
    use tokio::signal::unix::{SignalKind, signal};
    let wait = |kind| async move {
        match signal(kind) {
            Ok(mut stream) => {
                stream.recv().await;
            }
            // Without a handler the default action ends the process: nothing to wait for here.
            Err(_) => std::future::pending().await,
        }
    };
    tokio::select! {
        () = wait(SignalKind::terminate()) => {}
        () = wait(SignalKind::interrupt()) => {}
    }
}
