//! The public listener: routes, and one request from its head to its reply. All reading of
//! request headers happens here, all writing of response headers in `reply`.

pub(super) mod body;
mod caching;
mod disposition;
mod error;
mod hit;
mod memo;
mod observe;
pub mod policy;
mod prepared;
mod reply;
mod request_id;
mod timing;

pub use memo::Memo;
pub use observe::Observer;
pub use policy::{Access, Unsigned};

use super::answer::{Answer, Ask, CacheStatus};
use super::events::{self, Events};
use super::failure::{ErrorCode, Failure};
use super::run::Lifecycle;
use super::story::Service;
use crate::config::BasePath;
use crate::dialect::MAX_TARGET;
use crate::dialect::accept::negotiate;
use crate::dialect::presets::Presets;
use crate::dialect::request::{self, DialectSettings, ImageRequest, RequestError};
use crate::variants::Placement;
use actix_web::http::header::{self, HeaderValue};
use actix_web::http::{ConnectionType, Method};
use actix_web::{HttpRequest, HttpResponse, web};
use caching::CachePolicy;
use disposition::Show;
use futures_util::FutureExt as _;
use memo::Known;
use observe::Observation;
use prepared::{Identity, Look, value};
use reply::{Dress, How, ReplyTo};
use request_id::RequestId;
use std::borrow::Cow;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// What the public listener is told by its deployment.
#[derive(Debug)]
pub struct HttpSettings {
    /// In front of every path.
    pub base_path: BasePath,
    /// `Access-Control-Allow-Origin`, where there is one.
    pub cors_origin: Option<HeaderValue>,
    /// `Cache-Control` of pictures whose URL names no version.
    pub cache_control: String,
    /// The whole time of one request.
    pub request_timeout: Duration,
    /// Who may ask for what.
    pub access: Access,
    /// Names for wishes.
    pub presets: Presets,
    /// What to do with parameters nobody knows.
    pub unknown: request::UnknownParams,
    /// Parameters of others, passed over.
    pub ignored: Vec<request::IgnoredName>,
    /// Sized URLs lie in the store under their own path.
    pub mirror: bool,
    /// Where stored variants are public, for `ON_MISS=redirect`.
    pub redirect_to: Option<String>,
}

/// Everything a request handler shares.
#[derive(Debug)]
pub struct Public {
    /// The story.
    pub service: Arc<Service>,
    /// The deployment.
    pub settings: HttpSettings,
    /// What is known of URLs.
    pub memo: Memo,
    /// Logs and metrics.
    pub observer: Observer,
    /// Whether connections should be given up.
    pub lifecycle: Arc<Lifecycle>,
    /// The intake of notifications, where there is one.
    pub events: Option<Arc<Events>>,
}

/// The public routes: one handler, since every path may be a picture, and the events.
pub(super) fn routes(public: web::Data<Public>) -> impl FnOnce(&mut web::ServiceConfig) {
    move |config| {
        if let Some(events) = public.events.as_ref().filter(|events| events.is_public()) {
            let events = Arc::clone(events);
            config.configure(events::http::public_routes(events, &public.settings.base_path));
        }
        config.app_data(public).default_service(web::to(handle));
    }
}

/// What is known of a request before anything was decided.
struct Arrived<'a> {
    /// The request target as received.
    target: &'a str,
    accept: Option<&'a str>,
    if_none_match: Option<&'a str>,
    at: Instant,
}

async fn handle(request: HttpRequest, public: web::Data<Public>) -> HttpResponse {
    let at = Instant::now();
    let target = target_of(&request);
    // A panic here costs this request the short way, not the worker thread.
    let at_once =
        catch_unwind(AssertUnwindSafe(|| hit::answer(&public, &request, target, at, unix_now)));
    let mut reply = match at_once {
        Ok(Some(reply)) => reply,
        // On the heap: an answer at once shall not carry the room for a long walk along.
        Ok(None) | Err(_) => Box::pin(walk(&request, &public, at)).await,
    };
    if public.lifecycle.is_draining() {
        // Clients and load balancers learn to go elsewhere before the listener closes.
        reply.head_mut().set_connection_type(ConnectionType::Close);
    }
    reply
}

fn target_of(request: &HttpRequest) -> &str {
    request.uri().path_and_query().map_or("/", |target| target.as_str())
}

/// The long way from a request to its reply.
async fn walk(request: &HttpRequest, public: &Public, at: Instant) -> HttpResponse {
    let target = target_of(request);
    let mut under_way = public.observer.begun(request.method(), target, request.headers(), at);
    let request_id = RequestId::in_headers(request.headers());
    let accept = list(request, header::ACCEPT);
    let if_none_match = list(request, header::IF_NONE_MATCH);
    let (accept, if_none_match) = (accept.as_deref(), if_none_match.as_deref());
    let arrived = Arrived { target, accept, if_none_match, at };
    let mut to = ReplyTo {
        cors_origin: public.settings.cors_origin.as_ref(),
        request_id: request_id.as_str(),
        negotiable: false,
        json_errors: error::wants_json(accept),
    };
    // A panic here costs this request, not the worker thread.
    let answered =
        AssertUnwindSafe(answer(public, request, &arrived, &mut to, &mut under_way.seen))
            .catch_unwind()
            .await
            .unwrap_or_else(|_panic| Err(Failure::internal("a request handler panicked")));
    let reply = answered.unwrap_or_else(|failure| {
        let reply = to.error(&failure);
        under_way.seen.failed(failure);
        reply
    });
    under_way.finished(&reply, request_id.as_str());
    reply
}

/// A header that is a list, its lines joined as RFC 9110 §5.3 allows.
fn list(request: &HttpRequest, name: header::HeaderName) -> Option<Cow<'_, str>> {
    let mut lines =
        request.headers().get_all(name).map(|value| String::from_utf8_lossy(value.as_bytes()));
    let first = lines.next()?;
    Some(lines.fold(first, |joined, line| Cow::Owned(format!("{joined}, {line}"))))
}

async fn answer(
    public: &Public,
    request: &HttpRequest,
    arrived: &Arrived<'_>,
    to: &mut ReplyTo<'_>,
    seen: &mut Observation,
) -> Result<HttpResponse, Failure> {
    if request.method() != Method::GET && request.method() != Method::HEAD {
        let message = format!("{} is not allowed, only GET and HEAD", request.method());
        return Err(Failure::new(ErrorCode::MethodNotAllowed, message));
    }
    let settings = &public.settings;
    let base = &settings.base_path;
    let target = base.below(arrived.target).ok_or_else(|| {
        let message = format!("nothing lives outside {}/", base.as_str());
        Failure::new(ErrorCode::NoSuchRoute, message)
    })?;
    if let Some(reply) = fixed_route(target, to)? {
        seen.quiet();
        return Ok(reply);
    }
    let parsed = parse(arrived.target, target, settings);
    if parsed.as_ref().is_err_and(|failure| failure.code == ErrorCode::BadParameter) {
        // Whoever may not ask learns nothing of what could be asked.
        let origin = request::origin_of(target);
        settings.access.admit_reader(arrived.target, origin.as_ref())?;
    }
    let image = parsed?;
    to.negotiable = image.is_negotiable();
    seen.asked(&image);
    settings.access.admit(&image, arrived.target, &settings.presets, unix_now())?;
    if image.is_info() {
        return info(public, &image, arrived, to).await;
    }
    picture(public, &image, arrived, to, seen).await
}

async fn picture(
    public: &Public,
    image: &ImageRequest,
    arrived: &Arrived<'_>,
    to: &ReplyTo<'_>,
    seen: &mut Observation,
) -> Result<HttpResponse, Failure> {
    let settings = &public.settings;
    let accepts = negotiate(arrived.accept);
    let wish = image
        .resolve(accepts, &public.service.limits)
        .map_err(|bad| Failure::new(ErrorCode::BadParameter, bad.to_string()))?;
    let wish = Arc::new(wish);
    let sized_path = image.mirror_path().filter(|_| settings.mirror);
    let placement = match &sized_path {
        Some(path) => Placement::Mirror { path: path.clone() },
        None => Placement::Versioned,
    };
    let ask = Ask {
        source: image.source.clone(),
        v: image.version.clone(),
        wish: Arc::clone(&wish),
        placement: placement.clone(),
        deadline: arrived.at + settings.request_timeout,
        trace: seen.trace(),
    };
    let is_known =
        |etag: &str| arrived.if_none_match.is_some_and(|known| caching::names(known, etag));
    let Answer { key, made, stale } = public.service.answer(ask, is_known).await?;
    let known = public.memo.keep(arrived.target, || {
        let unbounded = image.access.exp.is_none();
        let cache_control = unbounded.then(|| cache_control(settings, image, false));
        Known::new(arrived.target, image, placement, cache_control)
    });
    if let Some(known) = known {
        known.wishes(accepts, &wish);
    }
    let identity = Identity::new(&key.etag(), &key.source);
    let cache_control = cache_control(settings, image, stale);
    let dress = Dress { identity: &identity, cache_control };
    let Some(made) = made else { return Ok(to.not_modified(dress)) };
    seen.made(&made);
    if let (Some(base), Some(path)) = (&settings.redirect_to, &sized_path)
        && made.stored
    {
        return Ok(to.redirect(&public_url(base, path)));
    }
    let show = Show::of(image.download.as_ref());
    let look = Look::new(&made.variant, show, key.source.key.file_name());
    let how = How { cache: made.cache, stages: &made.timings, total: arrived.at.elapsed() };
    Ok(to.picture(dress, &look, &made.variant, &how))
}

/// The document about an original.
async fn info(
    public: &Public,
    image: &ImageRequest,
    arrived: &Arrived<'_>,
    to: &ReplyTo<'_>,
) -> Result<HttpResponse, Failure> {
    let deadline = arrived.at + public.settings.request_timeout;
    let is_known =
        |etag: &str| arrived.if_none_match.is_some_and(|known| caching::names(known, etag));
    let answer =
        public.service.info(&image.source, image.version.as_deref(), deadline, is_known).await?;
    let identity = Identity::new(&answer.etag, &answer.source);
    let stale = answer.cache == CacheStatus::Stale;
    let cache_control = cache_control(&public.settings, image, stale);
    let dress = Dress { identity: &identity, cache_control };
    Ok(match &answer.info {
        None => to.not_modified(dress),
        Some(info) => to.info(&answer, info.to_json(), Show::of(image.download.as_ref()), dress),
    })
}

/// How long an answer may be kept.
fn cache_control(settings: &HttpSettings, image: &ImageRequest, stale: bool) -> HeaderValue {
    let policy = if stale {
        CachePolicy::Stale
    } else {
        CachePolicy::of(image.version.is_some(), &settings.cache_control)
    };
    value(&policy.header(image.access.exp.map(|exp| exp.saturating_sub(unix_now()))))
}

/// The public URL of a stored variant, its path encoded again.
pub(in crate::service) fn public_url(base: &str, path: &str) -> String {
    const PATH: &percent_encoding::AsciiSet = &percent_encoding::CONTROLS
        .add(b' ')
        .add(b'"')
        .add(b'#')
        .add(b'%')
        .add(b'<')
        .add(b'>')
        .add(b'?')
        .add(b'`')
        .add(b'{')
        .add(b'}');
    format!("{}/{}", base.trim_end_matches('/'), percent_encoding::utf8_percent_encode(path, PATH))
}

/// What is no picture: `/`, `/health`, and the reserved area `/_/`.
fn fixed_route(target: &str, to: &ReplyTo<'_>) -> Result<Option<HttpResponse>, Failure> {
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    match path {
        "/health" => Ok(Some(to.text("ok\n"))),
        // `/?key=…` is how an S3 website redirect asks for a picture.
        "/" | "" if query.is_empty() => {
            Ok(Some(to.text("Lenslet makes pictures by URL: /photo.jpg?w=400&f=auto\n")))
        }
        _ if path == "/_" || path.starts_with("/_/") => {
            Err(Failure::new(ErrorCode::NoSuchRoute, format!("nothing lives at {path}")))
        }
        _ => Ok(None),
    }
}

fn parse(full: &str, target: &str, settings: &HttpSettings) -> Result<ImageRequest, Failure> {
    if full.len() > MAX_TARGET {
        let message = format!("the URL has {} bytes, the limit is {MAX_TARGET}", full.len());
        return Err(Failure::new(ErrorCode::TargetTooLong, message));
    }
    let dialect = DialectSettings {
        presets: &settings.presets,
        unknown: settings.unknown,
        ignored: &settings.ignored,
    };
    request::parse(target, &dialect).map_err(|error| {
        let code = match error {
            RequestError::Target(_) => ErrorCode::BadTarget,
            RequestError::Parameter(_) => ErrorCode::BadParameter,
            RequestError::Policy(_) => ErrorCode::Policy,
        };
        Failure::new(code, error.to_string())
    })
}

fn unix_now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
