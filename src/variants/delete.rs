//! Deleting in bulk what a stream of paths names, counted, a hundred at a time: a request for a
//! hundred is answered within the time of one call where a thousand may not be. Never decides
//! what goes.

use super::objects::{Fault, Objects};
use futures_util::stream::{self, BoxStream};
use futures_util::{StreamExt as _, pin_mut};
use object_store::path::Path;

/// Paths in one request, and requests at a time.
const BATCH: usize = 100;
const BATCHES: usize = 4;

/// What came of a pass over the store.
#[derive(Debug, Clone, PartialEq, Eq, Default, serde::Serialize)]
pub struct Swept {
    /// Objects of ours that were to go.
    pub listed: u64,
    /// Objects that are gone.
    pub deleted: u64,
    /// Objects that are still there.
    pub failed: u64,
    /// What went wrong first, in the store's words.
    pub error: Option<String>,
}

impl Swept {
    /// Whether everything that was to go is gone, as far as could be seen.
    #[must_use]
    pub const fn is_complete(&self) -> bool {
        self.failed == 0 && self.error.is_none()
    }

    /// Notes what went wrong, if it is the first.
    pub(super) fn note(&mut self, error: &impl std::fmt::Display) {
        self.error.get_or_insert_with(|| error.to_string());
    }

    /// Both together.
    pub(super) fn add(&mut self, other: Self) {
        self.listed += other.listed;
        self.deleted += other.deleted;
        self.failed += other.failed;
        if let Some(error) = other.error {
            self.note(&error);
        }
    }
}

impl Objects {
    /// Deletes what `victims` names. An error among them is noted and the rest goes on.
    pub(super) async fn delete_all(&self, victims: BoxStream<'_, Result<Path, Fault>>) -> Swept {
        let mut swept = Swept::default();
        let batches = victims.chunks(BATCH).map(async |found| {
            let mut swept = Swept::default();
            let mut paths = Vec::with_capacity(found.len());
            for path in found {
                match path {
                    Ok(path) => paths.push(path),
                    Err(fault) => swept.note(&fault),
                }
            }
            swept.add(self.delete_batch(paths).await);
            swept
        });
        let batches = batches.buffer_unordered(BATCHES);
        pin_mut!(batches);
        while let Some(batch) = batches.next().await {
            swept.add(batch);
        }
        swept
    }

    async fn delete_batch(&self, paths: Vec<Path>) -> Swept {
        let listed = paths.len() as u64;
        let mut swept = Swept { listed, ..Swept::default() };
        if paths.is_empty() {
            return swept;
        }
        let paths = stream::iter(paths.into_iter().map(Ok)).boxed();
        let mut results = self.store.objects.delete_stream(paths);
        while let Some(result) = results.next().await {
            match result {
                // Another was quicker.
                Ok(_) | Err(object_store::Error::NotFound { .. }) => swept.deleted += 1,
                Err(error) => swept.note(&error),
            }
        }
        // A request that failed as a whole is one error for all its paths.
        swept.failed = listed.saturating_sub(swept.deleted);
        swept
    }
}
