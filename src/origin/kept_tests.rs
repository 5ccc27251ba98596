//! Originals that are kept: read once, never older than their version, never in the way of one
//! that has to be read.

use super::memory_tests::{Scene, id, policy, soon, within};
use super::scripted::Script;
use super::*;
use crate::model::units::ByteSize;
use std::time::Duration;

const KIB: u64 = 1 << 10;

/// 64 KiB for originals, of which so many may be kept.
fn scene(kept_kib: u64) -> Scene {
    Scene::new(FetchPolicy {
        source_memory: ByteSize::new(64 * KIB),
        kept_sources: ByteSize::new(kept_kib * KIB),
        ..policy()
    })
}

#[tokio::test]
async fn a_kept_original_is_read_once_until_its_version_changes() {
    let scene = scene(32);
    scene.put("cat", "a cat").await;
    for _ in 0..5 {
        assert_eq!(scene.read("cat").await.unwrap().body, "a cat");
    }
    let metrics = scene.origins.metrics().clone();
    assert_eq!((scene.store.gets(), metrics.kept_hits.get(), metrics.kept_misses.get()), (1, 4, 1));
    assert_eq!((metrics.kept_entries.get(), metrics.kept_bytes.get()), (1, 1024));
    let old = scene.version("cat").await.unwrap().meta;
    scene.put("cat", "another").await;
    // Within the TTL the old version is what everybody is told, and its bytes are.
    assert_eq!(scene.read("cat").await.unwrap().body, "a cat");
    assert_eq!(scene.origins.forget(&id("cat")), 1);
    assert_eq!(scene.read("cat").await.unwrap().body, "another");
    let read = scene.origins.fetch(&id("cat"), &old, soon()).await.unwrap();
    assert_eq!(read.body, "another", "what was dropped is not found again");
}

#[tokio::test]
async fn what_is_forgotten_while_it_is_read_is_not_kept() {
    let scene = scene(32);
    scene.put("cat", "a cat").await;
    let meta = scene.version("cat").await.unwrap().meta;
    let delay = Duration::from_millis(100);
    scene.store.play(Script { get_delay: delay, ..Script::default() });
    let cat = id("cat");
    let (read, ()) = tokio::join!(scene.origins.fetch(&cat, &meta, soon()), async {
        tokio::time::sleep(delay / 4).await;
        assert_eq!(scene.origins.forget_matching(|_| true), 0);
    });
    assert_eq!(read.unwrap().body, "a cat");
    assert_eq!(scene.origins.metrics().kept_entries.get(), 0);
    scene.read("cat").await.unwrap();
    assert_eq!(scene.store.gets(), 2);
}

#[tokio::test]
async fn the_bound_holds_and_the_one_not_read_for_longest_goes_first() {
    let scene = scene(32);
    for key in ["a", "b", "c", "d"] {
        scene.put(key, &key.repeat(10_000)).await;
    }
    for key in ["a", "b", "c", "a", "d", "a", "c"] {
        scene.read(key).await.unwrap();
    }
    assert_eq!(scene.store.gets(), 4);
    scene.read("b").await.unwrap();
    assert_eq!(scene.store.gets(), 5);
    let metrics = scene.origins.metrics();
    assert_eq!((metrics.kept_evicted_size.get(), metrics.kept_entries.get()), (2, 3));
    // What is larger than all of it is read, and not kept.
    scene.put("large", &"x".repeat(33_000)).await;
    scene.read("large").await.unwrap();
    assert_eq!(metrics.kept_entries.get(), 3);
}

#[tokio::test]
async fn whoever_needs_the_memory_has_it_at_once() {
    let scene = scene(64);
    for key in ["a", "b", "c"] {
        scene.put(key, &key.repeat(20_000)).await;
        scene.read(key).await.unwrap();
    }
    assert_eq!(scene.origins.metrics().kept_entries.get(), 3);
    scene.put("large", &"x".repeat(60_000)).await;
    let large = scene.version("large").await.unwrap().meta;
    // What is being read is not given up before it has been; the rest is.
    let reading = scene.read("c").await.unwrap();
    let (cat, soon) = (id("large"), within(2_000));
    let (read, ()) = tokio::join!(scene.origins.fetch(&cat, &large, soon), async {
        tokio::time::sleep(Duration::from_millis(50)).await;
        assert_eq!(scene.origins.metrics().kept_entries.get(), 0);
        drop(reading);
    });
    assert_eq!(read.unwrap().body.len(), 60_000);
    assert_eq!(scene.origins.metrics().kept_evicted_memory.get(), 3);
}
