//! Stores of every kind through the whole service: a web server as origin, rules of single origins,
//! and what `check-config --probe` finds out about buckets and folders.

use crate::app::{TestApp, jpeg};
use crate::s3wire::{ACCESS_KEY, Act, Fault, S3Wire, SECRET_KEY};
use lenslet::config::{Env, Machine, Purpose, Settings};
use lenslet::dialect::signature::{self, Keys};
use lenslet::service::probe::{Finding, probe};
use std::ffi::OsString;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

/// A web server that has one picture under every name but `missing`, and what it was asked.
struct Web {
    url: String,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Web {
    /// `extra` stands in the head of every answer.
    fn start(picture: Vec<u8>, extra: &'static str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/base", listener.local_addr().unwrap());
        let asked = Arc::new(Mutex::new(Vec::new()));
        let lines = Arc::clone(&asked);
        std::thread::spawn(move || {
            for mut stream in listener.incoming().flatten() {
                let Some(line) = request_line(&mut stream) else { continue };
                let body = if line.starts_with("HEAD") { &[][..] } else { &picture };
                let (status, length) =
                    if line.contains("missing") { (404, 0) } else { (200, picture.len()) };
                let body = if status == 200 { body } else { &[] };
                lines.lock().unwrap().push(line);
                let head = format!(
                    "HTTP/1.1 {status} X\r\nContent-Length: {length}\r\nETag: \"v1\"\r\n{extra}\
                     Connection: close\r\n\r\n"
                );
                // A client that goes away is none of our business.
                let _ = stream.write_all(&[head.as_bytes(), body].concat());
            }
        });
        Self { url, asked }
    }

    fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

fn request_line(stream: &mut TcpStream) -> Option<String> {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte).ok()?;
        head.push(byte[0]);
    }
    let head = String::from_utf8(head).ok()?;
    let line = head.lines().next()?;
    line.strip_suffix(" HTTP/1.1").map(str::to_owned)
}

const ALLOWED: [(&str, &str); 2] =
    [("ORIGIN_DEFAULT_ALLOW_HTTP", "1"), ("ORIGIN_DEFAULT_ALLOW_PRIVATE", "1")];

#[test]
fn a_web_server_is_an_origin_like_any_other() {
    let web = Web::start(jpeg(400, 300, 1), "");
    let mut app = TestApp::start(&[&[("ORIGIN", web.url.as_str())], &ALLOWED[..]].concat());
    app.get("/a%20cat.jpg?w=200").expect(200).cached_as("rendered");
    assert_eq!(web.asked(), ["HEAD /base/a%20cat.jpg", "GET /base/a%20cat.jpg"]);
    app.get("/a%20cat.jpg?w=200").expect(200).cached_as("memory");
    app.get("/missing.jpg?w=200").expect(404);
    app.restart();
    app.get("/a%20cat.jpg?w=200").expect(200).cached_as("store");
    assert_eq!(web.asked().iter().filter(|line| line.starts_with("GET")).count(), 1);
}

#[test]
fn what_a_web_server_must_do_is_said_in_a_502() {
    for (extra, says) in [
        ("Content-Encoding: gzip\r\n", "it has to send originals as they are"),
        ("Transfer-Encoding: chunked\r\n", "Content-Length"),
    ] {
        let web = Web::start(jpeg(40, 30, 1), extra);
        let app = TestApp::start(&[&[("ORIGIN", web.url.as_str())], &ALLOWED[..]].concat());
        let reply = app.get("/cat.jpg?w=20").expect(502);
        assert_eq!(reply.header("x-error-code"), Some("ORIGIN_FAILED"));
        assert_eq!(reply.header("cache-control"), Some("no-store"));
        let text = String::from_utf8(reply.body.clone()).unwrap();
        assert!(text.contains(says), "{text}");
        assert!(!text.contains("127.0.0.1"), "{text}");
    }
}

#[test]
fn an_origin_may_have_keys_and_limits_of_its_own() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("cat.jpg"), jpeg(400, 300, 1)).unwrap();
    let url = format!("file://{}", folder.path().display());
    let origins = format!("small={url},signed={url},free={url}");
    let (common, own) = ("00112233445566778899aabbccddeeff", "ffeeddccbbaa99887766554433221100");
    let app = TestApp::start(&[
        ("ORIGINS", &origins),
        ("KEYS", common),
        ("UNSIGNED", "deny"),
        ("ORIGIN_SMALL_MAX_SOURCE_PIXELS", "100000"),
        ("ORIGIN_SIGNED_KEYS", own),
        ("ORIGIN_FREE_MAX_SOURCE_BYTES", "1024"),
    ]);
    let signed = |hex: &str, target: &str| {
        signature::sign(Keys::parse(hex).unwrap().first().unwrap(), target).unwrap()
    };
    app.get(&signed(own, "/@signed/cat.jpg?w=20")).expect(200);
    app.get(&signed(common, "/@signed/cat.jpg?w=20")).expect(403);
    app.get(&signed(own, "/@small/cat.jpg?w=20")).expect(403);
    let reply = app.get(&signed(common, "/@small/cat.jpg?w=20")).expect(413);
    assert_eq!(reply.header("x-error-code"), Some("SOURCE_TOO_LARGE"));
    app.get(&signed(common, "/@free/cat.jpg?w=20")).expect(413);
}

#[test]
fn a_time_of_its_own_ends_a_slow_origin_early() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("slow=http://{}/", listener.local_addr().unwrap());
    let app = TestApp::start(&[
        ("ORIGINS", &url),
        ("ORIGIN_SLOW_ALLOW_HTTP", "1"),
        ("ORIGIN_SLOW_ALLOW_PRIVATE", "1"),
        ("ORIGIN_SLOW_FETCH_TIMEOUT", "300ms"),
    ]);
    let begun = std::time::Instant::now();
    app.get("/@slow/cat.jpg?w=20").expect(504);
    assert!(begun.elapsed().as_millis() < 2_000, "{:?}", begun.elapsed());
}

fn findings(vars: &[(&str, &str)]) -> (bool, Vec<Finding>) {
    let env = vars
        .iter()
        .map(|(name, value)| (OsString::from(format!("LENSLET_{name}")), OsString::from(value)));
    let settings =
        Settings::read(&Env::gather(env, None), &Machine::detect(), Purpose::Serve).unwrap();
    let mut findings = Vec::new();
    let all = probe(&settings, &mut |finding| findings.push(finding)).unwrap();
    (all, findings)
}

fn failed(findings: &[Finding]) -> Vec<(&str, &str, &str)> {
    let failed = findings.iter().filter(|finding| !finding.ok);
    failed.map(|f| (f.part.as_str(), f.check, f.told.as_str())).collect()
}

#[test]
fn a_probe_of_sound_stores_leaves_nothing_behind() {
    let folder = tempfile::tempdir().unwrap();
    let wire = S3Wire::start(folder.path()).unwrap();
    wire.make_bucket("originals").unwrap();
    wire.put_file("originals", "300x200/cat.jpg", b"a cat").unwrap();
    let endpoint = wire.endpoint();
    let vars = bucket(&endpoint, "originals");
    let (all, findings) = findings(&vars);
    assert!(all, "{:?}", failed(&findings));
    let of = |part: &str| {
        let checks = findings.iter().filter(|f| f.part == part).map(|f| f.check);
        checks.collect::<Vec<_>>().join(" ")
    };
    assert_eq!(of("origin default"), "open list missing");
    assert_eq!(of("variants"), "open missing write read metadata create list delete");
    assert_eq!(of("codecs"), "jpeg png webp avif gif");
    assert_eq!(wire.keys("originals"), ["300x200/cat.jpg"]);
    let written: Vec<_> =
        wire.journal().into_iter().filter(|r| r.op == "PutObject").map(|r| r.path).collect();
    assert_eq!(written.len(), 2);
    assert!(written.iter().all(|p| p.starts_with("/originals/v1/~/probe/")), "{written:?}");
}

fn bucket<'a>(endpoint: &'a str, name: &str) -> Vec<(&'a str, &'a str)> {
    assert_eq!(name, "originals");
    vec![
        ("UNSIGNED", "allow"),
        ("ORIGIN", "s3://originals"),
        ("VARIANTS", "s3://originals"),
        ("ORIGIN_DEFAULT_ENDPOINT", endpoint),
        ("ORIGIN_DEFAULT_ALLOW_HTTP", "1"),
        ("ORIGIN_DEFAULT_REGION", "us-east-1"),
        ("ORIGIN_DEFAULT_ACCESS_KEY_ID", ACCESS_KEY),
        ("ORIGIN_DEFAULT_SECRET_ACCESS_KEY", SECRET_KEY),
        ("VARIANTS_ENDPOINT", endpoint),
        ("VARIANTS_ALLOW_HTTP", "1"),
        ("VARIANTS_REGION", "us-east-1"),
        ("VARIANTS_ACCESS_KEY_ID", ACCESS_KEY),
        ("VARIANTS_SECRET_ACCESS_KEY", SECRET_KEY),
        ("STORE_TIMEOUT", "1s"),
        ("FETCH_TIMEOUT", "1s"),
    ]
}

#[test]
fn a_probe_names_the_permission_that_is_missing() {
    let folder = tempfile::tempdir().unwrap();
    let wire = S3Wire::start(folder.path()).unwrap();
    wire.make_bucket("originals").unwrap();
    let endpoint = wire.endpoint();
    let vars = bucket(&endpoint, "originals");
    for (method, expected) in [
        (
            "GET",
            &[
                ("origin default", "list", "s3:ListBucket"),
                ("variants", "read", "s3:GetObject"),
                ("variants", "list", "s3:ListBucket"),
            ][..],
        ),
        (
            "HEAD",
            &[
                ("origin default", "missing", "s3:ListBucket"),
                ("variants", "missing", "s3:ListBucket"),
                ("variants", "metadata", "s3:GetObject"),
            ],
        ),
        ("PUT", &[("variants", "write", "s3:PutObject")]),
        ("POST", &[("variants", "delete", "s3:DeleteObject")]),
    ] {
        wire.fault(Fault::new("", Act::Status(403)).on(method));
        let (all, findings) = findings(&vars);
        wire.clear_faults();
        assert!(!all);
        let failed = failed(&findings);
        let short: Vec<_> = failed.iter().map(|(part, check, _)| (*part, *check)).collect();
        let wanted: Vec<_> = expected.iter().map(|(part, check, _)| (*part, *check)).collect();
        assert_eq!(short, wanted, "{method}: {failed:?}");
        for ((_, _, told), (_, _, permission)) in failed.iter().zip(expected) {
            assert!(told.contains(permission), "{method}: {told}");
        }
    }
}

#[test]
fn a_probe_ends_in_time_and_shows_no_secret() {
    let folder = tempfile::tempdir().unwrap();
    let wire = S3Wire::start(folder.path()).unwrap();
    wire.make_bucket("originals").unwrap();
    let endpoint = wire.endpoint();
    let mut vars = bucket(&endpoint, "originals");
    wire.fault(Fault::new("", Act::Pass).after(std::time::Duration::from_secs(30)));
    let begun = std::time::Instant::now();
    let (all, silent) = findings(&vars);
    let in_time = |told: &str| told.contains("no answer within") || told.contains("in time");
    assert!(!all && failed(&silent).iter().all(|(_, _, told)| in_time(told)), "{silent:?}");
    assert!(begun.elapsed().as_secs() < 10, "{:?}", begun.elapsed());
    wire.clear_faults();
    vars.retain(|(name, _)| !name.ends_with("SECRET_ACCESS_KEY"));
    vars.extend([
        ("ORIGIN_DEFAULT_SECRET_ACCESS_KEY", "hunter2"),
        ("VARIANTS_SECRET_ACCESS_KEY", "hunter2"),
    ]);
    let (all, wrong) = findings(&vars);
    assert!(!all);
    let text = format!("{wrong:?}");
    assert!(!text.contains("hunter2") && !text.contains(ACCESS_KEY), "{text}");
}

#[test]
fn a_probe_tells_of_a_web_server_and_of_what_cannot_be_opened() {
    let web = Web::start(jpeg(40, 30, 1), "");
    let missing = tempfile::tempdir().unwrap().path().join("nowhere");
    let origins = format!("web={},gone=file://{}", web.url, missing.display());
    let (all, findings) = findings(&[
        ("UNSIGNED", "allow"),
        ("ORIGINS", &origins),
        ("ORIGIN_WEB_ALLOW_HTTP", "1"),
        ("ORIGIN_WEB_ALLOW_PRIVATE", "1"),
    ]);
    assert!(!all);
    // It has something under every name, which no folder of originals has.
    let failed = failed(&findings);
    let [("origin web", "missing", told), ("origin gone", "open", gone)] = failed[..] else {
        panic!("{failed:?}")
    };
    assert!(told.contains("as if it were"), "{told}");
    assert!(gone.contains("cannot be read"), "{gone}");
}
