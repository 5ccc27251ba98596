//! What an answer from memory costs in allocations, everything counted: server, handler, log line. A
//! binary of its own, since the count is that of the whole process and must have it for itself.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that meets the unexpected ends")]

use lenslet::codec::{self, Encoding};
use lenslet::config::{Env, Machine, Purpose, Settings};
use lenslet::model::geometry::Size;
use lenslet::model::pixels::{Layout, Pixels};
use lenslet::service::compose;
use lenslet::telemetry::logs::{self, Stream};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};
use std::alloc::System;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// Answers counted after as many that were not.
const REQUESTS: usize = 2_000;

/// The most that one may cost. Today's figures are printed when the test runs; a change that needs
/// more than this is to say why.
const MOST_ALLOCATIONS: usize = 12;
const MOST_BYTES: usize = 4_096;

/// Asks for the same again and again over one connection and reads every answer whole. Allocates
/// nothing after its first lines.
fn ask(address: SocketAddr, request: &str, times: usize) -> usize {
    let mut socket = TcpStream::connect(address).unwrap();
    socket.set_nodelay(true).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    let mut buffer = vec![0_u8; 256 << 10];
    let mut whole = 0;
    for _ in 0..times {
        socket.write_all(request.as_bytes()).unwrap();
        let mut length = 0;
        whole = loop {
            length += match socket.read(&mut buffer[length..]).unwrap() {
                0 => panic!("the connection was closed"),
                read => read,
            };
            if let Some(whole) = answer_length(&buffer[..length])
                && length >= whole
            {
                assert!(
                    buffer.starts_with(b"HTTP/1.1 200 ") || buffer.starts_with(b"HTTP/1.1 304 ")
                );
                break whole;
            }
        };
    }
    whole
}

/// Bytes of head and body, once the head is there.
fn answer_length(bytes: &[u8]) -> Option<usize> {
    let head = bytes.windows(4).position(|end| end == b"\r\n\r\n")? + 4;
    let text = std::str::from_utf8(&bytes[..head]).unwrap();
    let body = text.lines().find_map(|line| line.strip_prefix("content-length: "));
    Some(head + body.map_or(0, |length| length.parse::<usize>().unwrap()))
}

fn picture() -> Vec<u8> {
    let data =
        (0..600 * 400 * 3_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let pixels = Pixels::new(Size::new(600, 400), Layout::Rgb, data).unwrap();
    codec::encode(&pixels, Encoding::Jpeg { quality: 80, progressive: false }).unwrap()
}

#[test]
fn an_answer_from_memory_allocates_next_to_nothing() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("cat.jpg"), picture()).unwrap();
    let origin = format!("file://{}", folder.path().display());
    let vars = [
        ("LENSLET_ORIGIN", origin.as_str()),
        ("LENSLET_LISTEN", "127.0.0.1:0"),
        ("LENSLET_ADMIN_LISTEN", "127.0.0.1:0"),
        ("LENSLET_DRAIN_DELAY", "0"),
        ("LENSLET_UNSIGNED", "allow"),
        ("LENSLET_CPU_BUDGET", "1"),
        ("LENSLET_LOG_FORMAT", "json"),
    ];
    let env = Env::gather(vars.into_iter().map(|(n, v)| (n.into(), v.into())), None);
    let settings = Settings::read(&env, &Machine::detect(), Purpose::Serve).unwrap();
    // The log as a server has it, on the output of this test.
    let log = logs::init(&settings.logs, Stream::Stdout).unwrap();
    let running = compose::start(settings).unwrap();

    let head = "Host: pictures.test\r\nAccept: image/avif,image/webp,*/*\r\nUser-Agent: test\r\n";
    let mut found = Vec::new();
    for (what, target, more, least) in [
        ("200", "/cat.jpg?w=500&q=90&f=jpeg", "", 40_000),
        ("200, negotiated", "/cat.jpg?w=500&q=90&f=auto", "", 10_000),
        ("304", "/cat.jpg?w=500&q=90&f=jpeg", "If-None-Match: *\r\n", 300),
    ] {
        let request = format!("GET {target} HTTP/1.1\r\n{head}{more}\r\n");
        // Buffers grow to their size, URLs become known, caches settle.
        assert!(ask(running.public, &request, REQUESTS) > least, "{what}");
        let region = Region::new(ALLOCATOR);
        ask(running.public, &request, REQUESTS);
        let change = region.change();
        let allocations = change.allocations + change.reallocations;
        let each = (allocations / REQUESTS, change.bytes_allocated / REQUESTS);
        found.push((what, each));
    }
    running.stop();
    drop(log);
    for (what, (allocations, bytes)) in found {
        println!("{what}: {allocations} allocations, {bytes} bytes");
        assert!(allocations <= MOST_ALLOCATIONS, "{what}: {allocations} allocations");
        assert!(bytes <= MOST_BYTES, "{what}: {bytes} bytes");
    }
}
