//! The promises of the tiers as a whole, over a store in memory, a store of files and a store
//! that fails. What a single part promises is tested beside that part.

mod damage;
mod faults;
mod purge;
mod sweep;

use super::fixture::{key, record, settings, variant, wish};
use super::*;
use object_store::local::LocalFileSystem;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{Attribute, GetOptions, ObjectStoreExt as _, PutPayload};

/// A store to test with; the folder lives as long as it does.
struct Bench {
    store: VariantStore,
    settings: VariantSettings,
    folder: Option<tempfile::TempDir>,
}

impl Bench {
    /// One with metadata and one without.
    fn both() -> [Self; 2] {
        [Self::over(Arc::new(InMemory::new()), true, None), Self::files()]
    }

    fn files() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let objects = LocalFileSystem::new_with_prefix(folder.path()).unwrap();
        Self::over(Arc::new(objects), false, Some(folder))
    }

    fn over(
        objects: Arc<dyn ObjectStore>,
        has_metadata: bool,
        folder: Option<tempfile::TempDir>,
    ) -> Self {
        let settings = VariantSettings {
            write_back: WriteBack::Sync,
            store_timeout: Duration::from_secs(5),
            ..settings()
        };
        Self { store: VariantStore { objects, has_metadata }, settings, folder }
    }

    /// The tiers as a process just started has them.
    fn start(&self) -> (Variants, VariantMetrics) {
        let metrics = VariantMetrics::default();
        let store = Some(self.store.clone());
        (Variants::new(&self.settings, store, Handle::current(), metrics.clone()), metrics)
    }

    async fn bytes(&self, path: &str) -> Option<Bytes> {
        let path = Path::parse(path).unwrap();
        match self.store.objects.get(&path).await {
            Ok(found) => Some(found.bytes().await.unwrap()),
            Err(object_store::Error::NotFound { .. }) => None,
            Err(error) => panic!("{error}"),
        }
    }

    async fn put(&self, path: &str, bytes: impl Into<PutPayload>) {
        self.store.objects.put(&Path::parse(path).unwrap(), bytes.into()).await.unwrap();
    }
}

fn soon() -> Instant {
    Instant::now() + Duration::from_secs(20)
}

fn mirror(path: &str) -> Placement {
    Placement::Mirror { path: path.to_owned() }
}

#[tokio::test]
async fn a_kept_variant_is_in_memory_at_once_and_in_the_store_for_the_next_process() {
    for bench in Bench::both() {
        for placement in [Placement::Versioned, mirror("400x0/photos/cat.jpg")] {
            let (key, variant) = (key("photos/cat.jpg", "one"), Arc::new(variant(b"picture")));
            let (variants, metrics) = bench.start();
            assert_eq!(variants.memory(&key), None);
            assert_eq!(variants.stored(&key, &placement, soon(), variants.since()).await, None);
            let kept = variants
                .keep(&key, placement.clone(), Arc::clone(&variant), None, variants.since())
                .await;
            assert_eq!(kept, Kept::Stored);
            assert_eq!(variants.memory(&key).as_ref(), Some(&variant));
            assert_eq!((metrics.memory_hits.get(), metrics.memory_misses.get()), (1, 1));
            assert_eq!((metrics.store_misses.get(), metrics.writes.get()), (1, 1));

            let (next, metrics) = bench.start();
            assert_eq!(next.memory(&key), None);
            let found = next.stored(&key, &placement, soon(), next.since()).await;
            assert_eq!(found.as_ref(), Some(&variant), "{placement:?}");
            assert_eq!(next.memory(&key), found, "a store hit fills memory");
            assert_eq!((metrics.store_hits.get(), metrics.store_misses.get()), (1, 0));
        }
    }
}

#[tokio::test]
async fn a_mirrored_variant_is_the_bare_image_with_what_a_bucket_needs() {
    let mut bench = Bench::over(Arc::new(InMemory::new()), true, None);
    bench.settings.mirror_cache_control = Some("public, max-age=3600".to_owned());
    let (variants, _) = bench.start();
    let path = "300x200/cat.jpg";
    variants
        .keep(
            &key("cat.jpg", "one"),
            mirror(path),
            Arc::new(variant(b"bare")),
            None,
            variants.since(),
        )
        .await;
    assert_eq!(bench.bytes(path).await.unwrap(), "bare");
    let found = bench.store.objects.get(&Path::parse(path).unwrap()).await.unwrap();
    let text = |name: Attribute| found.attributes.get(&name).map(|value| value.as_ref().to_owned());
    assert_eq!(text(Attribute::ContentType).as_deref(), Some("image/webp"));
    assert_eq!(text(Attribute::CacheControl).as_deref(), Some("public, max-age=3600"));
    assert_eq!(text(Attribute::ContentDisposition), None);

    let files = Bench::files();
    let (variants, _) = files.start();
    variants
        .keep(
            &key("cat.jpg", "one"),
            mirror(path),
            Arc::new(variant(b"bare")),
            None,
            variants.since(),
        )
        .await;
    assert_eq!(files.bytes(path).await.unwrap(), "bare");
}

#[tokio::test]
async fn a_mirrored_variant_of_a_changed_original_replaces_the_old_one() {
    for bench in Bench::both() {
        let placement = mirror("300x200/cat.jpg");
        let (old, new) = (key("cat.jpg", "one"), key("cat.jpg", "two"));
        let (variants, metrics) = bench.start();
        variants
            .keep(&old, placement.clone(), Arc::new(variant(b"old")), None, variants.since())
            .await;
        assert_eq!(variants.stored(&new, &placement, soon(), variants.since()).await, None);
        assert_eq!(metrics.foreign.get(), 1);
        let kept = variants
            .keep(&new, placement.clone(), Arc::new(variant(b"new")), None, variants.since())
            .await;
        assert_eq!(kept, Kept::Stored);
        assert_eq!(bench.bytes("300x200/cat.jpg").await.unwrap(), "new");
        assert_eq!(
            variants.stored(&new, &placement, soon(), variants.since()).await.unwrap().body,
            "new"
        );
        assert_eq!(variants.stored(&old, &placement, soon(), variants.since()).await, None);
    }
}

#[tokio::test]
async fn an_object_that_is_not_ours_is_neither_served_nor_replaced() {
    for bench in Bench::both() {
        let (path, key) = ("300x200/cat.jpg", key("cat.jpg", "one"));
        bench.put(path, "someone's own picture").await;
        let (variants, metrics) = bench.start();
        assert_eq!(variants.stored(&key, &mirror(path), soon(), variants.since()).await, None);
        let kept = variants
            .keep(&key, mirror(path), Arc::new(variant(b"ours")), None, variants.since())
            .await;
        assert_eq!(kept, Kept::Refused);
        assert_eq!(bench.bytes(path).await.unwrap(), "someone's own picture");
        assert_eq!((metrics.mirror_refused.get(), metrics.writes.get()), (1, 0));
        assert!(variants.memory(&key).is_some(), "it is served all the same");
        // The refusal left nothing behind that would make the next one look like ours.
        let kept = variants
            .keep(&key, mirror(path), Arc::new(variant(b"ours")), None, variants.since())
            .await;
        assert_eq!(kept, Kept::Refused);
        // The versioned layout does not care.
        let kept = variants
            .keep(&key, Placement::Versioned, Arc::new(variant(b"x")), None, variants.since())
            .await;
        assert_eq!(kept, Kept::Stored);
    }
}

#[tokio::test]
async fn the_record_of_an_original_is_written_once_per_version_and_process() {
    for bench in Bench::both() {
        let (variants, _) = bench.start();
        let path = "v1/default/photos/cat.jpg/~/source.json";
        let keep = async |etag: &str| {
            let key = key("photos/cat.jpg", etag);
            let record = Some(record("photos/cat.jpg", etag));
            variants
                .keep(&key, Placement::Versioned, Arc::new(variant(b"x")), record, variants.since())
                .await
        };
        assert_eq!(keep("one").await, Kept::Stored);
        let written: SourceRecord =
            serde_json::from_slice(&bench.bytes(path).await.unwrap()).unwrap();
        assert_eq!(written, record("photos/cat.jpg", "one"));
        bench.put(path, "changed by hand").await;
        keep("one").await;
        assert_eq!(bench.bytes(path).await.unwrap(), "changed by hand");
        keep("two").await;
        assert_ne!(bench.bytes(path).await.unwrap(), "changed by hand");
    }
}

#[tokio::test]
async fn the_newest_stored_version_is_found_without_its_version() {
    for bench in Bench::both() {
        for placement in [Placement::Versioned, mirror("400x0/cat.jpg")] {
            let (variants, metrics) = bench.start();
            let source = key("cat.jpg", "x").source;
            let newest = async || {
                variants.newest(&source, &wish(), &placement, soon(), variants.since()).await
            };
            assert_eq!(newest().await, None);
            for etag in ["one", "two"] {
                let (key, variant) = (key("cat.jpg", etag), variant(etag.as_bytes()));
                variants
                    .keep(&key, placement.clone(), Arc::new(variant), None, variants.since())
                    .await;
                // Another wish, and another original whose area begins alike, come later.
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            let other = key("cat.jpg2", "three");
            variants
                .keep(
                    &other,
                    Placement::Versioned,
                    Arc::new(variant(b"other")),
                    None,
                    variants.since(),
                )
                .await;
            let (found, variant) = newest().await.unwrap();
            assert_eq!(
                (found.version, &variant.body[..]),
                (key("cat.jpg", "two").version, &b"two"[..])
            );
            assert_eq!(metrics.stale_hits.get(), 1);
        }
    }
}

#[tokio::test]
async fn a_damaged_newest_version_gives_way_to_the_one_before() {
    for bench in Bench::both() {
        let (variants, metrics) = bench.start();
        for etag in ["one", "two"] {
            let (key, variant) = (key("cat.jpg", etag), variant(etag.as_bytes()));
            variants
                .keep(&key, Placement::Versioned, Arc::new(variant), None, variants.since())
                .await;
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let damaged = key("cat.jpg", "two");
        let entry = bench.bytes(&damaged.object_path()).await.unwrap();
        bench.put(&damaged.object_path(), entry.slice(..entry.len() - 1)).await;
        let source = damaged.source;
        let found = variants
            .newest(&source, &wish(), &Placement::Versioned, soon(), variants.since())
            .await;
        assert_eq!(found.unwrap().1.body, "one");
        assert_eq!(metrics.torn.get(), 1);
    }
}

#[tokio::test]
async fn without_a_store_or_with_writing_off_memory_is_all_there_is() {
    let key = key("cat.jpg", "one");
    let settings = settings();
    let alone = Variants::new(&settings, None, Handle::current(), VariantMetrics::default());
    let kept =
        alone.keep(&key, Placement::Versioned, Arc::new(variant(b"x")), None, alone.since()).await;
    assert_eq!(kept, Kept::InMemory);
    assert!(alone.memory(&key).is_some());
    assert_eq!(alone.stored(&key, &Placement::Versioned, soon(), alone.since()).await, None);

    let mut bench = Bench::files();
    bench.settings.write_back = WriteBack::Off;
    let (variants, _) = bench.start();
    let kept = variants
        .keep(&key, Placement::Versioned, Arc::new(variant(b"x")), None, variants.since())
        .await;
    assert_eq!(kept, Kept::InMemory);
    assert_eq!(bench.bytes(&key.object_path()).await, None);
}

#[tokio::test]
async fn every_accepted_write_is_there_after_the_drain() {
    let mut bench = Bench::files();
    bench.settings.write_back = WriteBack::Async;
    let (variants, metrics) = bench.start();
    let keys: Vec<_> = (0..200).map(|n| key(&format!("photos/{n}.jpg"), "one")).collect();
    for key in &keys {
        let body = vec![7; 10_000];
        let kept = variants
            .keep(key, Placement::Versioned, Arc::new(variant(&body)), None, variants.since())
            .await;
        assert_eq!(kept, Kept::Queued);
    }
    let drained = variants.drain(soon()).await;
    assert_eq!(drained.dropped, 0);
    assert_eq!((metrics.writes.get(), metrics.write_dropped.get()), (200, 0));
    assert_eq!((metrics.queue_depth.get(), metrics.queue_bytes.get()), (0, 0));
    for key in &keys {
        assert!(bench.bytes(&key.object_path()).await.is_some());
    }
    let late = key("late.jpg", "one");
    let kept = variants
        .keep(&late, Placement::Versioned, Arc::new(variant(b"x")), None, variants.since())
        .await;
    assert_eq!(kept, Kept::Dropped);
    assert_eq!(metrics.write_dropped.get(), 1);
}

#[tokio::test]
async fn names_a_store_cannot_hold_cost_that_variant_only() {
    let bench = Bench::files();
    let (variants, metrics) = bench.start();
    let long = "x".repeat(300);
    let names = [format!("{long}.jpg"), "cat#1".to_owned(), "ünï/50% off~.jpg".to_owned()];
    for name in names.iter().cycle().take(30) {
        let (key, path) = (key(name, "one"), format!("300x200/{name}"));
        assert!(
            variants
                .keep(&key, mirror(&path), Arc::new(variant(b"x")), None, variants.since())
                .await
                != Kept::Refused
        );
        variants.stored(&key, &mirror(&path), soon(), variants.since()).await;
    }
    assert_eq!((metrics.read_skipped.get(), metrics.write_skipped.get()), (0, 0));
    let good = key("ünï/50% off~.jpg", "one");
    let placement = mirror("300x200/ünï/50% off~.jpg");
    assert!(variants.stored(&good, &placement, soon(), variants.since()).await.is_some());
    // A key too long for a path lies under its digest; versioned names never end in `#1`.
    for name in [&format!("{}.jpg", "a/".repeat(600) + "x"), "cat#1"] {
        let key = key(name, "one");
        variants
            .keep(&key, Placement::Versioned, Arc::new(variant(b"x")), None, variants.since())
            .await;
        assert!(
            variants.stored(&key, &Placement::Versioned, soon(), variants.since()).await.is_some(),
            "{name}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn readers_beside_writers_see_whole_variants_only() {
    let bench = Bench::files();
    let (writer, _) = bench.start();
    let (reader, metrics) = bench.start();
    let keys: Vec<_> = (0..5).map(|n| key(&format!("{n}.jpg"), "one")).collect();
    let body = |n: usize| vec![u8::try_from(n).unwrap(); 50_000 + n];
    let mut tasks = Vec::new();
    for _ in 0..4 {
        let (writer, keys) = (writer.clone(), keys.clone());
        tasks.push(tokio::spawn(async move {
            for _ in 0..20 {
                for (n, key) in keys.iter().enumerate() {
                    let variant = Arc::new(variant(&body(n)));
                    let kept =
                        writer.keep(key, Placement::Versioned, variant, None, writer.since()).await;
                    assert_eq!(kept, Kept::Stored);
                }
            }
        }));
    }
    for _ in 0..8 {
        let (reader, keys) = (reader.clone(), keys.clone());
        tasks.push(tokio::spawn(async move {
            for _ in 0..50 {
                for (n, key) in keys.iter().enumerate() {
                    if let Some(found) =
                        reader.stored(key, &Placement::Versioned, soon(), reader.since()).await
                    {
                        assert_eq!(found.body, body(n));
                    }
                }
            }
        }));
    }
    for task in tasks {
        task.await.unwrap();
    }
    assert_eq!((metrics.torn.get(), metrics.read_errors.get()), (0, 0));
    assert!(metrics.store_hits.get() > 0);
}

#[tokio::test]
async fn mirroring_the_same_path_from_many_sides_converges() {
    for bench in Bench::both() {
        let placement = mirror("300x200/cat.jpg");
        let key = key("cat.jpg", "one");
        let replicas: Vec<_> = (0..8).map(|_| bench.start().0).collect();
        let writes = replicas.iter().map(|replica| {
            replica.keep(&key, placement.clone(), Arc::new(variant(b"same")), None, replica.since())
        });
        for kept in futures_util::future::join_all(writes).await {
            assert_eq!(kept, Kept::Stored);
        }
        let (next, _) = bench.start();
        assert_eq!(next.stored(&key, &placement, soon(), next.since()).await.unwrap().body, "same");
        let path = Path::parse("300x200/cat.jpg").unwrap();
        assert!(bench.store.objects.get_opts(&path, GetOptions::default()).await.is_ok());
    }
}
