//! The one table of errors: code → name, status, how long a cache may keep it. No other file
//! knows a status code of a failure.

use crate::service::failure::{ErrorCode, Failure};
use actix_web::http::StatusCode;

/// What a code means in HTTP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Row {
    /// `X-Error-Code`.
    pub(crate) name: &'static str,
    /// The status.
    pub(crate) status: StatusCode,
    /// Seconds a cache may keep it; none: `no-store`.
    pub(crate) max_age: Option<u32>,
    /// A short title for problem+json (RFC 9457).
    pub(crate) title: &'static str,
}

/// The row of a code.
pub(crate) const fn row(code: ErrorCode) -> Row {
    let (name, status, max_age, title) = match code {
        ErrorCode::BadTarget => {
            ("BAD_TARGET", StatusCode::BAD_REQUEST, Some(60), "the URL cannot be read")
        }
        ErrorCode::BadParameter => {
            ("BAD_PARAMETER", StatusCode::BAD_REQUEST, Some(60), "a parameter is wrong")
        }
        ErrorCode::TargetTooLong => {
            ("TARGET_TOO_LONG", StatusCode::URI_TOO_LONG, Some(60), "the URL is too long")
        }
        ErrorCode::NoSuchRoute => {
            ("NO_SUCH_ROUTE", StatusCode::NOT_FOUND, Some(60), "nothing lives here")
        }
        ErrorCode::MethodNotAllowed => {
            ("METHOD_NOT_ALLOWED", StatusCode::METHOD_NOT_ALLOWED, Some(60), "only GET and HEAD")
        }
        ErrorCode::SignatureMissing => {
            ("SIGNATURE_MISSING", StatusCode::FORBIDDEN, None, "the URL is not signed")
        }
        ErrorCode::SignatureInvalid => {
            ("SIGNATURE_INVALID", StatusCode::FORBIDDEN, None, "the signature does not match")
        }
        ErrorCode::Expired => ("EXPIRED", StatusCode::FORBIDDEN, None, "the URL has expired"),
        ErrorCode::Policy => ("POLICY", StatusCode::FORBIDDEN, None, "not allowed here"),
        ErrorCode::SourceNotFound => {
            ("SOURCE_NOT_FOUND", StatusCode::NOT_FOUND, Some(10), "no such original")
        }
        ErrorCode::SourceForbidden => {
            ("SOURCE_FORBIDDEN", StatusCode::NOT_FOUND, Some(10), "no such original")
        }
        ErrorCode::SourceTooLarge => {
            ("SOURCE_TOO_LARGE", StatusCode::PAYLOAD_TOO_LARGE, Some(60), "over a limit")
        }
        ErrorCode::OutputTooLarge => {
            ("OUTPUT_TOO_LARGE", StatusCode::PAYLOAD_TOO_LARGE, Some(60), "over a limit")
        }
        ErrorCode::NotAnImage => {
            ("NOT_AN_IMAGE", StatusCode::UNSUPPORTED_MEDIA_TYPE, Some(60), "not an image we read")
        }
        ErrorCode::SourceBroken => {
            ("SOURCE_BROKEN", StatusCode::UNPROCESSABLE_ENTITY, Some(60), "the original is damaged")
        }
        ErrorCode::Overloaded => {
            ("OVERLOADED", StatusCode::SERVICE_UNAVAILABLE, None, "too busy, try again")
        }
        ErrorCode::DeadlinePassed => {
            ("DEADLINE_PASSED", StatusCode::SERVICE_UNAVAILABLE, None, "out of time, try again")
        }
        ErrorCode::OriginFailed => {
            ("ORIGIN_FAILED", StatusCode::BAD_GATEWAY, None, "the origin failed")
        }
        ErrorCode::OriginTimeout => {
            ("ORIGIN_TIMEOUT", StatusCode::GATEWAY_TIMEOUT, None, "the origin was too slow")
        }
        ErrorCode::Internal => {
            ("INTERNAL", StatusCode::INTERNAL_SERVER_ERROR, None, "a bug of ours")
        }
    };
    Row { name, status, max_age, title }
}

/// The body of an error: a plain sentence, or problem+json where the client asks for JSON.
pub(crate) fn body(failure: &Failure, request_id: &str, json: bool) -> (&'static str, String) {
    let row = row(failure.code);
    if json {
        let problem = serde_json::json!({
            "type": "about:blank",
            "title": row.title,
            "status": row.status.as_u16(),
            "detail": failure.message,
            "code": row.name,
            "request_id": request_id,
        });
        return ("application/problem+json", problem.to_string());
    }
    ("text/plain; charset=utf-8", format!("{}: {}\n", row.name, failure.message))
}

/// Whether an `Accept` asks for JSON by name.
pub(crate) fn wants_json(accept: Option<&str>) -> bool {
    accept.is_some_and(|accept| {
        accept.split(',').any(|part| {
            let kind = part.split(';').next().unwrap_or_default().trim();
            ["application/json", "application/problem+json"]
                .iter()
                .any(|json| kind.eq_ignore_ascii_case(json))
        })
    })
}
