//! Tests of store URLs and their settings.

use super::*;
use object_store::ObjectStoreExt;
use std::time::Instant;

fn timeouts() -> StoreTimeouts {
    StoreTimeouts::within(Duration::from_secs(4))
}

fn pairs(list: &[(&str, &str)]) -> Vec<(String, String)> {
    list.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
}

fn complaint(url: &str) -> String {
    open(url, &[], timeouts(), Role::Originals).unwrap_err().to_string()
}

#[test]
fn retries_fit_the_budget_and_are_not_the_defaults() {
    let retry = timeouts().retry();
    assert_eq!(retry.max_retries, 2);
    assert_eq!(retry.backoff.init_backoff, Duration::from_millis(50));
    assert!(retry.retry_timeout < timeouts().total);
    assert_eq!(timeouts().connect, Duration::from_secs(2));
    assert_eq!(
        StoreTimeouts::within(Duration::from_millis(300)).connect,
        Duration::from_millis(300)
    );
}

#[test]
fn a_url_that_is_no_store_is_refused_with_the_forms_that_are() {
    for url in [
        "photos",
        "/photos",
        "ftp://host/x",
        "file://photos",
        "s3:///x",
        "memory://x",
        "s3://b/a?x=1",
    ] {
        let text = complaint(url);
        assert!(text.contains("file:///folder"), "{url}: {text}");
    }
}

#[test]
fn a_web_server_is_read_over_tls_at_a_public_address_unless_told_otherwise() {
    let text = complaint("http://example.com/base");
    assert!(text.contains("ALLOW_HTTP") && !text.contains("or ="), "{text}");
    let opened = |url: &str, options: &[(&str, &str)], role| {
        open(url, &pairs(options), timeouts(), role).map(|store| store.store.to_string())
    };
    let read = Role::Originals;
    assert_eq!(
        opened("https://example.com:8443/a%20b/", &[], read).unwrap(),
        "https://example.com:8443/a%20b"
    );
    assert!(opened("http://example.com/base", &[("allow_http", "1")], read).is_ok());
    for host in ["127.0.0.1", "127.1", "0x7f000001", "2130706433", "[::1]", "[::ffff:10.0.0.1]"] {
        let url = format!("https://{host}/base");
        let refused = opened(&url, &[], read);
        assert!(matches!(refused, Err(StoreUrlError::PrivateAddress { .. })), "{url}");
        assert!(opened(&url, &[("allow_private", "true")], read).is_ok(), "{url}");
    }
    assert!(matches!(
        opened("https://example.com", &[], Role::Variants),
        Err(StoreUrlError::ReadOnly { .. })
    ));
    assert!(complaint("https://").contains("host is missing"));
}

#[test]
fn a_password_in_a_url_is_refused_and_not_repeated() {
    let text = complaint("s3://AKIA:hunter2@bucket/x");
    assert!(!text.contains("hunter2") && !text.contains("AKIA"), "{text}");
    assert!(text.contains("s3://bucket/x"), "{text}");
    assert_eq!(redact("s3://a:b@bucket/x?token=1#y"), "s3://bucket/x");
}

#[test]
fn a_missing_folder_of_originals_is_an_error_and_one_of_variants_is_made() {
    let scratch = tempfile::tempdir().unwrap();
    let folder = scratch.path().join("a b");
    let url = format!("file://{}", folder.display()).replace(' ', "%20");
    let missing = open(&url, &[], timeouts(), Role::Originals).unwrap_err();
    assert!(missing.to_string().contains("cannot be read"), "{missing}");
    let opened = open(&url, &[], timeouts(), Role::Variants).unwrap();
    assert!(folder.is_dir() && std::fs::read_dir(&folder).unwrap().next().is_none());
    assert!(!opened.kind.has_metadata());
}

#[test]
fn a_folder_that_is_a_file_cannot_hold_variants() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let url = format!("file://{}", file.path().display());
    let error = open(&url, &[], timeouts(), Role::Variants).unwrap_err();
    assert!(matches!(error, StoreUrlError::Folder { .. }), "{error}");
}

#[test]
fn options_that_do_not_exist_are_named() {
    let opened =
        open("s3://bucket", &pairs(&[("aws_acess_key_id", "x")]), timeouts(), Role::Originals);
    assert!(opened.unwrap_err().to_string().contains("aws_acess_key_id"));
    let opened = open("memory:///", &pairs(&[("region", "x")]), timeouts(), Role::Originals);
    assert!(matches!(opened, Err(StoreUrlError::UnknownOption { .. })));
}

#[test]
fn a_plain_endpoint_must_be_allowed() {
    let mut options = pairs(&[
        ("aws_endpoint", "http://127.0.0.1:1"),
        ("aws_access_key_id", "k"),
        ("aws_secret_access_key", "s"),
        ("aws_allow_http", "false"),
    ]);
    let refused = open("s3://bucket", &options, timeouts(), Role::Originals);
    assert!(matches!(refused, Err(StoreUrlError::PlainHttp { .. })));
    options.push(("aws_allow_http".to_owned(), "yes".to_owned()));
    let opened = open("s3://bucket/some/prefix/", &options, timeouts(), Role::Originals).unwrap();
    assert!(opened.kind.has_metadata());
    assert_eq!(opened.display, "s3://bucket/some/prefix/");
}

#[test]
fn opening_an_s3_store_costs_next_to_nothing() {
    let options = pairs(&[("aws_access_key_id", "k"), ("aws_secret_access_key", "s")]);
    let start = Instant::now();
    for _ in 0..10 {
        open("s3://bucket", &options, timeouts(), Role::Variants).unwrap();
    }
    // One client with the system's certificates takes longer than these ten.
    assert!(start.elapsed() < Duration::from_millis(50), "{:?}", start.elapsed());
}

#[tokio::test]
async fn a_prefix_is_applied_by_whole_segments() {
    let inner = InMemory::new();
    inner.put(&Path::from("a/x"), "inside".into()).await.unwrap();
    inner.put(&Path::from("ab/x"), "outside".into()).await.unwrap();
    let store = prefixed(inner, &Path::from("a"));
    let body = store.get(&Path::from("x")).await.unwrap().bytes().await.unwrap();
    assert_eq!(body, "inside");
    let listed: Vec<_> = futures_util::StreamExt::collect(store.list(None)).await;
    assert_eq!(listed.len(), 1);
}

#[tokio::test]
async fn memory_stores_are_opened_empty() {
    let opened = open("memory:///", &[], timeouts(), Role::Originals).unwrap();
    assert!(opened.store.head(&Path::from("x")).await.is_err());
}
