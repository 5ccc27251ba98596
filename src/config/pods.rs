//! Settings of purges: who may order one, who else has to hear of it. Never resolves a name and
//! never opens a connection.

use super::secret::Secret;
use super::url::PublicUrl;
use super::values::{deserialize_from_text, unreadable};
use serde::Deserialize;
use std::fmt;
use std::str::FromStr;

/// The admin token, the other pods and the CDN.
#[derive(Debug, Clone, Deserialize)]
pub struct Pods {
    /// What opens the admin listener's orders; absent: nothing does.
    pub admin_token: Option<Token>,
    /// Names whose every address is an admin listener of ours; empty: there are no others.
    #[serde(default)]
    pub peers: PeerList,
    /// Where purged tags are posted to.
    pub cdn_webhook: Option<PublicUrl>,
    /// The bearer token shown there.
    pub cdn_webhook_token: Option<Token>,
}

/// A secret long enough that nobody guesses it.
///
/// Invariant: at least 16 bytes, all of them visible ASCII, so that it can stand in a header.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(Secret);

/// Bytes a token has at least.
const MIN_TOKEN: usize = 16;

impl Token {
    /// The text, for whoever has to compare or send it.
    #[must_use]
    pub fn expose(&self) -> &str {
        self.0.expose()
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for Token {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        // The text is a secret: an error tells its length and no more.
        if text.len() < MIN_TOKEN {
            return Err(format!("has {} bytes, at least {MIN_TOKEN} are needed", text.len()));
        }
        if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err("has a space or a character that is not ASCII".to_owned());
        }
        Ok(Self(Secret::new(text.to_owned())))
    }
}

/// A name or an address, and a port.
///
/// Invariant: the host is not empty, the port not 0.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peer {
    /// As it is given to the resolver, an IPv6 address in brackets.
    pub host: String,
    /// The port of the admin listener.
    pub port: u16,
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

/// The peers, as listed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PeerList(pub Vec<Peer>);

impl FromStr for PeerList {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let peer = |item: &str| {
            let expected = "host:port,host:port, such as lenslet-pods:8081 or [::1]:8081";
            let (host, port) = item.rsplit_once(':').ok_or_else(|| unreadable(item, expected))?;
            let plain = |b: u8| b.is_ascii_alphanumeric() || b"-._".contains(&b);
            let inside = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
            let good = match inside {
                Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
                None => !host.is_empty() && host.bytes().all(plain),
            };
            match port.parse() {
                Ok(port) if good && port != 0 => Ok(Peer { host: host.to_owned(), port }),
                _ => Err(unreadable(item, expected)),
            }
        };
        text.split(',').map(|item| peer(item.trim())).collect::<Result<_, _>>().map(Self)
    }
}

deserialize_from_text!(Token, PeerList);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn peers_are_hosts_with_ports() {
        let PeerList(peers) = "lenslet-pods.ns.svc:8081, 10.0.0.7:1,[::1]:8081".parse().unwrap();
        let shown: Vec<String> = peers.iter().map(ToString::to_string).collect();
        assert_eq!(shown, ["lenslet-pods.ns.svc:8081", "10.0.0.7:1", "[::1]:8081"]);
        for bad in ["lenslet", "lenslet:", ":8081", "a:0", "a:99999", "a:1,", "http://a:1", "::1:2"]
        {
            let error = bad.parse::<PeerList>().unwrap_err();
            assert!(error.contains("host:port"), "{bad}: {error}");
        }
    }

    #[test]
    fn a_short_or_odd_token_is_refused_without_being_shown() {
        assert!("0123456789abcdef".parse::<Token>().is_ok());
        for bad in ["hunter2hunter2", "hunter2 hunter2 hunter2", "hunter2-hunter2-ü"] {
            let error = bad.parse::<Token>().unwrap_err();
            assert!(!error.contains("hunter"), "{error}");
        }
        let token: Token = "hunter2-hunter2-hunter2".parse().unwrap();
        assert_eq!(format!("{token:?}"), "<redacted>");
    }
}
