//! What the S3 wire server was asked, in the order of arrival: the independent count that tests
//! compare the service's own claims with. Never holds bodies or signatures.

use hyper::header::{CONTENT_LENGTH, HeaderMap, HeaderName, IF_MATCH, IF_NONE_MATCH, RANGE};
use hyper::{Method, Uri};
use serde::Serialize;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

/// One request and its answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Record {
    /// Milliseconds since the server started.
    pub(crate) at_ms: u64,
    /// `GET`, `HEAD`, ….
    pub(crate) method: String,
    /// `GetObject`, `HeadObject`, `PutObject`, `ListObjectsV2`, ….
    pub(crate) op: &'static str,
    /// `/bucket/key`, percent-decoded.
    pub(crate) path: String,
    /// The raw query, empty if none.
    pub(crate) query: String,
    /// The Range header.
    pub(crate) range: Option<String>,
    /// The If-Match header.
    pub(crate) if_match: Option<String>,
    /// The If-None-Match header.
    pub(crate) if_none_match: Option<String>,
    /// Body bytes announced by the client.
    pub(crate) bytes_in: u64,
    /// 0 until answered.
    pub(crate) status: u16,
    /// Body bytes handed to the connection so far.
    pub(crate) bytes_out: u64,
}

/// The parts of a request the journal keeps.
#[derive(Debug)]
pub(crate) struct Request {
    method: String,
    op: &'static str,
    pub(crate) path: String,
    query: String,
    range: Option<String>,
    if_match: Option<String>,
    if_none_match: Option<String>,
    bytes_in: u64,
}

impl Request {
    /// Reads them off its head.
    pub(crate) fn of(method: &Method, uri: &Uri, headers: &HeaderMap) -> Self {
        let text =
            |name: HeaderName| headers.get(name).and_then(|v| v.to_str().ok()).map(str::to_owned);
        let path =
            percent_encoding::percent_decode_str(uri.path()).decode_utf8_lossy().into_owned();
        let query = uri.query().unwrap_or("").to_owned();
        let copies = headers.contains_key("x-amz-copy-source");
        Self {
            op: operation(method, &path, &query, copies),
            method: method.to_string(),
            path,
            query,
            range: text(RANGE),
            if_match: text(IF_MATCH),
            if_none_match: text(IF_NONE_MATCH),
            bytes_in: text(CONTENT_LENGTH).and_then(|v| v.parse().ok()).unwrap_or(0),
        }
    }
}

/// S3's name of what is asked.
fn operation(method: &Method, path: &str, query: &str, copies: bool) -> &'static str {
    let has = |name: &str| query.split('&').any(|pair| pair.split('=').next() == Some(name));
    let object =
        path.trim_start_matches('/').split_once('/').is_some_and(|(_, key)| !key.is_empty());
    match (method.as_str(), object) {
        ("GET", true) => "GetObject",
        ("HEAD", true) => "HeadObject",
        ("PUT", true) if copies => "CopyObject",
        ("PUT", true) if has("partNumber") => "UploadPart",
        ("PUT", true) => "PutObject",
        ("DELETE", true) => "DeleteObject",
        ("POST", true) if has("uploads") => "CreateMultipartUpload",
        ("POST", true) => "CompleteMultipartUpload",
        ("GET", false) if has("list-type") => "ListObjectsV2",
        ("GET", false) => "ListObjects",
        ("HEAD", false) => "HeadBucket",
        ("PUT", false) => "CreateBucket",
        ("POST", false) if has("delete") => "DeleteObjects",
        _ => "Other",
    }
}

/// The list of records, each of which its reply goes on to fill in.
#[derive(Debug)]
pub(crate) struct Journal {
    started: Instant,
    ticks: AtomicU64,
    records: Mutex<Vec<Arc<Mutex<Record>>>>,
}

impl Default for Journal {
    fn default() -> Self {
        Self { started: Instant::now(), ticks: AtomicU64::new(0), records: Mutex::default() }
    }
}

impl Journal {
    /// Enters a request as it arrives.
    pub(crate) fn open(&self, asked: &Request) -> Arc<Mutex<Record>> {
        let record = Record {
            at_ms: u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX),
            method: asked.method.clone(),
            op: asked.op,
            path: asked.path.clone(),
            query: asked.query.clone(),
            range: asked.range.clone(),
            if_match: asked.if_match.clone(),
            if_none_match: asked.if_none_match.clone(),
            bytes_in: asked.bytes_in,
            status: 0,
            bytes_out: 0,
        };
        let entry = Arc::new(Mutex::new(record));
        self.records.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::clone(&entry));
        entry
    }

    /// A copy of everything.
    pub(crate) fn records(&self) -> Vec<Record> {
        let records = self.records.lock().unwrap_or_else(PoisonError::into_inner);
        records.iter().map(|r| r.lock().unwrap_or_else(PoisonError::into_inner).clone()).collect()
    }

    /// One JSON object a line.
    pub(crate) fn lines(&self) -> String {
        let line = |r: &Record| serde_json::to_string(r).map(|l| l + "\n").unwrap_or_default();
        self.records().iter().map(line).collect()
    }

    /// Forgets everything.
    pub(crate) fn clear(&self) {
        self.records.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// A number never given before.
    pub(crate) fn tick(&self) -> u64 {
        self.ticks.fetch_add(1, Ordering::Relaxed)
    }
}

/// Notes the status of the answer.
pub(crate) fn note_status(entry: &Mutex<Record>, status: u16) {
    entry.lock().unwrap_or_else(PoisonError::into_inner).status = status;
}

/// Adds to the body bytes of the answer.
pub(crate) fn note_bytes(entry: &Mutex<Record>, bytes: u64) {
    entry.lock().unwrap_or_else(PoisonError::into_inner).bytes_out += bytes;
}
