//! Which objects of an origin are our own variants, where originals and variants share a bucket
//! or a folder. Decided by the settings and the key alone: no store is asked. Whoever lists an
//! origin, takes its events or deletes in it asks here first, so that nothing we wrote is taken
//! for an original and nothing of somebody else's for ours.

use crate::config::{Layout, Settings, StoreAt};
use crate::dialect::request::SizedPath;
use crate::model::key::OriginName;
use std::collections::HashMap;
use std::path::Path;

/// Whose an object of an origin is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Claim {
    /// Somebody else's: an original, if it is a picture.
    Original,
    /// Ours, by its place: nobody else writes there.
    Ours,
    /// It lies where mirrored variants lie: ours if it carries our mark ([`crate::origin::MARK`]),
    /// which only a HEAD or a GET can tell.
    OursIfMarked,
}

/// What the folder test of a store leaves behind when the process is killed in between.
const WRITE_TEST: &str = ".lenslet-write-test-";

/// The segment between an original's key and what was made of it.
pub(super) const AREA: &str = "~";

/// Where each origin overlaps with the store of variants.
#[derive(Debug, Clone, Default)]
pub struct Territory {
    overlaps: HashMap<OriginName, Overlap>,
    /// First segments of mirrored variants; empty in the versioned layout.
    sizes: Vec<SizedPath>,
}

/// How the keys of an origin become paths of the store of variants.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Overlap {
    /// The origin lies inside the store of variants, at this path and a slash, or is the same
    /// place (empty).
    Inside(String),
    /// The store of variants lies inside the origin, at this path and a slash.
    Around(String),
}

impl Territory {
    /// Compares where the origins lie with where variants lie: scheme, bucket, endpoint, account
    /// and prefix; folders by their real path. Every `memory:///` is a store of its own.
    #[must_use]
    pub fn of(settings: &Settings) -> Self {
        let stores = &settings.stores;
        let Some(variants) = stores.variants.as_ref().and_then(Place::of) else {
            return Self::default();
        };
        let overlap = |at: &StoreAt| Place::of(at).and_then(|origin| origin.overlap(&variants));
        let overlaps = stores
            .origins
            .iter()
            .filter_map(|origin| Some((origin.name.clone(), overlap(&origin.store)?)))
            .collect();
        let sizes = match stores.layout {
            Layout::Mirror => settings.access.allowed_sizes.clone(),
            Layout::Versioned => Vec::new(),
        };
        Self { overlaps, sizes }
    }

    /// Whose the object at `key` of `origin` is. Allocates only where the origin lies inside the
    /// store of variants.
    #[must_use]
    pub fn claim(&self, origin: &OriginName, key: &str) -> Claim {
        match self.overlaps.get(origin) {
            None => Claim::Original,
            Some(Overlap::Inside(before)) if before.is_empty() => self.claim_path(key),
            Some(Overlap::Inside(before)) => self.claim_path(&format!("{before}{key}")),
            Some(Overlap::Around(variants)) => {
                key.strip_prefix(variants.as_str()).map_or(Claim::Original, |p| self.claim_path(p))
            }
        }
    }

    /// Whether the origin and the store of variants have a place in common at all.
    #[must_use]
    pub fn is_shared(&self, origin: &OriginName) -> bool {
        self.overlaps.contains_key(origin)
    }

    /// Whose the object at a path of the store of variants is.
    fn claim_path(&self, path: &str) -> Claim {
        let Some((first, rest)) = path.split_once('/') else {
            let ours = path.starts_with(WRITE_TEST);
            return if ours { Claim::Ours } else { Claim::Original };
        };
        if is_epoch(first) && rest.split('/').any(|segment| segment == AREA) {
            return Claim::Ours;
        }
        // Not parsed: `0300x200` reads as no size and is nobody's but the bucket owner's.
        let mirrored = |size: &SizedPath| first == size.to_string();
        if !rest.is_empty() && self.sizes.iter().any(mirrored) {
            return Claim::OursIfMarked;
        }
        Claim::Original
    }
}

/// `v1`, `v2`, …: the first segment of everything in the versioned area, of any epoch.
pub(super) fn is_epoch(segment: &str) -> bool {
    segment.strip_prefix('v').is_some_and(|digits| {
        !digits.is_empty() && !digits.starts_with('0') && digits.bytes().all(|b| b.is_ascii_digit())
    })
}

/// Where a store lies, in the form two stores are compared in.
#[derive(Debug, PartialEq, Eq)]
struct Place {
    /// Scheme, bucket or container, and whatever else tells two buckets of one name apart.
    container: Vec<String>,
    /// Segments in front of every key.
    prefix: Vec<String>,
}

impl Place {
    /// `None` for a store that shares nothing: one in memory, or none that is a store of keys.
    fn of(at: &StoreAt) -> Option<Self> {
        let (scheme, rest) = at.url.as_str().split_once("://")?;
        let scheme = scheme.to_ascii_lowercase();
        let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let path = percent_encoding::percent_decode_str(path).decode_utf8().ok()?;
        let segments = |path: &str| -> Vec<String> {
            path.split('/').filter(|s| !s.is_empty()).map(str::to_owned).collect()
        };
        match scheme.as_str() {
            "memory" | "http" | "https" => None,
            "file" => {
                let real = std::fs::canonicalize(Path::new(&*path)).ok();
                let real = real.as_ref().and_then(|path| path.to_str()).unwrap_or(&path);
                Some(Self { container: vec![scheme], prefix: segments(real) })
            }
            _ => {
                let mut container = vec![scheme, authority.to_owned()];
                container.extend(told_apart(&at.options.pairs()));
                Some(Self { container, prefix: segments(&path) })
            }
        }
    }

    /// How keys of this origin become paths of `variants`; `None` where the two share nothing.
    fn overlap(&self, variants: &Self) -> Option<Overlap> {
        if self.container != variants.container {
            return None;
        }
        let folder =
            |segments: &[String]| segments.iter().flat_map(|s| [s.as_str(), "/"]).collect();
        if let Some(inner) = self.prefix.strip_prefix(variants.prefix.as_slice()) {
            return Some(Overlap::Inside(folder(inner)));
        }
        let outer = variants.prefix.strip_prefix(self.prefix.as_slice())?;
        Some(Overlap::Around(folder(outer)))
    }
}

/// The options that make two buckets of one name two buckets: endpoint and account. Spelling of
/// host and slash does not count. Later options win over earlier ones of the same kind.
fn told_apart(options: &[(String, String)]) -> [String; 2] {
    let last = |kinds: &[&str]| {
        let is = |name: &str| kinds.iter().any(|kind| name.contains(kind));
        let value = options.iter().rev().find(|(name, _)| is(name));
        value.map(|(_, value)| value.trim_end_matches('/').to_ascii_lowercase()).unwrap_or_default()
    };
    // Google's is called its base URL.
    [last(&["endpoint", "base_url"]), last(&["account_name"])]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Env, Machine, Purpose};
    use crate::model::key::{SourceId, SourceKey, SourceVersion, VariantKey, source_record_path};
    use proptest::prelude::*;

    fn territory(pairs: &[(&str, &str)]) -> Territory {
        let pairs = pairs.iter().map(|(n, v)| (format!("LENSLET_{n}").into(), (*v).into()));
        let env = Env::gather(pairs, None);
        let machine = Machine::detect();
        Territory::of(&Settings::read(&env, &machine, Purpose::Offline).unwrap())
    }

    fn shared(origin: &str, variants: &str) -> Territory {
        territory(&[("ORIGIN", origin), ("VARIANTS", variants)])
    }

    fn claims(territory: &Territory, keys: &[&str]) -> Vec<Claim> {
        let origin = OriginName::default_origin();
        keys.iter().map(|key| territory.claim(&origin, key)).collect()
    }

    const ENTRY: &str = "v1/default/a/cat.jpg/~/0123/abcd";

    #[test]
    fn in_one_bucket_the_versioned_area_is_ours_and_nothing_else() {
        use Claim::{Original, Ours};
        let territory = shared("s3://photos", "s3://photos");
        for (key, claim) in [
            (ENTRY, Ours),
            ("v12/shop/a.jpg/~/source.json", Ours),
            ("v1/~/warm/job/1.json", Ours),
            ("v1/default/%00ff/~/x/y", Ours),
            (".lenslet-write-test-17", Ours),
            ("cat.jpg", Original),
            ("v1/cat.jpg", Original),
            ("v1", Original),
            ("v01/default/a/~/b/c", Original),
            ("v/default/a/~/b/c", Original),
            ("x/v1/default/a/~/b/c", Original),
            ("a/~/b", Original),
            ("300x200/cat.jpg", Original),
        ] {
            assert_eq!(claims(&territory, &[key]), [claim], "{key}");
        }
    }

    #[test]
    fn mirrored_sizes_are_ours_if_marked_and_only_the_allowed_ones() {
        use Claim::{Original, Ours, OursIfMarked};
        let territory = territory(&[
            ("ORIGIN", "s3://photos"),
            ("VARIANTS", "s3://photos"),
            ("VARIANT_LAYOUT", "mirror"),
            ("ALLOWED_SIZES", "300x200,0x150"),
        ]);
        let keys = ["300x200/a/cat.jpg", "0x150/cat.jpg", "301x200/cat.jpg", "300x200", ENTRY];
        assert_eq!(
            claims(&territory, &keys),
            [OursIfMarked, OursIfMarked, Original, Original, Ours]
        );
    }

    #[test]
    fn prefixes_are_compared_by_segments() {
        use Claim::{Original, Ours};
        let in_variants = format!("made/{ENTRY}");
        for (origin, variants, ours, not_ours) in [
            ("s3://box", "s3://box/made", in_variants.as_str(), ENTRY),
            ("s3://box/made", "s3://box/made/", ENTRY, in_variants.as_str()),
            ("s3://box/v1/default", "s3://box", "a/cat.jpg/~/0123/abcd", "a/cat.jpg"),
            ("s3://box/x/y", "s3://box/x", "nothing of ours", ENTRY),
        ] {
            let territory = shared(origin, variants);
            let expected = if ours.starts_with("nothing") { Original } else { Ours };
            assert_eq!(claims(&territory, &[ours, not_ours]), [expected, Original], "{origin}");
        }
        for (origin, variants) in [
            ("s3://box/photos", "s3://box/variants"),
            ("s3://box/made", "s3://box/made2"),
            ("s3://one", "s3://two"),
            ("memory:///", "memory:///"),
        ] {
            let territory = shared(origin, variants);
            assert_eq!(claims(&territory, &[ENTRY, "cat.jpg"]), [Original; 2], "{origin}");
            assert!(!territory.is_shared(&OriginName::default_origin()));
        }
    }

    #[test]
    fn buckets_of_one_name_behind_two_endpoints_are_two_buckets() {
        let at = |origin: &str, variants: &str| {
            territory(&[
                ("ORIGIN", "s3://photos"),
                ("VARIANTS", "s3://photos"),
                ("ORIGIN_DEFAULT_ENDPOINT", origin),
                ("VARIANTS_ENDPOINT", variants),
            ])
        };
        let one = at("https://minio.example", "https://other.example");
        assert_eq!(claims(&one, &[ENTRY]), [Claim::Original]);
        let same = at("https://minio.example/", "https://MINIO.example");
        assert_eq!(claims(&same, &[ENTRY]), [Claim::Ours]);
    }

    #[test]
    fn folders_are_compared_by_where_they_really_lie() {
        let root = tempfile::tempdir().unwrap();
        let (real, link) = (root.path().join("real"), root.path().join("link"));
        std::fs::create_dir_all(real.join("made")).unwrap();
        std::os::unix::fs::symlink(&real, &link).unwrap();
        let url = |path: &Path| format!("file://{}", path.display());
        let territory = shared(&url(&link), &url(&real.join("made")));
        let keys = [format!("made/{ENTRY}"), ENTRY.to_owned()];
        let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
        assert_eq!(claims(&territory, &keys), [Claim::Ours, Claim::Original]);
    }

    #[test]
    fn an_origin_elsewhere_holds_nothing_of_ours() {
        let territory = territory(&[
            ("ORIGIN", "s3://photos"),
            ("ORIGINS", "shop=s3://shop"),
            ("VARIANTS", "s3://photos"),
        ]);
        let shop = OriginName::new("shop").unwrap();
        assert_eq!(territory.claim(&shop, ENTRY), Claim::Original);
        assert_eq!(
            territory.claim(&OriginName::new("unheard-of").unwrap(), ENTRY),
            Claim::Original
        );
    }

    proptest! {
        #[test]
        fn whatever_is_stored_for_any_original_is_ours(key in "[^\\x00-\\x1f\\x7f-\\u{9f}]{1,80}") {
            let Ok(key) = SourceKey::new(&key) else { return Ok(()) };
            let origin = OriginName::default_origin();
            let source = SourceId { origin: origin.clone(), key };
            let record = source_record_path(&source);
            let territory = shared("s3://photos", "s3://photos/made");
            prop_assert_eq!(territory.claim(&origin, &format!("made/{record}")), Claim::Ours);
            let version = SourceVersion::from_etag("e");
            let path = record.replace("source.json", version.as_str());
            prop_assert_eq!(territory.claim(&origin, &format!("made/{path}/x")), Claim::Ours);
        }

        #[test]
        fn a_key_without_the_area_segment_is_never_ours(key in "(v?[0-9]{0,2}/)?[a-z~.]{2,9}(/[a-z~]{2,9}){0,4}") {
            let territory = shared("s3://photos", "s3://photos");
            let origin = OriginName::default_origin();
            let has_area = key.split('/').any(|segment| segment == "~");
            let claim = territory.claim(&origin, &key);
            prop_assert_eq!(claim == Claim::Ours, has_area && is_epoch(key.split('/').next().unwrap()));
        }
    }

    #[test]
    fn the_paths_of_entries_are_those_of_the_model() {
        let source = SourceId {
            origin: OriginName::default_origin(),
            key: SourceKey::new("a/cat.jpg").unwrap(),
        };
        let wish = crate::dialect::request::parse(
            "/a.jpg?w=10",
            &crate::dialect::request::DialectSettings {
                presets: &crate::dialect::Presets::default(),
                unknown: crate::dialect::request::UnknownParams::Refuse,
                ignored: &[],
            },
        )
        .unwrap();
        let limits =
            Settings::read(&Env::gather([], None), &Machine::detect(), Purpose::Offline).unwrap();
        let wish = wish.resolve(crate::model::transform::Accepts::Classic, &limits.limits).unwrap();
        let key = VariantKey::new(source, SourceVersion::from_etag("e"), &wish);
        assert_eq!(claims(&shared("s3://box", "s3://box"), &[&key.object_path()]), [Claim::Ours]);
    }
}
