//! Originals on a web server, below a fixed base URL: an `ObjectStore` that asks with HEAD and GET
//! and nothing else. It follows no redirect, uses no proxy, dials public addresses only (unless
//! told), takes no coded body and no body of unknown length, and believes an ETag more than the
//! server's word that a condition held. Never lists, never writes.

use super::connect::{self, Reach};
use super::store::StoreTimeouts;
use async_trait::async_trait;
use futures_util::stream::{self, BoxStream, StreamExt, TryStreamExt};
use http::header::{self, HeaderMap, HeaderName};
use http::{Method, Request};
use object_store::client::{HttpClient, HttpError, HttpErrorKind, HttpRequestBody, HttpResponse};
use object_store::path::Path;
use object_store::{
    Attribute, Attributes, CopyOptions, Error, Extensions, GetOptions, GetResult, GetResultPayload,
    ListResult, MultipartUpload, ObjectMeta, ObjectStore, PutMultipartOptions, PutOptions,
    PutPayload, PutResult, Result,
};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::Url;
use std::net::IpAddr;
use std::time::{Duration, UNIX_EPOCH};
use tokio::time::Instant;

/// What this store calls itself in errors.
const STORE: &str = "web";

/// Everything but what RFC 3986 calls unreserved, and the slash between segments.
const ESCAPED: &AsciiSet =
    &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~').remove(b'/');

/// Waited before the one further attempt.
const PAUSE: Duration = Duration::from_millis(50);

/// What a web server does that an origin must not: said so that its operator can mend it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum RemoteFault {
    #[error(
        "it answers with the redirect {0}, and redirects are not followed: set the origin to where \
         its originals are"
    )]
    Redirect(u16),
    #[error("it answers HEAD with {0}: it has to answer HEAD as it answers GET, without the body")]
    HeadRefused(u16),
    #[error("its answer to {0} has no Content-Length: it has to tell how long each original is")]
    NoLength(Method),
    #[error(
        "it sends Content-Encoding {0:?} although none was accepted: it has to send originals as \
         they are"
    )]
    Encoded(String),
    #[error("it answered with status {0}")]
    Status(u16),
    #[error(
        "its name leads to no public address; the option ALLOW_PRIVATE of this origin allows others"
    )]
    PrivateAddress,
}

/// A web server's folder of originals.
#[derive(Debug, Clone)]
pub(super) struct RemoteOrigin {
    http: HttpClient,
    /// Without a slash at its end.
    base: String,
    /// After how much time nothing is tried again.
    patience: Duration,
}

/// Why a base URL cannot be an origin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum BadBase {
    /// Not a URL with a host.
    Malformed,
    /// The host is an address that is not public.
    PrivateAddress,
}

impl RemoteOrigin {
    /// The originals below `scheme://authority/prefix`; `prefix` is percent-decoded. Makes no
    /// request. A host that is an address is judged here, since nobody looks it up later.
    pub(super) fn new(
        scheme: &str,
        authority: &str,
        prefix: &str,
        reach: Reach,
        timeouts: StoreTimeouts,
    ) -> std::result::Result<Self, BadBase> {
        let prefix = utf8_percent_encode(prefix.trim_matches('/'), ESCAPED);
        let url = Url::parse(&format!("{scheme}://{authority}/{prefix}"))
            .map_err(|_| BadBase::Malformed)?;
        // The URL's parser has turned every spelling of an address into the usual one.
        let host = url.host_str().ok_or(BadBase::Malformed)?;
        let literal = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
        let private = literal.is_ok_and(|address| !super::remote_address::is_public(address));
        if private && !reach.private {
            return Err(BadBase::PrivateAddress);
        }
        let base = url.as_str().trim_end_matches('/').to_owned();
        let http = connect::client(timeouts, reach);
        Ok(Self { http, base, patience: timeouts.total / 2 })
    }

    fn request(
        &self,
        method: &Method,
        location: &Path,
        conditions: &[(HeaderName, &str)],
    ) -> Result<Request<HttpRequestBody>> {
        let key = utf8_percent_encode(location.as_ref(), ESCAPED);
        let mut request = Request::builder().method(method).uri(format!("{}/{key}", self.base));
        for (name, value) in conditions {
            request = request.header(name, *value);
        }
        request.body(HttpRequestBody::empty()).map_err(generic)
    }

    /// One request, and a second one if the first was not answered or the server was unwell.
    async fn ask(
        &self,
        method: &Method,
        location: &Path,
        conditions: &[(HeaderName, &str)],
    ) -> Result<HttpResponse> {
        let begun = Instant::now();
        let first = self.http.execute(self.request(method, location, conditions)?).await;
        let again = match &first {
            Ok(answer) => matches!(answer.status().as_u16(), 500 | 502..=504),
            Err(error) => {
                use HttpErrorKind::{Connect, Interrupted, Request};
                matches!(error.kind(), Connect | Request | Interrupted)
                    && remote_fault(error).is_none()
            }
        };
        if !again || begun.elapsed() + PAUSE > self.patience {
            return first.map_err(generic);
        }
        drop(first);
        tokio::time::sleep(PAUSE).await;
        self.http.execute(self.request(method, location, conditions)?).await.map_err(generic)
    }

    /// A HEAD was refused: is the original, or is HEAD? One byte by GET tells.
    async fn refusal(&self, location: &Path, status: u16) -> Error {
        let one_byte = [(header::RANGE, "bytes=0-0")];
        match self.ask(&Method::GET, location, &one_byte).await {
            Ok(answer) if answer.status().is_success() => fault(RemoteFault::HeadRefused(status)),
            Ok(_) => denied(location, status),
            Err(error) => error,
        }
    }
}

impl std::fmt::Display for RemoteOrigin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.base)
    }
}

/// The fault of ours among an error's causes.
pub(super) fn remote_fault<'a>(
    error: &'a (dyn std::error::Error + 'static),
) -> Option<&'a RemoteFault> {
    std::iter::successors(Some(error), |error| error.source()).find_map(|e| e.downcast_ref())
}

fn generic(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Error {
    Error::Generic { store: STORE, source: error.into() }
}

fn fault(fault: RemoteFault) -> Error {
    generic(fault)
}

fn said(status: u16) -> Box<dyn std::error::Error + Send + Sync> {
    format!("status code: {status}").into()
}

fn denied(location: &Path, status: u16) -> Error {
    Error::PermissionDenied { path: location.to_string(), source: said(status) }
}

/// What an answer that is no 200 means.
fn refused(location: &Path, status: u16, conditional: bool) -> Error {
    let path = location.to_string();
    match status {
        404 | 410 => Error::NotFound { path, source: said(status) },
        401 | 403 => denied(location, status),
        412 => Error::Precondition { path, source: said(status) },
        304 if conditional => Error::NotModified { path, source: said(status) },
        300..=399 => fault(RemoteFault::Redirect(status)),
        // The server itself is unwell, whatever was asked of it.
        429 | 500.. => generic(said(status)),
        _ => fault(RemoteFault::Status(status)),
    }
}

/// What the head of an answer tells of an original.
fn described(location: &Path, headers: &HeaderMap, method: &Method) -> Result<ObjectMeta> {
    let text = |name: HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
    let mut codings = headers.get_all(header::CONTENT_ENCODING).iter();
    let coded = codings.find(|value| !value.as_bytes().eq_ignore_ascii_case(b"identity"));
    if let Some(coding) = coded {
        let coding = String::from_utf8_lossy(coding.as_bytes()).chars().take(64).collect();
        return Err(fault(RemoteFault::Encoded(coding)));
    }
    // A body in chunks ends where the server says, not where it said it would.
    let length = text(header::CONTENT_LENGTH)
        .filter(|_| !headers.contains_key(header::TRANSFER_ENCODING))
        .filter(|length| length.bytes().all(|b| b.is_ascii_digit()))
        .and_then(|length| length.parse().ok());
    let size = length.ok_or_else(|| fault(RemoteFault::NoLength(method.clone())))?;
    let quoted = |tag: &&str| {
        let opaque = tag.strip_prefix("W/").unwrap_or(tag);
        opaque.len() > 2 && opaque.starts_with('"') && opaque.ends_with('"')
    };
    let modified =
        text(header::LAST_MODIFIED).and_then(|date| httpdate::parse_http_date(date).ok());
    Ok(ObjectMeta {
        location: location.clone(),
        // 1970 is how a store says that it names no time.
        last_modified: modified.unwrap_or(UNIX_EPOCH).into(),
        size,
        e_tag: text(header::ETAG).filter(quoted).map(str::to_owned),
        version: None,
    })
}

fn read_only<T>() -> Result<T> {
    Err(Error::NotSupported { source: "originals are never written".into() })
}

fn no_list() -> Error {
    Error::NotSupported { source: "a web server cannot be listed".into() }
}

#[async_trait]
impl ObjectStore for RemoteOrigin {
    async fn put_opts(&self, _: &Path, _: PutPayload, _: PutOptions) -> Result<PutResult> {
        read_only()
    }

    async fn put_multipart_opts(
        &self,
        _: &Path,
        _: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        read_only()
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        if options.range.is_some() || options.version.is_some() {
            return Err(Error::NotSupported { source: "originals are read whole".into() });
        }
        let method = if options.head { Method::HEAD } else { Method::GET };
        let if_match = options.if_match.as_deref().map(|tag| (header::IF_MATCH, tag));
        let if_none_match =
            options.if_none_match.as_deref().map(|tag| (header::IF_NONE_MATCH, tag));
        let conditions: Vec<_> = if_match.into_iter().chain(if_none_match).collect();
        let answer = self.ask(&method, location, &conditions).await?;
        match answer.status().as_u16() {
            200 => {}
            status @ (405 | 501) if options.head => {
                return Err(fault(RemoteFault::HeadRefused(status)));
            }
            status @ (401 | 403) if options.head => {
                return Err(self.refusal(location, status).await);
            }
            status => return Err(refused(location, status, options.if_none_match.is_some())),
        }
        let meta = described(location, answer.headers(), &method)?;
        // Many servers pass over conditions; the ETag of what they sent tells.
        options.check_preconditions(&meta)?;
        let mut attributes = Attributes::new();
        let media_type = answer.headers().get(header::CONTENT_TYPE);
        if let Some(media_type) = media_type.and_then(|value| value.to_str().ok()) {
            attributes.insert(Attribute::ContentType, media_type.to_owned().into());
        }
        let range = 0..meta.size;
        let body = if options.head {
            stream::empty().boxed()
        } else {
            answer.into_body().bytes_stream().map_err(|error: HttpError| generic(error)).boxed()
        };
        Ok(GetResult {
            payload: GetResultPayload::Stream(body),
            meta,
            range,
            attributes,
            extensions: Extensions::new(),
        })
    }

    fn delete_stream(
        &self,
        _: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        stream::once(async { read_only() }).boxed()
    }

    fn list(&self, _: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        stream::once(async { Err(no_list()) }).boxed()
    }

    async fn list_with_delimiter(&self, _: Option<&Path>) -> Result<ListResult> {
        Err(no_list())
    }

    async fn copy_opts(&self, _: &Path, _: &Path, _: CopyOptions) -> Result<()> {
        read_only()
    }
}

#[cfg(test)]
#[path = "remote_tests.rs"]
mod tests;
