//! Settings of the listeners and of what every answer carries. Never opens a socket.

use super::values::{self, deserialize_from_text, unreadable};
use serde::{Deserialize, Deserializer};
use std::net::SocketAddr;
use std::str::FromStr;
use std::time::Duration;

/// Listeners and what every answer carries.
#[derive(Debug, Clone, Deserialize)]
pub struct Http {
    /// The public listener.
    #[serde(deserialize_with = "address")]
    pub listen: SocketAddr,
    /// The admin listener.
    #[serde(deserialize_with = "address")]
    pub admin_listen: SocketAddr,
    /// In front of every public path.
    pub base_path: BasePath,
    /// `Cache-Control` of pictures without `v`.
    pub cache_control: CacheControl,
    /// `Access-Control-Allow-Origin`.
    pub cors_origin: CorsOrigin,
    /// How long an idle connection is kept, 0 s to 1 h.
    #[serde(deserialize_with = "values::span::<0, 3_600_000, _>")]
    pub keep_alive: Duration,
    /// Everything a request does ends within it, 1 s to 10 min.
    #[serde(deserialize_with = "values::span::<1_000, 600_000, _>")]
    pub request_timeout: Duration,
    /// Between SIGTERM and the end of listening, 0 s to 10 min.
    #[serde(deserialize_with = "values::span::<0, 600_000, _>")]
    pub drain_delay: Duration,
}

fn address<'de, D: Deserializer<'de>>(deserializer: D) -> Result<SocketAddr, D::Error> {
    let text = String::deserialize(deserializer)?;
    let expected = "an IP address and a port: 0.0.0.0:8080 or [::]:8080";
    text.parse().map_err(|_| serde::de::Error::custom(unreadable(&text, expected)))
}

/// A path in front of every public URL.
///
/// Invariant: empty, or `/` and segments of unreserved characters, without a slash at the end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BasePath(String);

impl BasePath {
    /// Such as `/img`; empty for none.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What stands below it in a request target; `None` for a target outside.
    #[must_use]
    pub fn below<'t>(&self, target: &'t str) -> Option<&'t str> {
        match target.strip_prefix(&self.0)? {
            "" => Some("/"),
            rest => rest.starts_with(['/', '?']).then_some(rest),
        }
    }
}

impl FromStr for BasePath {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let path = text.strip_suffix('/').unwrap_or(text);
        let unreserved = |b: u8| b.is_ascii_alphanumeric() || b"-._~".contains(&b);
        let segment = |s: &str| {
            !s.is_empty() && s != "." && s != ".." && s != "_" && s.bytes().all(unreserved)
        };
        if path.is_empty() && text == "/" {
            return Ok(Self(String::new()));
        }
        match path.strip_prefix('/') {
            Some(segments) if segments.split('/').all(segment) => Ok(Self(path.to_owned())),
            _ => Err(unreadable(text, "a path of letters, digits and - . _ ~: /img")),
        }
    }
}

/// A value of `Cache-Control`, checked so far that it is one: directives of tokens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CacheControl(String);

impl CacheControl {
    /// The header's value.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for CacheControl {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let token = |s: &str| {
            !s.is_empty() && s.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_*+.".contains(&b))
        };
        let directive = |directive: &str| match directive.trim().split_once('=') {
            // These take seconds, and a cache passes over what it cannot read.
            Some((name, value)) if name.contains("age") || name.starts_with("stale-") => {
                token(name) && !value.is_empty() && value.bytes().all(|b| b.is_ascii_digit())
            }
            Some((name, value)) => token(name) && token(value.trim_matches('"')),
            None => token(directive.trim()),
        };
        if text.split(',').all(directive) {
            Ok(Self(text.to_owned()))
        } else {
            Err(unreadable(text, "directives of Cache-Control: public, max-age=3600"))
        }
    }
}

/// Who may read answers from scripts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CorsOrigin {
    /// `*`.
    Any,
    /// One origin, as browsers write it.
    One(String),
    /// The header is not sent.
    None,
}

impl CorsOrigin {
    /// The value of `Access-Control-Allow-Origin`, if it is sent.
    #[must_use]
    pub fn header(&self) -> Option<&str> {
        match self {
            Self::Any => Some("*"),
            Self::One(origin) => Some(origin),
            Self::None => None,
        }
    }
}

impl FromStr for CorsOrigin {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "*" {
            return Ok(Self::Any);
        }
        if text.eq_ignore_ascii_case("none") {
            return Ok(Self::None);
        }
        let host = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
        let fits = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-.:[]".contains(&b);
        match host {
            // A browser compares byte by byte, in lower case and without a slash at the end.
            Some(host) if !host.is_empty() && host.bytes().all(fits) => {
                Ok(Self::One(text.to_owned()))
            }
            _ => Err(unreadable(
                text,
                "*, none, or one origin in lower case without a path: https://shop.example",
            )),
        }
    }
}

deserialize_from_text!(BasePath, CacheControl, CorsOrigin);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_base_path_is_kept_without_its_last_slash() {
        for (text, path) in [("/", ""), ("/img", "/img"), ("/img/", "/img"), ("/a/b.c", "/a/b.c")] {
            assert_eq!(text.parse(), Ok(BasePath(path.to_owned())), "{text:?}");
        }
        for text in ["img", "//", "/a//b", "/a/../b", "/a b", "/a%20", "/a?b", "/é", "/_", "/_/x"]
        {
            assert!(text.parse::<BasePath>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn cache_control_is_checked_before_a_cache_would_pass_over_it() {
        for text in ["no-store", "public, max-age=3600", "private,s-maxage=1", "no-cache=\"x\""] {
            assert!(text.parse::<CacheControl>().is_ok(), "{text:?}");
        }
        for text in ["max-age=1h", "max-age=", "public; max-age=1", "a\nb", "public,,x", "é"] {
            assert!(text.parse::<CacheControl>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn one_origin_must_be_spelt_as_browsers_spell_it() {
        assert_eq!("*".parse(), Ok(CorsOrigin::Any));
        assert_eq!("None".parse::<CorsOrigin>().unwrap().header(), None);
        for text in ["https://a.example", "http://localhost:3000", "http://[::1]:80"] {
            assert_eq!(text.parse::<CorsOrigin>().unwrap().header(), Some(text));
        }
        for text in ["https://A.example", "https://a.example/", "a.example", "https://", "*,x"] {
            assert!(text.parse::<CorsOrigin>().is_err(), "{text:?}");
        }
    }
}
