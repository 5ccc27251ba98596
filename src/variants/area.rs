//! The names of our objects in the versioned area, read backwards: which object is ours, of which
//! original, epoch and kind. A name is ours only if every part of it has the form we write; all
//! else belongs to somebody else, wherever it lies. Never looks at an object.
//!
//! ```text
//! v1/default/photos/cat.jpg/~/{version, 24 hex}/{digest, 32 hex}     an entry
//! v1/default/photos/cat.jpg/~/source.json                            the record of the original
//! v1/default/photos/cat.jpg/~/mirror/300x200.json                    the mark of a mirrored file
//! ```

use crate::model::key::{
    OriginName, RENDER_EPOCH, SourceId, SourceKey, SourceVersion, source_area,
};

/// Epochs beyond our own that are looked for: newer builds beside this one during a rollout.
const NEWER: u32 = 3;

/// Every epoch whose area is looked for.
pub(super) fn epochs() -> impl Iterator<Item = u32> {
    0..=RENDER_EPOCH + NEWER
}

/// An object of ours in the versioned area.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place<'p> {
    /// The render epoch it was made in.
    pub(super) epoch: u32,
    /// Whose original.
    pub(super) origin: OriginName,
    /// Which original.
    pub(super) key: Name<'p>,
    /// What it is.
    pub(super) what: What<'p>,
}

/// How the path names an original.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Name<'p> {
    /// By its key.
    Key(&'p str),
    /// By the digest of a key too long to stand in a path; the object itself tells the key.
    Digest(&'p str),
}

/// What an object is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum What<'p> {
    /// A variant.
    Entry { version: SourceVersion, digest: &'p str },
    /// `source.json`.
    Record,
    /// The mark of a mirrored image, where the store has no metadata.
    Mark,
}

fn is_hex(text: &str, digits: usize) -> bool {
    text.len() == digits && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
}

/// What lies at `path`, if its name is one of ours.
pub(super) fn place(path: &str) -> Option<Place<'_>> {
    let (epoch, rest) = path.strip_prefix('v')?.split_once('/')?;
    let (origin, rest) = rest.split_once('/')?;
    let canonical = epoch == "0" || !epoch.starts_with('0');
    let epoch = epoch.bytes().all(|b| b.is_ascii_digit()).then(|| epoch.parse().ok())??;
    let origin = OriginName::new(origin).filter(|_| canonical)?;
    // From behind: a key may hold a ~ of its own.
    let (above, name) = rest.rsplit_once('/')?;
    let (key, what) = match above.strip_suffix("/~") {
        Some(key) if name == "source.json" => (key, What::Record),
        _ => {
            let (area, folder) = above.rsplit_once('/')?;
            let key = area.strip_suffix("/~")?;
            let what = match SourceVersion::parse(folder) {
                Some(version) if is_hex(name, 32) => What::Entry { version, digest: name },
                None if folder == "mirror" && is_mark(name) => What::Mark,
                _ => return None,
            };
            (key, what)
        }
    };
    let key = match key.strip_prefix('%') {
        Some(digest) if is_hex(digest, 32) => Name::Digest(key),
        _ => {
            SourceKey::new(key).ok()?;
            Name::Key(key)
        }
    };
    Some(Place { epoch, origin, key, what })
}

/// `300x200.json`, or `{32 hex}.json` for a path of another form.
fn is_mark(name: &str) -> bool {
    let Some(stem) = name.strip_suffix(".json") else { return false };
    is_hex(stem, 32) || is_size(stem)
}

/// `{W}x{H}` with one to five digits each.
pub(super) fn is_size(text: &str) -> bool {
    let side = |side: &str| {
        (1..=5).contains(&side.len()) && side.bytes().all(|byte| byte.is_ascii_digit())
    };
    text.split_once('x').is_some_and(|(width, height)| side(width) && side(height))
}

impl Place<'_> {
    /// The original, if the path tells its key.
    pub(super) fn source(&self) -> Option<SourceId> {
        match self.key {
            Name::Key(key) => {
                Some(SourceId { origin: self.origin.clone(), key: SourceKey::new(key).ok()? })
            }
            Name::Digest(_) => None,
        }
    }

    /// The folder of everything derived from the original.
    pub(super) fn area(&self) -> String {
        let (Name::Key(key) | Name::Digest(key)) = self.key;
        format!("v{}/{}/{key}/~", self.epoch, self.origin)
    }
}

/// Whether a name is that of a file which no listing shows and which we may have left behind: the
/// test of a folder, a file half written by the store's client.
pub(super) fn is_half_written(path: &str) -> bool {
    if let Some((written, number)) = path.rsplit_once('#') {
        let number = !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit());
        return number && place(written).is_some();
    }
    let process = path.strip_prefix(".lenslet-write-test-");
    process.is_some_and(|id| !id.is_empty() && id.bytes().all(|b| b.is_ascii_digit()))
}

/// Whether a name is that of the note of an event.
pub(super) fn is_note(path: &str) -> bool {
    let note = || {
        let (epoch, note) = path.strip_prefix('v')?.split_once("/~/events/")?;
        let (digest, nonce) = note.strip_suffix(".json")?.split_once('.')?;
        let number = !epoch.is_empty() && epoch.bytes().all(|b| b.is_ascii_digit());
        (number && is_hex(digest, 32) && is_hex(nonce, 16)).then_some(())
    };
    note().is_some()
}

/// [`source_area`] in another epoch.
pub(super) fn area_in(epoch: u32, source: &SourceId) -> String {
    let area = source_area(source);
    let within = area.split_once('/').map_or(area.as_str(), |(_, within)| within);
    format!("v{epoch}/{within}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::key::source_record_path;
    use crate::variants::fixture::key;
    use proptest::prelude::*;

    const VERSION: &str = "0123456789abcdef01234567";
    const DIGEST: &str = "0123456789abcdef0123456789abcdef";

    #[test]
    fn what_we_write_is_ours() {
        for name in ["cat.jpg", "photos/cat.jpg", "a/~/b", "~", "a/~/source.json", "mirror/~/x"] {
            let key = key(name, "1");
            let path = key.object_path();
            let found = place(&path).unwrap();
            assert_eq!(found.source().as_ref(), Some(&key.source), "{path}");
            assert_eq!((found.epoch, found.area()), (RENDER_EPOCH, source_area(&key.source)));
            let entry = What::Entry { version: key.version.clone(), digest: key.digest() };
            assert_eq!(found.what, entry);
            let record = source_record_path(&key.source);
            let found = place(&record).unwrap();
            assert_eq!((found.source(), found.what), (Some(key.source.clone()), What::Record));
        }
        let mark = place("v1/default/photos/cat.jpg/~/mirror/300x200.json").unwrap();
        assert_eq!((mark.key, mark.what), (Name::Key("photos/cat.jpg"), What::Mark));
    }

    #[test]
    fn a_long_key_is_named_by_its_digest_in_every_epoch() {
        let long = key(&format!("{}x.jpg", "a/".repeat(600)), "1");
        let path = long.object_path();
        let found = place(&path).unwrap();
        assert!(matches!(found.key, Name::Digest(_)) && found.source().is_none(), "{path}");
        assert_eq!(found.area(), source_area(&long.source));
        assert!(area_in(7, &long.source).starts_with("v7/default/%"));
        assert_eq!(area_in(RENDER_EPOCH, &long.source), source_area(&long.source));
    }

    #[test]
    fn leftovers_are_known_by_their_names() {
        for ours in [
            ".lenslet-write-test-4711",
            &format!("v1/~/events/{DIGEST}.0123456789abcdef.json"),
            &format!("v1/default/cat.jpg/~/{VERSION}/{DIGEST}#1"),
            "v1/default/cat.jpg/~/source.json#12",
        ] {
            assert!(is_half_written(ours) || is_note(ours), "{ours}");
        }
        for other in [
            ".lenslet-write-test-",
            ".lenslet-write-test-x",
            "cat.jpg#1",
            "v1/default/cat.jpg/~/source.json#",
            "v1/default/cat.jpg/~/source.json",
            "v1/~/events/note.json",
            "x/~/events/note.json",
        ] {
            assert!(!is_half_written(other) && !is_note(other), "{other}");
        }
    }

    #[test]
    fn what_others_put_between_is_theirs() {
        for path in [
            "",
            "v1",
            "cat.jpg",
            "v1/default/cat.jpg",
            "v1/default/cat.jpg/~/notes.txt",
            "v1/default/cat.jpg/~",
            "v1/default/~/source.json",
            "v1/Default/cat.jpg/~/source.json",
            "v1/default/cat.jpg/source.json",
            "v1/default/cat.jpg/~/source.json.bak",
            "v1/default/cat.jpg/~/mirror/source.json",
            "v1/default/cat.jpg/~/mirror/300x200.jpg",
            "v01/default/cat.jpg/~/source.json",
            "v+1/default/cat.jpg/~/source.json",
            "v99999999999/default/cat.jpg/~/source.json",
            "w1/default/cat.jpg/~/source.json",
            "x/v1/default/cat.jpg/~/source.json",
            &format!("v1/default/cat.jpg/~/{VERSION}/{DIGEST}.jpg"),
            &format!("v1/default/cat.jpg/~/{VERSION}/{}", DIGEST.to_uppercase()),
            &format!("v1/default/cat.jpg/~/{VERSION}0/{DIGEST}"),
            &format!("v1/default/cat.jpg/~/{VERSION}/more/{DIGEST}"),
            &format!("v1/default/cat.jpg/{VERSION}/{DIGEST}"),
            &format!("v1/default/./~/{VERSION}/{DIGEST}"),
        ] {
            assert_eq!(place(path), None, "{path}");
        }
    }

    proptest! {
        #[test]
        fn any_key_is_read_back_from_its_path(name in "[a-z~%./0-9 é]{1,40}") {
            prop_assume!(SourceKey::new(&name).is_ok());
            let key = key(&name, "1");
            let path = key.object_path();
            let found = place(&path).unwrap();
            prop_assert_eq!(found.area(), source_area(&key.source));
        }

        #[test]
        fn any_text_is_survived(path in ".{0,80}", tail in "(/~)?(/[0-9a-f]{24}/[0-9a-f]{32})?") {
            let path = format!("v1/default/{path}{tail}");
            if let Some(found) = place(&path) {
                prop_assert!(path.starts_with(&found.area()));
            }
        }
    }
}
