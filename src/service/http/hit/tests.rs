//! That the short way says what the long way says, and when it has to be silent.

use super::super::{Public, target_of, unix_now, walk};
use crate::codec::{self, Encoding};
use crate::config::{Env, Machine, Purpose, Settings};
use crate::dialect::signature::{Keys, sign};
use crate::model::geometry::Size;
use crate::model::key::{OriginName, SourceId, SourceKey};
use crate::model::pixels::{Layout, Pixels};
use crate::service::compose;
use crate::service::run::Running;
use crate::variants::Scope;
use actix_web::body::to_bytes;
use actix_web::http::Method;
use actix_web::rt::System;
use actix_web::test::TestRequest;
use actix_web::{HttpRequest, HttpResponse};
use bytes::Bytes;
use proptest::prelude::*;
use std::cell::Cell;
use std::collections::BTreeMap;
use std::time::Instant;

struct Served {
    running: Option<Running>,
    folder: tempfile::TempDir,
}

impl Served {
    fn start(vars: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let origin = format!("file://{}", folder.path().display());
        let mut all = vec![
            ("LENSLET_ORIGIN", origin.as_str()),
            ("LENSLET_LISTEN", "127.0.0.1:0"),
            ("LENSLET_ADMIN_LISTEN", "127.0.0.1:0"),
            ("LENSLET_DRAIN_DELAY", "0"),
            ("LENSLET_UNSIGNED", "allow"),
        ];
        for var in vars {
            all.retain(|(name, _)| name != &var.0);
            all.push(*var);
        }
        let env = Env::gather(all.into_iter().map(|(n, v)| (n.into(), v.into())), None);
        let settings = Settings::read(&env, &Machine::detect(), Purpose::Serve).unwrap();
        let served = Self { running: Some(compose::start(settings).unwrap()), folder };
        served.put("cat.jpg", 1);
        served.put("folder/dög.jpg", 2);
        served
    }

    fn put(&self, key: &str, seed: u8) {
        let data = (0..80 * 60 * 3).map(|n: usize| seed.wrapping_mul((n / 97).to_le_bytes()[0]));
        let pixels = Pixels::new(Size::new(80, 60), Layout::Rgb, data.collect()).unwrap();
        let encoding = Encoding::Jpeg { quality: 90, progressive: false };
        let path = self.folder.path().join(key);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, codec::encode(&pixels, encoding).unwrap()).unwrap();
    }

    fn public(&self) -> &Public {
        self.running.as_ref().unwrap().state()
    }

    fn long(&self, asked: &Asked) -> Told {
        let request = asked.request();
        let reply = System::new().block_on(walk(&request, self.public(), Instant::now()));
        Told::of(reply)
    }

    fn short_at(&self, asked: &Asked, now: u64) -> Option<Told> {
        let request = asked.request();
        let target = target_of(&request);
        let reply = super::answer(self.public(), &request, target, Instant::now(), || now);
        reply.map(Told::of)
    }

    fn short(&self, asked: &Asked) -> Option<Told> {
        self.short_at(asked, unix_now())
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        if let Some(running) = self.running.take() {
            running.stop();
        }
    }
}

#[derive(Debug, Clone)]
struct Asked {
    method: Method,
    target: String,
    headers: Vec<(&'static str, String)>,
}

impl Asked {
    fn get(target: &str) -> Self {
        Self { method: Method::GET, target: target.to_owned(), headers: Vec::new() }
    }

    fn request(&self) -> HttpRequest {
        let mut request = TestRequest::default().method(self.method.clone()).uri(&self.target);
        for (name, value) in &self.headers {
            request = request.append_header((*name, value.as_str()));
        }
        request.to_http_request()
    }
}

/// A reply with everything of it that may not differ from one answer to the next.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Told {
    status: u16,
    headers: BTreeMap<String, Vec<String>>,
    body: Bytes,
}

impl Told {
    fn of(reply: HttpResponse) -> Self {
        let status = reply.status().as_u16();
        let mut headers: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for (name, value) in reply.headers() {
            let value = value.to_str().unwrap();
            let value = match name.as_str() {
                "x-request-id" => format!("{} characters", value.len()),
                // Which stages are told of, not how long they took.
                "server-timing" => {
                    let part = |part: &str| match part.split_once(";dur=") {
                        Some((name, time)) if time.parse::<f64>().is_ok() => name.to_owned(),
                        _ => part.to_owned(),
                    };
                    value.split(", ").map(part).collect::<Vec<_>>().join(", ")
                }
                _ => value.to_owned(),
            };
            headers.entry(name.as_str().to_owned()).or_default().push(value);
        }
        let body = System::new().block_on(to_bytes(reply.into_body()));
        Self { status, headers, body: body.unwrap_or_default() }
    }

    fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.first().map(String::as_str)
    }
}

fn asked() -> impl Strategy<Value = Asked> {
    let path = prop::sample::select(vec![
        "/cat.jpg",
        "/c%61t.jpg",
        "/@/cat.jpg",
        "/folder/d%C3%B6g.jpg",
        "/20x10/cat.jpg",
        "/none.jpg",
        "/",
    ]);
    let good = [
        "w=20",
        "h=10",
        "f=auto",
        "f=webp",
        "q=50",
        "gray",
        "dl=1",
        "dl=my%20cat.png",
        "v=1",
        "v=2",
        "utm_x=1",
        "exp=4000000000",
    ];
    let bad = ["f=json", "exp=1", "bogus=1", "h=", "preset=none"];
    let good = prop::sample::subsequence(good.to_vec(), 1..5).prop_shuffle();
    let bad = prop::option::weighted(0.2, prop::sample::select(bad.to_vec()));
    let query = (good, bad).prop_map(|(mut all, bad)| {
        all.extend(bad);
        all
    });
    let method = prop::sample::select(vec![Method::GET, Method::GET, Method::HEAD, Method::POST]);
    let accept = prop::sample::select(vec![
        None,
        Some("image/avif,image/webp,*/*"),
        Some("image/webp"),
        Some("*/*"),
        Some("application/json"),
        Some("image/avif;q=0.1, image/webp;q=0.9, image/jpeg;q=0.5"),
    ]);
    let more = prop::sample::select(vec![
        None,
        Some(("if-none-match", "*")),
        Some(("if-none-match", "\"x\", W/\"y\"")),
        Some(("accept", "image/avif")),
        Some(("x-request-id", "mine-1")),
        Some(("x-request-id", "not mine")),
    ]);
    (path, query, method, accept, more).prop_map(|(path, query, method, accept, more)| {
        let mut headers = Vec::new();
        headers.extend(accept.map(|accept| ("accept", accept.to_owned())));
        headers.extend(more.map(|(name, value)| (name, value.to_owned())));
        let joint = if query.is_empty() { "" } else { "?" };
        Asked { method, target: format!("{path}{joint}{}", query.join("&")), headers }
    })
}

#[test]
fn the_short_way_says_what_the_long_way_says_whatever_is_asked() {
    let served = Served::start(&[]);
    let (at_once, unchanged) = (Cell::new(0), Cell::new(0));
    proptest!(ProptestConfig::with_cases(400), |(asked in asked())| {
        let first = served.long(&asked);
        let (second, short) = (served.long(&asked), served.short(&asked));
        if let Some(short) = &short {
            prop_assert_eq!(short, &second);
        }
        // Silent only where nothing could be at hand.
        let from_memory = second.header("x-cache") == Some("memory")
            && second.header("content-type").is_some_and(|kind| kind.starts_with("image/"));
        prop_assert_eq!(short.is_some(), from_memory || (second.status == 304 && !asked.target.contains("f=json")));
        at_once.set(at_once.get() + u32::from(from_memory));
        // The client's own copy, by its ETag.
        if let Some(etag) = first.header("etag").filter(|_| from_memory) {
            let mut again = asked.clone();
            again.headers.retain(|(name, _)| *name != "if-none-match");
            again.headers.push(("if-none-match", etag.to_owned()));
            let (long, short) = (served.long(&again), served.short(&again));
            prop_assert_eq!(long.status, 304);
            prop_assert_eq!(short, Some(long));
            unchanged.set(unchanged.get() + 1);
        }
    });
    let (at_once, unchanged) = (at_once.get(), unchanged.get());
    assert!(at_once > 50 && unchanged > 50, "{at_once} at once, {unchanged} unchanged");
}

#[test]
fn a_url_that_has_expired_is_silent_though_it_was_known() {
    let served = Served::start(&[]);
    let exp = unix_now() + 1_000;
    let asked = Asked::get(&format!("/cat.jpg?w=20&exp={exp}"));
    assert_eq!(served.long(&asked).status, 200);
    let short = served.short_at(&asked, exp - 400).unwrap();
    assert_eq!(short.header("cache-control"), Some("public, max-age=400"));
    // A url is still taken half a minute late.
    assert!(served.short_at(&asked, exp + 10).is_some());
    assert_eq!(served.short_at(&asked, exp + 100), None);
}

#[test]
fn a_signature_opens_the_very_url_it_stands_in() {
    let hex = "0123456789abcdef0123456789abcdef";
    let served = Served::start(&[("LENSLET_KEYS", hex), ("LENSLET_UNSIGNED", "deny")]);
    let keys = Keys::parse(hex).unwrap();
    let signed = sign(keys.first().unwrap(), "/cat.jpg?w=20").unwrap();
    let asked = Asked::get(&signed);
    assert_eq!(served.long(&asked).status, 200);
    assert_eq!(served.short(&asked).map(|told| told.status), Some(200));
    let forged = signed.replace("w=20", "w=21");
    for target in ["/cat.jpg?w=20", forged.as_str()] {
        let asked = Asked::get(target);
        assert_eq!(served.long(&asked).status, 403);
        assert_eq!(served.short(&asked), None, "{target}");
    }
}

#[test]
fn what_is_purged_or_changed_is_not_at_hand_any_more() {
    let served = Served::start(&[]);
    let asked = Asked::get("/cat.jpg?w=20");
    let source =
        SourceId { origin: OriginName::default_origin(), key: SourceKey::new("cat.jpg").unwrap() };
    let before = served.long(&asked);
    assert_eq!(served.short(&asked).unwrap().body, before.body);

    // Purged: neither picture nor version is believed, from this moment on.
    let service = &served.public().service;
    let _ = service.variants.forget(&Scope::Source { id: source.clone(), keep: None });
    assert_eq!(served.short(&asked), None);
    assert_eq!(served.long(&asked).header("x-cache"), Some("rendered"));
    assert!(served.short(&asked).is_some());
    service.origins.forget(&source);
    assert_eq!(served.short(&asked), None);

    // Overwritten: the same URL, and what was known of it is of another version.
    served.put("cat.jpg", 9);
    let after = served.long(&asked);
    assert_ne!((after.header("etag"), &after.body), (before.header("etag"), &before.body));
    assert_eq!(served.short(&asked).unwrap().header("etag"), after.header("etag"));
    let mut conditional = asked.clone();
    conditional.headers.push(("if-none-match", before.header("etag").unwrap().to_owned()));
    assert_eq!(served.short(&conditional).unwrap().status, 200);

    // Broken: what is known against it is told by the long way.
    std::fs::write(served.folder.path().join("cat.jpg"), b"no picture").unwrap();
    service.origins.forget(&source);
    assert_eq!(served.long(&asked).status, 415);
    assert_eq!(served.short(&asked), None);
}

#[test]
fn where_no_picture_is_kept_in_memory_no_url_is() {
    let served = Served::start(&[("LENSLET_MEMORY_CACHE", "0")]);
    let asked = Asked::get("/cat.jpg?w=20");
    assert_eq!(served.long(&asked).status, 200);
    assert_eq!(served.short(&asked), None);
}
