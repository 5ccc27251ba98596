//! Every form of a log line against hostile fields.

use super::*;
use crate::telemetry::logs::REQUEST_TARGET;
use crate::telemetry::logs::tests::Kept;
use std::collections::BTreeMap;
use tracing_subscriber::Registry;
use tracing_subscriber::fmt::FormatEvent;
use tracing_subscriber::fmt::format::DefaultFields;
use tracing_subscriber::layer::SubscriberExt as _;

fn said<E>(format: E, say: impl FnOnce()) -> String
where
    E: FormatEvent<Registry, DefaultFields> + Send + Sync + 'static,
{
    let kept = Kept::default();
    let layer = tracing_subscriber::fmt::layer().with_writer(kept.writer()).event_format(format);
    let subscriber = tracing_subscriber::registry().with(layer);
    tracing::subscriber::with_default(subscriber, say);
    kept.text()
}

const HOSTILE: &str = "a\n\u{1b}[2J\u{9b}2J\u{202e}\"\\ü = x\tlevel=fake";

fn hostile() {
    let text = HOSTILE;
    tracing::warn!(text, ts = 1, nan = f64::NAN, on = true, n = -3, debug = ?Some("x"), empty = "", "msg {}", "\u{7}");
}

fn request() {
    tracing::info!(
        target: REQUEST_TARGET,
        request_id = "r1", method = "GET", path = "/cat.jpg?w=1", status = 200,
        duration_ms = 1.5, bytes_out = 12, cache = "memory", trace_id = "0af7651916cd43dd8448eb211c80319c",
        span_id = "b7ad6b7169203331", trace_sampled = true, "request"
    );
}

/// A line of pairs taken apart again, by the rules of logfmt.
pub(in crate::telemetry) fn pairs(line: &str) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let mut rest = line.trim_end_matches('\n');
    while !rest.is_empty() {
        let (key, behind) = rest.split_once('=').unwrap();
        let (value, behind) = if behind.starts_with('"') {
            let mut texts = serde_json::Deserializer::from_str(behind).into_iter::<String>();
            let text = texts.next().unwrap().unwrap();
            (text, behind.get(texts.byte_offset()..).unwrap())
        } else {
            let end = behind.find(' ').unwrap_or(behind.len());
            (behind.get(..end).unwrap().to_owned(), behind.get(end..).unwrap())
        };
        assert!(found.insert(key.to_owned(), value).is_none(), "{key} twice in {line}");
        assert!(behind.is_empty() || behind.starts_with(' '), "{line}");
        rest = behind.trim_start_matches(' ');
    }
    found
}

fn one_harmless_line(line: &str) {
    assert_eq!(line.matches('\n').count(), 1, "{line:?}");
    assert!(!line.trim_end_matches('\n').chars().any(acts), "{line:?}");
}

#[test]
fn json_is_one_valid_object_whatever_the_fields_hold() {
    let line = said(Json, hostile);
    one_harmless_line(&line);
    let object: serde_json::Value = serde_json::from_str(&line).unwrap();
    assert_eq!(object["text"], HOSTILE);
    assert_eq!(object["msg"], "msg \u{7}");
    assert_eq!(object["level"], "warn");
    assert_eq!(object["field_ts"], 1);
    assert_eq!(object["nan"], "NaN");
    assert_eq!((&object["on"], &object["n"]), (&true.into(), &(-3).into()));
    assert_eq!(object["debug"], "Some(\"x\")");
    assert!(object["ts"].as_str().unwrap().ends_with('Z'));
    assert!(object["target"].as_str().unwrap().starts_with("lenslet::telemetry"));
}

#[test]
fn the_order_of_json_fields_is_stable() {
    let line = said(Json, || tracing::info!(target: REQUEST_TARGET, b = 1, a = 2, "m"));
    let (_, rest) = line.split_once("\",\"level\"").unwrap();
    assert_eq!(rest, ":\"info\",\"msg\":\"m\",\"b\":1,\"a\":2}\n");
}

#[test]
fn pairs_can_be_taken_apart_again_whatever_the_fields_hold() {
    let line = said(Logfmt, hostile);
    one_harmless_line(&line);
    let found = pairs(&line);
    assert_eq!(found["text"], HOSTILE);
    assert_eq!((found["level"].as_str(), found["msg"].as_str()), ("warn", "msg \u{7}"));
    assert_eq!((found["field_ts"].as_str(), found["empty"].as_str()), ("1", ""));
    let line = said(Logfmt, request);
    let (_, rest) = line.split_once("Z ").unwrap();
    let expected =
        "level=info msg=request request_id=r1 method=GET path=\"/cat.jpg?w=1\" status=200 ";
    assert!(rest.starts_with(expected), "{rest}");
}

#[test]
fn google_finds_severity_request_and_trace_under_its_own_names() {
    let line = said(Gcp { project: Some("shop-1".to_owned()) }, request);
    one_harmless_line(&line);
    let object: serde_json::Value = serde_json::from_str(&line).unwrap();
    assert_eq!(object["severity"], "INFO");
    assert_eq!(object["message"], "GET /cat.jpg?w=1 200");
    let http = serde_json::json!({
        "requestMethod": "GET", "requestUrl": "/cat.jpg?w=1", "status": 200,
        "responseSize": "12", "latency": "0.001500s",
    });
    assert_eq!(object["httpRequest"], http);
    let trace = "projects/shop-1/traces/0af7651916cd43dd8448eb211c80319c";
    assert_eq!(object["logging.googleapis.com/trace"], trace);
    assert_eq!(object["logging.googleapis.com/spanId"], "b7ad6b7169203331");
    assert_eq!(object["logging.googleapis.com/trace_sampled"], true);
    assert_eq!((&object["request_id"], &object["cache"]), (&"r1".into(), &"memory".into()));
    for gone in ["method", "path", "status", "trace_id", "span_id", "duration_ms"] {
        assert!(object.get(gone).is_none(), "{gone}");
    }
    let line = said(Gcp { project: None }, request);
    let object: serde_json::Value = serde_json::from_str(&line).unwrap();
    assert_eq!(object["logging.googleapis.com/trace"], "0af7651916cd43dd8448eb211c80319c");
    let line = said(Gcp { project: None }, hostile);
    one_harmless_line(&line);
    let object: serde_json::Value = serde_json::from_str(&line).unwrap();
    assert_eq!((&object["severity"], &object["text"]), (&"WARNING".into(), &HOSTILE.into()));
}

#[test]
fn pretty_is_one_line_that_no_field_can_colour_or_break() {
    let line = said(Pretty { color: false }, hostile);
    one_harmless_line(&line);
    assert!(line.contains(" WARN msg \\u{7}"), "{line}");
    assert!(said(Pretty { color: true }, hostile).contains("\u{1b}[33m"));
}

#[test]
fn a_pretty_request_begins_with_what_people_look_for() {
    let line = said(Pretty { color: false }, request);
    let (_, rest) = line.split_once("INFO ").unwrap();
    let expected = "request GET /cat.jpg?w=1 200 1.5ms memory request_id=r1 bytes_out=12 ";
    assert!(rest.starts_with(expected), "{rest}");
}

#[test]
fn numbers_are_spelt_as_rust_spells_them() {
    let spelt = |number: f64| {
        let line = said(Json, || tracing::info!(target: REQUEST_TARGET, number, "m"));
        let (_, rest) = line.split_once("\"number\":").unwrap();
        rest.strip_suffix("}\n").unwrap().to_owned()
    };
    let thousandths = (0..20_000_u32).map(|n| f64::from(n * 7) / 1_000.0);
    let odd = [
        1e-9,
        0.0005,
        0.1 + 0.2,
        -0.5,
        -0.0,
        1e300,
        999_999_999.999,
        1e9,
        1e12,
        1.0 / 3.0,
        f64::MAX,
    ];
    for number in thousandths.chain(odd) {
        assert_eq!(spelt(number), format!("{number:?}"));
    }
}
