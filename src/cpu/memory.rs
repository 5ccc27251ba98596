//! The memory that renders share: counted in KiB, reserved before it is used. What somebody keeps
//! in it for later is given up the moment a render needs the room: first that goes, then the
//! render waits. Never asks what lies in it.

use super::admission::{Admission, Shared, bytes_of};
use super::background::Notice;
use std::fmt;
use std::sync::{Arc, OnceLock};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Memory is counted in KiB, since a semaphore's counts are 32 bits wide.
pub(super) const UNIT: u64 = 1 << 10;

/// How badly room is needed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Press {
    /// Nothing is to be given up unless that makes enough room at once.
    Lightly,
    /// Everything that helps is, now or when it is no longer in use.
    Hard,
}

/// Gives up as many bytes of what is kept.
pub type GiveUp = Box<dyn Fn(u64, Press) + Send + Sync>;

/// The memory.
pub(super) struct Memory {
    free: Arc<Semaphore>,
    budget: u64,
    kept: OnceLock<GiveUp>,
}

impl fmt::Debug for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let free = self.free.available_permits();
        f.debug_struct("Memory")
            .field("budget", &self.budget)
            .field("free_kib", &free)
            .finish_non_exhaustive()
    }
}

impl Memory {
    /// All of it free.
    pub(super) fn new(bytes: u64) -> Self {
        let budget = bytes.min(u64::from(u32::MAX) * UNIT) / UNIT * UNIT;
        let units = usize::try_from(budget / UNIT).unwrap_or(usize::MAX);
        Self { free: Arc::new(Semaphore::new(units)), budget, kept: OnceLock::new() }
    }

    /// Bytes there are for all.
    pub(super) const fn budget(&self) -> u64 {
        self.budget
    }

    /// Bytes in units, rounded up; `None` if there is not that much at all.
    pub(super) fn units(&self, bytes: u64) -> Option<u32> {
        let units = bytes.div_ceil(UNIT);
        u32::try_from(units).ok().filter(|_| units <= self.budget / UNIT)
    }

    pub(super) fn keeps(&self, give_up: GiveUp) {
        // There is one who keeps; a second one would be asked for nothing.
        let _ = self.kept.set(give_up);
    }

    /// As much as this, if it is free or can be made free.
    pub(super) fn take(&self, units: u32, press: Press) -> Option<OwnedSemaphorePermit> {
        self.take_free(units).or_else(|| {
            self.make_room(units, press);
            self.take_free(units)
        })
    }

    /// As much as this, if it is free.
    pub(super) fn take_free(&self, units: u32) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.free).try_acquire_many_owned(units).ok()
    }

    /// As much as this, first come, first served. Who calls it has said so before
    /// (`WantsMemory`): what comes to be kept from then on is given up by whoever keeps it.
    pub(super) async fn wait_for(&self, units: u32) -> Option<OwnedSemaphorePermit> {
        self.make_room(units, Press::Hard);
        // The semaphore is never closed.
        Arc::clone(&self.free).acquire_many_owned(units).await.ok()
    }

    fn make_room(&self, units: u32, press: Press) {
        let missing = u64::from(units).saturating_sub(self.free.available_permits() as u64);
        if missing > 0
            && let Some(give_up) = self.kept.get()
        {
            give_up(missing * UNIT, press);
        }
    }
}

impl Admission {
    /// Names who keeps something in [`Reservation`]s: asked for as many bytes whenever a render
    /// finds no room, before it waits. What it gives up must be dropped when it returns. Once.
    pub fn keeps(&self, give_up: GiveUp) {
        self.0.memory.keeps(give_up);
    }

    /// Whether a render with a slot waits for memory: whoever keeps something lets go of it.
    #[must_use]
    pub fn wants_memory(&self) -> bool {
        self.0.background.wants_memory()
    }
}

/// A part of a ticket's memory that outlives the ticket, for what is kept in it. Counted as
/// pictures, not as renders.
#[derive(Debug)]
#[must_use = "dropping it gives the memory back"]
pub struct Reservation {
    shared: Arc<Shared>,
    bytes: i64,
    // In this order: who is told looks for what is back already.
    permit: Option<OwnedSemaphorePermit>,
    _notice: Notice,
}

impl Reservation {
    pub(super) fn new(shared: &Arc<Shared>, permit: OwnedSemaphorePermit) -> Self {
        let bytes = bytes_of(u32::try_from(permit.num_permits()).unwrap_or(u32::MAX));
        shared.metrics.memory_pictures.inc_by(bytes);
        Self {
            shared: Arc::clone(shared),
            bytes,
            permit: Some(permit),
            _notice: Notice(Arc::clone(shared)),
        }
    }

    /// Bytes reserved, whole KiB.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes.unsigned_abs()
    }

    pub(super) fn into_permit(mut self) -> Option<OwnedSemaphorePermit> {
        self.permit.take()
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.shared.metrics.memory_pictures.dec_by(self.bytes);
    }
}
