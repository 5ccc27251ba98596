//! Tests against a real S3 wire server, whose journal does the counting.

use super::s3wire::{Act, Fault, S3Wire};
use super::*;
use crate::model::key::{OriginName, SourceId, SourceKey};
use crate::model::units::ByteSize;
use futures_util::future::join_all;
use object_store::path::Path;
use object_store::{Attribute, Attributes, GetOptions, ObjectStore, ObjectStoreExt, PutOptions};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::runtime::Handle;

const BUCKET: &str = "photos";

struct Scene {
    wire: S3Wire,
    origins: Origins,
    _folder: tempfile::TempDir,
}

fn policy() -> FetchPolicy {
    FetchPolicy {
        source_ttl: SourceTtl::For(Duration::from_mins(1)),
        negative_ttl: Duration::from_secs(10),
        fetch_timeout: Duration::from_secs(4),
        max_source_bytes: ByteSize::new(1 << 20),
        max_fetches: 8,
        source_memory: ByteSize::new(8 << 20),
        kept_sources: ByteSize::new(0),
    }
}

impl Scene {
    fn new(policy: FetchPolicy) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let wire = S3Wire::start(folder.path()).unwrap();
        wire.make_bucket(BUCKET).unwrap();
        let store = open_with(&wire, &wire.store_options(), policy.fetch_timeout);
        let specs = vec![OriginSpec {
            name: OriginName::default_origin(),
            store,
            own: OwnBounds::default(),
        }];
        Self { wire, origins: Origins::new(specs, policy, Handle::current()), _folder: folder }
    }

    async fn version(&self, key: &str) -> Result<Version, OriginError> {
        self.origins.version(&id(key), None, soon()).await
    }

    async fn read(&self, key: &str) -> Result<Original, OriginError> {
        let version = self.version(key).await?;
        self.origins.fetch(&id(key), &version.meta, soon()).await
    }
}

fn open_with(wire: &S3Wire, options: &[(String, String)], timeout: Duration) -> OpenStore {
    assert!(wire.endpoint().starts_with("http://127.0.0.1:"));
    open(&format!("s3://{BUCKET}"), options, StoreTimeouts::within(timeout), Role::Originals)
        .unwrap()
}

fn id(key: &str) -> SourceId {
    SourceId { origin: OriginName::default_origin(), key: SourceKey::new(key).unwrap() }
}

fn soon() -> Instant {
    Instant::now() + Duration::from_secs(10)
}

#[tokio::test]
async fn an_original_is_read_with_one_head_and_one_pinned_get() {
    let scene = Scene::new(policy());
    scene.wire.put_file(BUCKET, "a/cat.jpg", b"a cat").unwrap();
    let original = scene.read("a/cat.jpg").await.unwrap();
    assert_eq!(original.body, &b"a cat"[..]);
    assert!(scene.version("a/cat.jpg").await.unwrap().meta == original.meta);
    let journal = scene.wire.journal();
    let asked: Vec<_> = journal.iter().map(|r| (r.op, r.path.as_str(), r.status)).collect();
    assert_eq!(
        asked,
        [("HeadObject", "/photos/a/cat.jpg", 200), ("GetObject", "/photos/a/cat.jpg", 200)]
    );
    assert_eq!(journal[1].if_match, original.meta.etag);
    assert_eq!((journal[0].bytes_out, journal[1].bytes_out), (0, 5));
}

#[tokio::test]
async fn proxies_of_the_environment_are_ignored() {
    let program = std::env::current_exe().unwrap();
    let test = "origin::s3_tests::an_original_is_read_with_one_head_and_one_pinned_get";
    let mut command = std::process::Command::new(program);
    command.args(["--exact", test]);
    for name in ["HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "ALL_PROXY", "all_proxy"] {
        command.env(name, "http://127.0.0.1:9");
    }
    let output = command.env_remove("NO_PROXY").env_remove("no_proxy").output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.contains("1 passed"), "{said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_at_once_cost_one_head_and_one_get() {
    let scene = Arc::new(Scene::new(policy()));
    scene.wire.put_file(BUCKET, "cat.jpg", &vec![7; 100_000]).unwrap();
    scene.wire.fault(Fault::new("cat.jpg", Act::Pass).after(Duration::from_millis(300)));
    let readers = (0..200).map(|_| {
        let scene = Arc::clone(&scene);
        tokio::spawn(async move { scene.read("cat.jpg").await.unwrap().body })
    });
    for body in join_all(readers).await {
        assert_eq!(body.unwrap(), vec![7; 100_000]);
    }
    assert_eq!(
        (scene.wire.count("HeadObject", "cat"), scene.wire.count("GetObject", "cat")),
        (1, 1)
    );
}

#[tokio::test]
async fn an_original_overwritten_after_its_head_is_read_anew_with_its_new_version() {
    let scene = Scene::new(policy());
    scene.wire.put_file(BUCKET, "cat.jpg", b"old").unwrap();
    let old = scene.version("cat.jpg").await.unwrap();
    scene.wire.put_file(BUCKET, "cat.jpg", b"newer").unwrap();
    let original = scene.origins.fetch(&id("cat.jpg"), &old.meta, soon()).await.unwrap();
    assert_eq!(original.body, &b"newer"[..]);
    assert_ne!(original.meta.version, old.meta.version);
    let asked: Vec<_> = scene.wire.journal().iter().map(|r| (r.op, r.status)).collect();
    assert_eq!(
        asked,
        [("HeadObject", 200), ("GetObject", 412), ("HeadObject", 200), ("GetObject", 200)]
    );
    // What was read is what is known from now on.
    assert_eq!(scene.version("cat.jpg").await.unwrap().meta, original.meta);
    assert_eq!(scene.wire.count("HeadObject", ""), 2);
    assert_eq!(scene.origins.metrics().restarts.get(), 1);
}

#[tokio::test]
async fn an_original_that_vanishes_after_its_head_is_not_found() {
    let scene = Scene::new(policy());
    scene.wire.put_file(BUCKET, "cat.jpg", b"old").unwrap();
    let old = scene.version("cat.jpg").await.unwrap();
    scene.wire.delete_file(BUCKET, "cat.jpg").unwrap();
    assert_eq!(
        scene.origins.fetch(&id("cat.jpg"), &old.meta, soon()).await.unwrap_err(),
        OriginError::NotFound
    );
    assert_eq!(scene.version("cat.jpg").await, Err(OriginError::NotFound));
    assert_eq!(scene.wire.count("HeadObject", ""), 1, "the 404 of the GET is remembered");
}

#[tokio::test]
async fn a_missing_original_is_asked_for_once_in_the_negative_ttl() {
    let scene = Scene::new(FetchPolicy { negative_ttl: Duration::from_millis(1_500), ..policy() });
    for _ in 0..5 {
        assert_eq!(scene.version("cat.jpg").await, Err(OriginError::NotFound));
    }
    assert_eq!(scene.wire.count("HeadObject", ""), 1);
    scene.wire.put_file(BUCKET, "cat.jpg", b"a cat").unwrap();
    tokio::time::sleep(Duration::from_millis(1_600)).await;
    assert_eq!(scene.version("cat.jpg").await.unwrap().meta.bytes, 5);
}

#[tokio::test]
async fn refusals_are_told_apart_from_absence_and_not_remembered() {
    let scene = Scene::new(policy());
    scene.wire.put_file(BUCKET, "cat.jpg", b"a cat").unwrap();
    scene.wire.fault(Fault::new("cat", Act::Status(403)).on("HEAD").times(2));
    assert_eq!(scene.version("cat.jpg").await, Err(OriginError::Forbidden));
    assert_eq!(scene.version("cat.jpg").await, Err(OriginError::Forbidden));
    assert!(scene.version("cat.jpg").await.is_ok());
    assert_eq!(scene.wire.count("HeadObject", ""), 3);
}

#[tokio::test]
async fn a_wrong_secret_is_refused_by_the_server_and_not_repeated_in_the_error() {
    let scene = Scene::new(policy());
    scene.wire.put_file(BUCKET, "cat.jpg", b"a cat").unwrap();
    let mut options = scene.wire.store_options();
    options.push(("aws_secret_access_key".to_owned(), "wrong-secret".to_owned()));
    let store = open_with(&scene.wire, &options, Duration::from_secs(2));
    let specs =
        vec![OriginSpec { name: OriginName::default_origin(), store, own: OwnBounds::default() }];
    let origins = Origins::new(specs, policy(), Handle::current());
    let error = origins.version(&id("cat.jpg"), None, soon()).await.unwrap_err();
    assert_eq!(error, OriginError::Forbidden);
    assert!(!format!("{error} {error:?}").contains("wrong-secret"));
}

#[tokio::test]
async fn a_failing_origin_is_tried_three_times_and_no_more() {
    let scene = Scene::new(policy());
    scene.wire.put_file(BUCKET, "cat.jpg", b"a cat").unwrap();
    scene.wire.fault(Fault::new("cat", Act::Status(503)));
    let error = scene.version("cat.jpg").await.unwrap_err();
    assert!(matches!(&error, OriginError::Unavailable(text) if text.contains("503")), "{error}");
    assert_eq!(scene.wire.count("HeadObject", ""), 3);
    scene.wire.clear_faults();
    scene.wire.fault(Fault::new("cat", Act::Status(500)).times(1));
    assert!(
        scene.version("cat.jpg").await.is_ok(),
        "errors are not remembered and one retry helps"
    );
}

#[tokio::test]
async fn a_body_cut_once_is_resumed_and_one_always_cut_fails() {
    let scene = Scene::new(policy());
    let picture: Vec<u8> = (0..60_000_u32).map(|n| n.to_le_bytes()[0]).collect();
    scene.wire.put_file(BUCKET, "cat.jpg", &picture).unwrap();
    scene.wire.fault(Fault::new("cat", Act::Cut(20_000)).on("GET").times(1));
    assert_eq!(scene.read("cat.jpg").await.unwrap().body, picture);
    let resumed = scene.wire.journal().pop().unwrap();
    let range = resumed.range.unwrap();
    let first: u64 = range.trim_start_matches("bytes=").split('-').next().unwrap().parse().unwrap();
    assert!((1..=20_000).contains(&first), "{range}");
    assert!(resumed.if_match.is_some(), "the rest is pinned as well");

    scene.wire.fault(Fault::new("cat", Act::Cut(10)).on("GET"));
    let error = scene.read("cat.jpg").await.unwrap_err();
    assert!(matches!(error, OriginError::Unavailable(_)), "{error}");
}

#[tokio::test]
async fn a_silent_origin_ends_with_the_fetch_timeout() {
    let scene = Scene::new(FetchPolicy { fetch_timeout: Duration::from_millis(700), ..policy() });
    scene.wire.put_file(BUCKET, "cat.jpg", &[7; 10_000]).unwrap();
    scene.wire.fault(Fault::new("cat", Act::Stall(100)).on("GET"));
    let start = Instant::now();
    assert_eq!(scene.read("cat.jpg").await.unwrap_err(), OriginError::TimedOut);
    assert!((700..2_500).contains(&start.elapsed().as_millis()), "{:?}", start.elapsed());
    assert_eq!(scene.origins.metrics().in_flight.get(), 0);
}

#[tokio::test]
async fn a_large_original_is_refused_before_it_is_asked_for() {
    let scene = Scene::new(FetchPolicy { max_source_bytes: ByteSize::new(1_000), ..policy() });
    scene.wire.put_file(BUCKET, "cat.jpg", &[7; 1_001]).unwrap();
    let error = scene.read("cat.jpg").await.unwrap_err();
    assert_eq!(error, OriginError::TooLarge { bytes: 1_001, limit: 1_000 });
    assert_eq!(scene.wire.count("GetObject", ""), 0);
}

#[tokio::test]
async fn keys_survive_the_wire_as_they_are_spelt() {
    let scene = Scene::new(policy());
    let keys = [
        "a b.jpg",
        "a+b.jpg",
        "100%.jpg",
        "ä/ö.jpg",
        "~x/#1.jpg",
        "q?x=1&y.jpg",
        "a=b,c;d.jpg",
        "x%20y.jpg",
    ];
    for key in keys {
        scene.wire.put_file(BUCKET, key, key.as_bytes()).unwrap();
        assert_eq!(scene.read(key).await.unwrap().body, key.as_bytes(), "{key}");
    }
}

#[tokio::test]
async fn metadata_survives_the_wire_and_a_mark_is_seen() {
    let scene = Scene::new(policy());
    let store = open_with(&scene.wire, &scene.wire.store_options(), Duration::from_secs(2)).store;
    let mut attributes = Attributes::new();
    attributes.insert(Attribute::ContentType, "image/webp".into());
    attributes.insert(Attribute::CacheControl, "public, max-age=60".into());
    attributes.insert(Attribute::Metadata(MARK.into()), "0123abcd".into());
    let options = PutOptions { attributes: attributes.clone(), ..PutOptions::default() };
    let place = Path::from("300x200/cat.jpg");
    store.put_opts(&place, "a variant".into(), options).await.unwrap();
    let head =
        store.get_opts(&place, GetOptions { head: true, ..GetOptions::default() }).await.unwrap();
    assert_eq!(head.attributes, attributes);
    assert_eq!(store.get(&place).await.unwrap().attributes, attributes);
    assert!(scene.version("300x200/cat.jpg").await.unwrap().ours);
    // Somebody's upload over it is an original again.
    scene.wire.put_file(BUCKET, "300x200/cat.jpg", b"an upload").unwrap();
    scene.origins.forget(&id("300x200/cat.jpg"));
    assert!(!scene.version("300x200/cat.jpg").await.unwrap().ours);
}

#[tokio::test]
async fn the_wire_server_answers_conditions_and_lists_as_s3_does() {
    let scene = Scene::new(policy());
    let store = open_with(&scene.wire, &scene.wire.store_options(), Duration::from_secs(2)).store;
    let place = Path::from("a/x");
    let etag = store.put(&place, "1".into()).await.unwrap().e_tag.unwrap();
    let not_new = GetOptions { if_none_match: Some(etag.clone()), ..GetOptions::default() };
    assert!(matches!(
        store.get_opts(&place, not_new).await,
        Err(object_store::Error::NotModified { .. })
    ));
    let other = GetOptions { if_match: Some("\"x\"".to_owned()), ..GetOptions::default() };
    assert!(matches!(
        store.get_opts(&place, other).await,
        Err(object_store::Error::Precondition { .. })
    ));
    let same = GetOptions { if_match: Some(etag), ..GetOptions::default() };
    assert!(store.get_opts(&place, same).await.is_ok());
    let create = PutOptions { mode: object_store::PutMode::Create, ..PutOptions::default() };
    assert!(
        store.put_opts(&place, "2".into(), create).await.is_err(),
        "what is there is not created again"
    );
    let listed: Vec<_> = futures_util::StreamExt::collect(store.list(Some(&Path::from("a")))).await;
    assert_eq!(listed.len(), 1);
    store.delete(&place).await.unwrap();
    assert!(scene.wire.keys(BUCKET).is_empty());
    let counts = ["PutObject", "GetObject", "ListObjectsV2"].map(|op| scene.wire.count(op, ""));
    assert_eq!(counts, [2, 3, 1]);
}

#[tokio::test]
async fn lost_and_ambiguous_writes_are_played() {
    let scene = Scene::new(policy());
    let store = open_with(&scene.wire, &scene.wire.store_options(), Duration::from_secs(2)).store;
    scene.wire.fault(Fault::new("lost", Act::PutLost).on("PUT"));
    scene.wire.fault(Fault::new("kept", Act::PutStored(500)).on("PUT"));
    store.put(&Path::from("lost"), "x".into()).await.unwrap();
    assert!(store.put(&Path::from("kept"), "x".into()).await.is_err());
    assert_eq!(scene.wire.keys(BUCKET), ["kept"]);
    assert_eq!(scene.wire.read_file(BUCKET, "kept").unwrap(), b"x");
}
