//! The service against a real S3 wire server: every claim about requests to the store is read
//! off the server's journal, never off our own headers.

use crate::app::{TestApp, jpeg};
use crate::client;
use crate::s3wire::{ACCESS_KEY, Act, Fault, S3Wire, SECRET_KEY};
use std::time::Duration;

/// A service whose originals and variants lie in two buckets of one server.
pub(crate) struct Wired {
    pub(crate) app: TestApp,
    pub(crate) wire: S3Wire,
    _folder: tempfile::TempDir,
}

impl Wired {
    pub(crate) fn start(vars: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let wire = S3Wire::start(folder.path()).unwrap();
        wire.make_bucket("originals").unwrap();
        wire.make_bucket("variants").unwrap();
        let endpoint = wire.endpoint();
        let mut all = vec![
            ("ORIGIN", "s3://originals"),
            ("VARIANTS", "s3://variants"),
            ("ORIGIN_DEFAULT_ENDPOINT", &endpoint),
            ("ORIGIN_DEFAULT_ALLOW_HTTP", "1"),
            ("ORIGIN_DEFAULT_REGION", "us-east-1"),
            ("ORIGIN_DEFAULT_ACCESS_KEY_ID", ACCESS_KEY),
            ("ORIGIN_DEFAULT_SECRET_ACCESS_KEY", SECRET_KEY),
            ("VARIANTS_ENDPOINT", &endpoint),
            ("VARIANTS_ALLOW_HTTP", "1"),
            ("VARIANTS_REGION", "us-east-1"),
            ("VARIANTS_ACCESS_KEY_ID", ACCESS_KEY),
            ("VARIANTS_SECRET_ACCESS_KEY", SECRET_KEY),
        ];
        all.extend_from_slice(vars);
        let app = TestApp::start(&all);
        Self { app, wire, _folder: folder }
    }

    pub(crate) fn put(&self, key: &str, bytes: &[u8]) {
        self.wire.put_file("originals", key, bytes).unwrap();
    }

    /// PUTs of variants, the record of the original not counted.
    fn variant_puts(&self) -> usize {
        let puts = self.wire.journal();
        puts.iter().filter(|r| r.op == "PutObject" && !r.path.ends_with("source.json")).count()
    }
}

#[test]
fn a_miss_is_one_get_and_one_put_and_a_restart_needs_neither() {
    let mut wired = Wired::start(&[]);
    wired.put("a/cat.jpg", &jpeg(400, 300, 1));
    let first = wired.app.get("/a/cat.jpg?w=200").expect(200).cached_as("rendered");
    assert_eq!(wired.wire.count("GetObject", "/originals/a/cat.jpg"), 1);
    assert_eq!(wired.variant_puts(), 1);
    wired.app.restart();
    wired.wire.clear();
    let again = wired.app.get("/a/cat.jpg?w=200").expect(200).cached_as("store");
    assert_eq!(again.body, first.body);
    assert_eq!(wired.wire.count("GetObject", "/originals/"), 0);
    assert_eq!(wired.wire.count("HeadObject", "/originals/a/cat.jpg"), 1);
    assert_eq!(wired.variant_puts(), 0);
    // A client that has it costs nothing at all while the version is fresh.
    let etag = again.header("etag").unwrap().to_owned();
    wired.wire.clear();
    wired.app.get_with("/a/cat.jpg?w=200", &[("If-None-Match", &etag)]).expect(304);
    assert_eq!(wired.wire.journal().len(), 0);
}

#[test]
fn a_stampede_is_one_get_one_render_and_one_put() {
    let wired = Wired::start(&[]);
    wired.put("cat.jpg", &jpeg(1600, 1200, 1));
    let address = wired.app.address();
    // The first caller asks and leaves.
    drop(client::send(address, "GET", "/cat.jpg?w=700&f=avif", &[]));
    let bodies: Vec<Vec<u8>> = std::thread::scope(|scope| {
        let ask = || client::get(address, "/cat.jpg?w=700&f=avif", &[]).expect(200).body;
        let callers: Vec<_> = (0..60).map(|_| scope.spawn(ask)).collect();
        callers.into_iter().map(|caller| caller.join().unwrap()).collect()
    });
    assert!(bodies.iter().all(|body| *body == bodies[0]));
    assert_eq!(wired.wire.count("GetObject", "/originals/cat.jpg"), 1);
    assert_eq!(wired.variant_puts(), 1);
    assert_eq!(wired.app.metric("lenslet_transforms_total"), 1.0);
}

#[test]
fn twenty_sizes_at_once_share_one_fetch() {
    let wired = Wired::start(&[]);
    wired.put("cat.jpg", &jpeg(800, 600, 1));
    // Slow enough that all twenty are there before the first byte is.
    wired.wire.fault(
        Fault::new("/originals/cat.jpg", Act::Pass).on("GET").after(Duration::from_millis(400)),
    );
    let address = wired.app.address();
    std::thread::scope(|scope| {
        for width in 1..=20 {
            let target = format!("/cat.jpg?w={}", width * 10);
            scope.spawn(move || client::get(address, &target, &[]).expect(200));
        }
    });
    assert_eq!(wired.wire.count("GetObject", "/originals/cat.jpg"), 1);
}

#[test]
fn an_overwritten_original_is_new_at_once_with_a_new_v_and_after_the_ttl_without() {
    let wired = Wired::start(&[("SOURCE_TTL", "2s")]);
    wired.put("cat.jpg", &jpeg(400, 300, 1));
    let old = wired.app.get("/cat.jpg?w=100&v=1").expect(200);
    wired.put("cat.jpg", &jpeg(400, 300, 2));
    let new = wired.app.get("/cat.jpg?w=100&v=2").expect(200);
    assert_ne!(new.body, old.body);
    assert_ne!(new.header("etag"), old.header("etag"));
    wired.put("cat.jpg", &jpeg(400, 300, 3));
    std::thread::sleep(Duration::from_millis(2100));
    let newest = wired.app.get("/cat.jpg?w=100&v=2").expect(200);
    assert_ne!(newest.body, new.body);
}

#[test]
fn an_original_that_changes_between_head_and_get_is_stored_under_what_was_read() {
    let mut wired = Wired::start(&[("SOURCE_TTL", "1h"), ("SOURCE_CACHE", "0")]);
    wired.put("cat.jpg", &jpeg(400, 300, 1));
    wired.app.get("/cat.jpg?w=100").expect(200);
    wired.put("cat.jpg", &jpeg(400, 300, 2));
    // The version is still the old one; the read notices, and what is kept is of the new one.
    let read = wired.app.get("/cat.jpg?w=120").expect(200).cached_as("rendered");
    wired.app.restart();
    let again = wired.app.get("/cat.jpg?w=120").expect(200).cached_as("store");
    assert_eq!((again.header("etag"), &again.body), (read.header("etag"), &read.body));
}

#[test]
fn a_torn_original_is_422_and_nothing_of_it_is_stored() {
    let wired = Wired::start(&[]);
    let whole = jpeg(800, 600, 1);
    wired.put("torn.jpg", &whole[..whole.len() * 2 / 3]);
    for _ in 0..3 {
        wired.app.get("/torn.jpg?w=100").expect(422);
    }
    // Cut on the wire: the origin's fault, not the picture's.
    wired.put("cut.jpg", &whole);
    wired.wire.fault(Fault::new("/originals/cut.jpg", Act::Cut(20_000)).on("GET"));
    wired.app.get("/cut.jpg?w=100").expect(502);
    assert_eq!(wired.wire.count("PutObject", ""), 0);
    assert_eq!(wired.wire.count("GetObject", "/originals/torn.jpg"), 1, "the fault is remembered");
    wired.wire.clear_faults();
    wired.app.get("/cut.jpg?w=100").expect(200);
}

#[test]
fn origin_failures_have_their_own_statuses() {
    let times = [("FETCH_TIMEOUT", "1s"), ("REQUEST_TIMEOUT", "2s"), ("STORE_TIMEOUT", "1s")];
    let wired = Wired::start(&times);
    for (key, act, status, code) in [
        ("forbidden.jpg", Act::Status(403), 404, "SOURCE_FORBIDDEN"),
        ("failing.jpg", Act::Status(500), 502, "ORIGIN_FAILED"),
        ("silent.jpg", Act::Stall(0), 504, "ORIGIN_TIMEOUT"),
    ] {
        wired.put(key, &jpeg(100, 100, 1));
        wired.wire.fault(Fault::new(&format!("/originals/{key}"), act));
        let reply = wired.app.get(&format!("/{key}?w=50"));
        assert_eq!((reply.status, reply.header("x-error-code")), (status, Some(code)), "{key}");
    }
    assert_eq!(wired.wire.count("PutObject", ""), 0);
}

#[test]
fn when_the_origin_is_down_the_stored_variant_is_served() {
    let mut wired = Wired::start(&[("SOURCE_TTL", "0s")]);
    wired.put("cat.jpg", &jpeg(400, 300, 1));
    let fresh = wired.app.get("/cat.jpg?w=100").expect(200);
    wired.app.restart();
    wired.wire.fault(Fault::new("/originals/", Act::Status(503)));
    let stale = wired.app.get("/cat.jpg?w=100").expect(200).cached_as("stale");
    assert_eq!(stale.body, fresh.body);
    assert_eq!(stale.header("cache-control"), Some("public, max-age=5"));
    // A browser that has it is told so, but not that it may keep it for a year.
    let etag = stale.header("etag").unwrap().to_owned();
    let known = wired.app.get_with("/cat.jpg?w=100&v=9", &[("If-None-Match", &etag)]);
    if known.status == 304 {
        assert_eq!(known.header("cache-control"), Some("public, max-age=5"));
    }
    wired.app.get("/cat.jpg?w=101").expect(502);
    // Gone is not down.
    wired.wire.clear_faults();
    wired.wire.delete_file("originals", "cat.jpg").unwrap();
    // For some seconds one request at a time finds out whether the origin is back.
    let begun = std::time::Instant::now();
    while wired.app.get("/cat.jpg?w=100").status != 404 {
        assert!(begun.elapsed() < Duration::from_secs(15), "it is never asked again");
        std::thread::sleep(Duration::from_millis(100));
    }
}

#[test]
fn an_origin_in_trouble_makes_only_the_first_request_wait() {
    let times = [("SOURCE_TTL", "0s"), ("REQUEST_TIMEOUT", "3s"), ("FETCH_TIMEOUT", "2s")];
    let wired = Wired::start(&times);
    wired.put("cat.jpg", &jpeg(400, 300, 1));
    wired.app.get("/cat.jpg?w=100").expect(200);
    let silence = Fault::new("/originals/", Act::Pass).after(Duration::from_secs(20));
    wired.wire.fault(silence);
    let etag = wired.app.get("/cat.jpg?w=100").expect(200).cached_as("stale");
    let etag = etag.header("etag").unwrap().to_owned();
    let asked = std::time::Instant::now();
    for _ in 0..10 {
        wired.app.get("/cat.jpg?w=100").expect(200).cached_as("stale");
    }
    let known = wired.app.get_with("/cat.jpg?w=100&v=2", &[("If-None-Match", &etag)]).expect(304);
    assert_eq!(known.header("cache-control"), Some("public, max-age=5"));
    // Eleven requests that each waited would have taken a quarter of a minute.
    assert!(asked.elapsed() < Duration::from_secs(5), "{:?}", asked.elapsed());
}

#[test]
fn a_broken_variant_store_costs_no_picture() {
    let wired = Wired::start(&[("STORE_TIMEOUT", "300ms")]);
    wired.put("cat.jpg", &jpeg(400, 300, 1));
    for (n, act) in
        [Act::Status(500), Act::Status(403), Act::Stall(0), Act::PutLost].into_iter().enumerate()
    {
        wired.wire.clear_faults();
        wired.wire.fault(Fault::new("/variants/", act.clone()));
        let reply = wired.app.get(&format!("/cat.jpg?w={}", 50 + n));
        assert_eq!(reply.status, 200, "{act:?}: {}", reply.text());
    }
}

#[test]
fn the_mirror_layout_writes_what_a_bucket_can_serve_by_itself() {
    let vars = [("UNSIGNED", "sizes"), ("ALLOWED_SIZES", "300x200"), ("VARIANT_LAYOUT", "mirror")];
    let mut wired = Wired::start(&vars);
    wired.put("pets/cat.jpg", &jpeg(600, 400, 1));
    let reply = wired.app.get("/300x200/pets/cat.jpg").expect(200).sized(300, 200);
    assert_eq!(wired.wire.read_file("variants", "300x200/pets/cat.jpg").unwrap(), reply.body);
    wired.app.restart();
    wired.wire.clear();
    wired.app.get("/300x200/pets/cat.jpg").expect(200).cached_as("store");
    assert_eq!(wired.wire.count("GetObject", "/originals/"), 0);
}

#[test]
fn originals_and_variants_may_share_a_bucket() {
    let vars = [
        ("VARIANTS", "s3://originals"),
        ("UNSIGNED", "allow"),
        ("ALLOWED_SIZES", "300x200"),
        ("VARIANT_LAYOUT", "mirror"),
    ];
    let wired = Wired::start(&vars);
    wired.put("cat.jpg", &jpeg(600, 400, 1));
    wired.app.get("/300x200/cat.jpg").expect(200);
    // Our own variant is no original.
    wired.app.get("/@/300x200/cat.jpg?w=10").expect(404);
    // What somebody else put there is never overwritten.
    let theirs = jpeg(50, 50, 5);
    wired.put("300x200/dog.jpg", &theirs);
    wired.put("dog.jpg", &jpeg(600, 400, 2));
    wired.app.get("/300x200/dog.jpg").expect(200).sized(300, 200);
    assert_eq!(wired.wire.read_file("originals", "300x200/dog.jpg").unwrap(), theirs);
}

#[test]
fn a_miss_can_redirect_to_the_bucket_once_the_picture_is_there() {
    let vars = [
        ("UNSIGNED", "sizes"),
        ("ALLOWED_SIZES", "300x200"),
        ("VARIANT_LAYOUT", "mirror"),
        ("ON_MISS", "redirect"),
        ("VARIANTS_PUBLIC_URL", "https://cdn.example/pictures"),
    ];
    let wired = Wired::start(&vars);
    wired.put("my cat.jpg", &jpeg(600, 400, 1));
    let reply = wired.app.get("/300x200/my%20cat.jpg").expect(302);
    assert_eq!(reply.header("location"), Some("https://cdn.example/pictures/300x200/my%20cat.jpg"));
    assert_eq!(reply.header("cache-control"), Some("no-store"));
    assert!(wired.wire.read_file("variants", "300x200/my cat.jpg").is_ok());
    // What could not be stored is served: a redirect would lead to nothing.
    wired.put("lost.jpg", &jpeg(600, 400, 2));
    wired.wire.fault(Fault::new("/variants/", Act::Status(500)).on("PUT"));
    wired.app.get("/300x200/lost.jpg").expect(200).sized(300, 200);
}

#[test]
fn asynchronous_writes_are_finished_before_the_process_ends() {
    let mut wired = Wired::start(&[("WRITE_BACK", "async")]);
    for n in 0..20 {
        wired.put(&format!("{n}.jpg"), &jpeg(300, 200, n));
    }
    wired
        .wire
        .fault(Fault::new("/variants/", Act::Pass).on("PUT").after(Duration::from_millis(200)));
    for n in 0..20 {
        wired.app.get(&format!("/{n}.jpg?w=50")).expect(200).cached_as("rendered");
    }
    wired.app.stop();
    assert_eq!(wired.variant_puts(), 20);
    // What was accepted lies there: entries are named by 32 hex digits.
    let is_entry = |key: &&String| key.rsplit('/').next().is_some_and(|name| name.len() == 32);
    assert_eq!(wired.wire.keys("variants").iter().filter(is_entry).count(), 20);
}
