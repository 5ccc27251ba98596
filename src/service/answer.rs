//! What goes into the story of a request and what comes out of it, as plain data. Never decides
//! anything and knows no HTTP.

use super::render::Timings;
use crate::model::key::{SourceId, VariantKey};
use crate::model::source::Header;
use crate::model::transform::Transform;
use crate::telemetry::trace::TraceContext;
use crate::variants::{Placement, Variant};
use std::sync::Arc;
use std::time::Instant;

/// What one request asks of the service.
#[derive(Debug, Clone)]
pub struct Ask {
    /// Which original.
    pub source: SourceId,
    /// The version label of the URL; a new one forces a look at the origin.
    pub v: Option<String>,
    /// The canonical wish.
    pub wish: Arc<Transform>,
    /// Where the variant lies in the store.
    pub placement: Placement,
    /// When the answer must be there.
    pub deadline: Instant,
    /// The trace it belongs to.
    pub trace: Option<TraceContext>,
}

/// How an answer came about, for `X-Cache`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum CacheStatus {
    /// From this process's memory.
    Memory,
    /// Made for somebody else who asked at the same time.
    Joined,
    /// Read from the variant store.
    Store,
    /// Rendered for this request.
    Rendered,
    /// An older version, because the origin is down.
    Stale,
}

impl CacheStatus {
    /// The word on the wire.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Joined => "joined",
            Self::Store => "store",
            Self::Rendered => "rendered",
            Self::Stale => "stale",
        }
    }
}

/// A picture to answer with, or the news that the client has it.
#[derive(Debug, Clone)]
pub struct Answer {
    /// Its identity, and so its ETag.
    pub key: VariantKey,
    /// The picture; none: the client's copy is good (304).
    pub made: Option<Made>,
    /// Whether the origin could not confirm that this is the newest version.
    pub stale: bool,
}

/// A variant and how it came about.
#[derive(Debug, Clone)]
pub struct Made {
    /// The picture.
    pub variant: Arc<Variant>,
    /// Where it came from.
    pub cache: CacheStatus,
    /// Where the time went.
    pub timings: Timings,
    /// The original's header and length, where it was read.
    pub source: Option<(Header, u64)>,
    /// Whether the store is known to hold it (for `ON_MISS=redirect`).
    pub stored: bool,
    /// The trace of the request whose flight brought it.
    pub leader: Option<TraceContext>,
}
