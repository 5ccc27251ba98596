//! The tags by which a CDN can forget what it has of us: of one original, of the folders it lies
//! in, of its origin, of everything. The same in answers, in the metadata of mirrored pictures
//! and in what a purge says. Letters, digits and dashes only, so that any list separator works.

use super::scope::Scope;
use crate::model::key::{OriginName, SourceId};

/// On everything of ours.
const EVERYTHING: &str = "lenslet";

/// The folders of a key that get a tag, from the top: answers carry them all.
const FOLDERS: usize = 4;

/// The tags of everything made of an original, the narrowest first; at most 7, of at most 70
/// characters each.
#[must_use]
pub fn tags(source: &SourceId) -> Vec<String> {
    let mut tags = Vec::with_capacity(3 + FOLDERS);
    tags.push(tag_of_source(source));
    let key = source.key.as_str();
    let folders: Vec<&str> = ends_of_folders(key).filter_map(|end| key.get(..end)).collect();
    tags.extend(folders.into_iter().rev().map(|folder| tag_of_folder(&source.origin, folder)));
    tags.push(tag_of_origin(&source.origin));
    tags.push(EVERYTHING.to_owned());
    tags
}

/// The tags that cover a scope: never less than it, more where a tag is not as narrow.
#[must_use]
pub fn tags_of(scope: &Scope) -> Vec<String> {
    let tag = match scope {
        Scope::Source { id, .. } | Scope::Variant { id, .. } => tag_of_source(id),
        Scope::Prefix { origin, prefix } => {
            match ends_of_folders(prefix).last().and_then(|end| prefix.get(..end)) {
                Some(folder) => tag_of_folder(origin, folder),
                None => tag_of_origin(origin),
            }
        }
        Scope::All => EVERYTHING.to_owned(),
    };
    vec![tag]
}

/// Where the folders of a key end, their slash included, from the top.
fn ends_of_folders(key: &str) -> impl Iterator<Item = usize> {
    key.match_indices('/').map(|(at, slash)| at + slash.len()).take(FOLDERS)
}

fn tag_of_source(source: &SourceId) -> String {
    format!("src-{}", digest(&source.to_string()))
}

fn tag_of_folder(origin: &OriginName, folder: &str) -> String {
    format!("dir-{}", digest(&format!("{origin}:{folder}")))
}

fn tag_of_origin(origin: &OriginName) -> String {
    format!("origin-{origin}")
}

fn digest(text: &str) -> String {
    blake3::hash(text.as_bytes()).to_hex().chars().take(16).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::variants::fixture::key;

    fn prefix(text: &str) -> Vec<String> {
        let origin = OriginName::default_origin();
        tags_of(&Scope::Prefix { origin, prefix: text.to_owned() })
    }

    #[test]
    fn whatever_a_scope_covers_carries_its_tag() {
        let cat = key("a/b/c/d/e/f/cat.jpg", "1").source;
        let carried = tags(&cat);
        assert_eq!(carried.len(), 7);
        for text in ["a", "a/", "a/b", "a/b/c/d/", "a/b/c/d/e/f/", "a/b/c/d/e/f/ca"] {
            let tag = prefix(text);
            assert!(tag.iter().all(|tag| carried.contains(tag)), "{text}: {tag:?}");
        }
        let own = Scope::Source { id: cat.clone(), keep: None };
        assert_eq!(tags_of(&own), carried[..1]);
        assert_eq!(tags_of(&Scope::All), ["lenslet"]);
        assert_eq!(prefix("ca"), ["origin-default"]);
    }

    #[test]
    fn others_do_not_carry_it() {
        let other = tags(&key("b/cat.jpg", "1").source);
        assert!(!other.contains(&prefix("a/")[0]));
        let own = Scope::Source { id: key("cat.jpg", "1").source, keep: None };
        assert!(!other.contains(&tags_of(&own)[0]));
    }

    #[test]
    fn tags_hold_nothing_that_separates_tags() {
        for tag in tags(&key("ünï, x/y z/cat.jpg", "1").source) {
            assert!(tag.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-'), "{tag}");
        }
    }
}
