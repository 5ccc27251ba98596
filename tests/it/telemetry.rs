//! What the running service says of itself: the names that dashboards, alerts and documents are
//! built on, the two texts of a scrape, exemplars, and what is counted of refusals and stores.

use crate::app::{TestApp, jpeg};
use crate::house::sources::{files, root};
use std::collections::BTreeSet;
use std::fs;

fn with_cat(vars: &[(&str, &str)]) -> TestApp {
    let app = TestApp::start(vars);
    app.put("cat.jpg", &jpeg(320, 240, 1));
    app
}

const OPEN_METRICS: &str = "application/openmetrics-text;version=1.0.0,text/plain;q=0.5";

/// Names of metrics in a text. What a rule records under `job:…` is no metric of ours.
fn named(text: &str) -> BTreeSet<&str> {
    let part = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    let mut names = BTreeSet::new();
    for prefix in ["lenslet_", "process_"] {
        for (at, _) in text.match_indices(prefix) {
            let before = text[..at].chars().next_back();
            if before.is_some_and(|c| c == ':' || c == '_' || c == '/' || c.is_ascii_alphanumeric())
            {
                continue;
            }
            let rest = &text[at..];
            names.insert(&rest[..rest.find(|c| !part(c)).unwrap_or(rest.len())]);
        }
    }
    names
}

/// Names of the samples of a page.
fn scraped(page: &str) -> BTreeSet<&str> {
    let samples = page.lines().filter(|line| !line.starts_with('#'));
    samples.filter_map(|line| line.split(['{', ' ']).next()).collect()
}

#[test]
fn every_metric_that_a_dashboard_an_alert_or_a_document_names_exists() {
    let token = "0123456789abcdef0123";
    let app = with_cat(&[("EVENTS", "admin"), ("EVENTS_TOKEN", token), ("ADMIN_TOKEN", token)]);
    app.get("/cat.jpg?w=100").expect(200);
    app.get("/cat.jpg?w=100").expect(200);
    app.get("/none.jpg?w=100").expect(404);
    app.order("/events").expect(401);
    let page = app.admin("/metrics").expect(200).text();
    let known = scraped(&page);
    let mut read = files(&["config", "k8s"], &[".json", ".yaml", ".yml", ".md"]);
    read.retain(|file| file.path != "config/alerts.test.yaml");
    let readme = fs::read_to_string(root().join("README.md")).unwrap();
    let texts = read.iter().map(|file| (file.path.as_str(), file.text.as_str()));
    let (mut named_at_all, mut offenders) = (0, Vec::new());
    for (path, text) in texts.chain([("README.md", readme.as_str())]) {
        for name in named(text) {
            named_at_all += 1;
            // A histogram stands in prose without the endings of its samples.
            let exists = known.contains(name)
                || known.contains(format!("{name}_count").as_str())
                // A process of its own has these: `lenslet warm`.
                || name.starts_with("lenslet_warm_");
            if !exists {
                offenders.push(format!("{path}: {name}"));
            }
        }
    }
    assert!(named_at_all > 60, "only {named_at_all} names were found");
    assert!(offenders.is_empty(), "not in a scrape:\n{}", offenders.join("\n"));
}

#[test]
fn a_label_never_holds_what_a_client_sent() {
    let app = with_cat(&[]);
    for target in ["/secret-key-4711.jpg?w=10", "/cat.jpg?w=secret-key-4711", "/_/secret-key-4711"]
    {
        app.get(target);
    }
    app.get_with("/cat.jpg?w=10", &[("User-Agent", "secret-key-4711")]);
    let page = app.admin_with("/metrics", &[("Accept", OPEN_METRICS)]).expect(200).text();
    assert!(!page.contains("secret-key-4711"), "{page}");
}

#[test]
fn a_scrape_is_the_older_text_unless_open_metrics_is_asked_for() {
    let app = with_cat(&[]);
    app.get("/cat.jpg?w=10").expect(200);
    let old = app.admin("/metrics").expect(200);
    assert_eq!(old.header("content-type"), Some("text/plain; version=0.0.4; charset=utf-8"));
    let old = old.text();
    assert!(old.contains("# TYPE lenslet_http_requests_total counter\n"), "{old}");
    assert!(!old.contains("# EOF") && !old.contains("# UNIT"), "{old}");
    let new = app.admin_with("/metrics", &[("Accept", OPEN_METRICS)]).expect(200);
    assert!(new.header("content-type").unwrap().starts_with("application/openmetrics-text"));
    let new = new.text();
    assert!(new.contains("# TYPE lenslet_http_requests counter\n"), "{new}");
    assert!(new.ends_with("# EOF\n"));
    assert_eq!(scraped(&old), scraped(&new));
}

#[test]
fn a_callers_recorded_trace_becomes_an_exemplar_and_another_one_does_not() {
    let app = with_cat(&[]);
    let trace = |id: &str, flags: &str| {
        let header = format!("00-{id}-b7ad6b7169203331-{flags}");
        app.get_with("/cat.jpg?w=11", &[("traceparent", &header)]).expect(200);
    };
    let (recorded, not) = ("0af7651916cd43dd8448eb211c80319c", "1af7651916cd43dd8448eb211c80319c");
    trace(recorded, "01");
    trace(not, "00");
    let page = app.admin_with("/metrics", &[("Accept", OPEN_METRICS)]).expect(200).text();
    let exemplar = format!("# {{trace_id=\"{recorded}\"}} ");
    for histogram in
        ["lenslet_http_request_duration_seconds_bucket", "lenslet_stage_duration_seconds_bucket"]
    {
        let found =
            page.lines().any(|line| line.starts_with(histogram) && line.contains(&exemplar));
        assert!(found, "{histogram} in {page}");
    }
    assert!(!page.contains(not), "{page}");
}

#[test]
fn refusals_are_counted_by_reason() {
    let key = "00112233445566778899aabbccddeeff";
    let app = with_cat(&[("KEYS", key), ("UNSIGNED", "deny"), ("ADMIN_TOKEN", key)]);
    app.order("/purge").expect(401);
    app.get("/cat.jpg?w=10").expect(403);
    app.get("/cat.jpg?w=10&s=AAAA").expect(403);
    app.get("/10x10/cat.jpg").expect(403);
    let page = app.admin("/metrics").expect(200).text();
    for reason in ["signature_missing", "signature_invalid", "policy", "admin_token"] {
        let line = format!("lenslet_auth_failures_total{{reason=\"{reason}\"}} 1\n");
        assert!(page.contains(&line), "{line} is not in {page}");
    }
}

#[test]
fn what_is_asked_of_stores_is_counted_by_store_and_end() {
    let app = with_cat(&[]);
    app.get("/cat.jpg?w=10").expect(200).cached_as("rendered");
    let page = app.admin("/metrics").expect(200).text();
    for (store, op, outcome, times) in [
        ("origin", "head", "ok", 1),
        ("origin", "get", "ok", 1),
        ("variants", "get", "not_found", 1),
        // The variant and the record of its original.
        ("variants", "put", "ok", 2),
    ] {
        let labels = format!("store=\"{store}\",op=\"{op}\",outcome=\"{outcome}\"");
        let line = format!("lenslet_store_requests_total{{{labels}}} {times}\n");
        assert!(page.contains(&line), "{line} is not in {page}");
    }
    assert_eq!(app.metric("lenslet_cache_requests_total"), 2.0);
    // The rest is at rest: nothing under way, nothing waiting.
    assert_eq!(app.metric("lenslet_transform_utilization_ratio"), 0.0);
}

#[test]
fn the_dashboard_can_be_imported_anywhere() {
    let text = fs::read_to_string(root().join("config/grafana-dashboard.json")).unwrap();
    let board: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!((&board["uid"], &board["id"]), (&"lenslet".into(), &serde_json::Value::Null));
    let (mut ids, mut taken) = (BTreeSet::new(), BTreeSet::new());
    let panels = board["panels"].as_array().unwrap();
    assert!(panels.len() > 30, "{}", panels.len());
    for panel in panels {
        let title = &panel["title"];
        assert!(ids.insert(panel["id"].as_u64().unwrap()), "{title} has another one's id");
        let [x, y, w, h] =
            ["x", "y", "w", "h"].map(|side| panel["gridPos"][side].as_u64().unwrap());
        assert!(x + w <= 24, "{title} stands out");
        for place in (x..x + w).flat_map(|x| (y..y + h).map(move |y| (x, y))) {
            assert!(taken.insert(place), "{title} lies on another one");
        }
        if panel["type"] != "row" {
            assert_eq!(panel["datasource"]["uid"], "${datasource}", "{title}");
            for target in panel["targets"].as_array().unwrap() {
                let chosen = target["expr"].as_str().unwrap().contains("job=~\"$job\"");
                assert!(chosen, "{title} does not follow the chosen job");
            }
        }
    }
}

#[test]
fn every_alert_says_what_to_do_and_is_proved() {
    let alerts = fs::read_to_string(root().join("config/alerts.yaml")).unwrap();
    let proofs = fs::read_to_string(root().join("config/alerts.test.yaml")).unwrap();
    let rules: Vec<&str> = alerts.split("      - alert: ").skip(1).collect();
    assert!(rules.len() > 15, "{}", rules.len());
    for rule in rules {
        let name = rule.lines().next().unwrap();
        for part in ["expr: ", "severity: ", "summary: ", "description: "] {
            assert!(rule.contains(part), "{name} has no {part}");
        }
        assert!(proofs.contains(&format!("alertname=\"{name}\"")), "{name} is proved by nothing");
    }
}
