//! Listings of folders, of memory and of a real S3 wire server against the HEADs of the same
//! originals, and against the order of keys.

use super::super::s3wire::S3Wire;
use super::super::scripted::{Script, Scripted};
use super::super::{FetchPolicy, OpenStore, OriginSpec, OwnBounds, Role, SourceTtl, StoreKind};
use super::super::{StoreTimeouts, open};
use super::*;
use crate::model::key::SourceVersion;
use crate::model::units::ByteSize;
use futures_util::TryStreamExt as _;
use object_store::{ObjectStore, ObjectStoreExt as _};
use proptest::prelude::*;
use std::sync::Arc;
use tokio::runtime::Handle;

/// Names around the slash, which most others come before or after.
const KEYS: [&str; 12] = [
    "a-b/c.jpg",
    "a.jpg",
    "a/0.jpg",
    "a/b c/d.jpg",
    "a/b-1.jpg",
    "a/b.jpg",
    "a/b/c.jpg",
    "a/b0.jpg",
    "a0.jpg",
    "b",
    "b.d/e",
    "ä/ö.jpg",
];

fn origins(store: Arc<dyn ObjectStore>) -> Origins {
    let policy = FetchPolicy {
        source_ttl: SourceTtl::For(Duration::from_mins(1)),
        negative_ttl: Duration::from_secs(10),
        fetch_timeout: Duration::from_secs(5),
        max_source_bytes: ByteSize::new(1 << 20),
        max_fetches: 8,
        source_memory: ByteSize::new(8 << 20),
        kept_sources: ByteSize::new(0),
    };
    let store = OpenStore { store, kind: StoreKind::Memory, display: String::new() };
    let name = OriginName::default_origin();
    let spec = OriginSpec { name, store, own: OwnBounds::default() };
    Origins::new(vec![spec], policy, Handle::current())
}

fn opened(url: &str, options: &[(String, String)]) -> Origins {
    let timeouts = StoreTimeouts::within(Duration::from_secs(5));
    origins(open(url, options, timeouts, Role::Originals).unwrap().store)
}

async fn listed(origins: &Origins, prefix: &str, after: Option<&str>) -> Vec<String> {
    let listing = origins.list(&OriginName::default_origin(), prefix, after).unwrap();
    listing.map_ok(|(key, _)| key.as_str().to_owned()).try_collect().await.unwrap()
}

/// Every key, in order, and each with the version that a HEAD tells.
async fn agrees(origins: &Origins) {
    let name = OriginName::default_origin();
    let all: Vec<_> = origins.list(&name, "", None).unwrap().try_collect().await.unwrap();
    let keys: Vec<&str> = all.iter().map(|(key, _)| key.as_str()).collect();
    assert_eq!(keys, KEYS);
    for (key, meta) in &all {
        let id = SourceId { origin: name.clone(), key: key.clone() };
        let deadline = std::time::Instant::now() + Duration::from_secs(5);
        let head = origins.version(&id, None, deadline).await.unwrap().meta;
        assert_eq!((&head.version, head.bytes), (&meta.version, meta.bytes), "{key}");
        assert_eq!(head.etag, meta.etag, "{key}");
    }
    let below = |prefix: &str| -> Vec<&str> {
        KEYS.into_iter().filter(|key| key.starts_with(prefix)).collect()
    };
    for prefix in ["", "a", "a/", "a/b", "a/b/", "a/b-", "b", "b.", "ä", "ä/", "c", "a/b c/d.jpg"]
    {
        assert_eq!(listed(origins, prefix, None).await, below(prefix), "{prefix}");
        for after in KEYS {
            let left: Vec<_> = below(prefix).into_iter().filter(|key| *key > after).collect();
            assert_eq!(listed(origins, prefix, Some(after)).await, left, "{prefix} after {after}");
        }
    }
}

#[tokio::test]
async fn a_folder_is_listed_in_the_order_of_keys_and_with_the_versions_of_heads() {
    let folder = tempfile::tempdir().unwrap();
    for key in KEYS {
        let path = folder.path().join(key);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, key).unwrap();
    }
    std::fs::write(folder.path().join("empty"), b"").unwrap();
    agrees(&opened(&format!("file://{}", folder.path().display()), &[])).await;
}

#[tokio::test]
async fn memory_is_listed_in_the_order_of_keys_and_with_the_versions_of_heads() {
    let store = Arc::new(Scripted::default());
    for key in KEYS.into_iter().rev() {
        store.put(&Path::parse(key).unwrap(), key.into()).await.unwrap();
    }
    agrees(&origins(store)).await;
}

#[tokio::test]
async fn a_bucket_is_listed_in_the_order_of_keys_and_with_the_versions_of_heads() {
    let folder = tempfile::tempdir().unwrap();
    let wire = S3Wire::start(folder.path()).unwrap();
    for key in KEYS {
        wire.put_file("photos", key, key.as_bytes()).unwrap();
    }
    agrees(&opened("s3://photos", &wire.store_options())).await;
    wire.clear();
    assert_eq!(listed(&opened("s3://photos", &wire.store_options()), "", None).await.len(), 12);
    let asked: Vec<_> = wire.journal().iter().map(|record| record.op).collect();
    assert_eq!(asked, ["ListObjectsV2"], "no question about a single object");
}

#[tokio::test]
async fn without_an_etag_each_original_is_asked_for() {
    let store = Arc::new(Scripted::default());
    store.put(&Path::from("cat"), "a cat".into()).await.unwrap();
    store.play(Script { no_etag: true, ..Script::default() });
    let origins = origins(Arc::clone(&store) as Arc<dyn ObjectStore>);
    let name = OriginName::default_origin();
    let all: Vec<_> = origins.list(&name, "", None).unwrap().try_collect().await.unwrap();
    assert_eq!((all.len(), store.heads()), (1, 1));
}

#[tokio::test]
async fn what_cannot_be_listed_says_so() {
    let origins = opened("memory:///", &[]);
    let nobody = OriginName::new("nobody").unwrap();
    assert!(matches!(origins.list(&nobody, "", None), Err(OriginError::UnknownOrigin(_))));
    let name = OriginName::default_origin();
    assert!(matches!(origins.list(&name, "a/../b", None), Err(OriginError::NotFound)));
}

#[test]
fn an_etag_is_spelt_as_in_the_header_and_a_name_out_of_order_is_noticed() {
    let object = |name: &str, tag: &str| ObjectMeta {
        location: Path::parse(name).unwrap(),
        last_modified: std::time::UNIX_EPOCH.into(),
        size: 1,
        e_tag: Some(tag.to_owned()),
        version: None,
    };
    for (tag, spelt) in [("0x8D", "\"0x8D\""), ("\"a\"", "\"a\""), ("W/\"a\"", "W/\"a\"")] {
        let meta = told_by_listing(object("a", tag)).unwrap();
        assert_eq!(meta.version, SourceVersion::from_etag(spelt));
    }
    let mut sift = Sift { prefix: String::new(), after: String::new() };
    assert!(matches!(sift.judge(&object("b", "1")), Verdict::Pass(_)));
    assert!(matches!(sift.judge(&object("a", "1")), Verdict::Disorder));
    let marker = ObjectMeta { size: 0, ..object("a", "1") };
    assert!(matches!(sift.judge(&marker), Verdict::Skip));
}

proptest! {
    #[test]
    fn nothing_with_a_prefix_lies_at_or_before_where_its_listing_starts(
        prefix in "[a-cä-ö/ -]{1,6}",
        rest in "[a-cä-ö/ -]{0,3}",
    ) {
        if let Some(start) = just_before(&prefix) {
            let key = prefix.clone() + &rest;
            prop_assert!(key.as_str() > start);
        }
    }
}
