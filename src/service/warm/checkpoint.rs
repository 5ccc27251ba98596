//! Where a warm-up goes on after it was stopped: the last key up to which everything is finished,
//! kept as a note beside the variants. Only a shortcut: that no finished work is done again is
//! seen to by looking what is there.

use super::counts::{Failed, Tally};
use crate::model::key::SourceKey;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// A checkpoint older than this is not believed: originals added since lie before it.
const MAX_AGE: Duration = Duration::from_hours(24);

/// What a stopped warm-up leaves behind.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Checkpoint {
    /// Everything up to this key is finished.
    pub(super) after: String,
    /// Nothing is left: the next run begins at the beginning.
    pub(super) finished: bool,
    /// The numbers so far.
    pub(super) tally: Tally,
    /// The first failures so far.
    pub(super) failures: Vec<Failed>,
    /// When it was written, seconds since 1970.
    pub(super) written_at: u64,
}

impl Checkpoint {
    /// The object's bytes.
    pub(super) fn to_json(&self) -> Bytes {
        // Strings and numbers always serialise.
        let mut json = serde_json::to_vec_pretty(self).unwrap_or_default();
        json.push(b'\n');
        json.into()
    }

    /// Reads one that is worth going on from; whatever else lies there is none.
    pub(super) fn from_json(json: &[u8], now: SystemTime) -> Option<Self> {
        let read: Self = serde_json::from_slice(json).ok()?;
        let age = seconds(now).saturating_sub(read.written_at);
        (!read.finished && !read.after.is_empty() && age <= MAX_AGE.as_secs()).then_some(read)
    }
}

/// Seconds since 1970.
pub(super) fn seconds(now: SystemTime) -> u64 {
    now.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// The keys under way, in the order of the listing: they finish in any order, and the checkpoint
/// is the key before the first that has not.
#[derive(Debug, Default)]
pub(super) struct Window {
    /// Each with whether it is finished.
    keys: VecDeque<(SourceKey, bool)>,
    /// The number of the first of them.
    first: u64,
    after: Option<SourceKey>,
}

impl Window {
    /// Enters the next key of the listing; returns its number.
    pub(super) fn begin(&mut self, key: SourceKey) -> u64 {
        self.keys.push_back((key, false));
        self.first + self.keys.len() as u64 - 1
    }

    /// Enters the end of one.
    pub(super) fn finish(&mut self, number: u64) {
        let place = number.checked_sub(self.first).and_then(|at| usize::try_from(at).ok());
        if let Some((_, finished)) = place.and_then(|at| self.keys.get_mut(at)) {
            *finished = true;
        }
        while self.keys.front().is_some_and(|(_, finished)| *finished) {
            self.after = self.keys.pop_front().map(|(key, _)| key);
            self.first += 1;
        }
    }

    /// Keys that are begun and not known to be finished, those behind an unfinished one included.
    pub(super) fn len(&self) -> usize {
        self.keys.len()
    }

    /// The last key up to which everything is finished.
    pub(super) fn after(&self) -> Option<&str> {
        self.after.as_ref().map(SourceKey::as_str)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn key(n: usize) -> SourceKey {
        SourceKey::new(&format!("{n:04}")).unwrap()
    }

    fn checkpoint(after: &str, finished: bool, written_at: u64) -> Checkpoint {
        let failures = vec![Failed { key: "a".into(), why: "broken".into() }];
        let tally = Tally { made: 7, ..Tally::default() };
        Checkpoint { after: after.to_owned(), finished, tally, failures, written_at }
    }

    #[test]
    fn a_checkpoint_reads_as_it_was_written_while_it_is_young_and_unfinished() {
        let now = UNIX_EPOCH + Duration::from_secs(1_700_000_000);
        let fresh = checkpoint("photos/cat.jpg", false, 1_700_000_000 - 3_600);
        assert_eq!(Checkpoint::from_json(&fresh.to_json(), now), Some(fresh));
        for useless in [
            checkpoint("a", true, 1_700_000_000),
            checkpoint("", false, 1_700_000_000),
            checkpoint("a", false, 1_700_000_000 - 90_000),
        ] {
            assert_eq!(Checkpoint::from_json(&useless.to_json(), now), None);
        }
        assert_eq!(Checkpoint::from_json(b"{}", now), None);
        assert_eq!(Checkpoint::from_json(b"no json", now), None);
    }

    proptest! {
        #[test]
        fn nothing_unfinished_lies_at_or_before_the_checkpoint(
            order in Just((0..40_usize).collect::<Vec<_>>()).prop_shuffle(),
            finished in 0..=40_usize,
        ) {
            let mut window = Window::default();
            let numbers: Vec<u64> = (0..40).map(|n| window.begin(key(n))).collect();
            for n in &order[..finished] {
                window.finish(numbers[*n]);
                window.finish(numbers[*n]);
            }
            let open = order[finished..].iter().min();
            let expected = open.map_or(Some(39), |first| first.checked_sub(1)).map(key);
            prop_assert_eq!(window.after(), expected.as_ref().map(SourceKey::as_str));
            prop_assert_eq!(window.len(), open.map_or(0, |first| 40 - first));
        }
    }
}
