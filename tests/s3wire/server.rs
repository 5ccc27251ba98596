//! A real S3 wire server for tests: `s3s` checks every SigV4 signature and `s3s-fs` keeps the
//! objects as files, behind a layer that journals each request in the order of arrival, answers
//! the conditional reads of real S3 and plays scripted faults. Never serves anything but
//! loopback and is never part of the product.

#![allow(dead_code, reason = "each of its hosts uses a part of it")]

#[path = "etags.rs"]
mod etags;
#[path = "fault.rs"]
mod fault;
#[path = "journal.rs"]
pub(crate) mod journal;
#[path = "reply.rs"]
mod reply;

pub(crate) use fault::{Act, Fault};

use etags::WithETags;
use hyper::body::{Body, Incoming};
use hyper::header::{ETAG, HeaderValue, IF_MATCH, IF_NONE_MATCH};
use hyper::service::service_fn;
use hyper::{Method, Request, Response};
use hyper_util::rt::TokioIo;
use journal::{Journal, Record, Request as Asked};
use reply::{Content, Reply, condition, refuse};
use s3s::auth::SimpleAuth;
use s3s::service::{S3Service, S3ServiceBuilder};
use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};

/// The access key of a server started with [`S3Wire::start`].
pub(crate) const ACCESS_KEY: &str = "lenslet-test";
/// Its secret.
pub(crate) const SECRET_KEY: &str = "lenslet-test-secret";

/// How to start the server.
#[derive(Debug, Clone)]
pub(crate) struct Setup {
    /// The folder whose subfolders are the buckets.
    pub(crate) root: PathBuf,
    /// 0 takes a free one.
    pub(crate) port: u16,
    /// The only access key admitted.
    pub(crate) access_key: String,
    /// Its secret.
    pub(crate) secret_key: String,
}

/// What the layer shares between connections.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) journal: Journal,
    faults: Mutex<Vec<Fault>>,
}

impl Shared {
    /// Adds a fault behind those already there.
    pub(crate) fn fault(&self, fault: Fault) {
        self.faults.lock().unwrap_or_else(PoisonError::into_inner).push(fault);
    }

    /// Forgets every fault.
    pub(crate) fn clear_faults(&self) {
        self.faults.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// The fault for a request, counted down.
    fn take_fault(&self, method: &str, path: &str) -> Option<Fault> {
        let mut faults = self.faults.lock().unwrap_or_else(PoisonError::into_inner);
        let fault = faults.iter_mut().find(|f| {
            f.times != Some(0)
                && path.contains(&f.path)
                && f.method.as_deref().is_none_or(|m| m.eq_ignore_ascii_case(method))
        })?;
        fault.times = fault.times.map(|n| n - 1);
        Some(fault.clone())
    }
}

/// The running server. It has threads of its own, so any kind of test may hold it; it stops when
/// dropped.
#[derive(Debug)]
pub(crate) struct S3Wire {
    addr: SocketAddr,
    root: PathBuf,
    keys: (String, String),
    shared: Arc<Shared>,
    runtime: Option<tokio::runtime::Runtime>,
}

impl S3Wire {
    /// Serves `root` on a free port of loopback, with [`ACCESS_KEY`] and [`SECRET_KEY`].
    pub(crate) fn start(root: impl Into<PathBuf>) -> io::Result<Self> {
        let (access_key, secret_key) = (ACCESS_KEY.to_owned(), SECRET_KEY.to_owned());
        Self::start_with(Setup { root: root.into(), port: 0, access_key, secret_key })
    }

    /// Serves as told. The root is created if missing.
    pub(crate) fn start_with(setup: Setup) -> io::Result<Self> {
        std::fs::create_dir_all(&setup.root)?;
        let files = s3s_fs::FileSystem::new(&setup.root).map_err(|e| {
            io::Error::other(format!("cannot serve {}: {e:?}", setup.root.display()))
        })?;
        let mut builder = S3ServiceBuilder::new(WithETags(files));
        builder
            .set_auth(SimpleAuth::from_single(setup.access_key.clone(), setup.secret_key.clone()));
        let service = builder.build();
        let shared = Arc::new(Shared { journal: Journal::default(), faults: Mutex::default() });

        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("s3wire")
            .enable_all()
            .build()?;
        let listener = std::net::TcpListener::bind(("127.0.0.1", setup.port))?;
        listener.set_nonblocking(true)?;
        let addr = listener.local_addr()?;
        runtime.spawn(accept(listener, service, Arc::clone(&shared)));
        let keys = (setup.access_key, setup.secret_key);
        Ok(Self { addr, root: setup.root, keys, shared, runtime: Some(runtime) })
    }

    /// Where it listens.
    pub(crate) fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// `http://127.0.0.1:PORT`.
    pub(crate) fn endpoint(&self) -> String {
        format!("http://{}", self.addr)
    }

    /// The store options that reach it with its keys.
    pub(crate) fn store_options(&self) -> Vec<(String, String)> {
        let (access, secret) = &self.keys;
        [
            ("aws_endpoint", self.endpoint()),
            ("aws_allow_http", "true".to_owned()),
            ("aws_region", "us-east-1".to_owned()),
            ("aws_access_key_id", access.clone()),
            ("aws_secret_access_key", secret.clone()),
        ]
        .map(|(key, value)| (key.to_owned(), value))
        .to_vec()
    }

    /// What was asked so far, in the order of arrival.
    pub(crate) fn journal(&self) -> Vec<Record> {
        self.shared.journal.records()
    }

    /// Requests of one operation (`GetObject`, `HeadObject`, …) whose path contains `path`.
    pub(crate) fn count(&self, op: &str, path: &str) -> usize {
        self.journal().iter().filter(|r| r.op == op && r.path.contains(path)).count()
    }

    /// Empties the journal.
    pub(crate) fn clear(&self) {
        self.shared.journal.clear();
    }

    /// Adds a fault behind those already there.
    pub(crate) fn fault(&self, fault: Fault) {
        self.shared.fault(fault);
    }

    /// Forgets every fault.
    pub(crate) fn clear_faults(&self) {
        self.shared.clear_faults();
    }

    /// What its parts share, for the control port of the process.
    pub(crate) fn shared(&self) -> Arc<Shared> {
        Arc::clone(&self.shared)
    }

    /// Makes an empty bucket.
    pub(crate) fn make_bucket(&self, bucket: &str) -> io::Result<()> {
        std::fs::create_dir_all(self.root.join(bucket))
    }

    /// Puts an object behind the server's back, as somebody else's upload would: new bytes, a new
    /// ETag, no metadata. The bucket is made if missing.
    pub(crate) fn put_file(&self, bucket: &str, key: &str, bytes: &[u8]) -> io::Result<()> {
        let path = self.root.join(bucket).join(key);
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder)?;
        }
        // The server remembers the ETag of what went through it beside the object.
        self.drop_sidecars(bucket, key);
        let fresh = self.root.join(format!(".upload-{}", self.shared.journal.tick()));
        std::fs::write(&fresh, bytes)?;
        std::fs::rename(fresh, path)
    }

    /// Deletes an object behind the server's back.
    pub(crate) fn delete_file(&self, bucket: &str, key: &str) -> io::Result<()> {
        self.drop_sidecars(bucket, key);
        std::fs::remove_file(self.root.join(bucket).join(key))
    }

    /// The bytes of an object, as they lie there.
    pub(crate) fn read_file(&self, bucket: &str, key: &str) -> io::Result<Vec<u8>> {
        std::fs::read(self.root.join(bucket).join(key))
    }

    /// Every key of a bucket, sorted.
    pub(crate) fn keys(&self, bucket: &str) -> Vec<String> {
        let root = self.root.join(bucket);
        let mut keys = Vec::new();
        let mut folders = vec![root.clone()];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
                let path = entry.path();
                if path.is_dir() {
                    folders.push(path);
                } else if let Ok(key) = path.strip_prefix(&root) {
                    keys.push(key.to_string_lossy().into_owned());
                }
            }
        }
        keys.sort();
        keys
    }

    fn drop_sidecars(&self, bucket: &str, key: &str) {
        use base64::Engine as _;
        let encode = |s: &str| base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(s);
        let stem = format!(".bucket-{}.object-{}", encode(bucket), encode(key));
        for ending in ["internal.json", "metadata.json"] {
            // Most objects have none.
            let _ = std::fs::remove_file(self.root.join(format!("{stem}.{ending}")));
        }
    }
}

impl Drop for S3Wire {
    fn drop(&mut self) {
        // Waiting for the threads would panic where the test itself is asynchronous.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

async fn accept(listener: std::net::TcpListener, service: S3Service, shared: Arc<Shared>) {
    let Ok(listener) = tokio::net::TcpListener::from_std(listener) else { return };
    loop {
        let Ok((socket, _)) = listener.accept().await else { continue };
        let _ = socket.set_nodelay(true);
        let (service, shared) = (service.clone(), Arc::clone(&shared));
        tokio::spawn(async move {
            let answer =
                service_fn(move |request| answer(service.clone(), Arc::clone(&shared), request));
            // A connection that breaks is the client's business or a fault's doing.
            let _ = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(socket), answer)
                .await;
        });
    }
}

async fn answer(
    service: S3Service,
    shared: Arc<Shared>,
    request: Request<Incoming>,
) -> Result<Response<Reply>, Infallible> {
    let asked = Asked::of(request.method(), request.uri(), request.headers());
    let fault = shared.take_fault(request.method().as_str(), &asked.path);
    let entry = shared.journal.open(&asked);
    let fault = fault.unwrap_or_else(|| Fault::new("", Act::Pass));
    if !fault.delay.is_zero() {
        tokio::time::sleep(fault.delay).await;
    }
    let head_only = request.method() == Method::HEAD;
    let wanted = request.headers().get(IF_MATCH).cloned();
    let unwanted = request.headers().get(IF_NONE_MATCH).cloned();
    let reads = head_only || request.method() == Method::GET;

    let mut response = match fault.act {
        Act::Status(status) => {
            drain(request).await;
            refuse(status, head_only)
        }
        Act::PutLost => {
            drain(request).await;
            let mut lost = Response::new(Content::Ready(None));
            lost.headers_mut().insert(ETAG, HeaderValue::from_static("\"lost\""));
            lost
        }
        Act::PutStored(status) => {
            let _ = service.call(request.map(s3s::Body::from)).await;
            refuse(status, head_only)
        }
        Act::Pass | Act::Cut(_) | Act::Stall(_) => {
            match service.call(request.map(s3s::Body::from)).await {
                Ok(response) => response.map(|body| Content::S3(Box::pin(body))),
                Err(_) => refuse(500, head_only),
            }
        }
    };
    if reads && response.status().is_success() {
        response = condition(response, wanted.as_ref(), unwanted.as_ref(), head_only);
    }

    journal::note_status(&entry, response.status().as_u16());
    let (limit, silent) = match fault.act {
        Act::Cut(after) => (Some(after), false),
        Act::Stall(after) => (Some(after), true),
        _ => (None, false),
    };
    Ok(response.map(|content| Reply::new(content, limit, silent, entry)))
}

/// Reads a body to its end, so that the connection can carry the answer.
async fn drain(request: Request<Incoming>) {
    let mut body = request.into_body();
    while let Some(Ok(_)) = std::future::poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await {}
}
