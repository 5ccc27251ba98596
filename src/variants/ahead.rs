//! What batches need of the store: whether variants are there without reading them, writes that
//! are waited for, and small notes of our own. Unlike a request's, these questions have no answer
//! "as good as nothing": whoever makes variants ahead must know whether the store has them.

use super::objects::Fault;
use super::store::{Outcome, Store};
use super::{Kept, Placement, Since, SourceRecord, Variant, Variants};
use crate::model::key::{RENDER_EPOCH, VariantKey};
use bytes::Bytes;
use futures_util::StreamExt as _;
use futures_util::stream;
use object_store::path::Path;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Instant;

/// Up to so many variants of one original are asked for one by one; more are looked up by one
/// listing, which costs about a dozen of the small requests.
const ASKED_SINGLY: usize = 4;

/// Questions under way at a time for one original.
const ASKED_AT_ONCE: usize = 8;

/// What one page of a listing may take, in reads.
const PAGE_READS: u32 = 4;

/// The store cannot be asked, or did not take what was given to it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the variant store failed: {0}")]
pub struct StoreFault(String);

impl From<Fault> for StoreFault {
    fn from(fault: Fault) -> Self {
        Self(fault.to_string())
    }
}

/// What one listing found of the objects it was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Listed {
    /// Those that are there, whole as far as their length tells.
    Present(BTreeSet<String>),
    /// The listing was given up: the range they span holds far more than them, or the store does
    /// not list in the order of names. Ask for each original apart.
    TooWide,
}

impl Variants {
    /// Whether a listing of the store comes in the order of names and costs one request for a
    /// thousand of them. A folder is walked in no order; there every question is a cheap one.
    #[must_use]
    pub fn lists_in_order(&self) -> bool {
        self.store.as_ref().is_some_and(|store| store.objects.store.has_metadata)
    }

    /// Which of several variants of one version of one original the store has, in their order;
    /// without a store, which the memory has. No body is read: a torn entry counts as there, and
    /// is mended when somebody reads it.
    ///
    /// # Errors
    /// [`StoreFault`] if that cannot be told.
    pub async fn present(
        &self,
        wanted: &[(VariantKey, Placement)],
        deadline: Instant,
    ) -> Result<Vec<bool>, StoreFault> {
        let Some(store) = self.store.as_ref() else {
            return Ok(wanted.iter().map(|(key, _)| self.memory(key).is_some()).collect());
        };
        let entries = wanted.iter().filter(|(_, placement)| *placement == Placement::Versioned);
        let paths: BTreeSet<String> = entries.map(|(key, _)| key.object_path()).collect();
        let mut listed = BTreeSet::new();
        let by_list = paths.len() > ASKED_SINGLY && self.lists_in_order();
        if by_list && let Listed::Present(found) = self.listed(&paths, 1_000, deadline).await? {
            listed = found;
        } else {
            let asked = paths.into_iter().map(|path| async move {
                let there = store.within(store.read_timeout, deadline, async {
                    store.objects.head(&path).await.map(drop)
                });
                Ok::<_, StoreFault>(is_there(there.await)?.then_some(path))
            });
            let mut answers = stream::iter(asked).buffer_unordered(ASKED_AT_ONCE);
            while let Some(answer) = answers.next().await {
                listed.extend(answer?);
            }
        }
        let mut present = Vec::with_capacity(wanted.len());
        for (key, placement) in wanted {
            present.push(match placement {
                Placement::Versioned => listed.contains(&key.object_path()),
                Placement::Mirror { path } => store.mirrors(key, path, deadline).await?,
            });
        }
        Ok(present)
    }

    /// Which of these paths of the versioned area exist, by one listing from the first to the
    /// last of them, which reads at most `most` names.
    ///
    /// # Errors
    /// [`StoreFault`] if the store cannot be listed.
    pub async fn listed(
        &self,
        paths: &BTreeSet<String>,
        most: usize,
        deadline: Instant,
    ) -> Result<Listed, StoreFault> {
        let nothing = || Ok(Listed::Present(BTreeSet::new()));
        let (Some(store), Some(first), Some(last)) =
            (self.store.as_ref(), paths.first(), paths.last())
        else {
            return nothing();
        };
        let path = |text: &str| Path::parse(text).map_err(|e| StoreFault(e.to_string()));
        let (folder, after) = (path(shared_folder(first, last))?, path(folder_of(first))?);
        // Everything below a folder comes after its name, which is no object itself.
        let mut listing = store.objects.store.objects.list_with_offset(Some(&folder), &after);
        let (mut present, mut before, mut read) = (BTreeSet::new(), String::new(), 0);
        loop {
            let page = store.read_timeout * PAGE_READS;
            let next = store.within(page, deadline, async {
                listing.next().await.transpose().map_err(Fault::from)
            });
            let Some(object) = next.await? else { break };
            let name = object.location.as_ref();
            read += 1;
            if name <= before.as_str() || read > most {
                return Ok(Listed::TooWide);
            }
            if name > last.as_str() {
                break;
            }
            if object.size > 0 && paths.contains(name) {
                present.insert(name.to_owned());
            }
            name.clone_into(&mut before);
        }
        Ok(Listed::Present(present))
    }

    /// Writes a variant and waits for it, whatever the settings say of writing back: it was made
    /// in order to be stored. Without a store it is kept in memory. What was purged after `since`
    /// is kept nowhere.
    pub async fn put(
        &self,
        key: &VariantKey,
        placement: &Placement,
        variant: Arc<Variant>,
        record: Option<SourceRecord>,
        since: Since,
    ) -> Kept {
        let Some(_leave) = self.purges.begin_write(key, since) else {
            self.metrics.write_purged.inc();
            return Kept::Purged;
        };
        let Some(store) = self.store.as_ref() else {
            self.remember(key, variant, since);
            return Kept::InMemory;
        };
        match store.write(key, placement, &variant, record).await {
            Outcome::Stored => Kept::Stored,
            Outcome::Refused => Kept::Refused,
            Outcome::Failed => Kept::Failed,
            Outcome::Purged => Kept::Purged,
        }
    }

    /// A note of ours: `v{epoch}/~/{name}`, a small JSON object beside all variants. `None` if
    /// there is none, or no store.
    ///
    /// # Errors
    /// [`StoreFault`].
    pub async fn note(&self, name: &str, deadline: Instant) -> Result<Option<Bytes>, StoreFault> {
        let Some(store) = self.store.as_ref() else { return Ok(None) };
        let path = note_path(name);
        let read = store.within(store.read_timeout, deadline, async {
            let opened = store.objects.open(&path).await?;
            store.objects.body(opened).await
        });
        match read.await {
            Ok(json) => Ok(Some(json)),
            // Without the right to list, a missing object looks like a forbidden one.
            Err(Fault::Absent | Fault::Forbidden(_)) => Ok(None),
            Err(fault) => Err(fault.into()),
        }
    }

    /// Writes such a note. Without a store there is nobody who could read it later.
    ///
    /// # Errors
    /// [`StoreFault`].
    pub async fn put_note(&self, name: &str, json: Bytes) -> Result<(), StoreFault> {
        let Some(store) = self.store.as_ref() else { return Ok(()) };
        let path = note_path(name);
        match store.write_behind(&path, store.objects.write_json(&path, json)).await {
            Outcome::Stored => Ok(()),
            Outcome::Refused | Outcome::Failed | Outcome::Purged => {
                Err(StoreFault(format!("{path} cannot be written")))
            }
        }
    }
}

impl Store {
    /// Whether the image at `path` is the one of `key`, by its mark.
    async fn mirrors(
        &self,
        key: &VariantKey,
        path: &str,
        deadline: Instant,
    ) -> Result<bool, StoreFault> {
        let looked = self.within(self.read_timeout, deadline, async {
            let mark = self.objects.mark_alone(path, &key.source).await?;
            Ok(mark.belongs_to(key).is_ok())
        });
        match looked.await {
            Ok(same) => Ok(same),
            // Nothing, or something else, which the write will leave alone and say so.
            Err(
                Fault::Absent
                | Fault::Forbidden(_)
                | Fault::Unplaceable(_)
                | Fault::Unmarked
                | Fault::Entry(_),
            ) => Ok(false),
            Err(fault) => Err(fault.into()),
        }
    }
}

/// Whether a HEAD found the object. A refusal is how S3 says "not there" to those who may not
/// list.
fn is_there(head: Result<(), Fault>) -> Result<bool, StoreFault> {
    match head {
        Ok(()) => Ok(true),
        Err(Fault::Absent | Fault::Forbidden(_) | Fault::Unplaceable(_)) => Ok(false),
        Err(fault) => Err(fault.into()),
    }
}

fn note_path(name: &str) -> String {
    format!("v{RENDER_EPOCH}/~/{name}")
}

fn folder_of(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(folder, _)| folder)
}

/// The deepest folder that two paths have in common.
fn shared_folder<'a>(one: &'a str, other: &str) -> &'a str {
    let mut end = 0;
    for (at, _) in one.match_indices('/') {
        if other.get(..=at) != one.get(..=at) {
            break;
        }
        end = at;
    }
    one.get(..end).unwrap_or_default()
}
