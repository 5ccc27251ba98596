//! Purges over sockets: who may order one, what the receipt says, and that several pods on one
//! store forget together.

use crate::app::{TestApp, jpeg};
use crate::client::{self, Reply};
use crate::s3wire::{ACCESS_KEY, S3Wire, SECRET_KEY};
use serde_json::{Value, json};
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

const TOKEN: &str = "0123456789abcdef-token";

fn order(app: &TestApp, body: &str) -> Reply {
    let bearer = format!("Bearer {TOKEN}");
    let headers = [("Authorization", bearer.as_str()), ("Content-Type", "application/json")];
    client::post(app.admin_address(), "/purge", &headers, body.as_bytes())
}

fn receipt(reply: &Reply) -> Value {
    serde_json::from_slice(&reply.body).unwrap_or_else(|_| panic!("{}", reply.text()))
}

/// A free port of this moment.
fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

#[test]
fn only_who_shows_the_token_may_order_and_every_refusal_is_a_sentence() {
    let closed = TestApp::start(&[]);
    let reply = order(&closed, r#"{"all": true}"#).expect(404);
    assert!(reply.text().contains("LENSLET_ADMIN_TOKEN"), "{}", reply.text());

    let app = TestApp::start(&[("ADMIN_TOKEN", TOKEN)]);
    let admin = app.admin_address();
    app.put("cat.jpg", &jpeg(60, 40, 1));
    app.get("/cat.jpg?w=20").expect(200);
    let all = br#"{"all": true}"#;
    for headers in [
        vec![],
        vec![("Authorization", "Bearer wrong-token-wrong-token")],
        vec![("Authorization", TOKEN)],
    ] {
        let reply = client::post(admin, "/purge", &headers, all).expect(401);
        assert!(reply.header("www-authenticate").unwrap().starts_with("Bearer"));
        assert!(reply.text().contains("token") && !reply.text().contains(TOKEN));
    }
    app.get("/cat.jpg?w=20").expect(200).cached_as("memory");
    let reply = client::get(admin, "/purge", &[]).expect(405);
    assert_eq!(reply.header("allow"), Some("POST"));
    for (body, part) in [
        ("{", "not JSON"),
        (r#"{"sauce": "cat.jpg"}"#, "sauce"),
        (r#"{"source": "@nobody/cat.jpg"}"#, "nobody"),
        (r#"{"variant": "/cat.jpg?widht=20"}"#, "widht"),
    ] {
        let reply = order(&app, body).expect(400);
        assert!(reply.text().contains(part), "{}", reply.text());
    }
    let bearer = format!("Bearer {TOKEN}");
    let form = [("Authorization", bearer.as_str()), ("Content-Type", "text/plain")];
    let reply = client::post(admin, "/purge", &form, all).expect(415);
    assert!(reply.text().contains("\"text/plain\""));
    let long = format!(r#"{{"source": "{}"}}"#, "x".repeat(20_000));
    order(&app, &long).expect(413);
    // The public listener has no such thing.
    client::post(app.address(), "/purge", &form[..1], all).expect(405);
    app.get("/cat.jpg?w=20").expect(200).cached_as("memory");
}

#[test]
fn a_purged_picture_is_made_again_and_only_that_one() {
    let app = TestApp::start(&[("ADMIN_TOKEN", TOKEN)]);
    for name in ["pets/cat.jpg", "pets/dog.jpg", "cow.jpg"] {
        app.put(name, &jpeg(60, 40, 1));
        for width in [10, 20] {
            app.get(&format!("/{name}?w={width}")).expect(200).cached_as("rendered");
        }
    }
    let told = receipt(&order(&app, r#"{"source": "pets/cat.jpg"}"#).expect(200));
    assert_eq!((&told["complete"], &told["memory"]), (&json!(true), &json!(2)), "{told}");
    assert_eq!(told["store"]["deleted"], 3, "two entries and the record: {told}");
    assert_eq!(told["scope"], json!({"source": "@default/pets/cat.jpg"}));
    assert!(told["second_pass"]["after_seconds"].as_u64().unwrap() > 10);
    let again = app.get("/pets/cat.jpg?w=10").expect(200).cached_as("rendered");
    let tags = again.header("cache-tag").unwrap().to_owned();
    let told_tag = told["tags"][0].as_str().unwrap();
    assert!(tags.split(',').any(|tag| tag == told_tag), "{told_tag} in {tags}");
    app.get("/pets/dog.jpg?w=10").expect(200).cached_as("memory");

    let told = receipt(&order(&app, r#"{"variant": "/pets/dog.jpg?w=10"}"#).expect(200));
    assert_eq!(told["store"]["deleted"], 1, "{told}");
    app.get("/pets/dog.jpg?w=10").expect(200).cached_as("rendered");
    app.get("/pets/dog.jpg?w=20").expect(200).cached_as("memory");

    receipt(&order(&app, r#"{"prefix": "pets/d"}"#).expect(200));
    app.get("/pets/dog.jpg?w=20").expect(200).cached_as("rendered");
    app.get("/pets/cat.jpg?w=10").expect(200).cached_as("memory");
    receipt(&order(&app, r#"{"all": true}"#).expect(200));
    app.get("/cow.jpg?w=20").expect(200).cached_as("rendered");
    assert_eq!(app.metric("lenslet_purges_total"), 4.0);
}

#[test]
fn a_negotiable_variant_is_purged_in_all_its_classes() {
    let app = TestApp::start(&[("ADMIN_TOKEN", TOKEN)]);
    app.put("cat.jpg", &jpeg(60, 40, 1));
    let accepts = ["image/avif,image/webp", "image/webp", "*/*"];
    let ask = |cache| {
        for accept in accepts {
            let reply = app.get_with("/cat.jpg?w=32&f=auto", &[("Accept", accept)]);
            reply.expect(200).cached_as(cache);
        }
    };
    ask("rendered");
    let url = r#"{"variant": "https://cdn.example/cat.jpg?f=auto&w=32&s=whatever"}"#;
    let told = receipt(&order(&app, url).expect(200));
    assert_eq!((&told["memory"], &told["store"]["deleted"]), (&json!(3), &json!(3)), "{told}");
    ask("rendered");
}

#[test]
fn a_purge_asks_the_origin_anew_whatever_the_ttl() {
    let app = TestApp::start(&[("ADMIN_TOKEN", TOKEN), ("SOURCE_TTL", "immutable")]);
    for body in [r#"{"source": "a/cat.jpg"}"#, r#"{"prefix": "a/"}"#, r#"{"all": true}"#] {
        app.put("a/cat.jpg", &jpeg(60, 40, 1));
        order(&app, body).expect(200);
        let old = app.get("/a/cat.jpg?w=20").expect(200);
        app.put("a/cat.jpg", &jpeg(60, 60, 7));
        app.get("/a/cat.jpg?w=20").expect(200).cached_as("memory");
        order(&app, body).expect(200);
        let new = app.get("/a/cat.jpg?w=20").expect(200).cached_as("rendered");
        assert_ne!(old.header("etag"), new.header("etag"), "{body}");
        // What is known to be missing is forgotten, too.
        order(&app, body).expect(200);
        std::fs::remove_file(app.originals().join("a/cat.jpg")).unwrap();
        app.get("/a/cat.jpg?w=20").expect(404);
        app.put("a/cat.jpg", &jpeg(60, 40, 1));
        order(&app, body).expect(200);
        app.get("/a/cat.jpg?w=20").expect(200);
        app.put("a/cat.jpg", b"\xff\xd8\xff\xe0 and then nothing");
        order(&app, body).expect(200);
        assert!(app.get("/a/cat.jpg?w=20").status >= 415);
    }
}

/// A server that takes JSON by POST and answers with the given statuses in turn.
fn webhook(statuses: &'static [u16]) -> (SocketAddr, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let got = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&got);
    std::thread::spawn(move || {
        for status in statuses.iter().chain(std::iter::repeat(statuses.last().unwrap())) {
            let Ok((mut socket, _)) = listener.accept() else { return };
            socket.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
            let mut bytes = Vec::new();
            let mut chunk = [0; 4096];
            while !bytes.ends_with(b"}") {
                match socket.read(&mut chunk) {
                    Ok(count) if count > 0 => bytes.extend_from_slice(&chunk[..count]),
                    _ => break,
                }
            }
            seen.lock().unwrap().push(String::from_utf8(bytes).unwrap());
            let answer =
                format!("HTTP/1.1 {status} X\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
            let _ = socket.write_all(answer.as_bytes());
        }
    });
    (address, got)
}

#[test]
fn the_cdn_is_told_the_tags_with_its_own_token_and_a_few_attempts() {
    let (address, got) = webhook(&[503, 200]);
    let url = format!("http://{address}/purge");
    let app = TestApp::start(&[
        ("ADMIN_TOKEN", TOKEN),
        ("CDN_WEBHOOK", &url),
        ("CDN_WEBHOOK_TOKEN", "cdn-token-cdn-token"),
    ]);
    app.put("pets/cat.jpg", &jpeg(60, 40, 1));
    let tags = app.get("/pets/cat.jpg?w=20").expect(200).header("cache-tag").unwrap().to_owned();
    let told = receipt(&order(&app, r#"{"prefix": "pets/"}"#).expect(200));
    assert_eq!(told["webhook"], json!({"taken": true, "status": 200, "attempts": 2}));
    let asked = got.lock().unwrap().pop().unwrap();
    assert!(asked.contains("Bearer cdn-token-cdn-token") && !asked.contains(TOKEN), "{asked}");
    let body: Value = serde_json::from_str(asked.split("\r\n\r\n").nth(1).unwrap()).unwrap();
    assert_eq!(body["scope"], json!({"prefix": "@default/pets/"}));
    let tag = body["tags"][0].as_str().unwrap();
    assert!(tag.starts_with("dir-") && tags.split(',').any(|known| known == tag), "{tag} {tags}");
}

#[test]
fn a_cdn_that_refuses_makes_the_receipt_incomplete() {
    let (address, _) = webhook(&[403]);
    let url = format!("http://{address}/purge");
    let app = TestApp::start(&[("ADMIN_TOKEN", TOKEN), ("CDN_WEBHOOK", &url)]);
    let told = receipt(&order(&app, r#"{"all": true}"#).expect(502));
    assert_eq!((&told["complete"], &told["webhook"]["attempts"]), (&json!(false), &json!(1)));
    assert_eq!(app.metric("lenslet_cdn_webhook_failed_total"), 1.0);
}

/// Pods on one S3 store that know each other.
struct Pods {
    apps: Vec<TestApp>,
    wire: S3Wire,
    _folder: tempfile::TempDir,
}

impl Pods {
    fn start(count: usize, vars: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let wire = S3Wire::start(folder.path()).unwrap();
        wire.make_bucket("originals").unwrap();
        wire.make_bucket("variants").unwrap();
        let endpoint = wire.endpoint();
        let ports: Vec<u16> = (0..count).map(|_| free_port()).collect();
        let peers: Vec<String> = ports.iter().map(|port| format!("127.0.0.1:{port}")).collect();
        let peers = peers.join(",");
        let app = |port: &u16| {
            let admin = format!("127.0.0.1:{port}");
            let mut all = vec![
                ("ADMIN_LISTEN", admin.as_str()),
                ("ADMIN_TOKEN", TOKEN),
                ("PEERS", &peers),
                ("ORIGIN", "s3://originals"),
                ("VARIANTS", "s3://variants"),
            ];
            for (name, value) in [
                ("ENDPOINT", endpoint.as_str()),
                ("ALLOW_HTTP", "1"),
                ("REGION", "us-east-1"),
                ("ACCESS_KEY_ID", ACCESS_KEY),
                ("SECRET_ACCESS_KEY", SECRET_KEY),
            ] {
                for store in ["ORIGIN_DEFAULT", "VARIANTS"] {
                    let name: &str = Box::leak(format!("{store}_{name}").into_boxed_str());
                    all.push((name, value));
                }
            }
            all.extend_from_slice(vars);
            TestApp::start(&all)
        };
        let apps = ports.iter().map(app).collect();
        Self { apps, wire, _folder: folder }
    }
}

#[test]
fn every_pod_forgets_and_each_is_told_once() {
    let pods = Pods::start(3, &[]);
    pods.wire.put_file("originals", "cat.jpg", &jpeg(60, 40, 1)).unwrap();
    let [first, second, third] = pods.apps.as_slice() else { panic!() };
    first.get("/cat.jpg?w=20").expect(200).cached_as("rendered");
    for app in [second, third] {
        app.get("/cat.jpg?w=20").expect(200).cached_as("store");
        app.get("/cat.jpg?w=20").expect(200).cached_as("memory");
    }
    let told = receipt(&order(second, r#"{"source": "cat.jpg"}"#).expect(200));
    let mut peers: Vec<(&str, u64)> = told["peers"]
        .as_array()
        .unwrap()
        .iter()
        .map(|peer| (peer["status"].as_str().unwrap(), peer["memory"].as_u64().unwrap()))
        .collect();
    peers.sort_unstable();
    assert_eq!(peers, [("itself", 0), ("told", 1), ("told", 1)], "{told}");
    assert_eq!(told["memory"], 1);
    assert_eq!(pods.wire.keys("variants"), Vec::<String>::new());
    first.get("/cat.jpg?w=20").expect(200).cached_as("rendered");
    assert_eq!(first.metric("lenslet_purges_heard_total"), 1.0);
    assert_eq!(second.metric("lenslet_purges_heard_total"), 0.0);
}

#[test]
fn a_pod_that_is_down_is_told_of_in_the_receipt() {
    let mut pods = Pods::start(3, &[]);
    pods.wire.put_file("originals", "cat.jpg", &jpeg(60, 40, 1)).unwrap();
    let mut last = pods.apps.pop().unwrap();
    let address = last.admin_address().to_string();
    last.stop();
    pods.apps[1].get("/cat.jpg?w=20").expect(200);
    let told = receipt(&order(&pods.apps[0], r#"{"prefix": "cat"}"#).expect(502));
    assert_eq!(told["complete"], false);
    let failed: Vec<&Value> =
        told["peers"].as_array().unwrap().iter().filter(|p| p["status"] == "failed").collect();
    assert_eq!((failed.len(), &failed[0]["address"]), (1, &json!(address)), "{told}");
    assert_eq!(told["second_pass"]["tells_pods"], true);
    assert_eq!(pods.apps[0].metric("lenslet_purge_peers_failed_total"), 1.0);
    // The others did hear it.
    pods.apps[1].get("/cat.jpg?w=20").expect(200).cached_as("rendered");
}

#[test]
fn the_second_pass_takes_what_a_pod_wrote_that_did_not_hear_even_at_the_end_of_the_process() {
    for wait in [true, false] {
        let times =
            [("REQUEST_TIMEOUT", "1s"), ("FETCH_TIMEOUT", "900ms"), ("STORE_TIMEOUT", "300ms")];
        let mut pods = Pods::start(1, &times);
        pods.wire.put_file("originals", "cat.jpg", &jpeg(60, 40, 1)).unwrap();
        let app = &mut pods.apps[0];
        app.get("/cat.jpg?w=20").expect(200);
        let entry = pods.wire.keys("variants").into_iter().find(|key| !key.contains("source.json"));
        let entry = entry.unwrap();
        let told = receipt(&order(app, r#"{"source": "cat.jpg"}"#).expect(200));
        assert_eq!(pods.wire.keys("variants"), Vec::<String>::new());
        pods.wire.put_file("variants", &entry, b"written late").unwrap();
        pods.wire.put_file("variants", "theirs.txt", b"not ours").unwrap();
        let begun = Instant::now();
        if wait {
            let after = told["second_pass"]["after_seconds"].as_u64().unwrap();
            assert!((2..8).contains(&after), "{told}");
            while pods.wire.keys("variants").len() > 1 {
                assert!(begun.elapsed() < Duration::from_secs(after + 5));
                std::thread::sleep(Duration::from_millis(50));
            }
        } else {
            app.stop();
            assert!(begun.elapsed() < Duration::from_secs(3), "the end does not wait for its time");
        }
        assert_eq!(pods.wire.keys("variants"), ["theirs.txt"]);
    }
}
