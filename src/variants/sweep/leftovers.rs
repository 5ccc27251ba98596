//! What was left behind half done: notes of events nobody took up, tests of a folder, files that
//! the client of a folder had not finished when its process was killed. Told by their names and a
//! day of age. Never follows a link, never looks outside the store.

use super::judge::is_older;
use super::{Reason, Victim};
use crate::variants::area;
use crate::variants::objects::{Fault, Objects};
use futures_util::stream::{self, BoxStream};
use futures_util::{StreamExt as _, TryStreamExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// How old a leftover is at least: whatever is younger may still be at work.
const AGE: Duration = Duration::from_hours(24);

/// Files taken up at most: the next sweep finds the rest.
const MOST: usize = 100_000;

/// Leftovers that a listing shows.
pub(super) fn listed(objects: &Objects, now: SystemTime) -> BoxStream<'_, Result<Victim, Fault>> {
    let notes = area::epochs().map(|epoch| objects.list(&format!("v{epoch}/~/events")));
    let notes = stream::iter(notes).flatten().try_filter_map(move |object| {
        let found = area::is_note(object.location.as_ref()) && is_older(&object, now, AGE);
        let (path, bytes) = (object.location, object.size);
        let victim = Victim { path, bytes, reason: Reason::Leftover, marks: None, marked: None };
        std::future::ready(Ok(found.then_some(victim)))
    });
    notes.boxed()
}

/// Leftovers in a folder that no listing shows (the client of a folder writes `name#1` first),
/// with their bytes. Blocks.
pub(super) fn half_written(root: &Path, now: SystemTime) -> Vec<(PathBuf, u64)> {
    let (mut found, mut folders) = (Vec::new(), vec![root.to_owned()]);
    while let Some(folder) = folders.pop() {
        let Ok(entries) = std::fs::read_dir(&folder) else { continue };
        for entry in entries.flatten() {
            let (path, Ok(kind)) = (entry.path(), entry.file_type()) else { continue };
            if kind.is_dir() {
                folders.push(path);
                continue;
            }
            let name = path.strip_prefix(root).ok().and_then(Path::to_str);
            if !kind.is_file() || !name.is_some_and(area::is_half_written) || found.len() >= MOST {
                continue;
            }
            let Ok(meta) = entry.metadata() else { continue };
            let age = meta.modified().ok().and_then(|at| now.duration_since(at).ok());
            if age.is_some_and(|age| age >= AGE) {
                found.push((path, meta.len()));
            }
        }
    }
    found
}
