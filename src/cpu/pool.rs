//! The threads that render: a rayon pool of our own, so that nothing else's work queues between
//! renders and codecs find the stack they need. A panic costs its job and nothing more. Never
//! decides whether work is admitted; the ticket says so.

use super::admission::Ticket;
use super::metrics::CpuMetrics;
use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use tokio::sync::oneshot;

/// Codecs put large rows and tables on the stack.
const STACK_BYTES: usize = 8 << 20;

/// The system gave no threads.
#[derive(Debug, thiserror::Error)]
#[error("cannot start {threads} render threads: {source}")]
pub struct PoolError {
    threads: usize,
    source: rayon::ThreadPoolBuildError,
}

/// Why a job has no result.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum JobLost {
    /// It panicked, with this message.
    #[error("the job panicked: {0}")]
    Panicked(String),
    /// The pool went away before the job ran.
    #[error("the render pool has stopped")]
    Stopped,
}

/// The pool. Dropping it lets running jobs end.
#[derive(Debug)]
pub struct Pool {
    threads: rayon::ThreadPool,
    metrics: CpuMetrics,
}

impl Pool {
    /// Starts `threads` threads (at least 1), named `render-0`, `render-1`, ….
    ///
    /// # Errors
    /// [`PoolError`] if the system gives no threads.
    pub fn new(threads: usize, metrics: CpuMetrics) -> Result<Self, PoolError> {
        let threads = threads.max(1);
        let panics = metrics.panics.clone();
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .thread_name(|index| format!("render-{index}"))
            .stack_size(STACK_BYTES)
            // Jobs catch their own; without this, rayon ends the process on whatever is left,
            // such as a panic while a lost result is dropped.
            .panic_handler(move |payload| {
                panics.inc();
                tracing::error!(message = message_of(&*payload), "a render thread panicked");
            })
            .build()
            .map_err(|source| PoolError { threads, source })?;
        Ok(Self { threads: pool, metrics })
    }

    /// Runs `job` on the pool and returns its result. Dropping the future before the job began
    /// means that it never begins; a job that runs, runs to its end. The ticket goes back when
    /// the job is over and what it held is dropped, before its result is told.
    ///
    /// # Errors
    /// [`JobLost::Panicked`] if the job panicked.
    pub async fn run<T, F>(&self, ticket: Ticket, job: F) -> Result<T, JobLost>
    where
        T: Send + 'static,
        F: FnOnce() -> T + Send + 'static,
    {
        self.run_with(ticket, |_ticket| job()).await
    }

    /// [`Pool::run`] for a job that may take memory out of its ticket, or more into it.
    ///
    /// # Errors
    /// [`JobLost::Panicked`] if the job panicked.
    pub async fn run_with<T, F>(&self, ticket: Ticket, job: F) -> Result<T, JobLost>
    where
        T: Send + 'static,
        F: FnOnce(&mut Ticket) -> T + Send + 'static,
    {
        let (tell, told) = oneshot::channel();
        let metrics = self.metrics.clone();
        self.threads.spawn(move || {
            if tell.is_closed() {
                metrics.skipped.inc();
                return;
            }
            let mut ticket = ticket;
            ticket.begin();
            // A job owns what it touches, so nothing half-changed outlives its panic.
            let result = catch_unwind(AssertUnwindSafe(|| job(&mut ticket)));
            metrics.jobs.inc();
            drop(ticket);
            // The caller may have gone meanwhile; then the result is dropped here.
            let _ = tell.send(result.map_err(|payload| {
                metrics.panics.inc();
                JobLost::Panicked(message_of(&*payload).to_owned())
            }));
        });
        told.await.unwrap_or(Err(JobLost::Stopped))
    }
}

/// What the panic said, where it said something.
fn message_of(payload: &(dyn Any + Send)) -> &str {
    let text = payload.downcast_ref::<&'static str>().copied();
    text.or_else(|| payload.downcast_ref::<String>().map(String::as_str)).unwrap_or("no message")
}
