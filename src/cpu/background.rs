//! Work that no request waits for: batches made ahead of requests. It takes a slot only while
//! nobody waits for one, holds at most its part of them, and asks again before every piece of its
//! work, so that a request stands behind one piece and never behind a batch. Never measured into
//! the time that requests are promised.
//!
//! **Order and fairness.** A piece takes its memory together with its slot and holds nothing while
//! it waits, so no circle can close; what its batch wants kept between pieces is given up when a
//! request needs the room. Pieces come to their memory first come, first served, so that a large
//! one is not passed for ever by small ones; who finds no room for a few seconds queues again, so
//! that the small ones do not stand behind it for minutes.

use super::admission::{Admission, Cost, Refused, Shared, Ticket};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::{Mutex, Notify, OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout_at;

/// How long one piece may be the next to get memory before others have a try.
const TURN: Duration = Duration::from_secs(5);

/// What background work shares.
#[derive(Debug)]
pub(super) struct Background {
    slots: Arc<Semaphore>,
    slot_count: usize,
    batches: Arc<Semaphore>,
    /// Held by the one who is next to get memory.
    turn: Mutex<()>,
    /// Requests that have a slot and wait for memory.
    wanting_memory: AtomicUsize,
    changed: Notify,
}

impl Background {
    pub(super) fn new(slots: usize, batches: usize) -> Self {
        Self {
            slots: Arc::new(Semaphore::new(slots)),
            slot_count: slots,
            batches: Arc::new(Semaphore::new(batches.clamp(1, Semaphore::MAX_PERMITS))),
            turn: Mutex::new(()),
            wanting_memory: AtomicUsize::new(0),
            changed: Notify::new(),
        }
    }

    /// Wakes whoever waits to look whether it may go on.
    pub(super) fn look_again(&self) {
        self.changed.notify_waiters();
    }

    /// Whether a request that has a slot waits for memory.
    pub(super) fn wants_memory(&self) -> bool {
        self.wanting_memory.load(Ordering::SeqCst) > 0
    }

    pub(super) fn place(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.slots).try_acquire_owned().ok()
    }
}

/// Says, for as long as it lives, that a request waits for memory.
pub(super) struct WantsMemory<'a>(&'a Background);

impl<'a> WantsMemory<'a> {
    pub(super) fn tell(background: &'a Background) -> Self {
        background.wanting_memory.fetch_add(1, Ordering::SeqCst);
        Self(background)
    }
}

impl Drop for WantsMemory<'_> {
    fn drop(&mut self) {
        self.0.wanting_memory.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Tells background work that something came back.
#[derive(Debug)]
pub(super) struct Notice(pub(super) Arc<Shared>);

impl Drop for Notice {
    fn drop(&mut self) {
        self.0.background.look_again();
    }
}

/// A place among the batches under way: each of them holds an original.
#[derive(Debug)]
#[must_use = "dropping it gives the place back"]
pub struct BatchPlace {
    _permit: OwnedSemaphorePermit,
}

impl Admission {
    /// Slots that background work may hold at a time, at least 1.
    #[must_use]
    pub fn background_slots(&self) -> usize {
        self.0.background.slot_count
    }

    /// Waits for a place among the batches, first come, first served.
    ///
    /// # Errors
    /// [`Refused::Expired`].
    pub async fn batch(&self, deadline: Instant) -> Result<BatchPlace, Refused> {
        let batches = Arc::clone(&self.0.background.batches);
        match timeout_at(deadline.into(), batches.acquire_owned()).await {
            Ok(Ok(permit)) => Ok(BatchPlace { _permit: permit }),
            // The semaphore is never closed.
            Ok(Err(_)) | Err(_) => Err(self.0.expired()),
        }
    }

    /// Waits until no request does, then takes a slot and memory for `cost`. Dropping the future
    /// gives up the turn.
    ///
    /// # Errors
    /// [`Refused::TooCostly`] at once; [`Refused::Expired`] when requests left no room until then.
    pub async fn admit_background(&self, cost: Cost, deadline: Instant) -> Result<Ticket, Refused> {
        let shared = &self.0;
        let units = shared.units(cost.bytes)?;
        let giant = shared.is_giant(cost);
        let _counted = Waiting::new(shared);
        let mut attempt = || {
            if shared.waiting.load(Ordering::SeqCst) > 0 {
                return None;
            }
            shared.take_background(giant, units)
        };
        loop {
            let Ok(_turn) = timeout_at(deadline.into(), shared.background.turn.lock()).await else {
                return Err(shared.expired());
            };
            // Who holds the turn for too long goes to the end of the queue: a giant that finds no
            // room must not keep all the others from theirs.
            let until = deadline.min(Instant::now() + TURN);
            match shared.when(until, &mut attempt).await {
                None if until < deadline => {}
                admitted => return admitted.ok_or_else(|| shared.expired()),
            }
        }
    }
}

impl Shared {
    /// Tries until it works out, again whenever something came back; `None` if it did not until
    /// `deadline`.
    async fn when<T>(
        &self,
        deadline: Instant,
        mut attempt: impl FnMut() -> Option<T>,
    ) -> Option<T> {
        loop {
            // Registered before the attempt, so that nothing that changes meanwhile is missed.
            let mut changed = pin!(self.background.changed.notified());
            changed.as_mut().enable();
            if Instant::now() >= deadline {
                return None;
            }
            if let Some(done) = attempt() {
                return Some(done);
            }
            if timeout_at(deadline.into(), changed).await.is_err() {
                return None;
            }
        }
    }
}

/// Counts a piece of background work for as long as it waits.
struct Waiting<'a>(&'a Shared);

impl<'a> Waiting<'a> {
    fn new(shared: &'a Shared) -> Self {
        shared.metrics.background_waiting.inc();
        Self(shared)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.metrics.background_waiting.dec();
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{MIB, SMALL, all_free, cpu, soon, until};
    use super::*;

    fn large(bytes: u64) -> Cost {
        Cost { bytes: bytes * MIB, pixels: 1 }
    }

    #[tokio::test]
    async fn it_holds_its_part_of_the_slots_and_leaves_the_rest_free() {
        let (cpu, metrics) = cpu(4, 10);
        let first = cpu.admission().admit_background(SMALL, soon()).await.unwrap();
        let second = cpu.admission().admit_background(SMALL, soon()).await.unwrap();
        let near = Instant::now() + Duration::from_millis(30);
        let third = cpu.admission().admit_background(SMALL, near).await;
        assert_eq!(third.err(), Some(Refused::Expired));
        assert_eq!(metrics.background_slots_in_use.get(), 2);
        assert!(metrics.utilization() == 0.0, "it is no reason for more pods");
        let requests = [cpu.admit(SMALL, soon()).await, cpu.admit(SMALL, soon()).await];
        assert!(requests.iter().all(Result::is_ok));
        drop((first, second, requests));
        assert!(all_free(&metrics));
        assert_eq!(metrics.background_slots_in_use.get(), 0);
    }

    #[tokio::test]
    async fn it_takes_nothing_while_a_request_waits_and_goes_on_when_none_does() {
        let (cpu, metrics) = cpu(2, 10);
        drop(cpu.admission().admit_background(SMALL, soon()).await.unwrap());
        let running = [cpu.admit(SMALL, soon()).await, cpu.admit(SMALL, soon()).await];
        let waiter = tokio::spawn({
            let cpu = Arc::clone(&cpu);
            async move { cpu.admit(SMALL, soon()).await }
        });
        until(|| cpu.admission().waiting() == 1).await;
        let next = tokio::spawn({
            let cpu = Arc::clone(&cpu);
            async move { cpu.admission().admit_background(SMALL, soon()).await }
        });
        until(|| metrics.background_waiting.get() == 1).await;
        let [first, second] = running;
        drop(first);
        let third = waiter.await.unwrap().unwrap();
        tokio::time::sleep(Duration::from_millis(20)).await;
        assert!(!next.is_finished(), "the slot went to the request");
        drop(second);
        drop((third, next.await.unwrap().unwrap()));
        assert!(all_free(&metrics));
    }

    #[tokio::test]
    async fn a_large_batch_is_not_passed_by_small_ones() {
        let (cpu, metrics) = cpu(4, 10);
        let held = cpu.admission().admit_background(large(20), soon()).await.unwrap();
        let batch = |cost: Cost| {
            let cpu = Arc::clone(&cpu);
            tokio::spawn(async move { cpu.admission().admit_background(cost, soon()).await })
        };
        let whole = batch(large(100));
        until(|| metrics.background_waiting.get() == 1).await;
        let small = batch(SMALL);
        until(|| metrics.background_waiting.get() == 2).await;
        tokio::time::sleep(Duration::from_millis(20)).await;
        assert!(!small.is_finished(), "it stands behind the large one");
        drop(held);
        drop(whole.await.unwrap().unwrap());
        drop(small.await.unwrap().unwrap());
        let told = cpu.admission().admit_background(large(101), soon()).await.err();
        assert!(matches!(told, Some(Refused::TooCostly { .. })));
        assert!(all_free(&metrics));
    }

    #[tokio::test]
    async fn a_batch_that_finds_no_room_lets_the_others_pass_after_a_while() {
        let (cpu, metrics) = cpu(4, 10);
        let held = cpu.admission().admit_background(large(20), soon()).await.unwrap();
        let far = Instant::now() + TURN * 10;
        let batch = |cost: Cost| {
            let cpu = Arc::clone(&cpu);
            tokio::spawn(async move { cpu.admission().admit_background(cost, far).await })
        };
        let whole = batch(large(100));
        until(|| metrics.background_waiting.get() == 1).await;
        drop(batch(SMALL).await.unwrap().unwrap());
        assert!(!whole.is_finished(), "it waits on");
        drop(held);
        drop(whole.await.unwrap().unwrap());
        assert!(all_free(&metrics));
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn batches_and_requests_together_end_with_everything_free() {
        let (cpu, metrics) = cpu(2, 1_000);
        let batches = (0..40_u64).map(|n| {
            let cpu = Arc::clone(&cpu);
            tokio::spawn(async move {
                let _place = cpu.admission().batch(soon()).await.unwrap();
                for piece in 0..4 {
                    let cost = large(1 + n * 37 % 90);
                    let ticket = cpu.admission().admit_background(cost, soon()).await.unwrap();
                    let job = move || std::thread::sleep(Duration::from_micros(n * piece % 400));
                    cpu.run(ticket, job).await.unwrap();
                }
            })
        });
        let requests = (0..400_u64).map(|n| {
            let cpu = Arc::clone(&cpu);
            tokio::spawn(async move {
                tokio::time::sleep(Duration::from_micros(n * 300)).await;
                let ticket = cpu.admit(large(n * 7_919 % 100), soon()).await.unwrap();
                cpu.run(ticket, || std::thread::sleep(Duration::from_micros(300))).await.unwrap();
            })
        });
        for one in batches.chain(requests).collect::<Vec<_>>() {
            tokio::time::timeout(Duration::from_secs(20), one).await.expect("it hangs").unwrap();
        }
        until(|| all_free(&metrics)).await;
        assert_eq!(metrics.background_slots_in_use.get(), 0);
    }
}
