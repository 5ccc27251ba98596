//! Which originals an object of a bucket is: the origins whose URL is that bucket, with their
//! prefix taken off. Decided by the settings alone; no store is asked.

use super::shapes::ObjectEvent;
use crate::config::{Settings, StorePlace};
use crate::model::key::{OriginName, SourceId, SourceKey};
use crate::service::territory::{AREA, Claim, Territory, is_epoch};

/// Why an event asks for nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ignored {
    /// No origin lies in that bucket.
    UnknownBucket,
    /// It lies in the bucket, but under no origin's prefix.
    OutsidePrefix,
    /// Its key could never be asked for: a folder, a dot segment, a control character.
    NoSourceKey,
    /// It is a variant, a record or a note of ours.
    Ours,
}

/// Where one origin lies.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Place {
    origin: OriginName,
    /// The storage account, where the store has one (Azure).
    account: Option<String>,
    bucket: String,
    /// Empty, or ending in a slash.
    prefix: String,
}

/// Where all origins lie that have a bucket.
#[derive(Debug, Clone)]
pub(crate) struct Places {
    places: Vec<Place>,
    territory: Territory,
}

impl Places {
    /// Of the origins of the settings. Folders and web servers send no events and are left out.
    pub(crate) fn of(settings: &Settings) -> Self {
        let places = settings.stores.origins.iter().filter_map(|origin| {
            let mut options = origin.store.options.pairs().into_iter();
            let account = options.rfind(|(name, _)| name.ends_with("account_name"));
            let account = account.map(|(_, account)| account);
            Place::of(&origin.name, origin.store.url.place(), account)
        });
        Self { places: places.collect(), territory: Territory::of(settings) }
    }

    /// The originals an event speaks of: one for each origin that shows the object.
    ///
    /// # Errors
    /// [`Ignored`], with the reason that came closest.
    pub(crate) fn originals(&self, event: &ObjectEvent) -> Result<Vec<SourceId>, Ignored> {
        let mut found = Vec::new();
        let mut ignored = Ignored::UnknownBucket;
        for place in self.places.iter().filter(|place| place.holds(event)) {
            let Some(key) = event.key.strip_prefix(&place.prefix) else {
                if ignored == Ignored::UnknownBucket {
                    ignored = Ignored::OutsidePrefix;
                }
                continue;
            };
            // By its place alone: whether a marked one is ours, the HEAD of the work tells. In
            // whatever folder: variants of another deployment, or under another spelling of the
            // endpoint, would answer every note with a note.
            if looks_like_ours(&event.key) {
                ignored = Ignored::Ours;
                continue;
            }
            match SourceKey::new(key) {
                Ok(key) => found.push(SourceId { origin: place.origin.clone(), key }),
                Err(_) => ignored = Ignored::NoSourceKey,
            }
        }
        if found.is_empty() { Err(ignored) } else { Ok(found) }
    }

    /// Whether the original lies where our mirrored pictures do.
    pub(crate) fn may_be_ours(&self, source: &SourceId) -> bool {
        self.territory.claim(&source.origin, source.key.as_str()) == Claim::OursIfMarked
    }
}

/// Whether a key has the form of our versioned area anywhere in it: `v1/…/~/…`.
fn looks_like_ours(key: &str) -> bool {
    let mut segments = key.split('/');
    segments.any(is_epoch) && segments.any(|segment| segment == AREA)
}

impl Place {
    /// Of an origin in a bucket or container; none of others.
    fn of(origin: &OriginName, place: &StorePlace, account: Option<String>) -> Option<Self> {
        let (bucket, prefix) = match place {
            StorePlace::S3 { bucket, prefix } | StorePlace::Gcs { bucket, prefix } => {
                (bucket, prefix)
            }
            StorePlace::Azure { container, prefix } => (container, prefix),
            StorePlace::File(_) | StorePlace::Web { .. } | StorePlace::Memory => return None,
        };
        let slash = if prefix.is_empty() { "" } else { "/" };
        let prefix = format!("{prefix}{slash}");
        Some(Self { origin: origin.clone(), account, bucket: bucket.clone(), prefix })
    }

    fn holds(&self, event: &ObjectEvent) -> bool {
        let account = match (&self.account, &event.account) {
            (Some(own), Some(named)) => own.eq_ignore_ascii_case(named),
            // A sender that names none decides nothing, nor does a store that has none.
            _ => true,
        };
        account && self.bucket == event.bucket
    }
}

#[cfg(test)]
mod tests {
    use super::super::shapes::Kind;
    use super::*;
    use crate::config::{Env, Machine, Purpose};
    use proptest::prelude::*;

    fn places(pairs: &[(&str, &str)]) -> Places {
        let pairs = pairs.iter().map(|(n, v)| (format!("LENSLET_{n}").into(), (*v).into()));
        let env = Env::gather(pairs, None);
        Places::of(&Settings::read(&env, &Machine::detect(), Purpose::Offline).unwrap())
    }

    fn event(bucket: &str, key: &str) -> ObjectEvent {
        ObjectEvent {
            account: None,
            bucket: bucket.to_owned(),
            key: key.to_owned(),
            kind: Kind::Created,
        }
    }

    fn found(places: &Places, bucket: &str, key: &str) -> Result<Vec<String>, Ignored> {
        let found = places.originals(&event(bucket, key))?;
        Ok(found.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn an_object_is_an_original_of_every_origin_that_shows_it() {
        let places = places(&[
            ("ORIGIN", "s3://photos/raw"),
            ("ORIGINS", "all=s3://photos,shop=s3://shop/a%20b/,files=file:///tmp"),
        ]);
        let told = |names: &[&str]| Ok(names.iter().map(|n| (*n).to_owned()).collect());
        assert_eq!(
            found(&places, "photos", "raw/cat.jpg"),
            told(&["default:cat.jpg", "all:raw/cat.jpg"])
        );
        assert_eq!(found(&places, "photos", "rawer/cat.jpg"), told(&["all:rawer/cat.jpg"]));
        assert_eq!(found(&places, "shop", "a b/cat.jpg"), told(&["shop:cat.jpg"]));
        assert_eq!(found(&places, "shop", "cat.jpg"), Err(Ignored::OutsidePrefix));
        assert_eq!(found(&places, "photo", "raw/cat.jpg"), Err(Ignored::UnknownBucket));
        assert_eq!(found(&places, "tmp", "cat.jpg"), Err(Ignored::UnknownBucket));
    }

    #[test]
    fn containers_of_another_account_are_other_buckets() {
        let places = places(&[
            ("ORIGIN", "az://photos/raw"),
            ("ORIGIN_DEFAULT_ACCOUNT", "myshop"),
            ("ORIGIN_DEFAULT_ACCOUNT_KEY", "c2VjcmV0LXNlY3JldC1zZWNyZXQ="),
            ("ORIGINS", "google=gs://photos/raw"),
        ]);
        let told = |account: &str| {
            let account = Some(account.to_owned());
            let event = ObjectEvent { account, ..event("photos", "raw/cat.jpg") };
            let found = places.originals(&event).unwrap();
            found.iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        assert_eq!(told("MyShop"), ["default:cat.jpg", "google:cat.jpg"]);
        assert_eq!(told("other"), ["google:cat.jpg"]);
    }

    #[test]
    fn what_has_the_form_of_our_area_is_ours_in_whatever_folder() {
        let places = places(&[("ORIGIN", "s3://photos"), ("VARIANTS", "s3://photos/prod")]);
        for key in [
            "prod/v1/~/events/0123.json",
            "staging/v1/~/events/0123.json",
            "a/b/v12/default/cat.jpg/~/source.json",
        ] {
            assert_eq!(found(&places, "photos", key), Err(Ignored::Ours), "{key}");
        }
        for key in ["v1/cat.jpg", "~/v1/cat.jpg", "version1/~/cat.jpg", "staging/v0/~/cat.jpg"] {
            assert!(found(&places, "photos", key).is_ok(), "{key}");
        }
    }

    #[test]
    fn keys_nobody_could_ask_for_are_passed_over() {
        let places = places(&[("ORIGIN", "s3://photos/raw")]);
        for key in ["raw/", "raw/folder/", "raw//a.jpg", "raw/../a.jpg", "raw/a\u{7}.jpg"] {
            assert_eq!(found(&places, "photos", key), Err(Ignored::NoSourceKey), "{key:?}");
        }
        assert_eq!(found(&places, "photos", ""), Err(Ignored::OutsidePrefix));
    }

    #[test]
    fn what_we_wrote_ourselves_is_told_apart_in_a_shared_bucket() {
        let places = places(&[("ORIGIN", "s3://photos"), ("VARIANTS", "s3://photos")]);
        for key in ["v1/default/cat.jpg/~/0123/ab", "v1/~/events/0.json", "v2/x/y/~/source.json"] {
            assert_eq!(found(&places, "photos", key), Err(Ignored::Ours), "{key}");
        }
        assert!(found(&places, "photos", "cat.jpg").is_ok());
    }

    proptest! {
        #[test]
        fn every_original_found_leads_back_to_the_object(key in "\\PC{0,40}", cut in "[a-c/]{0,4}") {
            let places = places(&[("ORIGIN", "s3://box"), ("ORIGINS", "a=s3://box/a,bc=s3://box/b/c")]);
            let key = format!("{cut}{key}");
            if let Ok(found) = places.originals(&event("box", &key)) {
                for source in found {
                    let prefix = match source.origin.as_str() { "a" => "a/", "bc" => "b/c/", _ => "" };
                    prop_assert_eq!(format!("{prefix}{}", source.key), key.clone());
                }
            }
        }
    }
}
