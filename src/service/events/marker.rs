//! Notes of accepted events in the store of variants, so that a process killed after it accepted
//! one loses nothing. Each note is an object of its own name, deleted by that name when its work
//! is done: a newer event of the same original has a note of its own, which no deletion of an
//! older one can take away. Doing a work twice is safe, so a note taken up twice is no harm.

use crate::model::key::{OriginName, RENDER_EPOCH, SourceId, SourceKey};
use futures_util::StreamExt as _;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt as _, PutMode, PutOptions, UpdateVersion};
use ring::rand::{SecureRandom as _, SystemRandom};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::time::timeout;

/// The path of a note: `v{epoch}/~/events/{32 hex of the original}.{16 hex}.json`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct MarkerName(Path);

#[cfg(test)]
impl MarkerName {
    pub(super) fn of_test(name: &str) -> Self {
        Self(Path::from(name))
    }
}

/// What a note says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Note {
    /// The origin's name.
    origin: String,
    /// The key there.
    key: String,
    /// When the event was accepted, seconds since 1970.
    pub(super) accepted_at: u64,
    /// How often the work was begun and did not come to an end.
    pub(super) attempts: u32,
    /// Not to be begun before this, seconds since 1970.
    pub(super) not_before: u64,
}

impl Note {
    /// Of an event accepted now.
    pub(super) fn new(source: &SourceId) -> Self {
        Self {
            origin: source.origin.as_str().to_owned(),
            key: source.key.as_str().to_owned(),
            accepted_at: now(),
            attempts: 0,
            not_before: 0,
        }
    }

    /// Of an event that was accepted `waited` ago and whose work failed.
    pub(super) fn again(
        source: &SourceId,
        waited: Duration,
        attempts: u32,
        pause: Duration,
    ) -> Self {
        Self {
            accepted_at: now().saturating_sub(waited.as_secs()),
            attempts,
            not_before: now().saturating_add(pause.as_secs()),
            ..Self::new(source)
        }
    }

    /// Which original; none for a note that nobody of us wrote.
    pub(super) fn source(&self) -> Option<SourceId> {
        let (origin, key) = (OriginName::new(&self.origin)?, SourceKey::new(&self.key).ok()?);
        Some(SourceId { origin, key })
    }
}

/// Why a note could not be written.
#[derive(Debug, thiserror::Error)]
pub(super) enum MarkerError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] object_store::Error),
    /// The store did not answer.
    #[error("no answer within {0:?}")]
    Timeout(Duration),
}

/// A note that its writer has left alone for too long.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) name: MarkerName,
    pub(super) source: SourceId,
    pub(super) note: Note,
}

/// The notes of all pods.
#[derive(Debug)]
pub(super) struct Markers {
    store: Arc<dyn ObjectStore>,
    timeout: Duration,
    random: SystemRandom,
}

/// Seconds since 1970.
pub(super) fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

fn area(epoch: u32) -> Path {
    // Parsed as it stands: `Path::from` would spell the `~` as `%7E`, a place that is not ours.
    Path::parse(format!("v{epoch}/~/events")).unwrap_or_else(|_never| Path::from("lenslet-events"))
}

impl Markers {
    /// In `store`, each call to which may take `timeout`.
    pub(super) fn new(store: Arc<dyn ObjectStore>, timeout: Duration) -> Self {
        Self { store, timeout, random: SystemRandom::new() }
    }

    async fn within<T>(
        &self,
        call: impl Future<Output = object_store::Result<T>>,
    ) -> Result<T, MarkerError> {
        let answer = timeout(self.timeout, call).await;
        Ok(answer.map_err(|_elapsed| MarkerError::Timeout(self.timeout))??)
    }

    /// Notes an event; durable when this returns.
    ///
    /// # Errors
    /// [`MarkerError`].
    pub(super) async fn write(
        &self,
        source: &SourceId,
        note: &Note,
    ) -> Result<MarkerName, MarkerError> {
        let digest = blake3::hash(source.to_string().as_bytes()).to_hex();
        let mut nonce = [0_u8; 8];
        // Without randomness two notes of one original could share a name: better none at all.
        self.random.fill(&mut nonce).map_err(|_| object_store::Error::Generic {
            store: "events",
            source: "no randomness".into(),
        })?;
        let nonce = u64::from_be_bytes(nonce);
        let file = format!("{}.{nonce:016x}.json", digest.as_str().get(..32).unwrap_or_default());
        let name = MarkerName(area(RENDER_EPOCH).join(file));
        self.put(&name, note, PutMode::Overwrite).await?;
        Ok(name)
    }

    /// Replaces what a note says, which also renews it.
    ///
    /// # Errors
    /// [`MarkerError`].
    pub(super) async fn rewrite(&self, name: &MarkerName, note: &Note) -> Result<(), MarkerError> {
        self.put(name, note, PutMode::Overwrite).await
    }

    async fn put(&self, name: &MarkerName, note: &Note, mode: PutMode) -> Result<(), MarkerError> {
        // Strings and numbers always serialise.
        let json = serde_json::to_vec(note).unwrap_or_default();
        let options = PutOptions { mode, ..PutOptions::default() };
        self.within(self.store.put_opts(&name.0, json.into(), options)).await?;
        Ok(())
    }

    /// Deletes a note by its name.
    ///
    /// # Errors
    /// [`MarkerError`]; a note that is gone already is none.
    pub(super) async fn delete(&self, name: &MarkerName) -> Result<(), MarkerError> {
        match self.within(self.store.delete(&name.0)).await {
            Err(MarkerError::Store(object_store::Error::NotFound { .. })) | Ok(()) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Takes up to `most` notes that nobody has touched for `lease`, each renewed and with one
    /// attempt more, so that no other pod takes it too. `held` tells which of them are worked on
    /// here.
    ///
    /// # Errors
    /// [`MarkerError`] where the store cannot be listed; a single note that cannot be taken is
    /// passed over.
    pub(super) async fn take_old(
        &self,
        lease: Duration,
        most: usize,
        held: impl Fn(&MarkerName) -> bool,
    ) -> Result<Vec<Found>, MarkerError> {
        let mut taken = Vec::new();
        // Notes of the epoch before are those of pods that ran before the last upgrade.
        for epoch in RENDER_EPOCH.saturating_sub(1).max(1)..=RENDER_EPOCH {
            let area = area(epoch);
            let mut listing = self.store.list(Some(&area));
            while taken.len() < most {
                let next = async { listing.next().await.transpose() };
                let Some(object) = self.within(next).await? else { break };
                let name = MarkerName(object.location);
                let age = now().saturating_sub(object.last_modified.timestamp().unsigned_abs());
                if age < lease.as_secs() || !is_note(&name) || held(&name) {
                    continue;
                }
                match self.take(&name).await {
                    Ok(found) => taken.extend(found),
                    Err(error) => tracing::debug!(%error, note = %name.0, "a note was not taken"),
                }
            }
        }
        Ok(taken)
    }

    async fn take(&self, name: &MarkerName) -> Result<Option<Found>, MarkerError> {
        let answer = self.within(self.store.get(&name.0)).await?;
        let version = UpdateVersion {
            e_tag: answer.meta.e_tag.clone(),
            version: answer.meta.version.clone(),
        };
        let json = self.within(answer.bytes()).await?;
        let Ok(mut note) = serde_json::from_slice::<Note>(&json) else {
            tracing::warn!(note = %name.0, "not a note of an event; it is left alone");
            return Ok(None);
        };
        let Some(source) = note.source() else { return Ok(None) };
        if note.not_before > now() {
            return Ok(None);
        }
        note.attempts = note.attempts.saturating_add(1);
        match self.put(name, &note, PutMode::Update(version)).await {
            // Folders know no condition: then two pods may take it, which is no harm.
            Err(MarkerError::Store(
                object_store::Error::NotImplemented { .. }
                | object_store::Error::NotSupported { .. },
            )) => self.rewrite(name, &note).await?,
            other => other?,
        }
        Ok(Some(Found { name: name.clone(), source, note }))
    }
}

/// Whether a name has the form of ours.
fn is_note(name: &MarkerName) -> bool {
    let hex =
        |text: &str, digits| text.len() == digits && text.bytes().all(|b| b.is_ascii_hexdigit());
    let mut parts = name.0.filename().unwrap_or_default().split('.');
    let (digest, nonce, json, rest) = (parts.next(), parts.next(), parts.next(), parts.next());
    digest.is_some_and(|d| hex(d, 32))
        && nonce.is_some_and(|n| hex(n, 16))
        && json == Some("json")
        && rest.is_none()
}

#[cfg(test)]
mod tests {
    use super::*;
    use object_store::local::LocalFileSystem;
    use object_store::memory::InMemory;

    fn source(key: &str) -> SourceId {
        SourceId { origin: OriginName::default_origin(), key: SourceKey::new(key).unwrap() }
    }

    fn stores() -> (tempfile::TempDir, [Markers; 2]) {
        let folder = tempfile::tempdir().unwrap();
        let local = LocalFileSystem::new_with_prefix(folder.path()).unwrap();
        let time = Duration::from_secs(5);
        let markers =
            [Markers::new(Arc::new(InMemory::new()), time), Markers::new(Arc::new(local), time)];
        (folder, markers)
    }

    #[tokio::test]
    async fn a_note_is_found_by_others_once_its_lease_is_over_and_not_before() {
        let (_folder, stores) = stores();
        for markers in stores {
            let cat = source("a b/cät.jpg");
            let name = markers.write(&cat, &Note::new(&cat)).await.unwrap();
            assert!(is_note(&name), "{name:?}");
            assert!(name.0.as_ref().starts_with("v1/~/events/"), "{name:?}");
            let hour = Duration::from_hours(1);
            assert!(markers.take_old(hour, 9, |_| false).await.unwrap().is_empty());
            assert!(markers.take_old(Duration::ZERO, 9, |_| true).await.unwrap().is_empty());
            let found = markers.take_old(Duration::ZERO, 9, |_| false).await.unwrap();
            let [found] = found.as_slice() else { panic!("{found:?}") };
            assert_eq!((&found.source, &found.name, found.note.attempts), (&cat, &name, 1));
            markers.delete(&name).await.unwrap();
            markers.delete(&name).await.unwrap();
            assert!(markers.take_old(Duration::ZERO, 9, |_| false).await.unwrap().is_empty());
        }
    }

    #[tokio::test]
    async fn deleting_one_note_leaves_the_newer_one_of_the_same_original() {
        let (_folder, stores) = stores();
        for markers in stores {
            let cat = source("cat.jpg");
            let first = markers.write(&cat, &Note::new(&cat)).await.unwrap();
            let second = markers.write(&cat, &Note::new(&cat)).await.unwrap();
            assert_ne!(first, second);
            markers.delete(&first).await.unwrap();
            let left = markers.take_old(Duration::ZERO, 9, |_| false).await.unwrap();
            assert_eq!(left.iter().map(|f| f.name.clone()).collect::<Vec<_>>(), [second]);
        }
    }

    #[tokio::test]
    async fn a_note_that_waits_for_its_turn_is_not_taken_and_no_more_than_asked_are() {
        let (_folder, stores) = stores();
        for markers in stores {
            for key in ["a", "b", "c"] {
                markers.write(&source(key), &Note::new(&source(key))).await.unwrap();
            }
            assert_eq!(markers.take_old(Duration::ZERO, 2, |_| false).await.unwrap().len(), 2);
            let later = source("later");
            let name = markers.write(&later, &Note::new(&later)).await.unwrap();
            let note = Note { not_before: now() + 60, ..Note::new(&later) };
            markers.rewrite(&name, &note).await.unwrap();
            let taken = markers.take_old(Duration::ZERO, 9, |_| false).await.unwrap();
            assert!(taken.iter().all(|found| found.source != later) && taken.len() == 3);
        }
    }

    #[tokio::test]
    async fn what_is_no_note_is_left_alone() {
        let (_folder, stores) = stores();
        for markers in stores {
            for name in ["readme.txt", "00112233445566778899aabbccddeeff.0011223344556677.json"] {
                let path = area(RENDER_EPOCH).join(name);
                markers.store.put(&path, "hello".into()).await.unwrap();
            }
            assert!(markers.take_old(Duration::ZERO, 9, |_| false).await.unwrap().is_empty());
            assert_eq!(markers.store.list(None).count().await, 2);
        }
    }
}
