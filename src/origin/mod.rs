//! Floor 2: originals. Opens the stores they lie in, learns their version (a cached, coalesced
//! HEAD) and fetches their bytes (coalesced, pinned to that version, bounded in number and
//! memory, kept for a while). Never decodes, never writes to a store of originals.

mod clouds;
pub mod connect;
mod failure;
mod fetch;
mod freshness;
mod kept;
pub mod list;
pub mod local;
pub mod metrics;
pub mod origins;
mod remote;
mod remote_address;
pub mod store;
mod trouble;

#[cfg(test)]
mod kept_tests;
#[cfg(test)]
mod local_tests;
#[cfg(test)]
mod memory_tests;
#[cfg(test)]
mod s3_tests;
#[cfg(test)]
#[path = "../../tests/s3wire/server.rs"]
pub(crate) mod s3wire;
#[cfg(test)]
mod scripted;

pub use connect::install_tls;
pub use failure::{is_refused, what_failed};
pub use list::ListedOriginal;
pub use local::{Links, ReadOnlyFolder};
pub use metrics::OriginMetrics;
pub use origins::{Believed, FetchPolicy, OriginSpec, Origins, OwnBounds, SourceTtl, Version};
pub use store::{OpenStore, Role, StoreKind, StoreTimeouts, StoreUrlError, open};

use crate::model::key::SourceVersion;
use bytes::Bytes;

/// The name of the user metadata that marks an object as a variant of ours. S3 lowers the case
/// of such names and some stores allow nothing but letters and digits.
pub const MARK: &str = "lensletdigest";

/// What a HEAD tells of an original.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceMeta {
    /// Which version lies there.
    pub version: SourceVersion,
    /// Bytes of the object.
    pub bytes: u64,
    /// The store's own ETag, for If-Match; absent where the store has none.
    pub etag: Option<String>,
    /// Modification time in seconds since 1970, where the store tells.
    pub modified: Option<i64>,
}

/// An original, read whole. `meta` is of the bytes *read*, whatever was expected.
#[derive(Debug, Clone)]
pub struct Original {
    /// What was read.
    pub meta: SourceMeta,
    /// The bytes, shared between everyone who waited for them.
    pub body: Bytes,
    /// It carries [`MARK`]: a variant of ours, not an original.
    pub ours: bool,
}

/// Why an original could not be had. Clone: a flight hands the same error to every waiter.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OriginError {
    /// No origin of that name is configured.
    #[error("no origin is called {0:?}")]
    UnknownOrigin(String),
    /// No such object.
    #[error("no such original")]
    NotFound,
    /// The store refuses us (its 401 or 403).
    #[error("the origin refuses access to this original")]
    Forbidden,
    /// Larger than the limit, by its HEAD or while reading.
    #[error("the original has {bytes} bytes, the limit is {limit}")]
    TooLarge {
        /// Bytes announced or read so far.
        bytes: u64,
        /// The limit.
        limit: u64,
    },
    /// The origin answered with an error, a cut-off or contradictory body, or could not be reached.
    #[error("the origin failed: {0}")]
    Unavailable(String),
    /// The origin answers, but not as an origin has to: the sentence says what it must do.
    #[error("the origin cannot be used: {0}")]
    Unusable(String),
    /// The origin did not answer within the time left.
    #[error("the origin did not answer in time")]
    TimedOut,
    /// Too many fetches are in flight, or their share of memory is taken: shed at once.
    #[error("too many originals are being fetched")]
    Busy,
}

impl OriginError {
    /// One word for metrics and logs.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::UnknownOrigin(_) => "unknown_origin",
            Self::NotFound => "not_found",
            Self::Forbidden => "forbidden",
            Self::TooLarge { .. } => "too_large",
            Self::Unavailable(_) => "unavailable",
            Self::Unusable(_) => "unusable",
            Self::TimedOut => "timed_out",
            Self::Busy => "busy",
        }
    }

    /// Whether it says nothing of the original itself: another attempt, or an older version, may
    /// well be answered.
    #[must_use]
    pub const fn is_passing(&self) -> bool {
        matches!(self, Self::Unavailable(_) | Self::Unusable(_) | Self::TimedOut | Self::Busy)
    }

    /// Whether it says that the origin as a whole is unwell, and not one original or we ourselves.
    #[must_use]
    pub const fn is_of_the_origin(&self) -> bool {
        matches!(self, Self::Unavailable(_) | Self::TimedOut)
    }
}
