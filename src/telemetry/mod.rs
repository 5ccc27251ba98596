//! Floor 3: what the process says of itself. `logs` has the one line a request leaves, `metrics`
//! the numbers that are scraped, `trace` the spans that are sent. Never decides anything, and
//! never says a secret.

pub mod exposition;
mod format;
pub mod logs;
pub mod metrics;
mod parts;
mod process;
pub mod purge;
mod redact;
mod renders;
mod requests;
mod sink;
pub mod stores;
pub mod trace;
