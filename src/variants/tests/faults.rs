//! A store that fails costs latency, bounded by its budget and soon by its breaker, and never an
//! image: `keep` and `stored` always answer.

use super::*;
use crate::variants::fixture::{FaultStore, Mood};
use std::sync::atomic::Ordering::SeqCst;

struct Faulty {
    bench: Bench,
    faults: Arc<FaultStore>,
}

fn faulty() -> Faulty {
    let faults = FaultStore::over(Arc::new(InMemory::new()));
    let objects: Arc<dyn ObjectStore> = Arc::clone(&faults) as _;
    let mut bench = Bench::over(objects, true, None);
    bench.settings.store_timeout = Duration::from_millis(50);
    bench.settings.write_timeout = Duration::from_millis(50);
    bench.settings.breaker_failures = 3;
    bench.settings.breaker_cool_down = Duration::from_millis(200);
    Faulty { bench, faults }
}

async fn keep(variants: &Variants, key: &VariantKey) -> Kept {
    variants
        .keep(key, Placement::Versioned, Arc::new(variant(b"picture")), None, variants.since())
        .await
}

async fn stored(variants: &Variants, key: &VariantKey) -> Option<Arc<Variant>> {
    variants.stored(key, &Placement::Versioned, soon(), variants.since()).await
}

#[tokio::test]
async fn a_failing_store_is_soon_left_alone_and_taken_up_again() {
    let Faulty { bench, faults } = faulty();
    let (variants, metrics) = bench.start();
    let key = key("a.jpg", "one");
    for mood in [Mood::Broken, Mood::Silent] {
        faults.feel(mood);
        let before = faults.gets.load(SeqCst);
        let begun = Instant::now();
        for _ in 0..100 {
            assert_eq!(stored(&variants, &key).await, None);
        }
        // Three failures open the breaker; in the time of the loop few probes may follow.
        let asked = faults.gets.load(SeqCst) - before;
        assert!((1..=6).contains(&asked), "{mood:?}: {asked}");
        assert!(begun.elapsed() < Duration::from_secs(2), "{mood:?}: {:?}", begun.elapsed());
        assert_eq!(metrics.read_breaker_open.get(), 1);
        for _ in 0..5 {
            assert_eq!(keep(&variants, &key).await, Kept::Failed);
        }
        assert_eq!(metrics.write_breaker_open.get(), 1);
        assert!(variants.memory(&key).is_some(), "the image is served");

        faults.feel(Mood::Well);
        tokio::time::sleep(Duration::from_millis(250)).await;
        assert_eq!(keep(&variants, &key).await, Kept::Stored, "{mood:?}");
        // The first to come finds out behind its back, the next ones have it.
        let taken_up = async {
            while stored(&variants, &key).await.is_none() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(2), taken_up).await.unwrap();
        assert_eq!((metrics.read_breaker_open.get(), metrics.write_breaker_open.get()), (0, 0));
    }
    assert!(metrics.read_skipped.get() >= 180);
    assert!(metrics.read_errors.get() >= 3 && metrics.read_timeouts.get() >= 1);
    assert!(metrics.write_skipped.get() >= 1 && metrics.write_errors.get() >= 3);
}

#[tokio::test]
async fn nobody_waits_to_find_out_that_a_silent_store_is_still_silent() {
    let Faulty { bench, faults } = faulty();
    let (variants, metrics) = bench.start();
    let key = key("a.jpg", "one");
    faults.feel(Mood::Silent);
    while metrics.read_breaker_open.get() == 0 {
        assert_eq!(stored(&variants, &key).await, None);
    }
    tokio::time::sleep(Duration::from_millis(250)).await;
    let (before, begun) = (faults.gets.load(SeqCst), Instant::now());
    for _ in 0..10 {
        assert_eq!(stored(&variants, &key).await, None);
    }
    assert!(begun.elapsed() < Duration::from_millis(20), "{:?}", begun.elapsed());
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!(faults.gets.load(SeqCst) - before, 1, "one probe");
    assert_eq!(metrics.read_breaker_open.get(), 1);
}

#[tokio::test]
async fn a_silent_store_costs_its_budget_and_a_late_request_less() {
    let Faulty { bench, faults } = faulty();
    let (variants, metrics) = bench.start();
    faults.feel(Mood::Silent);
    let begun = Instant::now();
    assert_eq!(stored(&variants, &key("a.jpg", "one")).await, None);
    assert!(begun.elapsed() < Duration::from_secs(1));
    assert_eq!(metrics.read_timeouts.get(), 1);
    // A request with less time left than the budget says nothing about the store.
    for _ in 0..10 {
        let deadline = Instant::now() + Duration::from_millis(5);
        let key = key("a.jpg", "one");
        assert_eq!(
            variants.stored(&key, &Placement::Versioned, deadline, variants.since()).await,
            None
        );
    }
    assert_eq!((metrics.read_timeouts.get(), metrics.read_breaker_open.get()), (1, 0));
    assert_eq!(metrics.store_misses.get(), 11);
}

#[tokio::test]
async fn a_refused_read_is_a_miss_with_a_counter_and_writing_goes_on() {
    let Faulty { bench, faults } = faulty();
    let (variants, metrics) = bench.start();
    faults.feel(Mood::RefusesMissing);
    for n in 0..20 {
        let key = key(&format!("{n}.jpg"), "one");
        assert_eq!(stored(&variants, &key).await, None);
        assert_eq!(keep(&variants, &key).await, Kept::Stored);
        assert!(stored(&variants, &key).await.is_some());
        // The mirror cannot look, but can create without replacing.
        let placement = mirror(&format!("1x1/{n}.jpg"));
        let kept = variants
            .keep(&key, placement, Arc::new(variant(b"picture")), None, variants.since())
            .await;
        assert_eq!(kept, Kept::Stored);
    }
    assert_eq!((metrics.read_forbidden.get(), metrics.read_skipped.get()), (20, 0));
}

#[tokio::test]
async fn wrong_credentials_open_the_breaker_of_writes() {
    let Faulty { bench, faults } = faulty();
    let (variants, metrics) = bench.start();
    faults.feel(Mood::RefusesAll);
    for _ in 0..10 {
        assert_eq!(stored(&variants, &key("a.jpg", "one")).await, None);
        assert_eq!(keep(&variants, &key("a.jpg", "one")).await, Kept::Failed);
    }
    assert_eq!(metrics.write_forbidden.get(), 3);
    assert_eq!(metrics.write_skipped.get(), 7);
}

#[tokio::test]
async fn a_full_store_is_still_read() {
    let Faulty { bench, faults } = faulty();
    let (variants, metrics) = bench.start();
    let there = key("there.jpg", "one");
    assert_eq!(keep(&variants, &there).await, Kept::Stored);
    faults.feel(Mood::Full);
    for n in 0..20 {
        assert_eq!(keep(&variants, &key(&format!("{n}.jpg"), "one")).await, Kept::Failed);
        assert!(stored(&variants, &there).await.is_some());
    }
    assert_eq!(metrics.write_errors.get() + metrics.write_skipped.get(), 20);
    assert_eq!(metrics.store_hits.get(), 20);
}

#[tokio::test]
async fn an_overflowing_queue_drops_and_counts_and_never_waits() {
    let Faulty { mut bench, faults } = faulty();
    bench.settings.write_back = WriteBack::Async;
    bench.settings.write_timeout = Duration::from_mins(1);
    bench.settings.queue_bytes = 30_000;
    bench.settings.writers = 1;
    faults.feel(Mood::Silent);
    let (variants, metrics) = bench.start();
    let begun = Instant::now();
    let mut dropped = 0;
    for n in 0..100 {
        let big = Arc::new(variant(&[0; 10_000]));
        let key = key(&format!("{n}.jpg"), "one");
        if variants.keep(&key, Placement::Versioned, big, None, variants.since()).await
            == Kept::Dropped
        {
            dropped += 1;
        }
        assert!(variants.memory(&key).is_some());
    }
    assert!(begun.elapsed() < Duration::from_secs(5));
    assert_eq!((dropped, metrics.write_dropped.get()), (97, 97));
    assert_eq!((metrics.queue_depth.get(), metrics.queue_bytes.get()), (3, 30_000));
    let drained = variants.drain(Instant::now() + Duration::from_millis(50)).await;
    assert_eq!(drained, Drained { finished: 0, dropped: 3 });
    assert_eq!(metrics.write_dropped.get(), 100);
}

/// A file system of 1 MiB, unmounted when dropped.
struct Tmpfs(tempfile::TempDir);

impl Tmpfs {
    fn mount() -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let mut mount = std::process::Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", "size=1m", "tmpfs"]).arg(folder.path());
        let mounted = mount.output().is_ok_and(|output| output.status.success());
        mounted.then_some(Self(folder))
    }
}

impl Drop for Tmpfs {
    fn drop(&mut self) {
        let _ = std::process::Command::new("umount").arg("-l").arg(self.0.path()).status();
    }
}

#[tokio::test]
async fn a_full_disk_fails_no_image_leaves_nothing_torn_and_recovers_by_itself() {
    let Some(disk) = Tmpfs::mount() else {
        eprintln!("SKIPPED: a_full_disk_…: this user may not mount a tmpfs of 1 MiB");
        return;
    };
    let objects = LocalFileSystem::new_with_prefix(disk.0.path()).unwrap();
    let mut bench = Bench::over(Arc::new(objects), false, None);
    bench.settings.breaker_cool_down = Duration::from_millis(50);
    let (variants, metrics) = bench.start();
    let body = vec![7; 200_000];
    let keys: Vec<_> = (0..12).map(|n| key(&format!("{n}.jpg"), "one")).collect();
    let mut kept = Vec::new();
    for key in &keys {
        kept.push(
            variants
                .keep(key, Placement::Versioned, Arc::new(variant(&body)), None, variants.since())
                .await,
        );
        assert!(variants.memory(key).is_some());
    }
    assert!(kept.contains(&Kept::Stored) && kept.contains(&Kept::Failed), "{kept:?}");
    assert!(metrics.write_errors.get() > 0);
    for (key, kept) in keys.iter().zip(&kept) {
        let found = variants.stored(key, &Placement::Versioned, soon(), variants.since()).await;
        assert_eq!(found.is_some(), *kept == Kept::Stored, "{kept:?}");
    }
    assert_eq!(metrics.torn.get(), 0);

    for (key, _) in keys.iter().zip(&kept).filter(|(_, kept)| **kept == Kept::Stored) {
        let path = Path::parse(key.object_path()).unwrap();
        bench.store.objects.delete(&path).await.unwrap();
    }
    tokio::time::sleep(Duration::from_millis(80)).await;
    let last = keys.last().unwrap();
    let kept = variants
        .keep(last, Placement::Versioned, Arc::new(variant(&body)), None, variants.since())
        .await;
    assert_eq!(kept, Kept::Stored);
}
