//! Warnings about the variant store, one per class and minute: a store that fails a thousand
//! times a second fills no log. The counters count every one.

use std::fmt::Display;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// What went wrong, in the classes an operator acts on differently.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Class {
    ReadFailed,
    ReadForbidden,
    Damaged,
    Unmarked,
    WriteFailed,
    WriteForbidden,
    Overflow,
}

impl Class {
    const COUNT: usize = 7;

    const fn text(self) -> &'static str {
        match self {
            Self::ReadFailed => "the variant store cannot be read; variants are rendered anew",
            Self::ReadForbidden => {
                "the variant store refuses reads; without the right to list, a missing object \
                 looks like this too"
            }
            Self::Damaged => "a stored variant is damaged or foreign; it is rendered anew",
            Self::Unmarked => "an object that is not ours lies where a variant would be mirrored",
            Self::WriteFailed => "the variant store cannot be written",
            Self::WriteForbidden => "the variant store refuses writes",
            Self::Overflow => "more variants to write than the queue holds; some are not stored",
        }
    }
}

#[derive(Debug, Default)]
struct Last {
    said: Option<Instant>,
    held_back: u64,
}

/// When each class was last said.
#[derive(Debug, Default)]
pub(super) struct Log {
    last: [Mutex<Last>; Class::COUNT],
}

const QUIET: Duration = Duration::from_mins(1);

impl Log {
    /// Says it, unless the class was said within the last minute.
    pub(super) fn warn(&self, class: Class, path: &str, error: &dyn Display) {
        if let Some(held_back) = self.admit(class, Instant::now()) {
            tracing::warn!(path, %error, held_back, "{}", class.text());
        }
    }

    /// How many of the class were held back since the last; `None` to hold this one back too.
    fn admit(&self, class: Class, now: Instant) -> Option<u64> {
        let mut last =
            self.last.get(class as usize)?.lock().unwrap_or_else(PoisonError::into_inner);
        if last.said.is_some_and(|said| now.duration_since(said) < QUIET) {
            last.held_back += 1;
            return None;
        }
        last.said = Some(now);
        Some(std::mem::take(&mut last.held_back))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_class_is_said_once_a_minute_with_what_was_held_back() {
        let (log, now) = (Log::default(), Instant::now());
        assert_eq!(log.admit(Class::ReadFailed, now), Some(0));
        assert_eq!(log.admit(Class::Overflow, now), Some(0), "another class");
        for _ in 0..1_000 {
            assert_eq!(log.admit(Class::ReadFailed, now + QUIET / 2), None);
        }
        assert_eq!(log.admit(Class::ReadFailed, now + QUIET), Some(1_000));
        assert_eq!(log.admit(Class::ReadFailed, now + QUIET), None);
    }

    #[test]
    fn every_class_has_a_place() {
        assert!(Log::default().admit(Class::Overflow, Instant::now()).is_some());
        assert_eq!(Class::Overflow as usize + 1, Class::COUNT);
    }
}
