//! Floor 2: one flight per key: work that many callers wait for, detached from all of them, so
//! that the first caller's leaving costs the others nothing. Never caches a result: a flight is
//! forgotten when it ends, and whoever comes later starts anew.
//!
//! How it ends, in this order: the flight is closed to joiners, leaves the map, and only then
//! are its waiters woken. A join that comes after the end therefore never sees the old outcome,
//! be it a value or an error; work that wants its value found later must put it somewhere (the
//! memory tier) before it returns.

mod presence;

#[cfg(test)]
mod tests;

pub use presence::Abandoned;

use futures_util::FutureExt as _;
use presence::Presence;
use std::collections::HashMap;
use std::fmt;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::watch;

/// The flights under way, by key, each with what it is about. Clones share them.
pub struct Flights<T, A = ()> {
    map: Arc<Map<T, A>>,
}

type Map<T, A> = Mutex<HashMap<String, Arc<Flight<T, A>>>>;

impl<T, A> Clone for Flights<T, A> {
    fn clone(&self) -> Self {
        Self { map: Arc::clone(&self.map) }
    }
}

impl<T, A> Default for Flights<T, A> {
    fn default() -> Self {
        Self { map: Arc::default() }
    }
}

impl<T, A> fmt::Debug for Flights<T, A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Flights").field("under_way", &self.len()).finish()
    }
}

/// One piece of work: who waits for it, and what came of it.
struct Flight<T, A> {
    about: A,
    presence: Arc<Presence>,
    /// `None` until the flight has landed.
    outcome: watch::Sender<Option<Result<T, FlightLost>>>,
}

/// The work ended without a value: it panicked, or the runtime it ran on was shut down.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the work that was waited for broke off")]
pub struct FlightLost;

/// What a caller is to a flight.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// This caller started it.
    Led,
    /// It was under way already.
    Followed,
}

impl<T, A> Flights<T, A> {
    /// No flights yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// How many are under way.
    #[must_use]
    pub fn len(&self) -> usize {
        self.lock().len()
    }

    /// Whether none is under way.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.lock().is_empty()
    }

    /// How many are under way that are about what `matches` says. Looks at every one of them.
    #[must_use]
    pub fn count(&self, matches: impl Fn(&A) -> bool) -> usize {
        self.lock().values().filter(|flight| matches(&flight.about)).count()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Arc<Flight<T, A>>>> {
        // Nothing of a caller's runs under this lock, so a poisoned map is still a whole one.
        self.map.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T: Clone + Send + Sync + 'static> Flights<T> {
    /// [`Flights::join_about`] for flights that are about nothing but their key.
    pub fn join<F, Fut>(&self, runtime: &tokio::runtime::Handle, key: &str, start: F) -> Joined<T>
    where
        F: FnOnce(Abandoned) -> Fut,
        Fut: Future<Output = T> + Send + 'static,
    {
        self.join_about(runtime, key, (), start)
    }
}

impl<T, A> Flights<T, A>
where
    T: Clone + Send + Sync + 'static,
    A: Send + Sync + 'static,
{
    /// Joins the flight of `key`, or starts one on `runtime` with the future that
    /// `start(Abandoned)` returns. The future runs detached from its callers. Until it calls
    /// [`Abandoned::commit`] it is dropped once nobody waits any more; whoever asks after that
    /// starts a new one (the old work makes no progress any more, but may still be about to be
    /// dropped). Never blocks; allocates a copy of the key and the flight when it leads.
    ///
    /// `start` is called, by the leader only, before this returns. If `start` itself panics, the
    /// panic goes to its caller and followers get [`FlightLost`]. `about` is what
    /// [`Flights::count`] sees of it.
    pub fn join_about<F, Fut>(
        &self,
        runtime: &tokio::runtime::Handle,
        key: &str,
        about: A,
        start: F,
    ) -> Joined<T, A>
    where
        F: FnOnce(Abandoned) -> Fut,
        Fut: Future<Output = T> + Send + 'static,
    {
        let flight = {
            let mut map = self.lock();
            if let Some(flight) = map.get(key)
                && flight.presence.enter()
            {
                return Joined { role: Role::Followed, flight: Arc::clone(flight) };
            }
            // None there, or one that is closed and about to leave the map: it is replaced.
            let flight = Arc::new(Flight {
                about,
                presence: Arc::new(Presence::with_one()),
                outcome: watch::Sender::new(None),
            });
            map.insert(key.to_owned(), Arc::clone(&flight));
            flight
        };
        let joined = Joined { role: Role::Led, flight: Arc::clone(&flight) };
        let presence = Arc::clone(&flight.presence);
        // From here on the flight lands whatever happens: a panic in `start`, a panic in the
        // future, the task dropped with its runtime.
        let landing = Landing { flights: self.clone(), key: key.to_owned(), flight };
        let work = start(Abandoned::new(Arc::clone(&presence)));
        runtime.spawn(async move {
            if let Some(outcome) = fly(work, &presence).await {
                landing.land(outcome);
            }
        });
        joined
    }

    /// Takes `flight` out of the map, unless another has taken its place.
    fn forget(&self, key: &str, flight: &Arc<Flight<T, A>>) {
        let mut map = self.lock();
        if map.get(key).is_some_and(|found| Arc::ptr_eq(found, flight)) {
            map.remove(key);
        }
    }
}

/// Runs the work to its end, to a panic, or until nobody wants it (`None`). The work is dropped
/// before this returns, so whatever it holds is free when the waiters wake.
async fn fly<T>(
    work: impl Future<Output = T>,
    presence: &Presence,
) -> Option<Result<T, FlightLost>> {
    let mut work = pin!(AssertUnwindSafe(work).catch_unwind());
    loop {
        tokio::select! {
            biased;
            outcome = &mut work => return Some(outcome.map_err(|_| FlightLost)),
            () = presence.cancellable() => {
                // A joiner may have come between the wake-up and this line: then it goes on.
                if presence.cancel() {
                    return None;
                }
            }
        }
    }
}

/// Lands its flight when dropped, at the latest.
struct Landing<T: Clone + Send + Sync + 'static, A: Send + Sync + 'static> {
    flights: Flights<T, A>,
    key: String,
    flight: Arc<Flight<T, A>>,
}

impl<T: Clone + Send + Sync + 'static, A: Send + Sync + 'static> Landing<T, A> {
    fn land(self, outcome: Result<T, FlightLost>) {
        self.close(outcome);
    }

    fn close(&self, outcome: Result<T, FlightLost>) {
        self.flight.presence.close();
        self.flights.forget(&self.key, &self.flight);
        self.flight.outcome.send_if_modified(|slot| {
            let first = slot.is_none();
            if first {
                *slot = Some(outcome);
            }
            first
        });
    }
}

impl<T: Clone + Send + Sync + 'static, A: Send + Sync + 'static> Drop for Landing<T, A> {
    fn drop(&mut self) {
        self.close(Err(FlightLost));
    }
}

/// A place among those who wait for a flight. Dropping it, or the future of
/// [`Joined::wait`], is leaving.
#[must_use = "dropping it leaves the flight"]
pub struct Joined<T, A = ()> {
    /// Whether this caller started the flight.
    pub role: Role,
    flight: Arc<Flight<T, A>>,
}

impl<T, A> fmt::Debug for Joined<T, A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Joined").field("role", &self.role).finish_non_exhaustive()
    }
}

impl<T: Clone, A> Joined<T, A> {
    /// Waits for the end and returns a clone of the value. Cancel-safe in that dropping the
    /// future leaves the flight; put a timeout around it.
    ///
    /// # Errors
    /// [`FlightLost`] if the work panicked or its runtime was shut down.
    pub async fn wait(self) -> Result<T, FlightLost> {
        let mut outcome = self.flight.outcome.subscribe();
        // The sender lives in the flight that `self` holds, so the channel cannot close.
        let landed = outcome.wait_for(Option::is_some).await.map_err(|_| FlightLost)?;
        landed.clone().unwrap_or(Err(FlightLost))
    }
}

impl<T, A> Drop for Joined<T, A> {
    fn drop(&mut self) {
        self.flight.presence.leave();
    }
}
