//! Environments that must stop the start (reliability K1): each with the variable that the error
//! has to name and words it has to contain. Never contains an environment that is fine.

use super::{Env, Machine, Purpose, Settings};
use crate::model::units::ByteSize;

/// What every case starts from: an environment that serves.
const GOOD: [(&str, &str); 2] = [("LENSLET_ORIGIN", "memory:///"), ("LENSLET_UNSIGNED", "allow")];

const MACHINE: Machine = Machine::of(2, ByteSize::new(1 << 30));

type Case = (&'static [(&'static str, &'static str)], &'static str, &'static str);

/// What is set (a blank value takes the good one out), the variable at fault, words of the rule.
const CASES: &[Case] = &[
    // Unknown names.
    (&[("LENSLET_BOGUS", "1")], "LENSLET_BOGUS", "no such setting"),
    (&[("LENSLET_LISTN", "0.0.0.0:1")], "LENSLET_LISTN", "did you mean LENSLET_LISTEN?"),
    (&[("LENSLET_KEY", "00")], "LENSLET_KEY", "did you mean LENSLET_KEYS?"),
    (&[("LENSLET_PORT", "9000")], "LENSLET_PORT", "did you mean LENSLET_LISTEN?"),
    (&[("LENSLET_LENSLET_LISTEN", "0.0.0.0:1")], "LENSLET_LENSLET_LISTEN", "no such setting"),
    (&[("LENSLET_listen", "0.0.0.0:1")], "LENSLET_listen", "no such setting"),
    (&[("LENSLET_UNKNOWN_ENV", "maybe")], "LENSLET_UNKNOWN_ENV", "one of: error, warn"),
    // Addresses and paths.
    (&[("LENSLET_LISTEN", "8080")], "LENSLET_LISTEN", "expected an IP address and a port"),
    (&[("LENSLET_LISTEN", "localhost:8080")], "LENSLET_LISTEN", "\"localhost:8080\""),
    (&[("LENSLET_LISTEN", "0.0.0.0:65536")], "LENSLET_LISTEN", "cannot read"),
    (&[("LENSLET_ADMIN_LISTEN", ":8081")], "LENSLET_ADMIN_LISTEN", "cannot read"),
    (&[("LENSLET_ADMIN_LISTEN", "127.0.0.1:8080")], "LENSLET_ADMIN_LISTEN", "takes already"),
    (&[("PORT", "eighty")], "PORT", "expected a port"),
    (&[("PORT", "70000")], "PORT", "expected a port"),
    (&[("LENSLET_BASE_PATH", "img")], "LENSLET_BASE_PATH", "/img"),
    (&[("LENSLET_BASE_PATH", "/a/../b")], "LENSLET_BASE_PATH", "cannot read"),
    (&[("LENSLET_BASE_PATH", "/a?b")], "LENSLET_BASE_PATH", "cannot read"),
    // Durations.
    (&[("LENSLET_REQUEST_TIMEOUT", "soon")], "LENSLET_REQUEST_TIMEOUT", "15s, 1500ms"),
    (&[("LENSLET_REQUEST_TIMEOUT", "-5")], "LENSLET_REQUEST_TIMEOUT", "cannot read"),
    (&[("LENSLET_REQUEST_TIMEOUT", "10 fortnights")], "LENSLET_REQUEST_TIMEOUT", "cannot read"),
    (&[("LENSLET_REQUEST_TIMEOUT", "0")], "LENSLET_REQUEST_TIMEOUT", "outside 1s to 10m"),
    (&[("LENSLET_REQUEST_TIMEOUT", "99999999h")], "LENSLET_REQUEST_TIMEOUT", "outside"),
    (&[("LENSLET_KEEP_ALIVE", "2h")], "LENSLET_KEEP_ALIVE", "outside 0s to 1h"),
    (&[("LENSLET_SOURCE_TTL", "forever")], "LENSLET_SOURCE_TTL", "immutable"),
    (&[("LENSLET_NEGATIVE_TTL", "1.2.3s")], "LENSLET_NEGATIVE_TTL", "cannot read"),
    (&[("LENSLET_DRAIN_DELAY", "NaN")], "LENSLET_DRAIN_DELAY", "cannot read"),
    (
        &[("LENSLET_FETCH_TIMEOUT", "10s")],
        "LENSLET_FETCH_TIMEOUT",
        "less than LENSLET_REQUEST_TIMEOUT, 10s",
    ),
    (
        &[("LENSLET_STORE_TIMEOUT", "1m")],
        "LENSLET_STORE_TIMEOUT",
        "less than LENSLET_REQUEST_TIMEOUT",
    ),
    // Sizes, pixels, counts.
    (
        &[("LENSLET_MAX_SOURCE_BYTES", "20 megs")],
        "LENSLET_MAX_SOURCE_BYTES",
        "cannot read \"20 megs\" (expected bytes: 20971520 or 20MiB)",
    ),
    (&[("LENSLET_MAX_SOURCE_BYTES", "-1")], "LENSLET_MAX_SOURCE_BYTES", "cannot read"),
    (&[("LENSLET_MAX_SOURCE_BYTES", "0")], "LENSLET_MAX_SOURCE_BYTES", "outside 1KiB to 4GiB"),
    (
        &[("LENSLET_MAX_SOURCE_BYTES", "99999999999999999999")],
        "LENSLET_MAX_SOURCE_BYTES",
        "cannot read",
    ),
    (
        &[("LENSLET_MAX_SOURCE_BYTES", "2GiB")],
        "LENSLET_MAX_SOURCE_BYTES",
        "less than LENSLET_MEMORY_LIMIT, here 1GiB",
    ),
    (&[("LENSLET_MAX_SOURCE_PIXELS", "50MB")], "LENSLET_MAX_SOURCE_PIXELS", "50MP"),
    (
        &[("LENSLET_MAX_SOURCE_PIXELS", "2000MP")],
        "LENSLET_MAX_SOURCE_PIXELS",
        "outside 1 to 1000MP",
    ),
    (&[("LENSLET_MAX_AVIF_PIXELS", "0x10")], "LENSLET_MAX_AVIF_PIXELS", "cannot read"),
    (&[("LENSLET_MAX_OUTPUT_SIDE", "0")], "LENSLET_MAX_OUTPUT_SIDE", "outside 1 to 65535"),
    (&[("LENSLET_MAX_OUTPUT_SIDE", "8192px")], "LENSLET_MAX_OUTPUT_SIDE", "a whole number"),
    (&[("LENSLET_MAX_FRAMES", "4294967296")], "LENSLET_MAX_FRAMES", "outside 1 to 10000"),
    (&[("LENSLET_MAX_FRAMES", "+5")], "LENSLET_MAX_FRAMES", "a whole number"),
    (&[("LENSLET_MAX_QUEUE", "1e3")], "LENSLET_MAX_QUEUE", "a whole number"),
    (&[("LENSLET_CPU_BUDGET", "two")], "LENSLET_CPU_BUDGET", "2, 0.5 or 500m"),
    (&[("LENSLET_CPU_BUDGET", "4096")], "LENSLET_CPU_BUDGET", "outside 1 to 1024"),
    (&[("LENSLET_MEMORY_LIMIT", "1MiB")], "LENSLET_MEMORY_LIMIT", "outside 32MiB"),
    (
        &[("LENSLET_MEMORY_CACHE", "1GiB")],
        "LENSLET_MEMORY_CACHE",
        "less than LENSLET_MEMORY_LIMIT, here 1GiB",
    ),
    (
        &[("LENSLET_MEMORY_LIMIT", "48MiB"), ("LENSLET_MEMORY_CACHE", "64MiB")],
        "LENSLET_MEMORY_CACHE",
        "less than LENSLET_MEMORY_LIMIT",
    ),
    // Words and lists.
    (&[("LENSLET_UNSIGNED", "yes")], "LENSLET_UNSIGNED", "one of: deny, sizes, presets, allow"),
    (&[("LENSLET_VARIANT_LAYOUT", "flat")], "LENSLET_VARIANT_LAYOUT", "one of: versioned, mirror"),
    (&[("LENSLET_ON_MISS", "301")], "LENSLET_ON_MISS", "one of: serve, redirect"),
    (&[("LENSLET_WRITE_BACK", "true")], "LENSLET_WRITE_BACK", "one of: async, sync, off"),
    (&[("LENSLET_LOG_FORMAT", "xml")], "LENSLET_LOG_FORMAT", "one of: auto, pretty, json"),
    (&[("RUST_LOG", "lenslet=loud")], "RUST_LOG", "a level or a filter"),
    (&[("LENSLET_ALLOWED_SIZES", "300")], "LENSLET_ALLOWED_SIZES", "300x200"),
    (&[("LENSLET_ALLOWED_SIZES", "0x0")], "LENSLET_ALLOWED_SIZES", "cannot read \"0x0\""),
    (
        &[("LENSLET_ALLOWED_SIZES", "9000x1")],
        "LENSLET_ALLOWED_SIZES",
        "LENSLET_MAX_OUTPUT_SIDE is 8192",
    ),
    (&[("LENSLET_IGNORED_PARAMS", "a,,b")], "LENSLET_IGNORED_PARAMS", "names of parameters"),
    (&[("LENSLET_UNKNOWN_PARAMS", "deny")], "LENSLET_UNKNOWN_PARAMS", "one of: error, ignore"),
    (&[("LENSLET_CACHE_CONTROL", "max-age=1h")], "LENSLET_CACHE_CONTROL", "max-age=3600"),
    (&[("LENSLET_CORS_ORIGIN", "shop.example")], "LENSLET_CORS_ORIGIN", "https://shop.example"),
    // Secrets: said to be wrong without being shown.
    (
        &[("LENSLET_KEYS", "hunter2hunter2hunter2hunter2hunter2")],
        "LENSLET_KEYS",
        "key 1 is not an even number of hex digits",
    ),
    (&[("LENSLET_KEYS", "c0ffee")], "LENSLET_KEYS", "at least 16"),
    (
        &[("LENSLET_KEYS_FILE", "/nowhere/at/all")],
        "LENSLET_KEYS_FILE",
        "cannot read \"/nowhere/at/all\"",
    ),
    (&[("LENSLET_KEYS_FILE", "/")], "LENSLET_KEYS_FILE", "cannot read"),
    (
        &[
            ("LENSLET_VARIANTS", "s3://abc"),
            ("LENSLET_VARIANTS_ACCESS_KEY_ID", "hunter2"),
            ("LENSLET_VARIANTS_SECRET_ACCESS_KEY_FILE", "/nowhere"),
        ],
        "LENSLET_VARIANTS_SECRET_ACCESS_KEY_FILE",
        "cannot read",
    ),
    // Stores.
    (&[("LENSLET_ORIGIN", "./photos")], "LENSLET_ORIGIN", "file:///folder"),
    (&[("LENSLET_ORIGIN", "s3://Bad_Bucket!")], "LENSLET_ORIGIN", "a bucket"),
    (&[("LENSLET_ORIGIN", "gs:///photos")], "LENSLET_ORIGIN", "gs://photos"),
    (&[("LENSLET_ORIGIN", "az://Photos")], "LENSLET_ORIGIN", "az://photos"),
    (
        &[("LENSLET_ORIGIN_DEFAULT_SOURCE_TTL", "soon")],
        "LENSLET_ORIGIN_DEFAULT_SOURCE_TTL",
        "immutable",
    ),
    (&[("LENSLET_ORIGIN_DEFAULT_KEYS", "hunter2")], "LENSLET_ORIGIN_DEFAULT_KEYS", "hex digits"),
    (
        &[("LENSLET_ORIGIN_DEFAULT_FETCH_TIMEOUT", "1m")],
        "LENSLET_ORIGIN_DEFAULT_FETCH_TIMEOUT",
        "less than LENSLET_REQUEST_TIMEOUT, 10s",
    ),
    (
        &[("LENSLET_ORIGIN_DEFAULT_MAX_SOURCE_BYTES", "2GiB")],
        "LENSLET_ORIGIN_DEFAULT_MAX_SOURCE_BYTES",
        "less than LENSLET_MEMORY_LIMIT, here 1GiB",
    ),
    (
        &[("LENSLET_ORIGIN_DEFAULT_MAX_SOURCE_PIXELS", "0")],
        "LENSLET_ORIGIN_DEFAULT_MAX_SOURCE_PIXELS",
        "outside 1 to 1000MP",
    ),
    (&[("LENSLET_VARIANTS", "https://example.com")], "LENSLET_VARIANTS", "can only be read"),
    (
        &[("LENSLET_ORIGIN", "http://example.com")],
        "LENSLET_ORIGIN_DEFAULT_ALLOW_HTTP",
        "has to be 1",
    ),
    (&[("LENSLET_ORIGIN", "s3://id:hunter2@photos")], "LENSLET_ORIGIN", "credentials"),
    (&[("LENSLET_VARIANTS", "/var/cache")], "LENSLET_VARIANTS", "file:///folder"),
    (&[("LENSLET_ORIGINS", "shop")], "LENSLET_ORIGINS", "name=url"),
    (&[("LENSLET_ORIGINS", "Shop=memory:///")], "LENSLET_ORIGINS", "\"Shop\""),
    (&[("LENSLET_ORIGINS", "a=memory:///,a=memory:///")], "LENSLET_ORIGINS", "twice"),
    (&[("LENSLET_ORIGIN_SHOP_REGION", "x")], "LENSLET_ORIGIN_SHOP_REGION", "names no origin"),
    (
        &[("LENSLET_ORIGINS", "a=memory:///"), ("LENSLET_ORIGIN_A_B_REGION", "x")],
        "LENSLET_ORIGIN_A_B_REGION",
        "names no origin",
    ),
    (&[("LENSLET_VARIANTS_REGION", "x")], "LENSLET_VARIANTS_REGION", "without LENSLET_VARIANTS"),
    (
        &[("LENSLET_ORIGIN_DEFAULT_REGION", "x")],
        "LENSLET_ORIGIN_DEFAULT_REGION",
        "only a store at s3://",
    ),
    (
        &[("LENSLET_ORIGIN_DEFAULT_FOLLOW_SYMLINKS", "1")],
        "LENSLET_ORIGIN_DEFAULT_FOLLOW_SYMLINKS",
        "only a store at file://",
    ),
    (
        &[("LENSLET_VARIANTS", "s3://abc"), ("LENSLET_VARIANTS_ACCESS_KEY_ID", "hunter2")],
        "LENSLET_VARIANTS_ACCESS_KEY_ID",
        "SECRET_ACCESS_KEY beside it",
    ),
    (
        &[("LENSLET_VARIANTS", "s3://abc"), ("LENSLET_VARIANTS_SESSION_TOKEN", "hunter2")],
        "LENSLET_VARIANTS_SESSION_TOKEN",
        "ACCESS_KEY_ID beside it",
    ),
    (
        &[("LENSLET_VARIANTS", "s3://abc"), ("LENSLET_VARIANTS_ENDPOINT", "http://minio")],
        "LENSLET_VARIANTS_ENDPOINT",
        "LENSLET_VARIANTS_ALLOW_HTTP=1",
    ),
    (
        &[("LENSLET_VARIANTS", "s3://abc"), ("LENSLET_VARIANTS_ALLOW_HTTP", "maybe")],
        "LENSLET_VARIANTS_ALLOW_HTTP",
        "a switch",
    ),
    (
        &[("LENSLET_VARIANTS", "s3://abc"), ("LENSLET_VARIANTS_REGION", "a b")],
        "LENSLET_VARIANTS_REGION",
        "a region",
    ),
    (
        &[("LENSLET_VARIANTS_PUBLIC_URL", "cdn.example")],
        "LENSLET_VARIANTS_PUBLIC_URL",
        "https://cdn.example",
    ),
    // Rules between settings.
    (&[("LENSLET_ORIGIN", "")], "LENSLET_ORIGIN", "no originals to serve"),
    (&[("LENSLET_UNSIGNED", "deny")], "LENSLET_KEYS", "lenslet keygen"),
    (&[("LENSLET_UNSIGNED", "sizes")], "LENSLET_UNSIGNED", "needs LENSLET_ALLOWED_SIZES"),
    (&[("LENSLET_UNSIGNED", "presets")], "LENSLET_UNSIGNED", "needs LENSLET_PRESETS_FILE"),
    (&[("LENSLET_PREGENERATE", "thumb")], "LENSLET_PREGENERATE", "there are no presets"),
    (
        &[("LENSLET_PRESETS_FILE", "/nowhere.toml")],
        "LENSLET_PRESETS_FILE",
        "cannot read /nowhere.toml",
    ),
    (
        &[("LENSLET_VARIANT_LAYOUT", "mirror"), ("LENSLET_VARIANTS", "memory:///")],
        "LENSLET_VARIANT_LAYOUT",
        "needs LENSLET_ALLOWED_SIZES",
    ),
    (
        &[("LENSLET_VARIANT_LAYOUT", "mirror"), ("LENSLET_ALLOWED_SIZES", "1x1")],
        "LENSLET_VARIANT_LAYOUT",
        "needs LENSLET_VARIANTS",
    ),
    (&[("LENSLET_ON_MISS", "redirect")], "LENSLET_ON_MISS", "needs LENSLET_VARIANT_LAYOUT=mirror"),
    (
        &[
            ("LENSLET_ON_MISS", "redirect"),
            ("LENSLET_VARIANT_LAYOUT", "mirror"),
            ("LENSLET_VARIANTS", "memory:///"),
            ("LENSLET_ALLOWED_SIZES", "1x1"),
        ],
        "LENSLET_ON_MISS",
        "needs LENSLET_VARIANTS_PUBLIC_URL",
    ),
    (
        &[
            ("LENSLET_ON_MISS", "redirect"),
            ("LENSLET_VARIANT_LAYOUT", "mirror"),
            ("LENSLET_VARIANTS", "memory:///"),
            ("LENSLET_VARIANTS_PUBLIC_URL", "https://cdn.example"),
            ("LENSLET_ALLOWED_SIZES", "1x1"),
            ("LENSLET_WRITE_BACK", "off"),
        ],
        "LENSLET_ON_MISS",
        "LENSLET_WRITE_BACK=sync",
    ),
    // Events.
    (&[("LENSLET_EVENTS", "on")], "LENSLET_EVENTS", "one of: off, admin, public"),
    (&[("LENSLET_EVENTS", "admin")], "LENSLET_EVENTS", "needs LENSLET_EVENTS_TOKEN"),
    (&[("LENSLET_EVENTS_TOKEN", "hunter2")], "LENSLET_EVENTS_TOKEN", "at least 16 are"),
    (&[("LENSLET_EVENTS_TOPICS", "uploads")], "LENSLET_EVENTS_TOPICS", "arn:aws:sns:"),
    (&[("LENSLET_EVENTS_QUEUE", "0")], "LENSLET_EVENTS_QUEUE", "outside 1 to 1000000"),
    (&[("LENSLET_EVENTS_LEASE", "0s")], "LENSLET_EVENTS_LEASE", "outside 1s to 1h"),
    (&[("LENSLET_EVENTS_WEBHOOK", "hunter2")], "LENSLET_EVENTS_WEBHOOK", "http or https URL"),
    (
        &[("LENSLET_EVENTS_WEBHOOK_TOKEN", "hunter2-hunter2-hunter2")],
        "LENSLET_EVENTS_WEBHOOK_TOKEN",
        "no effect without LENSLET_EVENTS_WEBHOOK",
    ),
    // Not built yet.
    (&[("LENSLET_PEERS", "lenslet-headless:8081")], "LENSLET_PEERS", "needs LENSLET_ADMIN_TOKEN"),
    (
        &[("LENSLET_PEERS", "lenslet-headless"), ("LENSLET_ADMIN_TOKEN", "0123456789abcdef")],
        "LENSLET_PEERS",
        "host:port",
    ),
    (
        &[("LENSLET_CDN_WEBHOOK_TOKEN", "0123456789abcdef")],
        "LENSLET_CDN_WEBHOOK_TOKEN",
        "without LENSLET_CDN_WEBHOOK",
    ),
    (&[("LENSLET_CDN_WEBHOOK", "cdn.example")], "LENSLET_CDN_WEBHOOK", "an http or https URL"),
    (&[("LENSLET_ADMIN_TOKEN", "hunter2")], "LENSLET_ADMIN_TOKEN", "at least 16"),
    (&[("LENSLET_PLAYGROUND", "on")], "LENSLET_PLAYGROUND", "or set it to off"),
    (&[("LENSLET_ISOLATION", "process")], "LENSLET_ISOLATION", "not supported"),
    (&[("LENSLET_DECODED_CACHE", "64 potatoes")], "LENSLET_DECODED_CACHE", "64 potatoes"),
    (&[("LENSLET_SOURCE_CACHE", "half")], "LENSLET_SOURCE_CACHE", "half"),
    (&[("LENSLET_META", "keep")], "LENSLET_META", "or set it to strip"),
    (&[("LENSLET_MOUNTS", "native:/,imgproxy:/p")], "LENSLET_MOUNTS", "not supported"),
];

fn environment(case: &[(&str, &str)]) -> Env {
    let good = GOOD.iter().filter(|(name, _)| !case.iter().any(|(set, _)| set == name));
    Env::gather(good.chain(case).map(|(name, value)| (name.into(), value.into())), None)
}

#[test]
fn the_environment_they_start_from_is_good() {
    assert!(Settings::read(&environment(&[]), &MACHINE, Purpose::Serve).is_ok());
}

#[test]
fn each_bad_environment_is_refused_with_one_line_that_names_the_variable() {
    assert!(CASES.len() >= 60);
    for (case, name, words) in CASES {
        let Err(faults) = Settings::read(&environment(case), &MACHINE, Purpose::Serve) else {
            panic!("{case:?} is accepted");
        };
        let text = faults.to_string();
        let line = text.lines().find(|line| line.starts_with(&format!("{name}: ")));
        assert!(line.is_some_and(|line| line.contains(words)), "{case:?} gives\n{text}");
        assert_eq!(text.lines().count(), 1, "{case:?} gives\n{text}");
        for secret in ["hunter2", "c0ffee"] {
            assert!(!text.contains(secret), "{text}");
        }
    }
}

#[test]
fn all_of_them_together_are_reported_together() {
    let mut together: Vec<(&str, &str)> = Vec::new();
    for (case, _, _) in CASES {
        for (name, value) in *case {
            if !value.is_empty() && !together.iter().any(|(known, _)| known == name) {
                together.push((name, value));
            }
        }
    }
    let env = environment(&together);
    let text = Settings::read(&env, &MACHINE, Purpose::Serve).unwrap_err().to_string();
    assert!(text.lines().count() >= 45, "{text}");
    let names: Vec<_> = text.lines().filter_map(|line| line.split(':').next()).collect();
    for name in
        ["LENSLET_BOGUS", "LENSLET_LISTEN", "LENSLET_MAX_QUEUE", "LENSLET_ISOLATION", "RUST_LOG"]
    {
        assert!(names.contains(&name), "{name} in {text}");
    }
}
