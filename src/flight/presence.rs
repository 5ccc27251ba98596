//! Who waits for a flight, and whether it may still be given up: the one place where joining,
//! leaving, committing and cancelling meet, each a single atomic step. Never runs the work.

use std::fmt;
use std::sync::Arc;
use tokio::sync::watch;

/// The counts, changed only under the lock of the watch channel that carries them.
#[derive(Debug, Clone, Copy)]
struct Count {
    waiters: usize,
    /// Set once: the flight finishes even if nobody waits.
    committed: bool,
    /// Set once: landed or cancelled, nobody may enter any more.
    closed: bool,
}

/// The waiters of one flight.
#[derive(Debug)]
pub(super) struct Presence(watch::Sender<Count>);

impl Presence {
    /// With the leader in it.
    pub(super) fn with_one() -> Self {
        Self(watch::Sender::new(Count { waiters: 1, committed: false, closed: false }))
    }

    /// Changes the counts in one step; wakes those who watch only if the number of waiters came
    /// to nought or rose from it, so that a crowd of joiners does not wake the work 500 times.
    fn change(&self, change: impl FnOnce(&mut Count)) {
        self.0.send_if_modified(|count| {
            let before = *count;
            change(count);
            (before.waiters == 0) != (count.waiters == 0)
        });
    }

    /// One more waiter; `false` if the flight is closed.
    pub(super) fn enter(&self) -> bool {
        let mut entered = false;
        self.change(|count| {
            if !count.closed {
                count.waiters += 1;
                entered = true;
            }
        });
        entered
    }

    /// One waiter less.
    pub(super) fn leave(&self) {
        self.change(|count| count.waiters = count.waiters.saturating_sub(1));
    }

    /// Nobody may enter any more.
    pub(super) fn close(&self) {
        self.change(|count| count.closed = true);
    }

    /// Closes the flight if nobody waits and it is not committed; says whether it did.
    pub(super) fn cancel(&self) -> bool {
        let mut cancelled = false;
        self.change(|count| {
            if count.waiters == 0 && !count.committed {
                count.closed = true;
                cancelled = true;
            }
        });
        cancelled
    }

    /// Resolves when nobody waits and the flight is not committed.
    pub(super) async fn cancellable(&self) {
        let mut counts = self.0.subscribe();
        // The sender lives in `self`, so the wait cannot fail.
        let _ = counts.wait_for(|count| count.waiters == 0 && !count.committed).await;
    }
}

/// The work's own view of its callers. Clones look at the same flight.
#[derive(Clone)]
pub struct Abandoned(Arc<Presence>);

impl Abandoned {
    pub(super) fn new(presence: Arc<Presence>) -> Self {
        Self(presence)
    }

    /// Resolves when the last waiter has left. A new joiner revives the flight, so ask
    /// [`Abandoned::is`] again before acting on it.
    pub async fn wait(&self) {
        let mut counts = self.0.0.subscribe();
        // The sender lives in `self`, so the wait cannot fail.
        let _ = counts.wait_for(|count| count.waiters == 0).await;
    }

    /// Whether nobody waits at this moment.
    #[must_use]
    pub fn is(&self) -> bool {
        self.0.0.borrow().waiters == 0
    }

    /// From here on the flight finishes even if nobody waits. Without effect on a flight that
    /// has been given up already.
    pub fn commit(&self) {
        self.0.change(|count| count.committed = true);
    }
}

impl fmt::Debug for Abandoned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Abandoned").field(&*self.0.0.borrow()).finish()
    }
}
