//! A plain HTTP/1.1 client over a socket: tests see every byte of a reply and send targets no
//! library would. Never follows, retries, decodes or pools.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// One reply.
#[derive(Debug, Clone)]
pub(crate) struct Reply {
    /// The status code.
    pub(crate) status: u16,
    headers: Vec<(String, String)>,
    /// The body, as long as Content-Length said.
    pub(crate) body: Vec<u8>,
}

impl Reply {
    /// A header's value; names are matched without case.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(n, _)| n.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }

    /// The body as text.
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// Asserts the status, showing the body where it differs.
    #[track_caller]
    pub(crate) fn expect(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{}", self.text());
        self
    }

    /// Asserts `X-Cache`.
    #[track_caller]
    pub(crate) fn cached_as(self, status: &str) -> Self {
        assert_eq!(self.header("x-cache"), Some(status), "{:?}", self.headers);
        self
    }

    /// Asserts `X-Size` and that the bytes agree with it.
    #[track_caller]
    pub(crate) fn sized(self, width: u32, height: u32) -> Self {
        let size = format!("{width}x{height}");
        assert_eq!(self.header("x-size"), Some(size.as_str()), "{}", self.text());
        let header = lenslet::codec::probe(&self.body).unwrap();
        assert_eq!((header.size.width, header.size.height), (width, height));
        self
    }
}

/// GET with headers.
pub(crate) fn get(address: SocketAddr, target: &str, headers: &[(&str, &str)]) -> Reply {
    request(address, "GET", target, headers)
}

/// Any method, one connection a request.
pub(crate) fn request(
    address: SocketAddr,
    method: &str,
    target: &str,
    headers: &[(&str, &str)],
) -> Reply {
    let mut socket = send(address, method, target, headers);
    receive(&mut socket, method)
}

/// POST with a body.
pub(crate) fn post(
    address: SocketAddr,
    target: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> Reply {
    let mut socket = TcpStream::connect(address).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    let mut head = format!("POST {target} HTTP/1.1\r\nHost: pictures.test\r\n");
    for (name, value) in headers {
        head.extend([name, ": ", value, "\r\n"]);
    }
    let length = body.len().to_string();
    head.extend(["Content-Length: ", length.as_str(), "\r\nConnection: close\r\n\r\n"]);
    socket.write_all(head.as_bytes()).unwrap();
    // A server that has read enough may answer and close before the body's end.
    let _ = socket.write_all(body);
    receive(&mut socket, "POST")
}

/// Sends a request and leaves the reply on the socket.
pub(crate) fn send(
    address: SocketAddr,
    method: &str,
    target: &str,
    headers: &[(&str, &str)],
) -> TcpStream {
    let mut socket = TcpStream::connect(address).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    let mut head = format!("{method} {target} HTTP/1.1\r\nHost: pictures.test\r\n");
    for (name, value) in headers {
        head.extend([name, ": ", value, "\r\n"]);
    }
    head.push_str("Connection: close\r\n\r\n");
    socket.write_all(head.as_bytes()).unwrap();
    socket
}

/// Reads one reply to the end of the connection.
pub(crate) fn receive(socket: &mut TcpStream, method: &str) -> Reply {
    let mut bytes = Vec::new();
    socket.read_to_end(&mut bytes).unwrap();
    let end = bytes.windows(4).position(|w| w == b"\r\n\r\n").expect("a complete head");
    let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
    let mut lines = head.split("\r\n");
    let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
    let headers: Vec<(String, String)> = lines
        .map(|line| line.split_once(": ").expect("a header line"))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    let reply = Reply { status, headers, body: bytes[end + 4..].to_vec() };
    if let Some(length) = reply.header("content-length")
        && method != "HEAD"
        && status != 304
    {
        assert_eq!(reply.body.len(), length.parse::<usize>().unwrap(), "Content-Length is exact");
    }
    reply
}
