//! Scripted faults of the S3 wire server: which request they meet and what it gets. Never decides
//! by chance.

use std::time::Duration;

/// What a matching request gets in place of the real answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Act {
    /// The real answer (with a delay, or only to be counted).
    Pass,
    /// This status with an S3 error body; nothing is read or stored.
    Status(u16),
    /// The real head, then the connection breaks after this many body bytes.
    Cut(u64),
    /// The real head, then silence after this many body bytes.
    Stall(u64),
    /// A PUT answered with 200 and an ETag, of which nothing is stored.
    PutLost,
    /// A PUT stored, then answered with this status.
    PutStored(u16),
}

/// A scripted fault. The first that matches a request acts on it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fault {
    /// Part of the decoded path `/bucket/key`; empty matches all.
    pub(crate) path: String,
    /// `GET`, `HEAD`, … or all.
    pub(crate) method: Option<String>,
    /// How many requests it acts on before it is spent; `None` never is.
    pub(crate) times: Option<u32>,
    /// Waited before anything else.
    pub(crate) delay: Duration,
    /// What happens.
    pub(crate) act: Act,
}

impl Fault {
    /// `act` for every request whose path contains `path`.
    pub(crate) fn new(path: &str, act: Act) -> Self {
        Self { path: path.to_owned(), method: None, times: None, delay: Duration::ZERO, act }
    }

    /// Only for this method.
    pub(crate) fn on(mut self, method: &str) -> Self {
        self.method = Some(method.to_owned());
        self
    }

    /// Only so many times.
    pub(crate) fn times(mut self, times: u32) -> Self {
        self.times = Some(times);
        self
    }

    /// After this long.
    pub(crate) fn after(mut self, delay: Duration) -> Self {
        self.delay = delay;
        self
    }
}
