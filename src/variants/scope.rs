//! What a purge is about: one original, a part of an origin, one variant, or everything. Knows
//! identities only: which entry, which original, which path; never where a store keeps them.

use crate::model::key::{OriginName, SourceId, SourceVersion, VariantKey};
use crate::model::transform::Transform;

/// What a purge is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scope {
    /// Everything made of one original.
    Source {
        /// Which original.
        id: SourceId,
        /// What was made of this version stays: the original was replaced by it. `None`: nothing
        /// stays.
        keep: Option<SourceVersion>,
    },
    /// Everything made of originals whose key begins so. The text may end inside a name.
    Prefix {
        /// Of which origin.
        origin: OriginName,
        /// How the keys begin; not empty.
        prefix: String,
    },
    /// One variant, of whatever version of its original.
    Variant {
        /// Of which original.
        id: SourceId,
        /// The wish, once for each class of client it is answered differently.
        wishes: Vec<Transform>,
        /// Where it is mirrored, such as `300x200/cat.jpg`, if it is.
        path: Option<String>,
        /// The request target it was read from, to be told to others.
        target: String,
    },
    /// Everything.
    All,
}

impl Scope {
    /// The kind as one word, for metrics and logs.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Source { .. } => "source",
            Self::Prefix { .. } => "prefix",
            Self::Variant { .. } => "variant",
            Self::All => "all",
        }
    }

    /// The original it is about, where it is about a single one.
    #[must_use]
    pub const fn source(&self) -> Option<&SourceId> {
        match self {
            Self::Source { id, .. } | Self::Variant { id, .. } => Some(id),
            Self::Prefix { .. } | Self::All => None,
        }
    }

    /// Whether something made of this original may be in it.
    #[must_use]
    pub fn covers_source(&self, source: &SourceId) -> bool {
        match self {
            Self::Source { id, .. } | Self::Variant { id, .. } => id == source,
            Self::Prefix { origin, prefix } => {
                source.origin == *origin && source.key.as_str().starts_with(prefix.as_str())
            }
            Self::All => true,
        }
    }

    /// Whether this variant is in it.
    #[must_use]
    pub fn covers(&self, key: &VariantKey) -> bool {
        self.covers_source(&key.source)
            && match self {
                Self::Source { keep, .. } => keep.as_ref() != Some(&key.version),
                Self::Variant { wishes, .. } => {
                    wishes.iter().any(|wish| wish.canonical() == key.wish)
                }
                Self::Prefix { .. } | Self::All => true,
            }
    }

    /// Whether the variant of this version with this digest is in it, of a source that is.
    #[must_use]
    pub fn covers_entry(&self, version: &SourceVersion, digest: &str) -> bool {
        match self {
            Self::Source { keep, .. } => keep.as_ref() != Some(version),
            Self::Variant { id, wishes, .. } => wishes
                .iter()
                .any(|wish| VariantKey::new(id.clone(), version.clone(), wish).digest() == digest),
            Self::Prefix { .. } | Self::All => true,
        }
    }

    /// Whether what is known of an original as such (its version, its record) is in it: of a
    /// single variant it is not.
    #[must_use]
    pub const fn is_of_originals(&self) -> bool {
        !matches!(self, Self::Variant { .. })
    }

    /// Whether both are about the same thing, whatever they keep of it.
    #[must_use]
    pub fn is_about_the_same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Source { id, .. }, Self::Source { id: other, .. }) => id == other,
            _ => self == other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::variants::fixture::{key, wish};

    #[test]
    fn a_source_covers_its_own_variants_but_those_of_the_version_that_stays() {
        let (old, new, other) = (key("cat.jpg", "1"), key("cat.jpg", "2"), key("cat.jpg2", "1"));
        let all = Scope::Source { id: old.source.clone(), keep: None };
        assert!(all.covers(&old) && all.covers(&new) && !all.covers(&other));
        let kept = Scope::Source { id: old.source.clone(), keep: Some(new.version.clone()) };
        assert!(kept.covers(&old) && !kept.covers(&new) && !kept.covers(&other));
        assert!(kept.is_about_the_same(&all) && kept != all);
    }

    #[test]
    fn a_prefix_may_end_inside_a_name_and_keeps_to_its_origin() {
        let prefix = |text: &str, origin: &str| Scope::Prefix {
            origin: OriginName::new(origin).unwrap(),
            prefix: text.to_owned(),
        };
        let cat = key("photos/cat.jpg", "1");
        for yes in ["photos/", "photos/ca", "p", "photos/cat.jpg"] {
            assert!(prefix(yes, "default").covers(&cat), "{yes}");
        }
        for no in ["photos/cat.jpg/", "photos/b", "hotos"] {
            assert!(!prefix(no, "default").covers(&cat), "{no}");
        }
        assert!(!prefix("photos/", "shop").covers(&cat));
    }

    #[test]
    fn one_variant_is_that_wish_in_every_version_and_no_other_wish() {
        let cat = key("cat.jpg", "1");
        let scope = Scope::Variant {
            id: cat.source.clone(),
            wishes: vec![wish()],
            path: None,
            target: String::new(),
        };
        let gray = VariantKey::new(
            cat.source.clone(),
            cat.version.clone(),
            &Transform { gray: true, ..wish() },
        );
        assert!(scope.covers(&cat) && scope.covers(&key("cat.jpg", "2")));
        assert!(!scope.covers(&gray) && !scope.covers(&key("dog.jpg", "1")));
        assert!(scope.covers_entry(&cat.version, cat.digest()));
        assert!(!scope.covers_entry(&cat.version, gray.digest()));
        assert!(scope.covers_source(&cat.source) && !scope.is_of_originals());
    }
}
