//! Whether an origin failed lately. Then nobody who has something older waits for it, and after a
//! few failures in a row nobody waits for long at all: one question at a time finds out whether it
//! is back. Never decides what a failure is, and never asks.

use super::OriginError;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// How long a failure speaks for the next requests, and how far apart probes are.
const LASTS: Duration = Duration::from_secs(3);

/// Failures in a row after which a request that has nothing older does not wait either. One
/// original that its origin cannot give must not look like the end of it.
const ENOUGH: u32 = 3;

/// How an origin may be asked now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Gate {
    /// As ever.
    Open,
    /// By this request alone, to find out whether it is back. What it said last is told.
    Probe(OriginError),
    /// Not now. What it said last is told.
    Shut(OriginError),
}

/// The failures of one origin since its last answer.
#[derive(Debug, Default)]
pub(super) struct Trouble(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    failures: u32,
    last: Option<(OriginError, Instant)>,
    answered: Option<Instant>,
}

impl Trouble {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// It failed as a whole a question sent at `asked`: an error of its own, or silence. One that
    /// was sent before its last answer says nothing new.
    pub(super) fn failed(&self, error: OriginError, asked: Instant, now: Instant) {
        let mut state = self.lock();
        if state.answered.is_some_and(|answered| asked < answered) {
            return;
        }
        state.failures = state.failures.saturating_add(1);
        state.last = Some((error, now + LASTS));
    }

    /// It answered.
    pub(super) fn ends(&self, now: Instant) {
        *self.lock() = State { answered: Some(now), ..State::default() };
    }

    /// How a request may ask; `has_older` says whether it has something else to answer with.
    pub(super) fn gate(&self, has_older: bool, now: Instant) -> Gate {
        let mut state = self.lock();
        let patient = !has_older && state.failures < ENOUGH;
        match &mut state.last {
            Some((error, until)) if !patient => {
                if now < *until {
                    return Gate::Shut(error.clone());
                }
                *until = now + LASTS;
                Gate::Probe(error.clone())
            }
            _ => Gate::Open,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SLOW: OriginError = OriginError::TimedOut;

    #[test]
    fn one_failure_speaks_for_those_who_have_something_older_only() {
        let (trouble, now) = (Trouble::default(), Instant::now());
        assert_eq!(trouble.gate(true, now), Gate::Open);
        trouble.failed(SLOW, now, now);
        assert_eq!(trouble.gate(true, now), Gate::Shut(SLOW));
        assert_eq!(trouble.gate(false, now), Gate::Open);
        trouble.ends(now);
        assert_eq!(trouble.gate(true, now), Gate::Open);
    }

    #[test]
    fn after_a_run_of_failures_one_request_at_a_time_asks() {
        let (trouble, now) = (Trouble::default(), Instant::now());
        for _ in 0..ENOUGH {
            assert_eq!(trouble.gate(false, now), Gate::Open);
            trouble.failed(SLOW, now, now);
        }
        assert_eq!(trouble.gate(false, now + LASTS / 2), Gate::Shut(SLOW));
        let later = now + LASTS;
        assert_eq!(trouble.gate(false, later), Gate::Probe(SLOW));
        assert_eq!(trouble.gate(false, later), Gate::Shut(SLOW), "one probe at a time");
        assert_eq!(trouble.gate(true, later + LASTS / 2), Gate::Shut(SLOW));
        assert_eq!(trouble.gate(true, later + LASTS), Gate::Probe(SLOW), "the probe was lost");
        trouble.ends(now);
        assert_eq!(trouble.gate(false, later), Gate::Open);
    }

    #[test]
    fn a_question_sent_before_an_answer_came_does_not_fail_after_it() {
        let (trouble, now) = (Trouble::default(), Instant::now());
        let later = now + LASTS;
        trouble.ends(later);
        trouble.failed(SLOW, now, later + LASTS);
        assert_eq!(trouble.gate(true, later + LASTS), Gate::Open);
        trouble.failed(SLOW, later, later + LASTS);
        assert_eq!(trouble.gate(true, later + LASTS), Gate::Shut(SLOW));
    }

    #[test]
    fn an_answer_in_between_breaks_the_run() {
        let (trouble, now) = (Trouble::default(), Instant::now());
        for _ in 0..10 {
            for _ in 1..ENOUGH {
                trouble.failed(SLOW, now, now);
            }
            assert_eq!(trouble.gate(false, now), Gate::Open);
            trouble.ends(now);
        }
    }
}
