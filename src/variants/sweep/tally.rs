//! The counts of a sweep: what went and why, what stayed. Never decides anything.

use std::collections::BTreeMap;

/// Why an object goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reason {
    /// Its original is gone.
    Vanished,
    /// Its original has another version now.
    Changed,
    /// It was made by a build whose pictures nobody asks for any more.
    DeadEpoch,
    /// It is older than the limit.
    Old,
    /// It was left behind half done, for more than a day.
    Leftover,
}

impl Reason {
    /// In words.
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            Self::Vanished => "of originals that are gone",
            Self::Changed => "of older versions",
            Self::DeadEpoch => "of dead epochs",
            Self::Old => "older than the limit",
            Self::Leftover => "left half done",
        }
    }
}

/// Objects and their bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Count {
    /// How many.
    pub objects: u64,
    /// Bytes of them together.
    pub bytes: u64,
}

/// What a sweep found and did.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Tally {
    /// Objects of ours that were looked at, leftovers not counted.
    pub ours: Count,
    /// Objects between them that are not ours.
    pub foreign: u64,
    /// What goes, or would go in a dry run.
    pub gone: BTreeMap<Reason, Count>,
    /// What could not be deleted.
    pub failed: u64,
    /// Originals asked for.
    pub asked: u64,
    /// Originals whose origin gave no answer: what was made of them stays.
    pub unanswered: u64,
    /// Objects made of originals of origins that are not configured: they stay.
    pub unknown: u64,
    /// Objects of originals that seem gone, of origins that showed no original at all: they stay.
    pub unproved: u64,
    /// Those origins.
    pub silent_origins: Vec<String>,
    /// The first error, in the words of a store.
    pub error: Option<String>,
}

impl Tally {
    /// Everything that goes.
    #[must_use]
    pub fn goes_in_all(&self) -> Count {
        self.gone.values().fold(Count::default(), |sum, count| Count {
            objects: sum.objects + count.objects,
            bytes: sum.bytes + count.bytes,
        })
    }

    pub(super) fn goes(&mut self, reason: Reason, bytes: u64) {
        let count = self.gone.entry(reason).or_default();
        count.objects += 1;
        count.bytes += bytes;
    }

    pub(super) fn saw(&mut self, bytes: u64) {
        self.ours.objects += 1;
        self.ours.bytes += bytes;
    }

    pub(super) fn add(&mut self, other: &Self) {
        self.ours.objects += other.ours.objects;
        self.ours.bytes += other.ours.bytes;
        self.foreign += other.foreign;
        self.failed += other.failed;
        self.asked += other.asked;
        self.unanswered += other.unanswered;
        self.unknown += other.unknown;
        if let Some(error) = &other.error {
            self.error.get_or_insert_with(|| error.clone());
        }
    }
}
