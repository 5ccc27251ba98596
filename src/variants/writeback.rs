//! Writes behind the reply: a bounded queue of tracked tasks. A full queue drops what does not
//! fit and says so in the counters; it never makes a reply wait. Never forgets an accepted
//! write: at shutdown each one is finished or counted as dropped.

use super::metrics::VariantMetrics;
use std::future::Future;
use std::sync::Arc;
use std::time::Instant;
use tokio::runtime::Handle;
use tokio::sync::{Semaphore, oneshot, watch};

/// What came of the accepted writes between the call to drain and its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Drained {
    /// Writes that ran to their end, well or not.
    pub finished: u64,
    /// Writes given up at the deadline.
    pub dropped: u64,
}

#[derive(Debug, Clone, Copy, Default)]
struct Pending {
    writes: usize,
    bytes: u64,
    closed: bool,
    finished: u64,
    dropped: u64,
}

/// The queue. Clones share it.
#[derive(Debug, Clone)]
pub(super) struct Queue(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    runtime: Handle,
    max_writes: usize,
    max_bytes: u64,
    writers: Semaphore,
    pending: watch::Sender<Pending>,
    /// Becomes `true` once: writes still pending are given up.
    give_up: watch::Sender<bool>,
    metrics: VariantMetrics,
}

impl Queue {
    /// At most `max_writes` writes of `max_bytes` bytes together are pending; `writers` of them
    /// (at least 1) run at a time, all on `runtime`.
    pub(super) fn new(
        runtime: Handle,
        max_writes: usize,
        max_bytes: u64,
        writers: usize,
        metrics: VariantMetrics,
    ) -> Self {
        Self(Arc::new(Inner {
            runtime,
            max_writes,
            max_bytes,
            writers: Semaphore::new(writers.max(1)),
            pending: watch::Sender::default(),
            give_up: watch::Sender::new(false),
            metrics,
        }))
    }

    /// Accepts a write that holds `bytes`, or drops it (`None`) if it does not fit. The receiver
    /// tells its result; it may be ignored.
    pub(super) fn offer<T: Send + 'static>(
        &self,
        bytes: u64,
        write: impl Future<Output = T> + Send + 'static,
    ) -> Option<oneshot::Receiver<T>> {
        let mut accepted = false;
        let inner = &self.0;
        inner.pending.send_if_modified(|pending| {
            let fits = pending.writes < inner.max_writes
                && pending.bytes.saturating_add(bytes) <= inner.max_bytes;
            if fits && !pending.closed {
                pending.writes += 1;
                pending.bytes += bytes;
                inner.gauge(pending);
                accepted = true;
            }
            // Only the end of the last one is waited for.
            false
        });
        if !accepted {
            inner.metrics.write_dropped.inc();
            return None;
        }
        let place = Place { inner: Arc::clone(inner), bytes, finished: false };
        let (tell, told) = oneshot::channel();
        inner.runtime.spawn(async move {
            let mut place = place;
            let inner = Arc::clone(&place.inner);
            let mut give_up = inner.give_up.subscribe();
            let run = async {
                // The semaphore is never closed.
                let _writer = inner.writers.acquire().await;
                write.await
            };
            tokio::select! {
                biased;
                result = run => {
                    place.finished = true;
                    // Nobody waits for it in asynchronous mode.
                    let _ = tell.send(result);
                }
                _ = give_up.wait_for(|given_up| *given_up) => {}
            }
            drop(place);
        });
        Some(told)
    }

    /// Accepts nothing more and waits for what was accepted, until `deadline`; then gives up the
    /// rest.
    pub(super) async fn drain(&self, deadline: Instant) -> Drained {
        let inner = &self.0;
        let mut before = Pending::default();
        inner.pending.send_if_modified(|pending| {
            pending.closed = true;
            before = *pending;
            false
        });
        let empty = |pending: &Pending| pending.writes == 0;
        let mut watched = inner.pending.subscribe();
        let all = tokio::time::timeout_at(deadline.into(), watched.wait_for(empty)).await.is_ok();
        if !all {
            inner.give_up.send_replace(true);
            // Tasks let go at their next poll; one stuck in between is not worth the exit.
            let grace = std::time::Duration::from_millis(200);
            let mut watched = inner.pending.subscribe();
            let _ = tokio::time::timeout(grace, watched.wait_for(empty)).await;
        }
        let after = *inner.pending.borrow();
        Drained {
            finished: after.finished - before.finished,
            dropped: after.dropped - before.dropped + after.writes as u64,
        }
    }
}

impl Inner {
    fn gauge(&self, pending: &Pending) {
        self.metrics.queue_depth.set(i64::try_from(pending.writes).unwrap_or(i64::MAX));
        self.metrics.queue_bytes.set(i64::try_from(pending.bytes).unwrap_or(i64::MAX));
    }
}

/// A place in the queue, given back when dropped: at the end of the write, when it panicked,
/// when it was given up, when the runtime went away.
struct Place {
    inner: Arc<Inner>,
    bytes: u64,
    finished: bool,
}

impl Drop for Place {
    fn drop(&mut self) {
        if !self.finished {
            self.inner.metrics.write_dropped.inc();
        }
        self.inner.pending.send_if_modified(|pending| {
            pending.writes = pending.writes.saturating_sub(1);
            pending.bytes = pending.bytes.saturating_sub(self.bytes);
            if self.finished {
                pending.finished += 1;
            } else {
                pending.dropped += 1;
            }
            self.inner.gauge(pending);
            pending.writes == 0
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
    use std::time::Duration;
    use tokio::sync::Notify;

    fn queue(max_writes: usize, max_bytes: u64, writers: usize) -> (Queue, VariantMetrics) {
        let metrics = VariantMetrics::default();
        let queue = Queue::new(Handle::current(), max_writes, max_bytes, writers, metrics.clone());
        (queue, metrics)
    }

    fn soon() -> Instant {
        Instant::now() + Duration::from_secs(10)
    }

    #[tokio::test]
    async fn the_queue_is_bounded_in_number_and_in_bytes_and_never_waits() {
        let (queue, metrics) = queue(3, 1_000, 1);
        let gate = Arc::new(Notify::new());
        let wait = || {
            let gate = Arc::clone(&gate);
            async move { gate.notified().await }
        };
        assert!(queue.offer(600, wait()).is_some());
        assert!(queue.offer(600, wait()).is_none(), "bytes");
        assert!(queue.offer(200, wait()).is_some());
        assert!(queue.offer(200, wait()).is_some());
        assert!(queue.offer(0, wait()).is_none(), "number");
        assert_eq!(metrics.write_dropped.get(), 2);
        assert_eq!((metrics.queue_depth.get(), metrics.queue_bytes.get()), (3, 1_000));
        for _ in 0..3 {
            gate.notify_one();
            tokio::task::yield_now().await;
        }
        let release = async {
            loop {
                gate.notify_one();
                tokio::task::yield_now().await;
            }
        };
        let drained = tokio::select! {
            drained = queue.drain(soon()) => drained,
            () = release => unreachable!("it runs for ever"),
        };
        assert_eq!(drained.dropped, 0);
        assert_eq!((metrics.queue_depth.get(), metrics.queue_bytes.get()), (0, 0));
    }

    #[tokio::test]
    async fn no_more_writers_run_at_a_time_than_allowed() {
        let (queue, _) = queue(100, 1_000, 2);
        let (running, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        for _ in 0..50 {
            let (running, most) = (Arc::clone(&running), Arc::clone(&most));
            let accepted = queue.offer(1, async move {
                most.fetch_max(running.fetch_add(1, SeqCst) + 1, SeqCst);
                tokio::task::yield_now().await;
                running.fetch_sub(1, SeqCst);
            });
            assert!(accepted.is_some());
        }
        assert_eq!(queue.drain(soon()).await, Drained { finished: 50, dropped: 0 });
        assert_eq!(most.load(SeqCst), 2);
    }

    #[tokio::test]
    async fn a_drain_waits_for_the_accepted_and_refuses_the_rest() {
        let (queue, metrics) = queue(10, 1_000, 4);
        let done = Arc::new(AtomicUsize::new(0));
        for _ in 0..4 {
            let done = Arc::clone(&done);
            queue.offer(1, async move {
                tokio::time::sleep(Duration::from_millis(30)).await;
                done.fetch_add(1, SeqCst);
            });
        }
        assert_eq!(queue.drain(soon()).await, Drained { finished: 4, dropped: 0 });
        assert_eq!(done.load(SeqCst), 4);
        assert!(queue.offer(1, async {}).is_none());
        assert_eq!(metrics.write_dropped.get(), 1);
    }

    #[tokio::test]
    async fn a_drain_gives_up_at_its_deadline_and_counts_what_it_gave_up() {
        let (queue, metrics) = queue(10, 1_000, 1);
        for _ in 0..3 {
            queue.offer(1, std::future::pending::<()>());
        }
        let begun = Instant::now();
        let drained = queue.drain(begun + Duration::from_millis(50)).await;
        assert_eq!(drained, Drained { finished: 0, dropped: 3 });
        assert!(begun.elapsed() < Duration::from_secs(5));
        assert_eq!(metrics.write_dropped.get(), 3);
    }

    #[tokio::test]
    async fn a_panicking_write_gives_its_place_back() {
        let (queue, metrics) = queue(1, 10, 1);
        let told = queue.offer(10, async { panic!("meant to") }).unwrap();
        let told: Result<(), _> = told.await;
        assert!(told.is_err());
        while metrics.queue_depth.get() != 0 {
            tokio::task::yield_now().await;
        }
        assert_eq!(metrics.write_dropped.get(), 1);
        assert_eq!(queue.offer(10, async { 7 }).unwrap().await, Ok(7));
    }
}
