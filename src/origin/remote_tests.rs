//! Web origins that are not what they should be: each a real socket that says what it is told to.

use super::*;
use crate::model::key::{OriginName, SourceId, SourceKey};
use crate::model::units::ByteSize;
use crate::origin::store::{OpenStore, StoreKind};
use crate::origin::{
    FetchPolicy, OriginError, OriginSpec, Original, Origins, OwnBounds, SourceTtl,
};
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Instant as Clock;
use tokio::runtime::Handle;

/// What a server writes once it has read a request head; waits stand between the pieces.
type Script = Arc<dyn Fn(&str) -> Vec<(Duration, Vec<u8>)> + Send + Sync>;

/// A server of one connection per request, and what it was asked.
struct Hostile {
    address: SocketAddr,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Hostile {
    fn new(script: impl Fn(&str) -> Vec<(Duration, Vec<u8>)> + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (script, asked): (Script, _) = (Arc::new(script), Arc::new(Mutex::new(Vec::new())));
        let heads = Arc::clone(&asked);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (script, heads) = (Arc::clone(&script), Arc::clone(&heads));
                std::thread::spawn(move || serve(stream, &script, &heads));
            }
        });
        Self { address, asked }
    }

    /// Answers HEAD and GET with the same head; the body follows the GET alone.
    fn plain(head: &'static str, body: &'static [u8]) -> Self {
        Self::new(move |asked| {
            let body = if asked.starts_with("HEAD") { &[][..] } else { body };
            vec![(Duration::ZERO, [head.as_bytes(), b"\r\n\r\n", body].concat())]
        })
    }

    fn origins(&self, timeout: Duration) -> Origins {
        let reach = Reach { plain_http: true, private: true };
        let store = RemoteOrigin::new(
            "http",
            &self.address.to_string(),
            "base dir",
            reach,
            StoreTimeouts::within(timeout),
        )
        .unwrap();
        let store =
            OpenStore { store: Arc::new(store), kind: StoreKind::Web, display: String::new() };
        let policy = FetchPolicy {
            source_ttl: SourceTtl::For(Duration::from_mins(1)),
            negative_ttl: Duration::from_secs(10),
            fetch_timeout: timeout,
            max_source_bytes: ByteSize::new(1_000),
            max_fetches: 4,
            source_memory: ByteSize::new(1 << 20),
            kept_sources: ByteSize::new(0),
        };
        let name = OriginName::default_origin();
        let own = OwnBounds::default();
        Origins::new(vec![OriginSpec { name, store, own }], policy, Handle::current())
    }

    async fn read(&self) -> Result<Original, OriginError> {
        read(&self.origins(Duration::from_secs(3)), "cat.jpg").await
    }

    async fn complaint(&self) -> String {
        match self.read().await.unwrap_err() {
            OriginError::Unusable(text) => text,
            other => panic!("{other:?}"),
        }
    }

    fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }

    /// The request lines, without the version behind them.
    fn lines(&self) -> Vec<String> {
        let asked = self.asked();
        let lines = asked.iter().filter_map(|head| head.lines().next()?.rsplit_once(' '));
        lines.map(|(line, _)| line.to_owned()).collect()
    }
}

fn serve(mut stream: TcpStream, script: &Script, heads: &Mutex<Vec<String>>) {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        if stream.read(&mut byte).unwrap_or(0) == 0 {
            return;
        }
        head.push(byte[0]);
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    heads.lock().unwrap().push(head.clone());
    for (wait, piece) in script(&head) {
        std::thread::sleep(wait);
        if stream.write_all(&piece).is_err() {
            return;
        }
    }
}

async fn read(origins: &Origins, key: &str) -> Result<Original, OriginError> {
    let id = SourceId { origin: OriginName::default_origin(), key: SourceKey::new(key).unwrap() };
    let deadline = Clock::now() + Duration::from_secs(10);
    let version = origins.version(&id, None, deadline).await?;
    origins.fetch(&id, &version.meta, deadline).await
}

const GOOD: &str = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nETag: \"one\"\r\nConnection: close";

#[tokio::test]
async fn an_original_costs_one_head_and_one_pinned_get_and_its_key_is_encoded_once() {
    let server = Hostile::plain(GOOD, b"a cat");
    let origins = server.origins(Duration::from_secs(3));
    let original = read(&origins, "ä b/100%+&?#[1]~%2e.jpg").await.unwrap();
    assert_eq!(original.body, &b"a cat"[..]);
    assert_eq!(original.meta.etag.as_deref(), Some("\"one\""));
    let path = "/base%20dir/%C3%A4%20b/100%25%2B%26%3F%23%5B1%5D~%252e.jpg";
    assert_eq!(server.lines(), [format!("HEAD {path}"), format!("GET {path}")]);
    let asked = server.asked().concat().to_ascii_lowercase();
    assert_eq!(asked.matches("accept-encoding: identity").count(), 2);
    assert!(asked.contains("if-match: \"one\"") && !asked.contains("authorization"), "{asked}");
}

#[tokio::test]
async fn a_version_without_etag_is_that_of_its_time_and_size() {
    let dated = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\
                 Last-Modified: Sun, 06 Nov 1994 08:49:37 GMT\r\nConnection: close";
    let server = Hostile::plain(dated, b"a cat");
    let original = server.read().await.unwrap();
    assert_eq!(original.meta.modified, Some(784_111_777));
    let nameless = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nETag: one\r\nConnection: close";
    let original = Hostile::plain(nameless, b"a cat").read().await.unwrap();
    assert_eq!(original.meta.version, crate::model::key::SourceVersion::from_body(b"a cat"));
}

#[tokio::test]
async fn a_redirect_is_not_followed_and_said_to_be_one() {
    let canary = Hostile::plain(GOOD, b"a cat");
    let address = canary.address;
    for status in [300, 301, 302, 303, 304, 307, 308] {
        let server = Hostile::new(move |_| {
            let head = format!(
                "HTTP/1.1 {status} Elsewhere\r\nLocation: http://{address}/x\r\n\
                 Content-Length: 0\r\nConnection: close\r\n\r\n"
            );
            vec![(Duration::ZERO, head.into_bytes())]
        });
        let text = server.complaint().await;
        assert!(text.contains(&format!("redirect {status}")), "{text}");
    }
    assert_eq!(canary.asked(), [""; 0], "nobody went there");
}

#[tokio::test]
async fn an_answer_without_its_length_is_refused_in_a_sentence() {
    for head in [
        "HTTP/1.1 200 OK\r\nETag: \"one\"\r\nConnection: close",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: close",
    ] {
        let text = Hostile::plain(head, b"5\r\na cat\r\n0\r\n\r\n").complaint().await;
        assert!(text.contains("HEAD has no Content-Length"), "{text}");
    }
    // It told the length by HEAD and does not by GET.
    let server = Hostile::new(|asked| {
        let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nETag: \"one\"\r\n\
                       Connection: close\r\n\r\n5\r\na cat\r\n0\r\n\r\n";
        let head = format!("{GOOD}\r\n\r\n");
        let answer = if asked.starts_with("HEAD") { head } else { chunked.to_owned() };
        vec![(Duration::ZERO, answer.into_bytes())]
    });
    let text = server.complaint().await;
    assert!(text.contains("GET has no Content-Length"), "{text}");
}

#[tokio::test]
async fn a_refused_head_is_told_from_a_refused_original() {
    for status in [403, 405, 501] {
        let server = Hostile::new(move |asked| {
            let head = format!("HTTP/1.1 {status} No\r\nContent-Length: 0\r\nConnection: close");
            let head = if asked.starts_with("HEAD") { head.as_str() } else { GOOD };
            vec![(Duration::ZERO, format!("{head}\r\n\r\n").into_bytes())]
        });
        let text = server.complaint().await;
        assert!(text.contains(&format!("HEAD with {status}")), "{text}");
    }
    let closed = "HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\nConnection: close";
    let server = Hostile::plain(closed, b"");
    assert_eq!(server.read().await.unwrap_err(), OriginError::Forbidden);
    let [head, get] = &server.asked()[..] else { panic!("{:?}", server.lines()) };
    assert!(head.starts_with("HEAD") && get.to_ascii_lowercase().contains("range: bytes=0-0"));
}

#[tokio::test]
async fn a_coded_body_is_refused_unread() {
    for coding in ["gzip", "br", "identity, gzip", "x"] {
        let server = Hostile::new(move |_| {
            let head = format!("{GOOD}\r\nContent-Encoding: {coding}\r\n\r\n");
            vec![(Duration::ZERO, head.into_bytes())]
        });
        let text = server.complaint().await;
        assert!(text.contains("Content-Encoding") && text.contains(coding), "{text}");
    }
    let identity = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Encoding: Identity\r\n\
                    Connection: close";
    assert!(Hostile::plain(identity, b"a cat").read().await.is_ok());
}

#[tokio::test]
async fn a_body_shorter_than_announced_is_no_original_and_a_longer_one_is_cut_at_its_length() {
    let server = Hostile::plain(GOOD, b"a c");
    assert!(matches!(server.read().await.unwrap_err(), OriginError::Unavailable(_)));
    let server = Hostile::plain(GOOD, b"a cat and the start of another answer");
    assert_eq!(server.read().await.unwrap().body, &b"a cat"[..]);
    let server = Hostile::plain(
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 7\r\nConnection: close",
        b"a cat",
    );
    assert!(server.read().await.is_err(), "which of them?");
}

#[tokio::test]
async fn a_large_body_is_refused_before_it_is_read() {
    let server = Hostile::plain(
        "HTTP/1.1 200 OK\r\nContent-Length: 1001\r\nETag: \"one\"\r\nConnection: close",
        b"",
    );
    assert_eq!(
        server.read().await.unwrap_err(),
        OriginError::TooLarge { bytes: 1001, limit: 1000 }
    );
    assert_eq!(server.lines().len(), 1, "no GET");
}

#[tokio::test]
async fn a_server_that_passes_over_if_match_gives_no_mixture_of_two_versions() {
    // HEAD tells an old version as long as it likes, GET sends a new one.
    let server = Hostile::new(|asked| {
        let head = if asked.starts_with("HEAD") {
            format!("{GOOD}\r\n\r\n")
        } else {
            format!("{}\r\n\r\na cat", GOOD.replace("one", "two"))
        };
        vec![(Duration::ZERO, head.into_bytes())]
    });
    let error = server.read().await.unwrap_err();
    assert!(matches!(&error, OriginError::Unavailable(text) if text.contains("changes faster")));
    let lines = server.lines();
    assert_eq!(lines.iter().filter(|line| line.starts_with("GET")).count(), 2, "{lines:?}");
    // Once HEAD agrees the newer one is read, and told to be that.
    let heads = std::sync::atomic::AtomicUsize::new(0);
    let server = Hostile::new(move |asked| {
        let first = asked.starts_with("HEAD")
            && heads.fetch_add(1, std::sync::atomic::Ordering::SeqCst) == 0;
        let head = if first { GOOD.to_owned() } else { GOOD.replace("one", "two") };
        let body = if asked.starts_with("HEAD") { "" } else { "a cat" };
        vec![(Duration::ZERO, format!("{head}\r\n\r\n{body}").into_bytes())]
    });
    assert_eq!(server.read().await.unwrap().meta.etag.as_deref(), Some("\"two\""));
}

#[tokio::test]
async fn a_slow_server_ends_with_the_fetch_timeout() {
    // A byte every so often: each read succeeds, the whole does not.
    let server = Hostile::new(|asked| {
        let head = (Duration::ZERO, format!("{GOOD}\r\n\r\n").into_bytes());
        let drip = || (Duration::from_millis(300), b"x".to_vec());
        if asked.starts_with("HEAD") {
            vec![head]
        } else {
            vec![head, drip(), drip(), drip(), drip()]
        }
    });
    let begun = Clock::now();
    let error = read(&server.origins(Duration::from_millis(700)), "cat.jpg").await.unwrap_err();
    assert_eq!(error, OriginError::TimedOut);
    assert!((600..2_500).contains(&begun.elapsed().as_millis()), "{:?}", begun.elapsed());
    // Silence from the start.
    let server = Hostile::new(|_| vec![(Duration::from_secs(5), Vec::new())]);
    let begun = Clock::now();
    let error = read(&server.origins(Duration::from_millis(500)), "cat.jpg").await.unwrap_err();
    assert_eq!(error, OriginError::TimedOut);
    assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn a_server_that_is_unwell_is_asked_twice_and_other_refusals_once() {
    for (status, asked) in [(503, 2), (500, 2), (429, 1), (400, 1), (418, 1), (404, 1), (410, 1)] {
        let server = Hostile::new(move |_| {
            let head =
                format!("HTTP/1.1 {status} X\r\nContent-Length: 6\r\nConnection: close\r\n\r\n");
            vec![(Duration::ZERO, head.into_bytes())]
        });
        let error = server.read().await.unwrap_err();
        assert_eq!(server.lines().len(), asked, "{status}");
        match status {
            404 | 410 => assert_eq!(error, OriginError::NotFound),
            400 | 418 => assert!(matches!(error, OriginError::Unusable(_)), "{error:?}"),
            _ => assert!(
                matches!(&error, OriginError::Unavailable(text) if text.contains(&status.to_string())),
                "{error:?}"
            ),
        }
    }
}

#[tokio::test]
async fn what_is_no_http_is_a_failure_of_the_origin() {
    for bytes in [&b"SSH-2.0-x\r\n"[..], b"HTTP/1.1 OK\r\n\r\n", b"\0\0\x12\x04\0\0", b""] {
        let server = Hostile::new(move |_| vec![(Duration::ZERO, bytes.to_vec())]);
        let error = server.read().await.unwrap_err();
        assert!(matches!(error, OriginError::Unavailable(_)), "{bytes:?}: {error:?}");
    }
    let endless = Hostile::new(|_| {
        let line = b"X-Filler: 0123456789012345678901234567890123456789\r\n".repeat(100_000);
        vec![(Duration::ZERO, b"HTTP/1.1 200 OK\r\n".to_vec()), (Duration::ZERO, line)]
    });
    assert!(endless.read().await.is_err());
}

#[tokio::test]
async fn a_private_address_is_never_dialled_unless_that_is_allowed() {
    let server = Hostile::plain(GOOD, b"a cat");
    let port = server.address.port();
    let public_only = Reach { plain_http: true, private: false };
    let timeouts = StoreTimeouts::within(Duration::from_secs(2));
    let refused = RemoteOrigin::new("http", &server.address.to_string(), "", public_only, timeouts);
    assert_eq!(refused.unwrap_err(), BadBase::PrivateAddress);
    // A name is looked up when it is dialled.
    let named = format!("localhost:{port}");
    let store = RemoteOrigin::new("http", &named, "", public_only, timeouts).unwrap();
    let error = store.get_opts(&Path::from("cat.jpg"), GetOptions::default()).await.unwrap_err();
    assert_eq!(remote_fault(&error), Some(&RemoteFault::PrivateAddress), "{error:?}");
    assert_eq!(server.asked(), [""; 0]);
}

#[tokio::test]
async fn it_neither_writes_nor_lists_nor_reads_parts() {
    let server = Hostile::plain(GOOD, b"a cat");
    let reach = Reach { plain_http: true, private: true };
    let timeouts = StoreTimeouts::within(Duration::from_secs(2));
    let store =
        RemoteOrigin::new("http", &server.address.to_string(), "", reach, timeouts).unwrap();
    let key = Path::from("cat.jpg");
    let unsupported = |error: Error| matches!(error, Error::NotSupported { .. });
    assert!(unsupported(
        store.put_opts(&key, "x".into(), PutOptions::default()).await.unwrap_err()
    ));
    assert!(unsupported(store.list(None).next().await.unwrap().unwrap_err()));
    assert!(unsupported(store.list_with_delimiter(None).await.unwrap_err()));
    let part = GetOptions { range: Some((0..1).into()), ..GetOptions::default() };
    assert!(unsupported(store.get_opts(&key, part).await.unwrap_err()));
    let mut deleted = store.delete_stream(stream::once(async move { Ok(key) }).boxed());
    assert!(unsupported(deleted.next().await.unwrap().unwrap_err()));
    assert_eq!(server.asked(), [""; 0], "and asks nothing for it");
}
