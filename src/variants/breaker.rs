//! The breaker in front of the variant store: after a run of failures the store is left alone
//! for a while, then tried by one request at a time. Never decides what a failure is.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// What one use said of the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Health {
    /// It answered, be it "not found".
    Well,
    /// It failed or kept silent.
    Ill,
    /// Nothing: the caller left, ran out of its own time, or was refused by permission.
    Unknown,
}

#[derive(Debug)]
struct State {
    /// Failures since the last success.
    failures: u32,
    /// Open until then; after it half open.
    open_until: Option<Instant>,
    /// A probe is under way.
    probing: bool,
}

/// Closed, open, or half open. Clones are the same breaker.
#[derive(Debug, Clone)]
pub(super) struct Breaker {
    state: Arc<Mutex<State>>,
    threshold: u32,
    cool_down: Duration,
}

impl Breaker {
    /// Opens after `threshold` failures in a row (at least 1), for `cool_down` each time.
    pub(super) fn new(threshold: u32, cool_down: Duration) -> Self {
        let state = State { failures: 0, open_until: None, probing: false };
        Self { state: Arc::new(Mutex::new(state)), threshold: threshold.max(1), cool_down }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Leave to use the store; `None` while it is left alone.
    pub(super) fn permit(&self, now: Instant) -> Option<Permit> {
        let mut state = self.lock();
        let probe = match state.open_until {
            None => false,
            Some(until) if now < until || state.probing => return None,
            Some(_) => {
                state.probing = true;
                true
            }
        };
        Some(Permit { breaker: self.clone(), probe, reported: false })
    }

    /// Whether the store is left alone or only being probed.
    pub(super) fn is_open(&self) -> bool {
        self.lock().open_until.is_some()
    }

    fn report(&self, probe: bool, health: Health, now: Instant) {
        let mut state = self.lock();
        if probe {
            state.probing = false;
        } else if state.open_until.is_some() {
            // A use that began before the breaker opened says nothing new.
            return;
        }
        match health {
            Health::Well => {
                state.failures = 0;
                state.open_until = None;
            }
            Health::Ill => {
                state.failures = state.failures.saturating_add(1);
                if probe || state.failures >= self.threshold {
                    state.open_until = Some(now + self.cool_down);
                }
            }
            Health::Unknown => {}
        }
    }
}

/// Leave for one use. Dropped without a report it counts as [`Health::Unknown`].
#[derive(Debug)]
pub(super) struct Permit {
    breaker: Breaker,
    probe: bool,
    reported: bool,
}

impl Permit {
    /// Whether this use is to find out if the store is back, alone.
    pub(super) const fn is_probe(&self) -> bool {
        self.probe
    }

    /// Tells how it went.
    pub(super) fn report(mut self, health: Health, now: Instant) {
        self.reported = true;
        self.breaker.report(self.probe, health, now);
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        if !self.reported {
            self.breaker.report(self.probe, Health::Unknown, Instant::now());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const COOL_DOWN: Duration = Duration::from_secs(5);

    fn open(breaker: &Breaker, now: Instant) {
        for _ in 0..3 {
            breaker.permit(now).unwrap().report(Health::Ill, now);
        }
    }

    #[test]
    fn it_opens_after_a_run_of_failures_only() {
        let (breaker, now) = (Breaker::new(3, COOL_DOWN), Instant::now());
        for health in [Health::Ill, Health::Ill, Health::Well, Health::Ill, Health::Ill] {
            breaker.permit(now).unwrap().report(health, now);
        }
        breaker.permit(now).unwrap().report(Health::Unknown, now);
        assert!(!breaker.is_open());
        breaker.permit(now).unwrap().report(Health::Ill, now);
        assert!(breaker.is_open());
        assert!(breaker.permit(now).is_none());
    }

    #[test]
    fn after_the_cool_down_one_probe_decides() {
        let (breaker, now) = (Breaker::new(3, COOL_DOWN), Instant::now());
        open(&breaker, now);
        let later = now + COOL_DOWN;
        let probe = breaker.permit(later).unwrap();
        assert!(probe.is_probe());
        assert!(breaker.permit(later).is_none(), "one probe at a time");
        probe.report(Health::Ill, later);
        assert!(breaker.permit(later).is_none(), "open again");
        let later = later + COOL_DOWN;
        breaker.permit(later).unwrap().report(Health::Well, later);
        assert!(!breaker.is_open());
    }

    #[test]
    fn a_probe_that_is_given_up_lets_the_next_one_try() {
        let (breaker, now) = (Breaker::new(3, COOL_DOWN), Instant::now());
        open(&breaker, now);
        let later = now + COOL_DOWN;
        drop(breaker.permit(later).unwrap());
        assert!(breaker.permit(later).is_some());
    }

    #[test]
    fn a_success_from_before_does_not_close_it() {
        let (breaker, now) = (Breaker::new(3, COOL_DOWN), Instant::now());
        let early = breaker.permit(now).unwrap();
        open(&breaker, now);
        early.report(Health::Well, now);
        assert!(breaker.is_open());
    }
}
