//! Floor 3: what the process says of itself. `logs` has the one line a request leaves, `metrics`
//! the numbers that are scraped. Never decides anything, and never says a secret.

mod format;
pub mod logs;
pub mod metrics;
mod parts;
mod process;
