//! Floor 2: where rendering runs: the rayon pool, its slots and the memory tickets. Work asks
//! for a ticket first, moves it into the job, and the ticket goes back when the work ends, not
//! when its caller loses patience. Never does I/O and knows nothing of images.

mod admission;
mod background;
mod memory;
mod metrics;
mod pool;
#[cfg(test)]
mod tests;

pub use admission::{Admission, Cost, Refused, Ticket};
pub use background::BatchPlace;
pub use memory::{GiveUp, Press, Reservation};
pub use metrics::CpuMetrics;
pub use pool::{JobLost, Pool, PoolError};

use std::time::{Duration, Instant};

/// How much there is to give away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CpuSettings {
    /// Renders that run at a time, and threads of the pool; at least 1.
    pub slots: usize,
    /// How many of them background work may hold; at least 1, at most all.
    pub background_slots: usize,
    /// Batches under way at a time, each of which holds an original; at least 1.
    pub batches: usize,
    /// Renders that wait, at most, however fast the others are.
    pub max_queue: usize,
    /// Bytes all renders together may take.
    pub memory_bytes: u64,
    /// Pixels from which a render counts as a giant.
    pub giant_pixels: u64,
    /// What a job is taken to last before the first one was measured.
    pub expected_job: Duration,
}

/// The pool behind its admission.
#[derive(Debug)]
pub struct Cpu {
    admission: Admission,
    pool: Pool,
}

impl Cpu {
    /// Starts the threads.
    ///
    /// # Errors
    /// [`PoolError`] if the system gives no threads.
    pub fn new(settings: &CpuSettings, metrics: CpuMetrics) -> Result<Self, PoolError> {
        let pool = Pool::new(settings.slots, metrics.clone())?;
        Ok(Self { admission: Admission::new(settings, metrics), pool })
    }

    /// Waits for a slot and memory, as [`Admission::admit`].
    ///
    /// # Errors
    /// [`Refused`], most of the time at once.
    pub async fn admit(&self, cost: Cost, deadline: Instant) -> Result<Ticket, Refused> {
        self.admission.admit(cost, deadline).await
    }

    /// Runs a job on the pool, as [`Pool::run`].
    ///
    /// # Errors
    /// [`JobLost`] if it panicked.
    pub async fn run<T, F>(&self, ticket: Ticket, job: F) -> Result<T, JobLost>
    where
        T: Send + 'static,
        F: FnOnce() -> T + Send + 'static,
    {
        self.pool.run(ticket, job).await
    }

    /// Runs a job that wants a say about its ticket, as [`Pool::run_with`].
    ///
    /// # Errors
    /// [`JobLost`] if it panicked.
    pub async fn run_with<T, F>(&self, ticket: Ticket, job: F) -> Result<T, JobLost>
    where
        T: Send + 'static,
        F: FnOnce(&mut Ticket) -> T + Send + 'static,
    {
        self.pool.run_with(ticket, job).await
    }

    /// The admission alone.
    #[must_use]
    pub fn admission(&self) -> &Admission {
        &self.admission
    }
}
