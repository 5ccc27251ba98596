//! URLs in settings: where a store lies, where it is public. Never opens anything, and never
//! shows a URL that carries credentials.

use super::values::{deserialize_from_text, unreadable};
use percent_encoding::percent_decode_str;
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

/// What a store's URL says, percent-decoded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StorePlace {
    /// `file:///folder`: an absolute path, not checked to exist.
    File(PathBuf),
    /// `s3://bucket/prefix`.
    S3 {
        /// The bucket's name.
        bucket: String,
        /// In front of every key, without slashes at its ends; may be empty.
        prefix: String,
    },
    /// `gs://bucket/prefix`: Google Cloud Storage.
    Gcs {
        /// The bucket's name.
        bucket: String,
        /// As for S3.
        prefix: String,
    },
    /// `az://container/prefix`: Azure Blob Storage; the account is an option.
    Azure {
        /// The container's name.
        container: String,
        /// As for S3.
        prefix: String,
    },
    /// `https://host/base`, `http://host/base`: a web server, for originals only.
    Web {
        /// Whether it is `https`.
        secure: bool,
        /// The host, perhaps with a port.
        authority: String,
        /// As for S3.
        prefix: String,
    },
    /// `memory:///`: gone with the process.
    Memory,
}

/// Where a store lies. Carries neither credentials nor a query.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreUrl {
    text: String,
    place: StorePlace,
}

impl StoreUrl {
    /// As it was written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// What it says.
    #[must_use]
    pub const fn place(&self) -> &StorePlace {
        &self.place
    }
}

impl StorePlace {
    /// The scheme of its URLs, `https` for every web server.
    #[must_use]
    pub const fn scheme(&self) -> &'static str {
        match self {
            Self::File(_) => "file",
            Self::S3 { .. } => "s3",
            Self::Gcs { .. } => "gs",
            Self::Azure { .. } => "az",
            Self::Web { .. } => "https",
            Self::Memory => "memory",
        }
    }
}

impl fmt::Display for StoreUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl FromStr for StoreUrl {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        const EXPECTED: &str = "a URL: file:///folder, s3://bucket/prefix, gs://bucket/prefix, \
                                az://container/prefix, https://host/base, memory:///";
        let (scheme, rest) = split_url(text, EXPECTED)?;
        let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let place = match scheme.to_ascii_lowercase().as_str() {
            "file" if authority.is_empty() && path.starts_with('/') => {
                StorePlace::File(PathBuf::from(format!("/{}", segments(path)?)))
            }
            "file" => {
                return Err(unreadable(text, "three slashes and an absolute path: file:///folder"));
            }
            "s3" if is_bucket(authority) => {
                StorePlace::S3 { bucket: authority.to_owned(), prefix: segments(path)? }
            }
            "s3" => {
                return Err(unreadable(
                    text,
                    "a bucket of a-z 0-9 . - _, 3 to 63 of them: s3://photos",
                ));
            }
            "memory" if authority.is_empty() && path.len() <= 1 => StorePlace::Memory,
            "memory" => return Err(unreadable(text, "memory:/// and nothing behind it")),
            "gs" if is_bucket(authority) => {
                StorePlace::Gcs { bucket: authority.to_owned(), prefix: segments(path)? }
            }
            "gs" => return Err(unreadable(text, "a bucket as Google names them: gs://photos")),
            "az" if is_container(authority) => {
                StorePlace::Azure { container: authority.to_owned(), prefix: segments(path)? }
            }
            "az" => {
                return Err(unreadable(
                    text,
                    "a container of a-z 0-9 -, 3 to 63 of them: az://photos",
                ));
            }
            scheme @ ("http" | "https") if is_authority(authority) => StorePlace::Web {
                secure: scheme == "https",
                authority: authority.to_owned(),
                prefix: segments(path)?,
            },
            "http" | "https" => return Err(unreadable(text, "a host: https://host/base")),
            "azure" | "abfs" | "abfss" => {
                return Err(unreadable(text, "the container behind az://: az://photos"));
            }
            _ => return Err(unreadable(text, EXPECTED)),
        };
        Ok(Self { text: text.to_owned(), place })
    }
}

/// A public `http` or `https` URL without a slash at the end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicUrl(String);

impl PublicUrl {
    /// Such as `https://cdn.example/v`.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for PublicUrl {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        const EXPECTED: &str = "an http or https URL: https://cdn.example";
        let (scheme, rest) = split_url(text, EXPECTED)?;
        let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let good = matches!(scheme.to_ascii_lowercase().as_str(), "http" | "https")
            && is_authority(authority)
            && path.bytes().all(|b| b.is_ascii_graphic());
        if good {
            Ok(Self(text.trim_end_matches('/').to_owned()))
        } else {
            Err(unreadable(text, EXPECTED))
        }
    }
}

impl PublicUrl {
    /// Whether what is sent there can be read on the way.
    pub(super) fn is_plain_http(&self) -> bool {
        self.0.split_once("://").is_some_and(|(scheme, _)| scheme.eq_ignore_ascii_case("http"))
    }
}

deserialize_from_text!(StoreUrl, PublicUrl);

/// Scheme and what follows `://`. Refuses, without showing them, credentials and queries.
fn split_url<'a>(text: &'a str, expected: &str) -> Result<(&'a str, &'a str), String> {
    if text.contains(['@', '?', '#']) {
        return Err(
            "must not carry credentials, a query or a fragment (@ ? # are written %40 %3F \
                    %23; credentials have variables of their own)"
                .to_owned(),
        );
    }
    let (scheme, rest) = text.split_once("://").ok_or_else(|| unreadable(text, expected))?;
    if text.chars().any(|c| c.is_control() || c.is_whitespace()) {
        return Err(unreadable(text, "a URL without spaces; %20 is one"));
    }
    Ok((scheme, rest))
}

/// Decodes a path and checks its segments; the result has no slash at either end.
fn segments(path: &str) -> Result<String, String> {
    let inner = path.strip_prefix('/').unwrap_or(path);
    let inner = inner.strip_suffix('/').unwrap_or(inner);
    let decoded = percent_decode_str(inner)
        .decode_utf8()
        .map_err(|_| unreadable(path, "percent escapes of UTF-8"))?;
    let bad = |segment: &str| matches!(segment, "" | "." | "..");
    if (!decoded.is_empty() && decoded.split('/').any(bad)) || decoded.chars().any(char::is_control)
    {
        return Err(unreadable(path, "a path without empty, . and .. segments"));
    }
    Ok(decoded.into_owned())
}

fn is_bucket(name: &str) -> bool {
    let fits = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-._".contains(&b);
    (3..=63).contains(&name.len()) && name.bytes().all(fits) && !name.starts_with(['-', '.'])
}

fn is_container(name: &str) -> bool {
    let fits = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    let special = matches!(name, "$root" | "$web");
    special || ((3..=63).contains(&name.len()) && name.bytes().all(fits) && !name.starts_with('-'))
}

/// A host, perhaps with a port; nothing is looked up.
fn is_authority(text: &str) -> bool {
    let fits = |b: u8| b.is_ascii_alphanumeric() || b"-.:[]_".contains(&b);
    text.bytes().all(fits) && text.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '[')
}

/// What may be shown of a value that might be a URL with credentials in it: they are put out.
pub(super) fn without_credentials(value: &str) -> String {
    let mut shown = String::with_capacity(value.len());
    let mut rest = value;
    while let Some((before, after)) = rest.split_once("://") {
        shown.push_str(before);
        shown.push_str("://");
        let authority = after.split(['/', ',']).next().unwrap_or(after);
        rest = match authority.rfind('@') {
            Some(at) => {
                shown.push_str("<redacted>");
                after.get(at..).unwrap_or_default()
            }
            None => after,
        };
    }
    shown.push_str(rest);
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(text: &str) -> Result<StorePlace, String> {
        text.parse::<StoreUrl>().map(|url| url.place)
    }

    #[test]
    fn a_store_is_a_folder_a_bucket_a_web_server_or_memory() {
        assert_eq!(place("file:///srv/a%20b/"), Ok(StorePlace::File("/srv/a b".into())));
        assert_eq!(place("file:///"), Ok(StorePlace::File("/".into())));
        for (text, prefix) in
            [("s3://photos", ""), ("S3://photos/", ""), ("s3://photos/a/b/", "a/b")]
        {
            let expected = StorePlace::S3 { bucket: "photos".into(), prefix: prefix.into() };
            assert_eq!(place(text), Ok(expected), "{text:?}");
        }
        let gcs = StorePlace::Gcs { bucket: "photos".into(), prefix: "a b".into() };
        assert_eq!(place("gs://photos/a%20b/"), Ok(gcs));
        let azure = |container: &str| StorePlace::Azure {
            container: container.into(),
            prefix: String::new(),
        };
        assert_eq!(place("az://photos"), Ok(azure("photos")));
        assert_eq!(place("az://$web/"), Ok(azure("$web")));
        for (text, secure, authority) in [
            ("https://example.com/base", true, "example.com"),
            ("HTTP://[::1]:81/base/", false, "[::1]:81"),
        ] {
            let web =
                StorePlace::Web { secure, authority: authority.into(), prefix: "base".into() };
            assert_eq!(place(text), Ok(web));
        }
        assert_eq!(place("memory:///"), Ok(StorePlace::Memory));
        assert_eq!(place("memory://"), Ok(StorePlace::Memory));
    }

    #[test]
    fn a_url_that_cannot_be_a_store_says_what_would_be_one() {
        for text in [
            "./photos",
            "/srv/photos",
            "file://srv/photos",
            "file:relative",
            "s3:///a",
            "s3://UP",
            "s3://ab",
            "memory:///x",
            "ftp://x/y",
            "file:///a/../b",
            "s3://photos//a",
            "file:////srv",
            "s3://photos/%ff",
            "file:///a\u{7}",
            "file:///a b",
            "gs:///a",
            "az://UP",
            "az://pictures.x",
            "abfss://photos",
            "https:///base",
            "https://example.com/a/../b",
        ] {
            assert!(place(text).unwrap_err().contains("expected"), "{text:?}");
        }
    }

    #[test]
    fn credentials_in_a_url_are_refused_and_not_shown() {
        for text in ["s3://key:hunter2@photos", "https://hunter2@host/", "s3://photos?sig=hunter2"]
        {
            let error = text.parse::<StoreUrl>().unwrap_err();
            assert!(!error.contains("hunter2"), "{error}");
            assert!(!text.parse::<PublicUrl>().unwrap_err().contains("hunter2"));
        }
        let list = "a=s3://k:hunter2@b/x,b=s3://c/d@e,c=https://hunter2@h";
        let shown = without_credentials(list);
        assert_eq!(shown, "a=s3://<redacted>@b/x,b=s3://c/d@e,c=https://<redacted>@h");
    }

    #[test]
    fn a_public_url_is_http_and_loses_its_last_slash() {
        assert_eq!(
            "https://cdn.example/v/".parse::<PublicUrl>().unwrap().as_str(),
            "https://cdn.example/v"
        );
        for text in ["cdn.example", "s3://photos", "https://", "https:///x", "https://a b/"] {
            assert!(text.parse::<PublicUrl>().is_err(), "{text:?}");
        }
    }
}
