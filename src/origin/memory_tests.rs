//! Tests of versions and fetches against a scripted store in memory and against a folder.

use super::scripted::{Failure, Script, Scripted};
use super::*;
use crate::model::key::{OriginName, SourceId, SourceKey, SourceVersion};
use crate::model::units::ByteSize;
use futures_util::future::join_all;
use object_store::path::Path;
use object_store::{Attribute, Attributes, ObjectStore, ObjectStoreExt, PutOptions};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::runtime::Handle;

pub(super) struct Scene {
    pub(super) store: Arc<Scripted>,
    other: Arc<Scripted>,
    pub(super) origins: Origins,
}

pub(super) fn policy() -> FetchPolicy {
    FetchPolicy {
        source_ttl: SourceTtl::For(Duration::from_mins(1)),
        negative_ttl: Duration::from_secs(10),
        fetch_timeout: Duration::from_secs(5),
        max_source_bytes: ByteSize::new(100_000),
        max_fetches: 4,
        source_memory: ByteSize::new(1 << 20),
        kept_sources: ByteSize::new(0),
    }
}

impl Scene {
    /// Two origins, `default` and `other`.
    pub(super) fn new(policy: FetchPolicy) -> Self {
        let (store, other) = (Arc::new(Scripted::default()), Arc::new(Scripted::default()));
        let spec = |name: &str, store: &Arc<Scripted>| {
            let store: Arc<dyn ObjectStore> = Arc::clone(store) as _;
            let display = "memory:///".to_owned();
            let store = OpenStore { store, kind: StoreKind::Memory, display };
            OriginSpec { name: OriginName::new(name).unwrap(), store, own: OwnBounds::default() }
        };
        let specs = vec![spec("default", &store), spec("other", &other)];
        Self { origins: Origins::new(specs, policy, Handle::current()), store, other }
    }

    pub(super) async fn put(&self, key: &str, body: &str) {
        self.store.put(&Path::from(key), body.to_owned().into()).await.unwrap();
    }

    pub(super) async fn version(&self, key: &str) -> Result<Version, OriginError> {
        self.origins.version(&id(key), None, soon()).await
    }

    pub(super) async fn read(&self, key: &str) -> Result<Original, OriginError> {
        let version = self.version(key).await?;
        self.origins.fetch(&id(key), &version.meta, soon()).await
    }
}

fn at(origin: &str, key: &str) -> SourceId {
    SourceId { origin: OriginName::new(origin).unwrap(), key: SourceKey::new(key).unwrap() }
}

pub(super) fn id(key: &str) -> SourceId {
    at("default", key)
}

pub(super) fn soon() -> Instant {
    within(10_000)
}

pub(super) fn within(ms: u64) -> Instant {
    Instant::now() + Duration::from_millis(ms)
}

fn slow_gets() -> Script {
    Script { get_delay: Duration::from_mins(1), ..Script::default() }
}

#[tokio::test]
async fn a_hundred_requests_share_one_head_and_one_get() {
    let scene = Scene::new(policy());
    scene.put("cat", "a cat").await;
    let delay = Duration::from_millis(50);
    scene.store.play(Script { head_delay: delay, get_delay: delay, ..Script::default() });
    let bodies = join_all((0..100).map(|_| scene.read("cat"))).await;
    assert!(bodies.into_iter().all(|original| original.unwrap().body == "a cat"));
    assert_eq!((scene.store.heads(), scene.store.gets()), (1, 1));
    // Here bytes are not kept: the next one reads anew.
    scene.read("cat").await.unwrap();
    assert_eq!((scene.store.heads(), scene.store.gets()), (1, 2));
}

#[tokio::test]
async fn a_fetch_outlives_its_first_caller_but_not_its_last() {
    let scene = Scene::new(policy());
    scene.put("cat", "a cat").await;
    let meta = scene.version("cat").await.unwrap().meta;
    scene.store.play(Script { get_delay: Duration::from_millis(300), ..Script::default() });
    let (cat, first, second) = (id("cat"), within(50), soon());
    let (first, second) = tokio::join!(
        scene.origins.fetch(&cat, &meta, first),
        scene.origins.fetch(&cat, &meta, second)
    );
    assert_eq!(first.unwrap_err(), OriginError::TimedOut);
    assert_eq!(second.unwrap().body, "a cat");
    assert_eq!(scene.store.gets(), 1);

    scene.store.play(slow_gets());
    let left = scene.origins.fetch(&cat, &meta, within(50)).await;
    assert_eq!(left.unwrap_err(), OriginError::TimedOut);
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(scene.origins.metrics().in_flight.get(), 0, "nobody waits, so nothing is read");
}

#[tokio::test]
async fn an_overwritten_original_is_seen_after_the_ttl_at_the_latest() {
    let ttl = Duration::from_millis(600);
    let scene = Scene::new(FetchPolicy { source_ttl: SourceTtl::For(ttl), ..policy() });
    scene.put("cat", "old").await;
    let old = scene.version("cat").await.unwrap();
    let learnt = Instant::now();
    scene.put("cat", "newer").await;
    while scene.version("cat").await.unwrap() == old {
        assert!(learnt.elapsed() < ttl, "an old version was served after its TTL");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(scene.version("cat").await.unwrap().meta.bytes, 5);
}

#[tokio::test]
async fn a_version_in_use_is_asked_for_ahead_without_anybody_waiting() {
    let ttl = Duration::from_secs(2);
    let scene = Scene::new(FetchPolicy { source_ttl: SourceTtl::For(ttl), ..policy() });
    scene.put("cat", "a cat").await;
    // Where the machine sleeps through the moment, another one comes.
    for _ in 0..5 {
        let (heads, asked) = (scene.store.heads(), Instant::now());
        scene.origins.forget(&id("cat"));
        scene.version("cat").await.unwrap();
        scene.store.play(Script { head_delay: Duration::from_millis(400), ..Script::default() });
        tokio::time::sleep_until((asked + ttl.mul_f64(0.92)).into()).await;
        let start = Instant::now();
        join_all((0..10).map(|_| scene.version("cat"))).await;
        let waited = start.elapsed();
        scene.store.play(Script::default());
        if asked.elapsed() < ttl {
            assert!(waited < Duration::from_millis(400), "somebody waited {waited:?}");
            tokio::time::sleep(Duration::from_millis(500)).await;
            assert_eq!(scene.store.heads() - heads, 2, "one HEAD and one ahead");
            assert_eq!(scene.origins.metrics().refreshes.get(), 1);
            scene.version("cat").await.unwrap();
            assert_eq!(
                scene.store.heads() - heads,
                2,
                "the one ahead counts from when it was sent"
            );
            return;
        }
    }
    panic!("the machine never woke in time");
}

#[tokio::test]
async fn a_new_v_asks_once_and_finds_the_new_version_at_once() {
    let scene = Scene::new(FetchPolicy { source_ttl: SourceTtl::Immutable, ..policy() });
    scene.put("cat", "old").await;
    let with_v = async |v: &str| {
        scene.origins.version(&id("cat"), Some(v), soon()).await.unwrap().meta.bytes
    };
    assert_eq!(with_v("1").await, 3);
    scene.put("cat", "newer").await;
    assert_eq!((with_v("1").await, scene.store.heads()), (3, 1));
    assert_eq!((with_v("2").await, scene.store.heads()), (5, 2));
    assert_eq!((with_v("2").await, scene.store.heads()), (5, 2));
    assert_eq!((scene.version("cat").await.unwrap().meta.bytes, scene.store.heads()), (5, 2));
}

#[tokio::test]
async fn a_head_on_its_way_with_one_v_is_no_answer_to_another() {
    let scene = Scene::new(policy());
    scene.put("cat", "old").await;
    scene.store.play(Script { head_delay: Duration::from_millis(200), ..Script::default() });
    let (cat, origins) = (id("cat"), &scene.origins);
    let later = async {
        tokio::time::sleep(Duration::from_millis(50)).await;
        scene.put("cat", "newer").await;
        origins.version(&cat, Some("2"), soon()).await
    };
    let (_, new) = tokio::join!(origins.version(&cat, Some("1"), soon()), later);
    assert_eq!(new.unwrap().meta.bytes, 5);
    assert_eq!(scene.store.heads(), 2);
}

#[tokio::test]
async fn forgetting_asks_again() {
    let scene = Scene::new(policy());
    assert_eq!(scene.version("cat").await, Err(OriginError::NotFound));
    scene.put("cat", "a cat").await;
    assert_eq!(scene.version("cat").await, Err(OriginError::NotFound), "remembered");
    scene.origins.forget(&id("cat"));
    assert!(scene.version("cat").await.is_ok());
}

#[tokio::test]
async fn a_broken_origin_leaves_the_last_version_which_says_so() {
    let ttl = Duration::from_millis(1);
    let scene = Scene::new(FetchPolicy { source_ttl: SourceTtl::For(ttl), ..policy() });
    scene.put("cat", "a cat").await;
    let known = scene.version("cat").await.unwrap();
    assert!(!known.stale);
    tokio::time::sleep(ttl * 2).await;
    scene.store.play(Script { fails: Some(Failure::Broken), ..Script::default() });
    assert_eq!(scene.version("cat").await, Ok(Version { stale: true, ..known.clone() }));
    assert!(
        matches!(scene.version("dog").await, Err(OriginError::Unavailable(_))),
        "never seen before"
    );
    // A slow origin takes half of the time left and no more.
    scene.store.play(Script { head_delay: Duration::from_mins(1), ..Script::default() });
    let start = Instant::now();
    let version = scene.origins.version(&id("cat"), None, within(600)).await.unwrap();
    assert!(version.stale && start.elapsed() < Duration::from_millis(600), "{:?}", start.elapsed());
    scene.store.play(Script { fails: Some(Failure::Refused), ..Script::default() });
    scene.origins.forget(&id("other"));
    assert_eq!(scene.version("other").await, Err(OriginError::Forbidden));
    assert_eq!(scene.origins.metrics().stale.get(), 2);
}

#[tokio::test]
async fn a_source_that_is_gone_or_refused_is_never_stale() {
    let ttl = Duration::from_millis(1);
    let scene = Scene::new(FetchPolicy { source_ttl: SourceTtl::For(ttl), ..policy() });
    scene.put("cat", "a cat").await;
    scene.version("cat").await.unwrap();
    tokio::time::sleep(ttl * 2).await;
    scene.store.play(Script { fails: Some(Failure::Refused), ..Script::default() });
    assert_eq!(scene.version("cat").await, Err(OriginError::Forbidden));
    scene.store.play(Script::default());
    scene.store.delete(&Path::from("cat")).await.unwrap();
    assert_eq!(scene.version("cat").await, Err(OriginError::NotFound));
}

#[tokio::test]
async fn a_deadline_ends_the_wait_for_a_version() {
    let scene = Scene::new(policy());
    scene.store.play(Script { head_delay: Duration::from_mins(1), ..Script::default() });
    let start = Instant::now();
    let outcome = scene.origins.version(&id("cat"), None, within(200)).await;
    assert_eq!(outcome, Err(OriginError::TimedOut));
    assert!((200..1_500).contains(&start.elapsed().as_millis()), "{:?}", start.elapsed());
}

#[tokio::test]
async fn bodies_that_contradict_their_announcement_fail() {
    let scene = Scene::new(policy());
    scene.put("cat", "a cat of some length").await;
    for lie in [-1, -15, 1, 1_000] {
        scene.store.play(Script { lie, ..Script::default() });
        let error = scene.read("cat").await.unwrap_err();
        assert!(matches!(error, OriginError::Unavailable(_)), "{lie}: {error}");
    }
}

#[tokio::test]
async fn an_original_over_the_limit_is_not_read_on() {
    let scene = Scene::new(FetchPolicy { max_source_bytes: ByteSize::new(100), ..policy() });
    scene.put("cat", &"x".repeat(90)).await;
    let meta = scene.version("cat").await.unwrap().meta;
    // While streaming: what was announced within the limit goes on beyond it.
    scene.store.play(Script { lie: 500, ..Script::default() });
    let error = scene.origins.fetch(&id("cat"), &meta, soon()).await.unwrap_err();
    assert_eq!(error, OriginError::TooLarge { bytes: 295, limit: 100 });
    // By the answer to the GET, of a store whose versions cannot be pinned.
    scene.store.play(Script::default());
    scene.put("cat", &"x".repeat(101)).await;
    let unpinned = SourceMeta { etag: None, ..meta };
    let error = scene.origins.fetch(&id("cat"), &unpinned, soon()).await.unwrap_err();
    assert_eq!(error, OriginError::TooLarge { bytes: 101, limit: 100 });
    // By its HEAD, without a GET.
    let gets = scene.store.gets();
    scene.origins.forget(&id("cat"));
    assert!(matches!(scene.read("cat").await, Err(OriginError::TooLarge { .. })));
    assert_eq!(scene.store.gets(), gets);
}

#[tokio::test]
async fn bytes_count_against_their_share_until_the_last_clone_is_dropped() {
    let scene = Scene::new(FetchPolicy { source_memory: ByteSize::new(64 << 10), ..policy() });
    for key in ["cat", "dog"] {
        scene.put(key, &key.repeat(16 << 10)).await;
    }
    let dog = scene.version("dog").await.unwrap().meta;
    let held = scene.read("cat").await.unwrap();
    let clone = held.body.clone();
    drop(held);
    let start = Instant::now();
    let refused = scene.origins.fetch(&id("dog"), &dog, within(800)).await.unwrap_err();
    assert_eq!(refused, OriginError::Busy);
    assert!(start.elapsed() < Duration::from_millis(600), "a quarter of the time, not all of it");
    assert_eq!(scene.store.gets(), 1, "nothing is asked for that there is no room for");
    drop(clone);
    assert!(scene.origins.fetch(&id("dog"), &dog, within(800)).await.is_ok());
    // Larger than the whole share: read alone.
    scene.put("giant", &"x".repeat(90_000)).await;
    assert_eq!(scene.read("giant").await.unwrap().body.len(), 90_000);
}

#[tokio::test]
async fn a_black_hole_takes_half_of_the_slots_at_most() {
    let scene = Scene::new(policy());
    for key in ["a", "b", "c"] {
        scene.put(key, key).await;
    }
    scene.other.put(&Path::from("x"), "healthy".into()).await.unwrap();
    let mut metas = Vec::new();
    for key in ["a", "b", "c"] {
        metas.push((id(key), scene.version(key).await.unwrap().meta));
    }
    scene.store.play(slow_gets());
    let stuck =
        join_all(metas.iter().map(|(id, meta)| scene.origins.fetch(id, meta, within(1_200))));
    let healthy = async {
        tokio::time::sleep(Duration::from_millis(50)).await;
        let x = at("other", "x");
        let meta = scene.origins.version(&x, None, soon()).await.unwrap().meta;
        let read = scene.origins.fetch(&x, &meta, soon()).await;
        (read, scene.origins.metrics().in_flight.get())
    };
    let (stuck, (healthy, in_flight)) = tokio::join!(stuck, healthy);
    let ends: Vec<_> = stuck.into_iter().map(Result::unwrap_err).collect();
    assert_eq!(ends, [OriginError::TimedOut, OriginError::TimedOut, OriginError::Busy]);
    assert_eq!(healthy.unwrap().body, "healthy");
    assert_eq!(in_flight, 2);
}

#[tokio::test]
async fn versions_come_from_the_time_or_the_bytes_where_there_is_no_etag() {
    let scene = Scene::new(policy());
    scene.put("cat", "a cat").await;
    scene.store.play(Script { no_etag: true, ..Script::default() });
    let by_time = scene.read("cat").await.unwrap().meta;
    assert!(by_time.etag.is_none() && by_time.modified.is_some());
    assert_eq!(scene.store.gets(), 1);

    scene.store.play(Script { no_etag: true, no_time: true, ..Script::default() });
    scene.origins.forget(&id("cat"));
    let by_body = scene.version("cat").await.unwrap().meta;
    assert_eq!(by_body.version, SourceVersion::from_body(b"a cat"));
    assert_eq!((by_body.bytes, by_body.modified, scene.store.gets()), (5, None, 2));
    let original = scene.origins.fetch(&id("cat"), &by_body, soon()).await.unwrap();
    assert_eq!(original.meta, by_body);
}

#[tokio::test]
async fn compressed_originals_are_refused_and_marked_ones_told() {
    let scene = Scene::new(policy());
    let put = async |key: &str, attribute: Attribute, value: &'static str| {
        let attributes = Attributes::from_iter([(attribute, value)]);
        let options = PutOptions { attributes, ..PutOptions::default() };
        scene.store.put_opts(&Path::from(key), "x".into(), options).await.unwrap();
    };
    put("gz", Attribute::ContentEncoding, "gzip").await;
    put("chunked", Attribute::ContentEncoding, "aws-chunked").await;
    put("variant", Attribute::Metadata(MARK.into()), "0123").await;
    assert!(
        matches!(scene.read("gz").await, Err(OriginError::Unavailable(text)) if text.contains("gzip"))
    );
    assert!(scene.read("chunked").await.is_ok());
    assert!(scene.version("variant").await.unwrap().ours);
    assert!(!scene.version("chunked").await.unwrap().ours);
}

#[tokio::test]
async fn an_origin_that_is_not_configured_is_named() {
    let scene = Scene::new(policy());
    let outcome = scene.origins.version(&at("shop", "x"), None, soon()).await;
    assert_eq!(outcome, Err(OriginError::UnknownOrigin("shop".to_owned())));
}

#[tokio::test]
async fn originals_of_a_folder_are_read_and_their_changes_seen() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("cat.jpg");
    std::fs::write(&file, "a cat").unwrap();
    let url = format!("file://{}", folder.path().display());
    let store =
        open(&url, &[], StoreTimeouts::within(Duration::from_secs(1)), Role::Originals).unwrap();
    let specs =
        vec![OriginSpec { name: OriginName::default_origin(), store, own: OwnBounds::default() }];
    let origins = Origins::new(specs, policy(), Handle::current());
    let meta = origins.version(&id("cat.jpg"), None, soon()).await.unwrap().meta;
    assert_eq!(origins.fetch(&id("cat.jpg"), &meta, soon()).await.unwrap().body, "a cat");
    std::fs::write(&file, "another cat").unwrap();
    let changed = origins.fetch(&id("cat.jpg"), &meta, soon()).await.unwrap();
    assert_eq!(changed.body, "another cat");
    assert_ne!(changed.meta.version, meta.version);
}
