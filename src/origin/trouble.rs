//! Whether an origin failed lately: then nobody who has something older waits for it again, and
//! one request in the background finds out whether it is back. Never keeps a request that has
//! nothing older from asking.

use std::sync::Mutex;
use std::time::Duration;
use tokio::time::Instant;

/// How long a failure speaks for the next requests.
const LASTS: Duration = Duration::from_secs(5);

/// The last failure of one origin.
#[derive(Debug, Default)]
pub(super) struct Trouble(Mutex<Option<Instant>>);

impl Trouble {
    /// It failed in passing: an error of its own, or silence.
    pub(super) fn begins(&self, now: Instant) {
        self.set(Some(now + LASTS));
    }

    /// It answered.
    pub(super) fn ends(&self) {
        self.set(None);
    }

    /// Whether it failed within the last seconds and has not answered since.
    pub(super) fn lasts(&self, now: Instant) -> bool {
        let until = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        until.is_some_and(|until| now < until)
    }

    fn set(&self, until: Option<Instant>) {
        *self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = until;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trouble_lasts_until_an_answer_or_a_few_seconds() {
        let (trouble, now) = (Trouble::default(), Instant::now());
        assert!(!trouble.lasts(now));
        trouble.begins(now);
        assert!(trouble.lasts(now + LASTS / 2));
        assert!(!trouble.lasts(now + LASTS));
        trouble.ends();
        assert!(!trouble.lasts(now));
    }
}
