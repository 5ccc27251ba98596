//! Purges of the store and of memory: what goes, what stays, and what was never ours.

use super::*;
use crate::model::key::{OriginName, SourceId, SourceKey};
use crate::model::transform::Transform;
use crate::variants::fixture::{FaultStore, Mood};
use futures_util::TryStreamExt as _;
use std::collections::BTreeMap;

impl Bench {
    fn mirroring(mut self) -> Self {
        self.settings.mirror_sizes = vec!["300x200".to_owned(), "400x0".to_owned()];
        self
    }

    /// Every object with its bytes.
    pub(super) async fn everything(&self) -> BTreeMap<String, Bytes> {
        let listed: Vec<_> = self.store.objects.list(None).try_collect().await.unwrap();
        let mut all = BTreeMap::new();
        for object in listed {
            let path = object.location.to_string();
            all.insert(path.clone(), self.bytes(&path).await.unwrap());
        }
        all
    }

    /// What others have put among ours, alike in name or place.
    pub(super) async fn strangers(&self) -> BTreeMap<String, Bytes> {
        let before = self.everything().await;
        for path in [
            "photos/cat.jpg",
            "300x200/photos/dog.jpg",
            "300x200/photos/readme.txt",
            "999x999/photos/cat.jpg",
            "v1/default/photos/cat.jpg/~/notes.txt",
            "v1/default/photos/cat.jpg/~/mirror/notes.txt",
            "v1/default/photos/cat.jpg/~/0123456789abcdef01234567/thumbs.db",
            "v1/default/photos/cat.jpg/~/source.json.bak",
            "v1/default/photos/cat.jpg",
            "v1/default/%readme/~/notes.txt",
            "v1/readme.txt",
            "v0/default/photos/readme.txt",
            "vacation/default/photos/cat.jpg/~/source.json",
        ] {
            // A folder cannot be a file as well.
            let path = if self.store.has_metadata || path != "v1/default/photos/cat.jpg" {
                path.to_owned()
            } else {
                format!("{path}.original")
            };
            self.put(&path, format!("not ours: {path}")).await;
        }
        let mut all = self.everything().await;
        all.retain(|path, _| !before.contains_key(path));
        assert_eq!(all.len(), 13);
        all
    }
}

fn source(key: &str) -> Scope {
    let id = SourceId { origin: OriginName::default_origin(), key: SourceKey::new(key).unwrap() };
    Scope::Source { id, keep: None }
}

fn prefix(text: &str) -> Scope {
    Scope::Prefix { origin: OriginName::default_origin(), prefix: text.to_owned() }
}

/// Variants of four originals in two versions, in both placements, with records.
async fn fill(variants: &Variants) -> Vec<VariantKey> {
    let long = format!("photos/{}cat.jpg", "deep/".repeat(220));
    let mut keys = Vec::new();
    for name in ["photos/cat.jpg", "photos/cattle.jpg", "photos/cat.jpg/~/cub.jpg", &long] {
        for etag in ["one", "two"] {
            let key = key(name, etag);
            let record = Some(record(name, etag));
            let body = Arc::new(variant(b"picture"));
            let since = variants.since();
            let kept = variants.keep(&key, Placement::Versioned, body, record, since).await;
            assert_eq!(kept, Kept::Stored, "{name}");
            keys.push(key);
        }
        let (key, path) = (key(name, "two"), format!("300x200/{name}"));
        // A folder cannot be a file as well.
        if path.len() < 1_000 && !name.contains("/~/") {
            let body = Arc::new(variant(b"mirrored"));
            let kept = variants.keep(&key, mirror(&path), body, None, variants.since()).await;
            assert_eq!(kept, Kept::Stored, "{name}");
        }
    }
    keys
}

fn paths_of(all: &BTreeMap<String, Bytes>, part: &str) -> usize {
    all.keys().filter(|path| path.contains(part)).count()
}

#[tokio::test]
async fn a_purge_of_a_source_deletes_all_of_it_and_nothing_else() {
    for bench in Bench::both().map(Bench::mirroring) {
        let (variants, metrics) = bench.start();
        let keys = fill(&variants).await;
        let strangers = bench.strangers().await;
        let before = bench.everything().await;
        let scope = source("photos/cat.jpg");
        assert_eq!(variants.forget(&scope).memory, 2);
        let swept = variants.purge_store(&scope).await.unwrap();
        assert!(swept.is_complete() && swept.deleted == swept.listed, "{swept:?}");
        assert_eq!(metrics.purged.get(), swept.deleted);
        let after = bench.everything().await;
        for (path, bytes) in &strangers {
            assert_eq!(after.get(path), Some(bytes), "{path}");
        }
        // Two entries, the record and the mirrored picture; in a folder also its mark, the file
        // of which is not counted.
        assert_eq!(
            (before.len() - after.len(), swept.deleted),
            if bench.store.has_metadata { (4, 4) } else { (5, 4) }
        );
        for key in &keys {
            let own = key.source.key.as_str() == "photos/cat.jpg";
            assert_eq!(after.contains_key(&key.object_path()), !own, "{}", key.source);
            assert_eq!(variants.memory(key).is_some(), !own, "{}", key.source);
        }
        assert!(!after.contains_key("300x200/photos/cat.jpg"));
        assert!(after.contains_key("300x200/photos/cattle.jpg"));
        // What is made from now on is kept again, with its record.
        let record = Some(record("photos/cat.jpg", "two"));
        let (key, body) = (&keys[1], Arc::new(variant(b"again")));
        let since = variants.since();
        let kept = variants.keep(key, Placement::Versioned, body, record, since).await;
        assert_eq!(kept, Kept::Stored);
        let area = "v1/default/photos/cat.jpg/~/source.json";
        assert!(bench.bytes(area).await.is_some(), "the record is written again");
    }
}

#[tokio::test]
async fn the_version_that_stays_stays_in_every_tier() {
    for bench in Bench::both().map(Bench::mirroring) {
        let (variants, _) = bench.start();
        fill(&variants).await;
        let (old, new) = (key("photos/cat.jpg", "one"), key("photos/cat.jpg", "two"));
        let keep = Some(new.version.clone());
        let scope = Scope::Source { id: new.source.clone(), keep };
        assert_eq!(variants.forget(&scope).memory, 1);
        let swept = variants.purge_store(&scope).await.unwrap();
        assert_eq!((swept.deleted, swept.is_complete()), (1, true), "{swept:?}");
        assert!(variants.memory(&new).is_some() && variants.memory(&old).is_none());
        let after = bench.everything().await;
        assert!(after.contains_key(&new.object_path()) && !after.contains_key(&old.object_path()));
        assert!(after.contains_key("300x200/photos/cat.jpg"), "mirrored from the new version");
        assert!(after.contains_key("v1/default/photos/cat.jpg/~/source.json"), "its record, too");
        // The other way round all but the old entry goes, the record and the picture too.
        let scope = Scope::Source { id: new.source.clone(), keep: Some(old.version) };
        assert_eq!(variants.purge_store(&scope).await.unwrap().error, None);
        assert_eq!(paths_of(&bench.everything().await, "photos/cat.jpg/~/source.json"), 0);
        assert!(bench.bytes("300x200/photos/cat.jpg").await.is_none());
    }
}

#[tokio::test]
async fn a_prefix_may_end_inside_a_name_and_finds_long_keys_too() {
    for bench in Bench::both().map(Bench::mirroring) {
        let (variants, _) = bench.start();
        let keys = fill(&variants).await;
        let strangers = bench.strangers().await;
        for (text, left) in [("photos/catt", 3), ("photos/cat.jpg/", 2), ("photos/deep/deep/d", 1)]
        {
            let scope = prefix(text);
            let _dropped = variants.forget(&scope);
            let swept = variants.purge_store(&scope).await.unwrap();
            assert!(swept.is_complete() && swept.deleted >= 3, "{text}: {swept:?}");
            let after = bench.everything().await;
            let there = keys.iter().filter(|key| after.contains_key(&key.object_path())).count();
            let in_memory = keys.iter().filter(|key| variants.memory(key).is_some()).count();
            assert_eq!((there, in_memory), (left * 2, left * 2), "{text}");
            assert!(strangers.iter().all(|(path, bytes)| after.get(path) == Some(bytes)));
        }
        variants.purge_store(&prefix("p")).await.unwrap();
        let mut left = bench.everything().await;
        left.retain(|path, _| !strangers.contains_key(path));
        assert_eq!(left.keys().collect::<Vec<_>>(), Vec::<&String>::new());
    }
}

#[tokio::test]
async fn everything_of_ours_goes_and_of_others_nothing() {
    for bench in Bench::both().map(Bench::mirroring) {
        let (variants, _) = bench.start();
        fill(&variants).await;
        // Other epochs, of builds before and after this one.
        let entry = key("photos/cat.jpg", "one").object_path();
        for epoch in ["v0", "v2", "v4"] {
            bench.put(&entry.replacen("v1", epoch, 1), "of another epoch").await;
        }
        let strangers = bench.strangers().await;
        let (fresh, _) = bench.start();
        let swept = fresh.purge_store(&Scope::All).await.unwrap();
        assert!(swept.is_complete(), "{swept:?}");
        assert_eq!(bench.everything().await, strangers);
    }
}

#[tokio::test]
async fn one_variant_goes_in_all_its_versions_and_the_others_stay() {
    for bench in Bench::both().map(Bench::mirroring) {
        let (variants, _) = bench.start();
        fill(&variants).await;
        let cat = key("photos/cat.jpg", "one");
        let gray = Transform { gray: true, ..wish() };
        let other = VariantKey::new(cat.source.clone(), cat.version.clone(), &gray);
        let body = Arc::new(variant(b"gray"));
        variants.keep(&other, Placement::Versioned, body, None, variants.since()).await;
        let scope = Scope::Variant {
            id: cat.source.clone(),
            wishes: vec![wish()],
            path: Some("300x200/photos/cat.jpg".to_owned()),
            target: String::new(),
        };
        assert_eq!(variants.forget(&scope).memory, 2);
        assert!(variants.purge_store(&scope).await.unwrap().is_complete());
        assert!(variants.memory(&other).is_some() && variants.memory(&cat).is_none());
        let after = bench.everything().await;
        assert!(after.contains_key(&other.object_path()));
        assert_eq!(paths_of(&after, "/photos/cat.jpg/~/source.json"), 1);
        assert!(!after.contains_key("300x200/photos/cat.jpg"));
        assert!(!after.contains_key(&cat.object_path()));
    }
}

#[tokio::test]
async fn what_began_before_a_purge_is_kept_nowhere() {
    for bench in Bench::both() {
        let (variants, metrics) = bench.start();
        let (cat, body) = (key("cat.jpg", "one"), Arc::new(variant(b"picture")));
        let before = variants.since();
        let _dropped = variants.forget(&source("cat.jpg"));
        let kept = variants.keep(&cat, Placement::Versioned, Arc::clone(&body), None, before).await;
        assert_eq!((kept, metrics.writes.get()), (Kept::Purged, 0));
        assert!(variants.memory(&cat).is_none());
        // Read from the store in good faith, but from before: it is answered and not kept.
        variants.keep(&cat, Placement::Versioned, Arc::clone(&body), None, variants.since()).await;
        let _dropped = variants.forget(&source("cat.jpg"));
        let found = variants.stored(&cat, &Placement::Versioned, soon(), before).await;
        assert!(found.is_some() && variants.memory(&cat).is_none());
    }
}

#[tokio::test]
async fn a_purge_waits_for_a_write_under_way_and_drops_the_queued_ones() {
    let store = FaultStore::over(Arc::new(InMemory::new()));
    store.feel(Mood::SlowToWrite);
    let mut bench = Bench::over(store, true, None);
    bench.settings.write_back = WriteBack::Async;
    bench.settings.writers = 1;
    let (variants, metrics) = bench.start();
    let wishes: Vec<_> = (1..=5)
        .map(|width| {
            let (mut wish, cat) = (wish(), key("cat.jpg", "one"));
            wish.resize = crate::model::transform::Resize::Width {
                width: crate::model::units::Px::new(width).unwrap(),
                enlarge: false,
            };
            VariantKey::new(cat.source, cat.version, &wish)
        })
        .collect();
    for key in &wishes {
        let body = Arc::new(variant(b"picture"));
        variants.keep(key, Placement::Versioned, body, None, variants.since()).await;
    }
    // One is under way, four wait for the only writer.
    tokio::time::sleep(Duration::from_millis(30)).await;
    let scope = source("cat.jpg");
    let forgotten = variants.forget(&scope);
    assert_eq!(forgotten.memory, 5);
    assert_eq!(variants.settle(&scope, forgotten, soon()).await, 0);
    let swept = variants.purge_store(&scope).await.unwrap();
    assert_eq!((swept.deleted, swept.is_complete()), (1, true));
    variants.drain(soon()).await;
    assert_eq!((metrics.write_purged.get(), metrics.writes.get()), (4, 1));
    assert_eq!(bench.everything().await.len(), 0);
}

#[tokio::test]
async fn a_store_that_fails_is_told_of() {
    let store = FaultStore::over(Arc::new(InMemory::new()));
    let bench = Bench::over(Arc::clone(&store) as Arc<dyn ObjectStore>, true, None).mirroring();
    let (variants, metrics) = bench.start();
    fill(&variants).await;
    store.feel(Mood::Undeletable);
    let swept = variants.purge_store(&source("photos/cat.jpg")).await.unwrap();
    assert_eq!((swept.listed, swept.deleted, swept.failed), (4, 0, 4), "{swept:?}");
    assert!(swept.error.is_some() && metrics.purge_failed.get() == 4);
    store.feel(Mood::Broken);
    let swept = variants.purge_store(&source("photos/cat.jpg")).await.unwrap();
    assert!(swept.error.is_some() && !swept.is_complete(), "an unlisted area is not an empty one");
    store.feel(Mood::Well);
    let swept = variants.purge_store(&source("photos/cat.jpg")).await.unwrap();
    assert_eq!((swept.deleted, swept.is_complete()), (4, true));
}
