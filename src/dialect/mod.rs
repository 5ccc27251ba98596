//! Floor 1: URL text → `ImageRequest`. Text ends here: nothing behind it sees a parameter name.
//!
//! A request target is read in this order: the service cuts off its mount, [`signature::verify`]
//! looks at the raw bytes, [`request::parse`] reads path and query by the one table in
//! [`options`], and [`request::ImageRequest::resolve`] meets the client's `Accept`
//! ([`accept::negotiate`]) and the limits. It never fetches, never looks at the clock and never
//! chooses a status code.
#![deny(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation
)]

pub mod accept;
pub mod explain;
mod foreign;
#[cfg(test)]
mod laws;
pub mod options;
pub mod presets;
mod query;
pub mod request;
pub mod signature;
mod target;
mod values;

/// The longest request target worth reading, in bytes; the service answers longer ones itself.
pub const MAX_TARGET: usize = 8_192;

pub use accept::negotiate;
pub use presets::{PolicyError, PresetError, Presets};
pub use request::{
    Access, DialectSettings, Download, IgnoredName, ImageRequest, RequestError, SizeError,
    SizedPath, UnknownParams, Wish, parse,
};
pub use target::TargetError;
