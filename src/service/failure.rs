//! Everything that can end a request without a picture, once: a stable code, a public sentence,
//! and what it came from. The status that goes with a code stands in `http::error`. Public
//! sentences name what the client sent; what only the operator may see goes into `detail`.

use crate::codec::DecodeError;
use crate::cpu::{JobLost, Refused};
use crate::origin::OriginError;
use crate::pipeline::{PlanError, RenderError};
use crate::telemetry::metrics::Outcome;

/// The stable name of a failure, sent as `X-Error-Code`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ErrorCode {
    /// The target is not a URL of ours.
    BadTarget,
    /// A parameter is unknown, malformed, out of range or contradicts another.
    BadParameter,
    /// The target is longer than we read.
    TargetTooLong,
    /// Nothing lives at this path.
    NoSuchRoute,
    /// Neither GET nor HEAD.
    MethodNotAllowed,
    /// A signature is needed and absent.
    SignatureMissing,
    /// A signature is there and wrong.
    SignatureInvalid,
    /// The signature's time is over.
    Expired,
    /// The request is not among those allowed without a signature.
    Policy,
    /// No such original.
    SourceNotFound,
    /// The origin refuses us.
    SourceForbidden,
    /// The original is over a limit.
    SourceTooLarge,
    /// The result would be over a limit.
    OutputTooLarge,
    /// The original is no image, or of a kind we do not read.
    NotAnImage,
    /// The original is damaged.
    SourceBroken,
    /// Too much to do.
    Overloaded,
    /// The time of the request was up before the work was done.
    DeadlinePassed,
    /// The origin failed.
    OriginFailed,
    /// The origin was too slow.
    OriginTimeout,
    /// A bug of ours.
    Internal,
}

impl ErrorCode {
    /// As what a render that failed so is counted.
    #[must_use]
    pub const fn outcome(self) -> Outcome {
        match self {
            Self::SourceNotFound
            | Self::SourceForbidden
            | Self::SourceTooLarge
            | Self::NotAnImage
            | Self::SourceBroken
            | Self::OriginFailed
            | Self::OriginTimeout => Outcome::SourceError,
            Self::Overloaded => Outcome::Shed,
            Self::DeadlinePassed => Outcome::Timeout,
            Self::Internal => Outcome::Panic,
            Self::BadTarget
            | Self::BadParameter
            | Self::TargetTooLong
            | Self::NoSuchRoute
            | Self::MethodNotAllowed
            | Self::SignatureMissing
            | Self::SignatureInvalid
            | Self::Expired
            | Self::Policy
            | Self::OutputTooLarge => Outcome::ClientError,
        }
    }
}

/// A request that ends without a picture. Clone: a flight hands it to every waiter.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Failure {
    /// Which kind.
    pub code: ErrorCode,
    /// For the client: what was wrong, with the value and the range.
    pub message: String,
    /// For the operator's log only.
    pub detail: Option<String>,
    /// Seconds after which trying again makes sense.
    pub retry_after: Option<u32>,
}

impl Failure {
    /// A failure the client may read in full.
    #[must_use]
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), detail: None, retry_after: None }
    }

    /// A bug: the client learns nothing but that.
    #[must_use]
    pub fn internal(detail: impl Into<String>) -> Self {
        let message = "something went wrong on our side".to_owned();
        Self { code: ErrorCode::Internal, message, detail: Some(detail.into()), retry_after: None }
    }

    fn with_detail(mut self, detail: impl std::fmt::Display) -> Self {
        self.detail = Some(detail.to_string());
        self
    }

    /// Whether the original is at fault in a way that only a new version of it can mend.
    #[must_use]
    pub const fn is_of_the_source(&self) -> bool {
        matches!(
            self.code,
            ErrorCode::NotAnImage | ErrorCode::SourceBroken | ErrorCode::SourceTooLarge
        )
    }
}

impl From<OriginError> for Failure {
    fn from(error: OriginError) -> Self {
        let message = error.to_string();
        match error {
            OriginError::UnknownOrigin(_) | OriginError::NotFound => {
                Self::new(ErrorCode::SourceNotFound, message)
            }
            OriginError::Forbidden => {
                // To the client a forbidden original is one that is not there (SEMANTICS 27).
                Self::new(ErrorCode::SourceForbidden, OriginError::NotFound.to_string())
                    .with_detail(message)
            }
            OriginError::TooLarge { .. } => Self::new(ErrorCode::SourceTooLarge, message),
            OriginError::Unavailable(_) => {
                Self::new(ErrorCode::OriginFailed, "the origin failed").with_detail(message)
            }
            // Whoever set the origin up has to read what it must do; no host is named in it.
            OriginError::Unusable(_) => Self::new(ErrorCode::OriginFailed, message),
            OriginError::TimedOut => Self::new(ErrorCode::OriginTimeout, message),
            OriginError::Busy => {
                let mut failure = Self::new(ErrorCode::Overloaded, message);
                failure.retry_after = Some(1);
                failure
            }
        }
    }
}

impl From<DecodeError> for Failure {
    fn from(error: DecodeError) -> Self {
        let code = match error {
            DecodeError::NotAnImage(_) | DecodeError::Unsupported(_) => ErrorCode::NotAnImage,
            DecodeError::Broken { .. } => ErrorCode::SourceBroken,
        };
        Self::new(code, error.to_string())
    }
}

impl From<PlanError> for Failure {
    fn from(error: PlanError) -> Self {
        let code = match error {
            PlanError::SourceTooLarge { .. } | PlanError::SideTooLong { .. } => {
                ErrorCode::SourceTooLarge
            }
            PlanError::OutputTooLarge { .. } => ErrorCode::OutputTooLarge,
            PlanError::EmptyCrop { .. } => ErrorCode::BadParameter,
        };
        Self::new(code, error.to_string())
    }
}

impl From<RenderError> for Failure {
    fn from(error: RenderError) -> Self {
        match error {
            RenderError::Decode(error) => error.into(),
            RenderError::Encode(_) | RenderError::Step { .. } => Self::internal(error.to_string()),
        }
    }
}

impl From<Refused> for Failure {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::Busy { retry_after_seconds } => {
                let mut failure =
                    Self::new(ErrorCode::Overloaded, "too many pictures are being made");
                failure.retry_after = Some(retry_after_seconds.into());
                failure
            }
            Refused::TooCostly { .. } => Self::new(ErrorCode::SourceTooLarge, refused.to_string()),
            Refused::Expired => Self::deadline(),
        }
    }
}

impl From<JobLost> for Failure {
    fn from(lost: JobLost) -> Self {
        Self::internal(lost.to_string())
    }
}

impl Failure {
    /// The request's time is up.
    #[must_use]
    pub fn deadline() -> Self {
        let mut failure =
            Self::new(ErrorCode::DeadlinePassed, "the picture could not be made in time");
        failure.retry_after = Some(1);
        failure
    }
}
