//! What is missing of a stretch of the listing: one listing of the store over the same stretch
//! answers for hundreds of originals at once. Where the store does not list in order, or its
//! objects alone do not tell which version they show (mirrored images), each batch asks for
//! itself. Never decides that something is there that was not seen.

use super::{LISTING_ATTEMPTS, Warm};
use crate::model::key::{RENDER_EPOCH, SourceId, VariantKey};
use crate::origin::SourceMeta;
use crate::service::ahead::AheadWish;
use crate::service::batch::Known;
use crate::variants::{Listed, Placement, StoreFault};
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

/// Names of the store's listing that are read for each original, at most: then its stretch holds
/// so much else that asking for each original costs less.
const NAMES_PER_ORIGINAL: usize = 1_000;

/// What one listing of a stretch may take.
const PATIENCE: Duration = Duration::from_mins(5);

/// One original of the listing, under its number in the window.
#[derive(Debug)]
pub(super) struct Seen {
    pub(super) number: u64,
    pub(super) source: SourceId,
    pub(super) meta: SourceMeta,
}

/// What there may be to do for one original.
#[derive(Debug)]
pub(super) struct Todo {
    pub(super) number: u64,
    pub(super) source: SourceId,
    pub(super) known: Known,
    /// Empty: everything is there.
    pub(super) wishes: Vec<AheadWish>,
}

impl Warm {
    /// Looks a stretch up.
    ///
    /// # Errors
    /// [`StoreFault`] if the store cannot be listed.
    pub(super) async fn look(&self, stretch: Vec<Seen>) -> Result<Vec<Todo>, StoreFault> {
        let wished: Vec<_> = stretch
            .into_iter()
            .map(|seen| {
                let wishes = self.job.ahead.wishes(&seen.source);
                let paths = self.listable(&seen, &wishes);
                (seen, wishes, paths)
            })
            .collect();
        let paths: BTreeSet<String> =
            wished.iter().filter_map(|(_, _, paths)| paths.clone()).flatten().collect();
        let most = NAMES_PER_ORIGINAL * wished.len();
        let present = match self.listed(&paths, most).await? {
            Listed::Present(present) => Some(present),
            Listed::TooWide => None,
        };
        let todo = wished.into_iter().map(|(seen, mut wishes, paths)| {
            let known = match (&present, paths) {
                (Some(present), Some(paths)) => {
                    let mut paths = paths.iter();
                    wishes.retain(|_| paths.next().is_none_or(|path| !present.contains(path)));
                    Known::Missing(seen.meta)
                }
                _ => Known::Version(seen.meta),
            };
            Todo { number: seen.number, source: seen.source, known, wishes }
        });
        Ok(todo.collect())
    }

    /// One listing of the store. One that fails in passing, or finds the store left alone for a
    /// while, is asked for again.
    async fn listed(&self, paths: &BTreeSet<String>, most: usize) -> Result<Listed, StoreFault> {
        let mut failures = 0;
        loop {
            let deadline = Instant::now() + PATIENCE;
            match self.service.variants.listed(paths, most, deadline).await {
                Err(error) if failures + 1 < LISTING_ATTEMPTS => {
                    failures += 1;
                    tracing::warn!(%error, "listing the store of variants again");
                    tokio::time::sleep(Duration::from_millis(250) * 2_u32.pow(failures)).await;
                }
                listed => return listed,
            }
        }
    }

    /// Where each of the wishes would lie, if a listing of the versioned area tells whether they
    /// are there: all of them entries, in a store that lists in order, below the name of the
    /// original itself.
    fn listable(&self, seen: &Seen, wishes: &[AheadWish]) -> Option<Vec<String>> {
        if !self.service.variants.lists_in_order() {
            return None;
        }
        let area = format!("v{RENDER_EPOCH}/{}/{}/~/", seen.source.origin, seen.source.key);
        let path = |wish: &AheadWish| {
            let version = seen.meta.version.clone();
            let key = VariantKey::new(seen.source.clone(), version, &wish.transform);
            let entry = wish.placement == Placement::Versioned;
            // A key too long to stand in a path lies elsewhere, by its digest.
            Some(key.object_path()).filter(|path| entry && path.starts_with(&area))
        };
        wishes.iter().map(path).collect()
    }
}
