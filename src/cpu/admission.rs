//! Who may render, and who is told to come again: slots, memory and the queue before them.
//! Memory is reserved before it is used, so a burst of large pictures waits instead of ending
//! the process. Never starts work whose deadline has passed.
//!
//! **Order and fairness.** A render takes, in this order, a giant's place (if it is one), a
//! slot, its memory; each from a semaphore that serves its waiters first come, first served.
//! Whoever holds memory holds all it needs and runs, and gives everything back at its end; so
//! everyone who waits is waiting, in the end, for running work, and no circle can form. Memory
//! is taken last: nothing is reserved for work that is not about to run. Giants wait for each
//! other *before* they take a slot, at most half of which they ever hold, so small work never
//! stands behind a row of giants. A giant that has its slot and waits for memory is not
//! overtaken for ever either: later work queues behind it. Background work (`background`) takes
//! only what nobody waits for.

use super::CpuSettings;
use super::background::{Background, Notice, WantsMemory};
use super::memory::{Memory, Press, Reservation, UNIT};
use super::metrics::CpuMetrics;
use std::hash::{BuildHasher as _, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// What a render will take, by the plan's model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cost {
    /// Bytes at its peak.
    pub bytes: u64,
    /// Pixels of the largest picture it handles.
    pub pixels: u64,
}

/// Why a render was not admitted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// Too many wait already.
    #[error("too many renders are waiting; try again in {retry_after_seconds} s")]
    Busy {
        /// 1–5, different from call to call so that the refused do not come back together.
        retry_after_seconds: u8,
    },
    /// It could not run even alone.
    #[error("the render needs {bytes} bytes of memory, the budget is {budget}")]
    TooCostly {
        /// Bytes it would take.
        bytes: u64,
        /// Bytes there are for all.
        budget: u64,
    },
    /// Its deadline passed before its turn came.
    #[error("the time for the request was over before its turn came")]
    Expired,
}

/// The three bounds. Clones share them.
#[derive(Debug, Clone)]
pub struct Admission(pub(super) Arc<Shared>);

#[derive(Debug)]
pub(super) struct Shared {
    slots: Arc<Semaphore>,
    giants: Arc<Semaphore>,
    pub(super) memory: Memory,
    slot_count: usize,
    max_queue: usize,
    giant_pixels: u64,
    pub(super) waiting: AtomicUsize,
    /// Moving average of job times, nanoseconds, at least 1.
    job_time: AtomicU64,
    jitter: AtomicU64,
    pub(super) background: Background,
    pub(super) metrics: CpuMetrics,
}

impl Admission {
    /// Everything free.
    #[must_use]
    pub fn new(settings: &CpuSettings, metrics: CpuMetrics) -> Self {
        let slots = settings.slots.clamp(1, Semaphore::MAX_PERMITS);
        let memory = Memory::new(settings.memory_bytes);
        metrics.slots.set(i64::try_from(slots).unwrap_or(i64::MAX));
        metrics.memory_budget.set(i64::try_from(memory.budget()).unwrap_or(i64::MAX));
        Self(Arc::new(Shared {
            slots: Arc::new(Semaphore::new(slots)),
            giants: Arc::new(Semaphore::new((slots / 2).max(1))),
            memory,
            slot_count: slots,
            max_queue: settings.max_queue,
            giant_pixels: settings.giant_pixels,
            waiting: AtomicUsize::new(0),
            job_time: AtomicU64::new(nanos(settings.expected_job)),
            jitter: AtomicU64::new(RandomState::new().hash_one("jitter")),
            background: Background::new(
                settings.background_slots.clamp(1, slots),
                settings.batches,
            ),
            metrics,
        }))
    }

    /// Waits for a slot and memory for `cost` until `deadline`. Who would have to wait behind
    /// more than fits a quarter of the time left, or behind the hard cap, is refused at once.
    /// Dropping the future gives up the place.
    ///
    /// # Errors
    /// [`Refused`].
    pub async fn admit(&self, cost: Cost, deadline: Instant) -> Result<Ticket, Refused> {
        let shared = &self.0;
        let memory = shared.units(cost.bytes)?;
        let now = Instant::now();
        if now >= deadline {
            return Err(shared.expired());
        }
        let giant = shared.is_giant(cost);
        if let Some(permits) = shared.take(giant, memory, Press::Hard) {
            return Ok(shared.ticket(permits, memory));
        }
        let limit = shared.queue_limit(deadline - now);
        let Some(place) = Place::take(shared, limit) else {
            shared.metrics.busy.inc();
            // What was tried for a moment may have been missed by whoever looked just then.
            shared.background.look_again();
            return Err(Refused::Busy { retry_after_seconds: shared.retry_after() });
        };
        let waited = tokio::time::timeout_at(deadline.into(), shared.wait_for(giant, memory)).await;
        drop(place);
        match waited {
            // A turn that comes in the last moment is not work that can finish.
            Ok(Some(permits)) if Instant::now() < deadline => Ok(shared.ticket(permits, memory)),
            _ => Err(shared.expired()),
        }
    }

    /// What a job takes on one slot, averaged over the last ones.
    #[must_use]
    pub fn job_time(&self) -> Duration {
        Duration::from_nanos(self.0.job_time.load(Ordering::Relaxed))
    }

    /// Bytes that all renders together may take.
    #[must_use]
    pub fn budget(&self) -> u64 {
        self.0.memory.budget()
    }

    /// How many wait.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.0.waiting.load(Ordering::Relaxed)
    }
}

impl Shared {
    /// Bytes in units of memory, rounded up.
    ///
    /// # Errors
    /// [`Refused::TooCostly`] if there is not that much at all.
    pub(super) fn units(&self, bytes: u64) -> Result<u32, Refused> {
        self.memory.units(bytes).ok_or_else(|| {
            self.metrics.too_costly.inc();
            Refused::TooCostly { bytes, budget: self.memory.budget() }
        })
    }

    pub(super) fn is_giant(&self, cost: Cost) -> bool {
        cost.bytes > self.memory.budget() / 4 || cost.pixels > self.giant_pixels
    }

    pub(super) fn expired(&self) -> Refused {
        self.metrics.expired.inc();
        Refused::Expired
    }

    fn ticket(self: &Arc<Self>, permits: Permits, memory: u32) -> Ticket {
        let bytes = bytes_of(memory);
        let metrics = &self.metrics;
        metrics.slots_in_use.inc();
        metrics.memory_reserved.inc_by(bytes);
        Ticket {
            shared: Arc::clone(self),
            bytes,
            begun: None,
            background: false,
            permits,
            _notice: Notice(Arc::clone(self)),
        }
    }

    /// A slot and memory in the background class. `None` unless both are free, or can be made so
    /// by what is kept.
    pub(super) fn take_background(self: &Arc<Self>, giant: bool, memory: u32) -> Option<Ticket> {
        let place = self.background.place()?;
        let mut permits = self.take(giant, memory, Press::Lightly)?;
        permits.background = Some(place);
        self.metrics.background_slots_in_use.inc();
        let mut ticket = self.ticket(permits, memory);
        ticket.background = true;
        Some(ticket)
    }

    /// Everything at once, if nobody would have to be waited for. Semaphores hand what comes
    /// back to their waiters first, so this overtakes nobody.
    fn take(&self, giant: bool, memory: u32, press: Press) -> Option<Permits> {
        let giant =
            if giant { Some(Arc::clone(&self.giants).try_acquire_owned().ok()?) } else { None };
        let slot = Arc::clone(&self.slots).try_acquire_owned().ok()?;
        let memory = self.memory.take(memory, press)?;
        Some(Permits { giant, slot: Some(slot), memory: Some(memory), background: None })
    }

    /// The same, waiting. `None` would mean a closed semaphore; ours are never closed.
    async fn wait_for(&self, giant: bool, memory: u32) -> Option<Permits> {
        let giant =
            if giant { Some(Arc::clone(&self.giants).acquire_owned().await.ok()?) } else { None };
        let slot = Arc::clone(&self.slots).acquire_owned().await.ok()?;
        let memory = if let Some(memory) = self.memory.take(memory, Press::Hard) {
            memory
        } else {
            let _told = WantsMemory::tell(&self.background);
            self.memory.wait_for(memory).await?
        };
        Some(Permits { giant, slot: Some(slot), memory: Some(memory), background: None })
    }

    /// How many may wait: what the slots get through in a quarter of the time left. One always
    /// may, unless the cap is 0: an average of giants says little about a small one.
    fn queue_limit(&self, left: Duration) -> usize {
        let per_slot = u128::from(nanos(left / 4)) / u128::from(self.job_time());
        let fits = per_slot.saturating_mul(self.slot_count as u128);
        usize::try_from(fits).unwrap_or(usize::MAX).max(1).min(self.max_queue)
    }

    fn job_time(&self) -> u64 {
        self.job_time.load(Ordering::Relaxed).max(1)
    }

    /// Takes one more measurement, at one eighth of the weight.
    fn measure(&self, time: Duration) {
        let sample = nanos(time);
        let average = |old: u64| Some((old - old / 8 + sample / 8).max(1));
        // The closure never refuses.
        let _ = self.job_time.fetch_update(Ordering::Relaxed, Ordering::Relaxed, average);
    }

    /// The time the queue takes to clear, 1–3 s, and 0–2 s by chance.
    fn retry_after(&self) -> u8 {
        let waiting = self.waiting.load(Ordering::Relaxed) as u128;
        let backlog = waiting * u128::from(self.job_time()) / self.slot_count as u128;
        let seconds = u8::try_from(backlog / 1_000_000_000).unwrap_or(u8::MAX).clamp(1, 3);
        // SplitMix64: a step of the golden ratio, then mixed.
        let step = 0x9E37_79B9_7F4A_7C15;
        let mut z = self.jitter.fetch_add(step, Ordering::Relaxed);
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        let chance = u8::try_from((z >> 33) % 3).unwrap_or(0);
        seconds + chance
    }
}

/// At least 1, at most 584 years.
fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX).max(1)
}

/// Units of memory in bytes.
pub(super) fn bytes_of(units: u32) -> i64 {
    i64::from(units) * UNIT.cast_signed()
}

#[derive(Debug, Default)]
#[expect(dead_code, reason = "they are held, and given back when dropped")]
struct Permits {
    giant: Option<OwnedSemaphorePermit>,
    slot: Option<OwnedSemaphorePermit>,
    memory: Option<OwnedSemaphorePermit>,
    background: Option<OwnedSemaphorePermit>,
}

/// A place in the queue, given back when dropped.
struct Place<'a>(&'a Shared);

impl<'a> Place<'a> {
    fn take(shared: &'a Shared, limit: usize) -> Option<Self> {
        let one_more = |waiting: usize| (waiting < limit).then_some(waiting + 1);
        let order = Ordering::Relaxed;
        shared.waiting.fetch_update(order, order, one_more).ok()?;
        shared.metrics.queue_depth.inc();
        Some(Self(shared))
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::Relaxed);
        self.0.metrics.queue_depth.dec();
        self.0.background.look_again();
    }
}

/// A slot and memory, for as long as it is held. It moves into the job, so that they come back
/// when the work ends: well, by a panic, or never begun.
#[derive(Debug)]
#[must_use = "dropping it gives slot and memory back"]
pub struct Ticket {
    shared: Arc<Shared>,
    bytes: i64,
    begun: Option<Instant>,
    background: bool,
    // Dropped after the gauges were set back, which is when a waiter gets them, and in this order.
    permits: Permits,
    _notice: Notice,
}

impl Ticket {
    /// Marks the begin of the work whose time is measured until the ticket is dropped.
    pub fn begin(&mut self) {
        self.begun = Some(Instant::now());
    }

    /// Bytes this ticket holds, whole KiB.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes.unsigned_abs()
    }

    /// Takes memory out of the ticket for something that outlives it; `None` if there is not that
    /// much in it.
    pub fn split(&mut self, bytes: u64) -> Option<Reservation> {
        let units = usize::try_from(bytes.div_ceil(UNIT)).ok()?;
        let permit = self.permits.memory.as_mut()?.split(units)?;
        let reservation = Reservation::new(&self.shared, permit);
        self.count_less(reservation.bytes());
        Some(reservation)
    }

    /// Puts back what was split off.
    pub fn absorb(&mut self, reservation: Reservation) {
        if let Some(permit) = reservation.into_permit() {
            self.merge(permit);
        }
    }

    /// Sees to it that the ticket holds at least as much, if that is free or can be made free.
    /// Never waits: who holds memory and waits for more could close a circle.
    pub fn ensure(&mut self, bytes: u64) -> bool {
        let missing = bytes.saturating_sub(self.bytes());
        if missing == 0 {
            return true;
        }
        let more = u32::try_from(missing.div_ceil(UNIT)).ok();
        match more.and_then(|units| self.shared.memory.take(units, Press::Lightly)) {
            Some(permit) => {
                self.merge(permit);
                true
            }
            None => false,
        }
    }

    fn merge(&mut self, permit: OwnedSemaphorePermit) {
        let bytes = bytes_of(u32::try_from(permit.num_permits()).unwrap_or(u32::MAX));
        match &mut self.permits.memory {
            Some(held) => held.merge(permit),
            none => *none = Some(permit),
        }
        self.bytes += bytes;
        self.shared.metrics.memory_reserved.inc_by(bytes);
    }

    fn count_less(&mut self, bytes: u64) {
        self.bytes -= bytes.cast_signed();
        self.shared.metrics.memory_reserved.dec_by(bytes.cast_signed());
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        // Background work is not what a request in the queue waits behind.
        if let Some(begun) = self.begun.filter(|_| !self.background) {
            self.shared.measure(begun.elapsed());
        }
        let metrics = &self.shared.metrics;
        if self.background {
            metrics.background_slots_in_use.dec();
        }
        metrics.slots_in_use.dec();
        metrics.memory_reserved.dec_by(self.bytes);
    }
}
