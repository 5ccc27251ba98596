//! `lenslet health`: one question to the admin listener, for images that have no curl. Plain
//! blocking I/O with a bound of two seconds in all; starts no runtime.

use super::{FAILED, out, refuse};
use crate::config::{Env, Http};
use std::io::{Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// From connecting to the status line.
const BOUND: Duration = Duration::from_secs(2);

/// Exit 0 if `/livez` answers 200 in time, else 1 with one line that says what came instead.
pub(super) fn run(env: &Env) -> ExitCode {
    let http = match Http::read(env) {
        Ok(http) => http,
        Err(faults) => return refuse(&faults),
    };
    let address = reachable(http.admin_listen);
    match ask(address, BOUND) {
        Ok(()) => ExitCode::SUCCESS,
        Err(what) => {
            out::complain(&format!("http://{address}/livez: {what}"));
            ExitCode::from(FAILED)
        }
    }
}

/// An address that listens everywhere is reached at home.
pub(super) fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}

fn ask(address: SocketAddr, bound: Duration) -> Result<(), String> {
    let end = Instant::now() + bound;
    let left = || {
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() { Err(format!("no answer within {bound:?}")) } else { Ok(left) }
    };
    let text = |error: std::io::Error| error.to_string();
    let mut stream = TcpStream::connect_timeout(&address, left()?).map_err(text)?;
    stream.set_write_timeout(Some(left()?)).map_err(text)?;
    let request = format!("GET /livez HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).map_err(text)?;
    let mut head = Vec::with_capacity(64);
    let mut chunk = [0; 64];
    // A status line is short; whatever sends more before its end is not our server.
    while head.len() < 1024 && !head.contains(&b'\n') {
        stream.set_read_timeout(Some(left()?)).map_err(text)?;
        match stream.read(&mut chunk) {
            Ok(0) => break,
            Ok(count) => head.extend_from_slice(chunk.get(..count).unwrap_or_default()),
            Err(_) => {
                left()?;
            }
        }
    }
    let line = String::from_utf8_lossy(&head);
    let line = line.lines().next().unwrap_or_default();
    match line.split(' ').nth(1) {
        Some("200") if line.starts_with("HTTP/1.") => Ok(()),
        _ => Err(format!("answered {line:?}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    /// A server that takes one connection, answers and keeps it open until the asker is done.
    fn answering(answer: &'static [u8]) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = [0; 512];
            let count = stream.read(&mut request).unwrap();
            assert!(request[..count].starts_with(b"GET /livez HTTP/1.1\r\n"));
            stream.write_all(answer).unwrap();
            let _ = stream.read(&mut request);
        });
        address
    }

    #[test]
    fn only_a_200_is_healthy() {
        assert_eq!(ask(answering(b"HTTP/1.1 200 OK\r\n\r\nok"), BOUND), Ok(()));
        for answer in [&b"HTTP/1.1 503 Service Unavailable\r\n\r\n"[..], b"200 200 200\r\n"] {
            assert!(ask(answering(answer), BOUND).unwrap_err().starts_with("answered"));
        }
    }

    #[test]
    fn a_server_that_says_nothing_is_given_up_in_time() {
        let bound = Duration::from_millis(100);
        let begun = Instant::now();
        let error = ask(answering(b"HTTP/1.1 2"), bound).unwrap_err();
        assert!(error.contains("no answer within"), "{error}");
        assert!(begun.elapsed() < Duration::from_secs(1));
    }

    #[test]
    fn nobody_there_is_not_healthy() {
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        assert!(ask(address, BOUND).is_err());
    }

    #[test]
    fn a_listener_on_every_address_is_asked_at_home() {
        assert_eq!(reachable("0.0.0.0:81".parse().unwrap()).to_string(), "127.0.0.1:81");
        assert_eq!(reachable("[::]:81".parse().unwrap()).to_string(), "[::1]:81");
        assert_eq!(reachable("10.0.0.1:81".parse().unwrap()).to_string(), "10.0.0.1:81");
    }
}
