//! Events and info documents against a real S3 wire server: what an event costs the store is read
//! off the server's journal.

use crate::app::jpeg;
use crate::client::{self, Reply};
use crate::wire::Wired;
use std::io::Write as _;
use std::time::{Duration, Instant};

const TOKEN: &str = "0123456789abcdef-events";

/// A service that makes two presets ahead.
fn start(vars: &[(&str, &str)]) -> (Wired, tempfile::NamedTempFile) {
    let mut presets = tempfile::NamedTempFile::new().unwrap();
    write!(presets, "[small]\nparams = \"w=80&f=webp\"\n[wide]\nparams = \"w=200&f=jpeg\"\n")
        .unwrap();
    let path = presets.path().to_str().unwrap().to_owned();
    let mut all = vec![
        ("EVENTS", "admin"),
        ("EVENTS_TOKEN", TOKEN),
        ("EVENTS_LEASE", "1s"),
        ("PRESETS_FILE", path.as_str()),
        ("PREGENERATE", "small,wide"),
        ("SOURCE_TTL", "immutable"),
    ];
    all.extend_from_slice(vars);
    (Wired::start(&all), presets)
}

fn created(key: &str) -> String {
    format!(
        r#"{{"Records":[{{"eventVersion":"2.1","eventName":"ObjectCreated:Put","s3":{{
            "bucket":{{"name":"originals"}},"object":{{"key":"{key}"}}}}}}]}}"#
    )
}

fn tell(wired: &Wired, body: &str) -> Reply {
    let bearer = format!("Bearer {TOKEN}");
    let headers = [("Authorization", bearer.as_str())];
    client::post(wired.app.admin_address(), "/events", &headers, body.as_bytes())
}

/// Waits until `held` or for ten seconds.
#[track_caller]
fn until(what: &str, held: impl Fn() -> bool) {
    let begun = Instant::now();
    while !held() {
        assert!(begun.elapsed() < Duration::from_secs(10), "{what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn an_upload_is_made_ahead_from_one_read_and_an_overwrite_takes_effect_at_once() {
    let (wired, _presets) = start(&[]);
    wired.put("cat.jpg", &jpeg(400, 300, 1));
    tell(&wired, &created("cat.jpg")).expect(202);
    let works = || wired.app.metric("lenslet_event_queue_depth") == 0.0;
    until("the work ends", works);
    assert_eq!(wired.wire.count("GetObject", "/originals/cat.jpg"), 1);
    assert_eq!(wired.app.metric("lenslet_transforms_total"), 2.0);
    let old = wired.app.get("/cat.jpg?preset=wide").expect(200).cached_as("store").sized(200, 150);
    assert_eq!(wired.wire.count("GetObject", "/originals/cat.jpg"), 1);

    wired.put("cat.jpg", &jpeg(400, 200, 2));
    wired.app.get("/cat.jpg?preset=wide").expect(200).cached_as("memory");
    tell(&wired, &created("cat.jpg")).expect(202);
    until("the new one is made", || wired.app.metric("lenslet_transforms_total") == 4.0);
    until("the work ends", works);
    let new = wired.app.get("/cat.jpg?preset=wide").expect(200).sized(200, 100);
    assert_ne!(new.body, old.body);
    // The same again is one HEAD, whatever it says.
    wired.wire.clear();
    tell(&wired, &created("cat.jpg").replace("Created:Put", "Removed:Delete")).expect(202);
    until("the work ends", works);
    assert_eq!(wired.wire.count("HeadObject", "/originals/cat.jpg"), 1);
    assert_eq!(wired.wire.count("GetObject", "/"), 0);
    assert_eq!(wired.app.metric("lenslet_transforms_total"), 4.0);
}

#[test]
fn a_note_that_a_killed_process_left_behind_is_taken_up_by_the_next_one() {
    let (mut wired, _presets) = start(&[]);
    wired.app.stop();
    wired.put("cat.jpg", &jpeg(400, 300, 1));
    let note =
        r#"{"origin":"default","key":"cat.jpg","accepted_at":1,"attempts":0,"not_before":0}"#;
    let name = "v1/~/events/00112233445566778899aabbccddeeff.0011223344556677.json";
    wired.wire.put_file("variants", name, note.as_bytes()).unwrap();
    std::thread::sleep(Duration::from_millis(2_100));
    wired.app.restart();
    until("it is taken up", || wired.app.metric("lenslet_transforms_total") == 2.0);
    until("its note goes", || !wired.wire.keys("variants").iter().any(|key| key == name));
    assert_eq!(wired.app.metric("lenslet_event_markers_recovered_total"), 1.0);
    wired.app.get("/cat.jpg?preset=small").expect(200).cached_as("store");
}

#[test]
fn a_document_costs_one_read_and_then_none() {
    let (mut wired, _presets) = start(&[]);
    wired.put("cat.jpg", &jpeg(400, 300, 1));
    let first = wired.app.get("/cat.jpg?f=json").expect(200).cached_as("rendered");
    assert_eq!(first.header("content-type"), Some("application/json"));
    let told: serde_json::Value = serde_json::from_slice(&first.body).unwrap();
    assert_eq!(told["stored_size"], serde_json::json!([400, 300]));
    assert_eq!((told["mime"].as_str(), told["profile"].is_null()), (Some("image/jpeg"), true));
    wired.app.restart();
    wired.wire.clear();
    let again = wired.app.get("/cat.jpg?f=json").expect(200).cached_as("store");
    assert_eq!(again.body, first.body);
    let etag = again.header("etag").unwrap().to_owned();
    wired.app.get_with("/cat.jpg?f=json", &[("If-None-Match", &etag)]).expect(304);
    assert_eq!(wired.wire.count("GetObject", "/originals/"), 0);
    assert_eq!(wired.app.metric("lenslet_transforms_total"), 0.0);
    let refused = wired.app.get("/cat.jpg?f=json&w=10").expect(400).text();
    assert!(refused.contains("contradicts w:"), "{refused}");
}

#[test]
fn without_the_token_nothing_is_read_and_nothing_is_said() {
    let (wired, _presets) = start(&[("EVENTS", "public")]);
    for (address, path) in
        [(wired.app.admin_address(), "/events"), (wired.app.address(), "/_/events")]
    {
        for target in [path.to_owned(), format!("{path}?token={}", &TOKEN[1..])] {
            let body = created("cat.jpg");
            let refused = client::post(address, &target, &[], body.as_bytes()).expect(401);
            assert!(refused.text().contains("LENSLET_EVENTS_TOKEN"));
        }
        let target = format!("{path}?token={TOKEN}");
        client::post(address, &target, &[], b"{}").expect(400);
        client::request(address, "PUT", &target, &[]).expect(405);
        client::request(address, "HEAD", &target, &[]).expect(200);
    }
    assert!(wired.wire.journal().iter().all(|asked| asked.op == "ListObjectsV2"));
}
