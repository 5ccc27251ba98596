//! A request answered on the spot: its URL is known, its original's version is believed, and the
//! picture is in memory or with the client. Says exactly what the long way would say; where anything
//! is not at hand it says nothing, and the long way is taken from its beginning.

use super::caching::{self, CachePolicy};
use super::memo::{Keyed, Known};
use super::prepared::value;
use super::reply::{Dress, How, ReplyTo};
use super::request_id::RequestId;
use super::{Public, list};
use crate::dialect::accept::negotiate;
use crate::dialect::signature;
use crate::model::stage::Stage;
use crate::model::transform::Accepts;
use crate::service::answer::CacheStatus;
use crate::service::at_hand::AtHand;
use crate::telemetry::logs::RequestLine;
use actix_web::http::{Method, header};
use actix_web::{HttpRequest, HttpResponse};
use std::time::Instant;

/// Answers, if everything is at hand. `now` tells the time in seconds since 1970; it is asked for
/// URLs that expire.
pub(super) fn answer(
    public: &Public,
    request: &HttpRequest,
    target: &str,
    at: Instant,
    now: impl Fn() -> u64,
) -> Option<HttpResponse> {
    if request.method() != Method::GET && request.method() != Method::HEAD {
        return None;
    }
    let known = public.memo.get(target)?;
    // The only part of a leave that time takes away.
    let seconds_left = match known.exp {
        Some(exp) => {
            let now = now();
            if signature::expired(exp, now) {
                return None;
            }
            Some(exp.saturating_sub(now))
        }
        None => None,
    };
    let accepts = if known.negotiable {
        negotiate(list(request, header::ACCEPT).as_deref())
    } else {
        Accepts::Classic
    };
    let wanted = known.wanted(accepts)?;
    let if_none_match = list(request, header::IF_NONE_MATCH);
    let is_known = |keyed: &Keyed| {
        let Some(listed) = if_none_match.as_deref() else { return false };
        keyed.identity().etag.to_str().is_ok_and(|etag| caching::names(listed, etag))
    };
    let at_hand = public.service.at_hand(
        (&known.source, known.version.as_deref()),
        &known.placement,
        at,
        |version| wanted.keyed(&known.source, version),
        is_known,
    )?;
    let asked = Asked { request, target, at, known: &known, seconds_left };
    Some(told(public, &asked, at_hand))
}

/// A request that can be answered.
struct Asked<'a> {
    request: &'a HttpRequest,
    target: &'a str,
    at: Instant,
    known: &'a Known,
    /// Until the URL expires, where it does.
    seconds_left: Option<u64>,
}

/// The answer, counted and told of.
fn told(public: &Public, asked: &Asked<'_>, at_hand: AtHand<Keyed>) -> HttpResponse {
    let &Asked { request, target, at, known, seconds_left } = asked;
    let AtHand { key: keyed, variant, version, lookup } = at_hand;
    let request_id = RequestId::in_headers(request.headers());
    let to = ReplyTo {
        cors_origin: public.settings.cors_origin.as_ref(),
        request_id: request_id.as_str(),
        negotiable: known.negotiable,
        json_errors: false,
    };
    let cache_control = known.cache_control.clone().unwrap_or_else(|| {
        let policy = CachePolicy::of(known.version.is_some(), &public.settings.cache_control);
        value(&policy.header(seconds_left))
    });
    let dress = Dress { identity: keyed.identity(), cache_control };
    let both = [(Stage::Version, version), (Stage::Lookup, lookup)];
    let (reply, stages) = match &variant {
        None => (to.not_modified(dress), &both[..0]),
        Some(variant) => {
            let how = How { cache: CacheStatus::Memory, stages: &both, total: at.elapsed() };
            let reply = keyed.look(known, variant, |look| to.picture(dress, look, variant, &how));
            (reply, &both[..])
        }
    };
    let shown = variant.as_deref();
    let line = RequestLine {
        request_id: to.request_id,
        method: request.method().as_str(),
        path: target,
        clean: known.clean,
        status: reply.status().as_u16(),
        bytes_out: match shown {
            Some(variant) if request.method() != Method::HEAD => variant.body.len() as u64,
            _ => 0,
        },
        duration: at.elapsed(),
        cache: shown.map(|_| CacheStatus::Memory.name()),
        source: Some(&known.source_text),
        out_format: shown.map(|variant| variant.format),
        width: shown.map(|variant| variant.size.width),
        height: shown.map(|variant| variant.size.height),
        stages,
        ..RequestLine::default()
    };
    public.observer.answered_at_once(request.headers(), known.route, line);
    reply
}

#[cfg(test)]
mod tests;
