//! Stored bytes that are not what was written: found every time, counted, and mended by the
//! next write. Never served.

use super::*;

/// A way to damage the bytes of an object; each changes them.
type Damage = (&'static str, fn(&[u8]) -> Vec<u8>);

fn damages() -> [Damage; 7] {
    [
        ("first bit flipped", |bytes| flip(bytes, 0)),
        ("middle bit flipped", |bytes| flip(bytes, bytes.len() / 2)),
        ("last bit flipped", |bytes| flip(bytes, bytes.len() - 1)),
        ("cut in half", |bytes| bytes[..bytes.len() / 2].to_vec()),
        ("emptied", |_| Vec::new()),
        ("zeroed", |bytes| vec![0; bytes.len()]),
        ("prolonged", |bytes| [bytes, b"\0"].concat()),
    ]
}

fn flip(bytes: &[u8], at: usize) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    bytes[at] ^= 1;
    bytes
}

impl Bench {
    /// Other bytes under the attributes that are there.
    async fn tamper(&self, path: &str, bytes: Vec<u8>) {
        let at = Path::parse(path).unwrap();
        let found = self.store.objects.get(&at).await.unwrap();
        let attributes = if self.store.has_metadata {
            found.attributes.clone()
        } else {
            object_store::Attributes::default()
        };
        let options = object_store::PutOptions { attributes, ..Default::default() };
        self.store.objects.put_opts(&at, bytes.into(), options).await.unwrap();
    }

    /// Exchanges two objects, attributes and all.
    async fn swap(&self, one: &str, two: &str) {
        let (one, two) = (Path::parse(one).unwrap(), Path::parse(two).unwrap());
        let aside = Path::parse("aside").unwrap();
        for (from, to) in [(&one, &aside), (&two, &one), (&aside, &two)] {
            self.store.objects.copy(from, to).await.unwrap();
        }
    }
}

#[tokio::test]
async fn whatever_is_damaged_is_a_miss_counted_and_mended() {
    let path = "400x0/cat.jpg";
    for bench in Bench::both() {
        for placement in [Placement::Versioned, mirror(path)] {
            for (name, damage) in damages() {
                let key = key("cat.jpg", "one");
                let at = match &placement {
                    Placement::Versioned => key.object_path(),
                    Placement::Mirror { path } => path.clone(),
                };
                let good = Arc::new(variant(b"a picture"));
                let (variants, metrics) = bench.start();
                variants
                    .keep(&key, placement.clone(), Arc::clone(&good), None, variants.since())
                    .await;
                let whole = bench.bytes(&at).await.unwrap();
                bench.tamper(&at, damage(&whole)).await;

                let found = variants.stored(&key, &placement, soon(), variants.since()).await;
                assert_eq!(found, None, "{name} {placement:?}");
                assert_eq!(metrics.torn.get() + metrics.foreign.get(), 1, "{name} {placement:?}");
                let kept = variants
                    .keep(&key, placement.clone(), Arc::clone(&good), None, variants.since())
                    .await;
                assert_eq!(kept, Kept::Stored);
                let found = variants.stored(&key, &placement, soon(), variants.since()).await;
                assert_eq!(found, Some(good), "{name} {placement:?}");
            }
        }
    }
}

#[tokio::test]
async fn exchanged_objects_are_misses() {
    for bench in Bench::both() {
        let (a, b) = (key("a.jpg", "one"), key("b.jpg", "one"));
        let (variants, metrics) = bench.start();
        for key in [&a, &b] {
            let body = variant(key.source.key.as_str().as_bytes());
            variants
                .keep(key, Placement::Versioned, Arc::new(body.clone()), None, variants.since())
                .await;
            let path = format!("1x1/{}", key.source.key);
            variants.keep(key, mirror(&path), Arc::new(body), None, variants.since()).await;
        }
        bench.swap(&a.object_path(), &b.object_path()).await;
        bench.swap("1x1/a.jpg", "1x1/b.jpg").await;
        for key in [&a, &b] {
            assert_eq!(
                variants.stored(key, &Placement::Versioned, soon(), variants.since()).await,
                None
            );
            let path = format!("1x1/{}", key.source.key);
            assert_eq!(variants.stored(key, &mirror(&path), soon(), variants.since()).await, None);
        }
        assert_eq!(metrics.torn.get() + metrics.foreign.get(), 4);
        assert_eq!(metrics.store_hits.get(), 0);
    }
}

#[tokio::test]
async fn a_mirrored_image_relabelled_in_the_bucket_is_a_miss() {
    let bench = Bench::over(Arc::new(InMemory::new()), true, None);
    let (path, key) = ("1x1/a.jpg", key("a.jpg", "one"));
    let (variants, metrics) = bench.start();
    variants.keep(&key, mirror(path), Arc::new(variant(b"webp")), None, variants.since()).await;
    let at = Path::parse(path).unwrap();
    let mut attributes = bench.store.objects.get(&at).await.unwrap().attributes;
    attributes.insert(Attribute::ContentType, "image/png".into());
    let options = object_store::PutOptions { attributes, ..Default::default() };
    bench.store.objects.put_opts(&at, "webp".into(), options).await.unwrap();
    assert_eq!(variants.stored(&key, &mirror(path), soon(), variants.since()).await, None);
    assert_eq!(metrics.torn.get(), 1);
}

#[tokio::test]
async fn an_object_beyond_the_limit_is_not_read() {
    for mut bench in Bench::both() {
        bench.settings.max_body_bytes = 10_000;
        let key = key("a.jpg", "one");
        bench.put(&key.object_path(), vec![b'x'; 100_000]).await;
        let (variants, metrics) = bench.start();
        assert_eq!(
            variants.stored(&key, &Placement::Versioned, soon(), variants.since()).await,
            None
        );
        assert_eq!(metrics.torn.get(), 1);
    }
}

#[tokio::test]
async fn a_record_whose_image_never_came_is_a_miss_that_heals() {
    let bench = Bench::files();
    let (path, key) = ("300x200/cat.jpg", key("cat.jpg", "one"));
    let (variants, _) = bench.start();
    let good = Arc::new(variant(b"picture"));
    variants.keep(&key, mirror(path), Arc::clone(&good), None, variants.since()).await;
    // As after a crash between the two writes, with nothing and with the old image in place.
    bench.store.objects.delete(&Path::parse(path).unwrap()).await.unwrap();
    assert_eq!(variants.stored(&key, &mirror(path), soon(), variants.since()).await, None);
    assert_eq!(
        variants.keep(&key, mirror(path), Arc::clone(&good), None, variants.since()).await,
        Kept::Stored
    );
    bench.put(path, "the image of the version before").await;
    assert_eq!(variants.stored(&key, &mirror(path), soon(), variants.since()).await, None);
    assert_eq!(
        variants.keep(&key, mirror(path), Arc::clone(&good), None, variants.since()).await,
        Kept::Stored
    );
    assert_eq!(variants.stored(&key, &mirror(path), soon(), variants.since()).await, Some(good));
}
