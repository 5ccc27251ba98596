//! What an error of object_store means to us. Its own text is never passed on: it can hold a
//! store's error body with access keys and signatures in it.

use super::OriginError;
use super::remote::remote_fault;
use object_store::Error;
use object_store::client::{HttpError, HttpErrorKind};
use std::error::Error as StdError;

/// Why one read of an original ended.
#[derive(Debug, Clone)]
pub(super) enum ReadFault {
    /// The object is no longer the version that was asked for.
    Changed,
    /// Anything else.
    Failed(OriginError),
}

impl From<OriginError> for ReadFault {
    fn from(error: OriginError) -> Self {
        Self::Failed(error)
    }
}

impl From<Error> for ReadFault {
    fn from(error: Error) -> Self {
        // A resumed body wraps the refusal of its second request.
        let changed = |e: &(dyn StdError + 'static)| {
            matches!(e.downcast_ref(), Some(Error::Precondition { .. }))
        };
        if chain(&error).any(changed) { Self::Changed } else { Self::Failed(origin_error(&error)) }
    }
}

/// Maps a store's error: 404 → `NotFound`, 401 and 403 → `Forbidden`, a timeout → `TimedOut`,
/// the rest → `Unavailable` in words of ours.
pub(super) fn origin_error(error: &Error) -> OriginError {
    match error {
        // A key that cannot be a path names nothing.
        Error::NotFound { .. } | Error::InvalidPath { .. } => return OriginError::NotFound,
        Error::PermissionDenied { .. } | Error::Unauthenticated { .. } => {
            return OriginError::Forbidden;
        }
        _ => {}
    }
    if let Some(fault) = remote_fault(error) {
        return OriginError::Unusable(fault.to_string());
    }
    let http = chain(error).find_map(|e| e.downcast_ref::<HttpError>());
    match http.map(HttpError::kind) {
        Some(HttpErrorKind::Timeout) => OriginError::TimedOut,
        Some(HttpErrorKind::Connect) => unavailable("it cannot be reached"),
        Some(HttpErrorKind::Interrupted | HttpErrorKind::Request | HttpErrorKind::Decode) => {
            unavailable("the connection broke off")
        }
        Some(_) => unavailable("the request could not be made"),
        None => match status(error) {
            // A listing's refusal comes without a kind of its own.
            Some(401 | 403) => OriginError::Forbidden,
            Some(status) => unavailable(&format!("it answered with status {status}")),
            None => unavailable("its answer was not understood"),
        },
    }
}

/// What went wrong in words of ours, for whoever reports on a store: `it answered with status 503`.
#[must_use]
pub fn what_failed(error: &Error) -> String {
    match origin_error(error) {
        OriginError::Unavailable(words) | OriginError::Unusable(words) => words,
        other => other.to_string(),
    }
}

/// Whether the store knows who asks and does not let them.
#[must_use]
pub fn is_refused(error: &Error) -> bool {
    matches!(error, Error::PermissionDenied { .. }) || status(error) == Some(403)
}

fn unavailable(words: &str) -> OriginError {
    OriginError::Unavailable(words.to_owned())
}

/// The error and its causes, outermost first.
fn chain<'a>(error: &'a Error) -> impl Iterator<Item = &'a (dyn StdError + 'static)> {
    let first: &'a (dyn StdError + 'static) = error;
    // A reference to an error is an error too, which is not the one whose cause is wanted.
    std::iter::successors(Some(first), |e| (**e).source())
}

/// The status of an answer, which object_store tells in its text alone.
fn status(error: &Error) -> Option<u16> {
    const BEFORE: &str = "status code: ";
    chain(error).find_map(|e| {
        let text = e.to_string();
        let at = text.find(BEFORE)? + BEFORE.len();
        text.get(at..at + 3)?.parse().ok()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn generic(text: &str) -> Error {
        Error::Generic { store: "S3", source: text.to_owned().into() }
    }

    #[test]
    fn a_refusal_is_forbidden_and_a_missing_object_not_found() {
        let path = || "a".to_owned();
        let denied = Error::PermissionDenied { path: path(), source: "".into() };
        let unsigned = Error::Unauthenticated { path: path(), source: "".into() };
        let missing = Error::NotFound { path: path(), source: "".into() };
        assert_eq!(origin_error(&denied), OriginError::Forbidden);
        assert_eq!(origin_error(&unsigned), OriginError::Forbidden);
        assert_eq!(origin_error(&missing), OriginError::NotFound);
    }

    #[test]
    fn a_status_is_told_and_the_body_of_the_store_is_not() {
        let error =
            generic("Server returned non-2xx status code: 503 Service Unavailable: AKIASECRET");
        let OriginError::Unavailable(text) = origin_error(&error) else {
            panic!("not unavailable")
        };
        assert!(text.contains("503") && !text.contains("AKIASECRET"), "{text}");
    }

    #[test]
    fn a_timeout_below_other_errors_is_found() {
        let slow = HttpError::new(HttpErrorKind::Timeout, std::io::Error::other("slow"));
        let error = Error::Generic { store: "S3", source: Box::new(slow) };
        assert_eq!(origin_error(&error), OriginError::TimedOut);
    }

    #[test]
    fn a_precondition_inside_a_resumed_body_is_a_change() {
        let inner = Error::Precondition { path: "a".to_owned(), source: "".into() };
        let outer = Error::Generic { store: "S3", source: Box::new(inner) };
        assert!(matches!(ReadFault::from(outer), ReadFault::Changed));
        assert!(matches!(
            ReadFault::from(generic("x")),
            ReadFault::Failed(OriginError::Unavailable(_))
        ));
    }
}
