//! The second passes still to come: each waits for its time, a later purge of the same thing
//! takes its place, and at the end of the process all that are left run at once. Never knows what
//! a pass does.

use super::Scope;
use prometheus_client::metrics::gauge::Gauge;
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::runtime::Handle;
use tokio::sync::{Notify, Semaphore, watch};

/// Passes that run at a time.
const AT_A_TIME: usize = 4;

/// Passes to come, at most; each holds a scope and a task. What is more is given up and counted.
const MAX_PENDING: usize = 10_000;

/// What is to come. Clones share it.
#[derive(Debug, Clone)]
pub(super) struct Later(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    waiting: Mutex<Waiting>,
    running: Semaphore,
    hurry: watch::Sender<bool>,
    pending: Gauge,
}

#[derive(Debug, Default)]
struct Waiting {
    passes: Vec<(u64, Scope, Arc<Notify>)>,
    last: u64,
    /// Those that wait, those that run and those that are held.
    pending: usize,
    /// Passes that there was no room for and that nobody was told of yet.
    dropped: usize,
}

impl Later {
    pub(super) fn new(pending: Gauge) -> Self {
        Self(Arc::new(Inner {
            waiting: Mutex::default(),
            running: Semaphore::new(AT_A_TIME),
            hurry: watch::Sender::new(false),
            pending,
        }))
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.0.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs `pass` after a while, or at once where the end is near. A pass about the same thing
    /// that still waits is given up: this one does its work. Where far too many wait it is dropped,
    /// which [`Later::hurry`] tells.
    pub(super) fn after(
        &self,
        runtime: &Handle,
        delay: Duration,
        scope: Scope,
        pass: impl Future<Output = ()> + Send + 'static,
    ) {
        let replaced = Arc::new(Notify::new());
        let number = {
            let mut waiting = self.lock();
            let before = waiting.passes.len();
            waiting.passes.retain(|(_, other, replaced)| {
                let same = other.is_about_the_same(&scope);
                if same {
                    replaced.notify_one();
                }
                !same
            });
            if waiting.passes.len() == before && waiting.pending >= MAX_PENDING {
                waiting.dropped += 1;
                tracing::warn!(kind = scope.kind(), "no room for the second pass of a purge");
                return;
            }
            waiting.last += 1;
            waiting.pending += 1;
            let number = waiting.last;
            waiting.passes.push((number, scope, Arc::clone(&replaced)));
            self.gauge(&waiting);
            number
        };
        let place = Place { later: self.clone(), number };
        let mut hurry = self.0.hurry.subscribe();
        runtime.spawn(async move {
            let place = place;
            tokio::select! {
                biased;
                () = replaced.notified() => return,
                _ = hurry.wait_for(|hurry| *hurry) => {}
                () = tokio::time::sleep(delay) => {}
            }
            // Until it has its place to run a later one may still replace it.
            let _running = tokio::select! {
                biased;
                () = replaced.notified() => return,
                // The semaphore is never closed.
                running = place.later.0.running.acquire() => running,
            };
            if place.later.begins(number) {
                pass.await;
            }
        });
    }

    /// Gives up the pass about the same thing that still waits: somebody else does its work.
    pub(super) fn give_up(&self, scope: &Scope) {
        self.lock().passes.retain(|(_, other, replaced)| {
            let same = other.is_about_the_same(scope);
            if same {
                replaced.notify_one();
            }
            !same
        });
    }

    /// Makes [`Later::hurry`] wait until the result is dropped: a first pass is under way, whose
    /// second is yet to be told.
    pub(super) fn hold(&self) -> Place {
        let mut waiting = self.lock();
        waiting.pending += 1;
        self.gauge(&waiting);
        drop(waiting);
        Place { later: self.clone(), number: 0 }
    }

    /// Takes a pass from the waiting ones; `false` if it has been replaced.
    fn begins(&self, number: u64) -> bool {
        let mut waiting = self.lock();
        let before = waiting.passes.len();
        waiting.passes.retain(|(other, ..)| *other != number);
        waiting.passes.len() < before
    }

    /// Runs all that wait now; returns how many were not done at `deadline`, with those that there
    /// was no room for since this was last asked.
    pub(super) async fn hurry(&self, deadline: Instant) -> usize {
        self.0.hurry.send_replace(true);
        loop {
            let pending = self.lock().pending;
            if pending == 0 || Instant::now() >= deadline {
                return pending + std::mem::take(&mut self.lock().dropped);
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    fn gauge(&self, waiting: &Waiting) {
        self.0.pending.set(i64::try_from(waiting.pending).unwrap_or(i64::MAX));
    }
}

/// A pass to come or running; given back when dropped, whatever became of it.
#[derive(Debug)]
pub(super) struct Place {
    later: Later,
    number: u64,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut waiting = self.later.lock();
        waiting.passes.retain(|(other, ..)| *other != self.number);
        waiting.pending -= 1;
        self.later.gauge(&waiting);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::key::{OriginName, SourceId, SourceKey, SourceVersion};
    use std::sync::atomic::{AtomicU32, Ordering::SeqCst};

    fn source(key: &str, keep: Option<&str>) -> Scope {
        let key = SourceKey::new(key).unwrap();
        let id = SourceId { origin: OriginName::default_origin(), key };
        Scope::Source { id, keep: keep.map(SourceVersion::from_etag) }
    }

    fn soon() -> Instant {
        Instant::now() + Duration::from_secs(10)
    }

    #[tokio::test]
    async fn a_pass_runs_after_its_time_and_not_before() {
        let (gauge, done) = (Gauge::default(), Arc::new(AtomicU32::new(0)));
        let later = Later::new(gauge.clone());
        let count = Arc::clone(&done);
        later.after(&Handle::current(), Duration::from_millis(60), Scope::All, async move {
            count.fetch_add(1, SeqCst);
        });
        tokio::time::sleep(Duration::from_millis(10)).await;
        assert_eq!((done.load(SeqCst), gauge.get()), (0, 1));
        while gauge.get() > 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        assert_eq!(done.load(SeqCst), 1);
    }

    #[tokio::test]
    async fn the_last_purge_of_a_thing_decides_and_those_of_others_stay() {
        let later = Later::new(Gauge::default());
        let done = Arc::new(Mutex::new(Vec::new()));
        for (scope, name) in [
            (source("cat.jpg", None), "cat"),
            (source("dog.jpg", None), "dog"),
            (source("cat.jpg", Some("2")), "cat but 2"),
            (Scope::All, "all"),
        ] {
            let done = Arc::clone(&done);
            later.after(&Handle::current(), Duration::from_hours(1), scope, async move {
                done.lock().unwrap().push(name);
            });
        }
        assert_eq!(later.hurry(soon()).await, 0, "the end does not wait an hour");
        let mut done = done.lock().unwrap().clone();
        done.sort_unstable();
        assert_eq!(done, ["all", "cat but 2", "dog"]);
    }

    #[tokio::test]
    async fn a_pass_that_waits_for_a_place_to_run_is_replaced_and_too_many_are_dropped() {
        let (gauge, done) = (Gauge::default(), Arc::new(AtomicU32::new(0)));
        let later = Later::new(gauge.clone());
        let running =
            later.0.running.acquire_many(u32::try_from(AT_A_TIME).unwrap()).await.unwrap();
        for _ in 0..3 {
            let count = Arc::clone(&done);
            later.after(&Handle::current(), Duration::ZERO, source("cat", None), async move {
                count.fetch_add(1, SeqCst);
            });
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        assert_eq!(gauge.get(), 1, "the last one stands for all");
        later.lock().pending += MAX_PENDING;
        for key in ["dog", "cat"] {
            let count = Arc::clone(&done);
            later.after(&Handle::current(), Duration::ZERO, source(key, None), async move {
                count.fetch_add(1, SeqCst);
            });
        }
        later.lock().pending -= MAX_PENDING;
        drop(running);
        assert_eq!(later.hurry(soon()).await, 1, "that of the dog");
        assert_eq!((done.load(SeqCst), later.hurry(soon()).await), (1, 0));
    }

    #[tokio::test]
    async fn the_end_waits_for_a_first_pass_and_then_for_its_second() {
        let (later, done) = (Later::new(Gauge::default()), Arc::new(AtomicU32::new(0)));
        let (held, count, other) = (later.hold(), Arc::clone(&done), later.clone());
        tokio::spawn(async move {
            tokio::time::sleep(Duration::from_millis(40)).await;
            let hour = Duration::from_hours(1);
            other.after(&Handle::current(), hour, Scope::All, async move {
                count.fetch_add(1, SeqCst);
            });
            drop(held);
        });
        assert_eq!((later.hurry(soon()).await, done.load(SeqCst)), (0, 1));
    }

    #[tokio::test]
    async fn what_is_not_done_in_time_is_counted_and_a_panic_is_not_waited_for() {
        let later = Later::new(Gauge::default());
        let hour = Duration::from_hours(1);
        later.after(&Handle::current(), hour, source("a", None), std::future::pending());
        later.after(&Handle::current(), hour, source("b", None), async { panic!("meant to") });
        let begun = Instant::now();
        assert_eq!(later.hurry(begun + Duration::from_millis(100)).await, 1);
        assert!(begun.elapsed() < Duration::from_secs(5));
    }
}
