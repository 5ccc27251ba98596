//! Answers of the S3 wire server: conditional reads, error bodies, and bodies that count
//! themselves into the journal and may break off. Never changes the bytes it passes on.

use super::journal::{self, Record};
use hyper::body::{Body, Bytes, Frame, SizeHint};
use hyper::header::{CONTENT_LENGTH, ETAG, HeaderValue};
use hyper::{Response, StatusCode};
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::time::Sleep;

/// What real S3 does and `s3s-fs` does not: 412 and 304 on reads.
pub(crate) fn condition(
    response: Response<Content>,
    wanted: Option<&HeaderValue>,
    unwanted: Option<&HeaderValue>,
    head_only: bool,
) -> Response<Content> {
    let etag = response.headers().get(ETAG).and_then(|v| v.to_str().ok()).unwrap_or("").to_owned();
    let lists = |value: &HeaderValue| {
        value.to_str().is_ok_and(|v| v.split(',').map(str::trim).any(|t| t == "*" || t == etag))
    };
    if wanted.is_some_and(|v| !lists(v)) {
        return refuse(412, head_only);
    }
    if unwanted.is_some_and(lists) {
        let mut fresh = refuse(304, true);
        if let Ok(etag) = HeaderValue::from_str(&etag) {
            fresh.headers_mut().insert(ETAG, etag);
        }
        return fresh;
    }
    response
}

/// An answer with an S3 error body.
pub(crate) fn refuse(status: u16, head_only: bool) -> Response<Content> {
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let code = match status.as_u16() {
        403 => "AccessDenied",
        404 => "NoSuchKey",
        412 => "PreconditionFailed",
        503 => "SlowDown",
        _ => "InternalError",
    };
    let xml = format!("<?xml version=\"1.0\"?><Error><Code>{code}</Code></Error>");
    let length = HeaderValue::from(xml.len());
    let content = if head_only { None } else { Some(Bytes::from(xml)) };
    let mut response = Response::new(Content::Ready(content));
    *response.status_mut() = status;
    if !head_only {
        response.headers_mut().insert(CONTENT_LENGTH, length);
    }
    response
}

/// What a reply carries.
#[derive(Debug)]
pub(crate) enum Content {
    /// The body of `s3s`.
    S3(Pin<Box<s3s::Body>>),
    /// Bytes at hand, if any.
    Ready(Option<Bytes>),
}

/// A body that counts itself into the journal and may break off.
#[derive(Debug)]
pub(crate) struct Reply {
    content: Content,
    /// Bytes after which it breaks off.
    limit: Option<u64>,
    /// Whether it then says nothing more in place of closing.
    silent: bool,
    /// Where it counts itself.
    entry: Arc<Mutex<Record>>,
    pause: Option<Pin<Box<Sleep>>>,
}

/// Time enough for loopback to deliver what was written.
const FLUSHED: Duration = Duration::from_millis(50);

impl Reply {
    /// A reply that breaks off after `limit` bytes, or falls silent there.
    pub(crate) fn new(
        content: Content,
        limit: Option<u64>,
        silent: bool,
        entry: Arc<Mutex<Record>>,
    ) -> Self {
        Self { content, limit, silent, entry, pause: None }
    }
}

type BoxError = Box<dyn std::error::Error + Send + Sync>;

impl Body for Reply {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        if self.limit == Some(0) {
            if self.silent {
                // Nobody wakes a silent body: its peer has to give up.
                return Poll::Pending;
            }
            // An error at once would take what is not yet flushed with it, even the head.
            let pause = self.pause.get_or_insert_with(|| Box::pin(tokio::time::sleep(FLUSHED)));
            std::task::ready!(pause.as_mut().poll(cx));
            return Poll::Ready(Some(Err("the connection breaks off, as scripted".into())));
        }
        let next = match &mut self.content {
            Content::Ready(bytes) => bytes.take().map(|b| Ok(Frame::data(b))),
            Content::S3(body) => std::task::ready!(body.as_mut().poll_frame(cx)),
        };
        let Some(next) = next else { return Poll::Ready(None) };
        let frame = next?;
        let mut data = match frame.into_data() {
            Ok(data) => data,
            Err(other) => return Poll::Ready(Some(Ok(other))),
        };
        if let Some(left) = &mut self.limit {
            data.truncate(usize::try_from(*left).unwrap_or(usize::MAX));
            *left -= data.len() as u64;
        }
        journal::note_bytes(&self.entry, data.len() as u64);
        Poll::Ready(Some(Ok(Frame::data(data))))
    }

    fn is_end_stream(&self) -> bool {
        match &self.content {
            Content::Ready(bytes) => bytes.is_none(),
            Content::S3(body) => self.limit.is_none() && body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.content {
            Content::Ready(bytes) => {
                SizeHint::with_exact(bytes.as_ref().map_or(0, |b| b.len() as u64))
            }
            Content::S3(body) => body.size_hint(),
        }
    }
}
