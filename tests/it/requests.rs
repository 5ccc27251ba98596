//! Requests over a socket: identity, headers, caching, errors, policy, as SEMANTICS says.

use crate::app::{TestApp, files, jpeg, picture};
use crate::client;
use lenslet::codec::{self, Encoding};
use lenslet::dialect::signature::{Keys, sign};
use lenslet::model::pixels::{Layout, Pixels};

const KEY: &str = "0f1e2d3c4b5a69788796a5b4c3d2e1f00f1e2d3c4b5a69788796a5b4c3d2e1f0";

fn with_cat(vars: &[(&str, &str)]) -> TestApp {
    let app = TestApp::start(vars);
    app.put("cat.jpg", &jpeg(400, 300, 1));
    app
}

fn signed(target: &str) -> String {
    let keys = Keys::parse(KEY).unwrap();
    sign(keys.first().unwrap(), target).unwrap()
}

#[test]
fn a_second_request_comes_from_memory_whatever_its_spelling() {
    let app = with_cat(&[]);
    let first = app.get("/cat.jpg?w=200&h=150&fit=cover&f=webp").expect(200);
    let first = first.cached_as("rendered").sized(200, 150);
    assert_eq!(first.header("content-type"), Some("image/webp"));
    for same in [
        "/cat.jpg?w=200&h=150&fit=cover&f=webp",
        "/cat.jpg?f=WEBP&fit=cover&h=150&w=200",
        "/cat.jpg?w=100&h=75&dpr=2&fit=COVER&f=webp&g=center",
        "/cat.jpg?w=200&ar=4:3&fit=cover&f=webp&q=80&utm_source=x&progressive=1",
        "/%63at.jpg?w=200&h=150&fit=cover&f=webp&v=7",
    ] {
        let again = app.get(same).expect(200).cached_as("memory");
        assert_eq!(again.header("etag"), first.header("etag"), "{same}");
        assert_eq!(again.body, first.body, "{same}");
    }
    let other = app.get("/cat.jpg?w=200&h=150&fit=cover&f=webp&g=n").expect(200);
    assert_ne!(other.header("etag"), first.header("etag"));
}

#[test]
fn after_a_restart_the_variant_comes_from_the_store() {
    let mut app = with_cat(&[]);
    let first = app.get("/cat.jpg?w=100").expect(200).cached_as("rendered");
    app.restart();
    let again = app.get("/cat.jpg?w=100").expect(200).cached_as("store").sized(100, 75);
    assert_eq!(again.body, first.body);
    assert_eq!(again.header("etag"), first.header("etag"));
    let stored = files(&app.variants());
    assert!(stored.iter().any(|f| f.ends_with("default/cat.jpg/~/source.json")), "{stored:?}");
}

#[test]
fn a_known_etag_is_answered_without_a_body() {
    let app = with_cat(&[]);
    let etag = app.get("/cat.jpg?w=100").header("etag").unwrap().to_owned();
    let known = app.get_with("/cat.jpg?w=100", &[("If-None-Match", &etag)]).expect(304);
    assert!(known.body.is_empty());
    assert_eq!(known.header("etag"), Some(etag.as_str()));
    assert!(known.header("cache-control").is_some());
    // A fresh process knows the key before it has the picture.
    let fresh = with_cat(&[("WRITE_BACK", "off")]);
    std::fs::copy(app.originals().join("cat.jpg"), fresh.originals().join("cat.jpg")).unwrap();
    let etag = fresh.get("/cat.jpg?w=100").header("etag").unwrap().to_owned();
    let rendered = fresh.metric("lenslet_transforms_total");
    fresh.get_with("/cat.jpg?w=100", &[("If-None-Match", "*")]).expect(304);
    fresh.get_with("/cat.jpg?w=100", &[("If-None-Match", &format!("\"x\", W/{etag}"))]).expect(304);
    assert_eq!(fresh.metric("lenslet_transforms_total"), rendered);
    // What is gone is gone, known or not.
    std::fs::remove_file(fresh.originals().join("cat.jpg")).unwrap();
    fresh.get_with("/cat.jpg?w=100&v=new", &[("If-None-Match", &etag)]).expect(404);
}

#[test]
fn head_says_what_get_would() {
    let app = with_cat(&[]);
    let head = client::request(app.address(), "HEAD", "/cat.jpg?w=120", &[]).expect(200);
    assert!(head.body.is_empty());
    let get = app.get("/cat.jpg?w=120").expect(200).cached_as("memory");
    let length = get.body.len().to_string();
    assert_eq!(head.header("content-length"), Some(length.as_str()));
    for name in ["etag", "content-type", "cache-control", "x-size", "content-disposition"] {
        assert_eq!(head.header(name), get.header(name), "{name}");
    }
    let other = client::request(app.address(), "POST", "/cat.jpg?w=120", &[]).expect(405);
    assert_eq!(other.header("allow"), Some("GET, HEAD"));
}

#[test]
fn every_picture_carries_the_fixed_headers() {
    let app = with_cat(&[]);
    let reply = app.get("/cat.jpg?w=100&f=png").expect(200);
    for (name, value) in [
        ("content-type", "image/png"),
        ("x-content-type-options", "nosniff"),
        ("content-security-policy", "default-src 'none'; sandbox"),
        ("cross-origin-resource-policy", "cross-origin"),
        ("access-control-allow-origin", "*"),
        ("timing-allow-origin", "*"),
        ("accept-ranges", "none"),
        ("content-disposition", "inline; filename=\"cat.png\""),
        ("x-size", "100x75"),
        (
            "cache-control",
            "public, max-age=3600, stale-while-revalidate=86400, stale-if-error=604800",
        ),
    ] {
        assert_eq!(reply.header(name), Some(value), "{name}");
    }
    for name in ["etag", "server-timing", "x-request-id", "cache-tag", "surrogate-key"] {
        assert!(reply.header(name).is_some(), "{name}");
    }
    assert_eq!(reply.header("vary"), None);
    assert_eq!(reply.header("server"), None);
    let versioned = app.get("/cat.jpg?w=100&f=png&v=3").expect(200);
    assert_eq!(versioned.header("cache-control"), Some("public, max-age=31536000, immutable"));
    let saved = app.get("/cat.jpg?w=100&f=png&dl").expect(200);
    assert_eq!(saved.header("content-disposition"), Some("attachment; filename=\"cat.png\""));
    assert_eq!(saved.header("etag"), reply.header("etag"));
}

#[test]
fn auto_gives_each_client_what_it_names() {
    let app = with_cat(&[]);
    for (accept, mime) in [
        ("image/avif,image/webp,image/*,*/*;q=0.8", "image/avif"),
        ("image/webp,*/*", "image/webp"),
        ("image/avif;q=0,image/webp", "image/webp"),
        ("image/*,*/*", "image/jpeg"),
        ("", "image/jpeg"),
    ] {
        let reply = app.get_with("/cat.jpg?w=100&f=auto", &[("Accept", accept)]).expect(200);
        assert_eq!(reply.header("content-type"), Some(mime), "{accept}");
        assert_eq!(reply.header("vary"), Some("Accept"), "{accept}");
    }
    let failed = app.get_with("/dog.jpg?w=100&f=auto", &[("Accept", "image/webp")]).expect(404);
    assert_eq!(failed.header("vary"), Some("Accept"));
}

#[test]
fn errors_have_a_status_a_code_and_a_sentence() {
    let app = with_cat(&[]);
    app.put("note.txt", b"hello, this is no picture at all");
    app.put("empty.jpg", b"");
    let whole = jpeg(300, 200, 2);
    app.put("torn.jpg", &whole[..whole.len() / 2]);
    let long = format!("/{}.jpg?w=1", "x".repeat(8200));
    let rows = [
        ("/cat.jpg?w=0", 400, "BAD_PARAMETER", "w"),
        ("/cat.jpg?w=99999", 400, "BAD_PARAMETER", "8192"),
        ("/cat.jpg?widht=3", 400, "BAD_PARAMETER", "widht"),
        ("/cat.jpg?w=10&fit=fill", 400, "BAD_PARAMETER", "stretch"),
        ("/cat.jpg?w=10&w=20", 400, "BAD_PARAMETER", "w"),
        ("/cat.jpg?w=", 400, "BAD_PARAMETER", "w"),
        ("/cat.jpg?trim=10", 400, "BAD_PARAMETER", "not supported in this version"),
        ("/cat.jpg?f=jpeg&lossless=1", 400, "BAD_PARAMETER", "lossless"),
        ("/cat.jpg?crop=500,500,10,10", 400, "BAD_PARAMETER", "crop"),
        ("/cat.jpg", 400, "BAD_PARAMETER", "?w="),
        ("/a//b.jpg?w=1", 400, "BAD_TARGET", ""),
        ("/a/../b.jpg?w=1", 400, "BAD_TARGET", ""),
        ("/a%00.jpg?w=1", 400, "BAD_TARGET", ""),
        ("/%ff.jpg?w=1", 400, "BAD_TARGET", ""),
        ("/dog.jpg?w=10", 404, "SOURCE_NOT_FOUND", ""),
        ("/@nowhere/dog.jpg?w=10", 404, "SOURCE_NOT_FOUND", ""),
        ("/_/playground", 404, "NO_SUCH_ROUTE", ""),
        ("/note.txt?w=10", 415, "NOT_AN_IMAGE", ""),
        ("/empty.jpg?w=10", 415, "NOT_AN_IMAGE", "empty"),
        ("/torn.jpg?w=10", 422, "SOURCE_BROKEN", ""),
        (&long, 414, "TARGET_TOO_LONG", "8192"),
    ];
    for (target, status, code, word) in rows {
        let reply = app.get(target);
        let shown = &target[..target.len().min(60)];
        assert_eq!(reply.status, status, "{shown}: {}", reply.text());
        assert_eq!(reply.header("x-error-code"), Some(code), "{shown}");
        assert!(reply.text().contains(word), "{shown}: {}", reply.text());
        assert!(reply.header("etag").is_none(), "{shown}");
        let cache = reply.header("cache-control").unwrap();
        assert!(cache == "no-store" || !cache.contains("immutable"), "{shown}: {cache}");
    }
    let json = app.get_with("/cat.jpg?w=0", &[("Accept", "application/json")]).expect(400);
    assert_eq!(json.header("content-type"), Some("application/problem+json"));
    let problem: serde_json::Value = serde_json::from_slice(&json.body).unwrap();
    assert_eq!((&problem["status"], &problem["code"]), (&400.into(), &"BAD_PARAMETER".into()));
    // Nothing of all that was stored.
    assert_eq!(files(&app.variants()), Vec::<String>::new());
}

#[test]
fn sources_over_a_limit_are_413() {
    let app = TestApp::start(&[("MAX_SOURCE_PIXELS", "100000"), ("MAX_SOURCE_BYTES", "200KiB")]);
    app.put("big.jpg", &jpeg(400, 300, 1));
    app.get("/big.jpg?w=10").expect(413);
    app.put("heavy.bin", &vec![0xAA; 300 << 10]);
    let reply = app.get("/heavy.bin?w=10").expect(413);
    assert!(reply.text().contains("204800"), "{}", reply.text());
}

#[test]
fn a_signature_opens_and_nothing_else_does() {
    let app = with_cat(&[("KEYS", KEY), ("UNSIGNED", "deny")]);
    app.get("/cat.jpg?w=100").expect(403);
    let good = signed("/cat.jpg?w=100");
    app.get(&good).expect(200);
    assert_eq!(
        app.get(&good.replace("w=100", "w=101")).expect(403).header("cache-control"),
        Some("no-store")
    );
    app.get(&format!("{good}&v=1")).expect(403);
    let past = signed("/cat.jpg?w=100&exp=1000000000");
    assert_eq!(app.get(&past).expect(403).header("x-error-code"), Some("EXPIRED"));
    let soon =
        std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs() + 600;
    let reply = app.get(&signed(&format!("/cat.jpg?w=100&exp={soon}"))).expect(200);
    let cache = reply.header("cache-control").unwrap();
    let age: u64 = cache.strip_prefix("public, max-age=").unwrap().parse().unwrap();
    assert!((590..=600).contains(&age), "{cache}");
    // Whoever may not ask learns nothing of what could be asked.
    for target in ["/cat.jpg?widht=1", "/cat.jpg?preset=nope", "/cat.jpg?w=0"] {
        assert_eq!(app.get(target).expect(403).header("x-error-code"), Some("SIGNATURE_MISSING"));
    }
    let behind = app.get(&format!("{good}&foo=1")).expect(403);
    assert_eq!(behind.header("x-error-code"), Some("SIGNATURE_INVALID"));
    // Signature before 304 and before any lookup.
    app.get_with("/cat.jpg?w=100", &[("If-None-Match", "*")]).expect(403);
    app.get("/nothing.jpg?w=100").expect(403);
    // With keys, sized URLs are admitted by the list alone, and there is none.
    app.get("/100x100/cat.jpg").expect(403);
}

#[test]
fn keys_and_allow_make_the_signature_optional_but_never_wrong() {
    let app = with_cat(&[("KEYS", KEY), ("UNSIGNED", "allow")]);
    app.get("/cat.jpg?w=100").expect(200);
    app.get(&signed("/cat.jpg?w=90")).expect(200);
    app.get(&format!("/cat.jpg?w=100&s={}", "A".repeat(43))).expect(403);
}

#[test]
fn presets_are_closed_without_a_signature() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("presets.toml");
    std::fs::write(&file, "[thumb]\nparams = \"w=50&h=50&fit=cover\"\nallow = [\"dpr\"]\n")
        .unwrap();
    let presets = file.to_str().unwrap();
    let app = with_cat(&[("KEYS", KEY), ("UNSIGNED", "presets"), ("PRESETS_FILE", presets)]);
    app.get("/cat.jpg?preset=thumb").expect(200).sized(50, 50);
    app.get("/cat.jpg?preset=thumb&dpr=2").expect(200).sized(100, 100);
    let reply = app.get("/cat.jpg?preset=thumb&w=60").expect(403);
    assert_eq!(reply.header("x-error-code"), Some("POLICY"));
    app.get("/cat.jpg?w=60").expect(403);
    app.get(&signed("/cat.jpg?preset=thumb&w=60")).expect(200).sized(60, 50);
    app.get("/cat.jpg?preset=thmub").expect(400);
}

#[test]
fn sized_urls_give_exactly_their_size() {
    let app = with_cat(&[("UNSIGNED", "sizes"), ("ALLOWED_SIZES", "300x200,800x0,0x90")]);
    let reply = app.get("/300x200/cat.jpg").expect(200).sized(300, 200);
    assert_eq!(reply.header("content-type"), Some("image/jpeg"));
    app.get("/800x0/cat.jpg").expect(200).sized(800, 600);
    app.get("/0x90/cat.jpg").expect(200).sized(120, 90);
    app.get("/?key=300x200/cat.jpg").expect(200).cached_as("memory");
    app.get("/301x200/cat.jpg").expect(403);
    app.get("/0x0/cat.jpg").expect(400);
    app.get("/300x200/cat.jpg?w=5").expect(400);
    app.get("/cat.jpg?w=5").expect(403);
}

#[test]
fn the_mirror_layout_keeps_bare_pictures_under_their_own_path() {
    let vars = [("UNSIGNED", "sizes"), ("ALLOWED_SIZES", "300x200"), ("VARIANT_LAYOUT", "mirror")];
    let mut app = with_cat(&vars);
    let first = app.get("/300x200/cat.jpg").expect(200).cached_as("rendered");
    let stored = std::fs::read(app.variants().join("300x200/cat.jpg")).unwrap();
    assert_eq!(stored, first.body);
    app.restart();
    let again = app.get("/300x200/cat.jpg").expect(200).cached_as("store");
    assert_eq!(again.body, first.body);
    // Another original under the same name: the stored picture is of the old one, so not served.
    app.put("cat.jpg", &jpeg(500, 300, 9));
    app.restart();
    app.get("/300x200/cat.jpg").expect(200).cached_as("rendered");
}

#[test]
fn a_mirrored_picture_that_vanished_comes_back_and_memory_does_not_hide_it() {
    let vars = [("ALLOWED_SIZES", "300x200"), ("VARIANT_LAYOUT", "mirror"), ("UNSIGNED", "allow")];
    let app = with_cat(&vars);
    let path = app.variants().join("300x200/cat.jpg");
    // The same picture asked for in the other dialect first: in memory, but not in its place.
    let wish = "/cat.jpg?w=300&h=200&fit=cover&enlarge=1";
    let native = app.get(wish).expect(200).cached_as("rendered");
    assert!(!path.exists());
    let sized = app.get("/300x200/cat.jpg").expect(200).cached_as("memory");
    assert_eq!((sized.header("etag"), &sized.body), (native.header("etag"), &native.body));
    assert_eq!(std::fs::read(&path).unwrap(), native.body);
    assert_eq!(app.metric("lenslet_transforms_total"), 1.0);
    std::fs::remove_file(&path).unwrap();
    std::thread::sleep(std::time::Duration::from_millis(5_200));
    app.get("/300x200/cat.jpg").expect(200);
    assert_eq!(std::fs::read(&path).unwrap(), native.body);
}

#[test]
fn named_origins_live_behind_an_at() {
    let other = tempfile::tempdir().unwrap();
    std::fs::write(other.path().join("dog.jpg"), jpeg(200, 100, 3)).unwrap();
    let list = format!("pets=file://{}", other.path().display());
    let app = with_cat(&[("ORIGINS", &list)]);
    app.get("/@pets/dog.jpg?w=50").expect(200).sized(50, 25);
    app.get("/dog.jpg?w=50").expect(404);
    app.get("/@/cat.jpg?w=50").expect(200);
    let stored = files(&app.variants());
    assert!(stored.iter().any(|f| f.contains("/pets/dog.jpg/~/")), "{stored:?}");
}

#[test]
fn health_and_metrics_live_where_they_should() {
    let app = with_cat(&[]);
    app.get("/health").expect(200);
    app.get("/").expect(200);
    for path in ["/livez", "/readyz", "/metrics"] {
        app.get(path).expect(400);
        app.admin(path).expect(200);
    }
    app.get("/cat.jpg?w=10").expect(200);
    assert_eq!(app.metric("lenslet_transforms_total"), 1.0);
}

#[test]
fn a_base_path_is_stripped_and_signed() {
    let app = with_cat(&[("BASE_PATH", "/img"), ("KEYS", KEY), ("UNSIGNED", "deny")]);
    app.get(&signed("/img/cat.jpg?w=20")).expect(200);
    app.get(&signed("/cat.jpg?w=20")).expect(404);
    app.get(&signed("/image/cat.jpg?w=20")).expect(404);
}

#[test]
fn transparent_originals_become_png_for_clients_that_read_nothing_newer() {
    let app = TestApp::start(&[]);
    let base = picture(80, 60, 4);
    let clear = |alpha: u8| {
        let data = base.data().chunks_exact(3).flat_map(|p| [p[0], p[1], p[2], alpha]).collect();
        let pixels = Pixels::new(base.size(), Layout::Rgba, data).unwrap();
        codec::encode(&pixels, Encoding::WebpLossless).unwrap()
    };
    app.put("ghost.webp", &clear(100));
    let reply = app.get_with("/ghost.webp?w=40&f=auto", &[("Accept", "*/*")]).expect(200);
    assert_eq!(reply.header("content-type"), Some("image/png"));
    let flat = app.get_with("/ghost.webp?w=40&f=auto&bg=white", &[]).expect(200);
    assert!(matches!(flat.header("content-type"), Some("image/jpeg" | "image/png")));
}
