//! The one writer of `Cache-Control` (SEMANTICS 25).

/// How long an answer may be kept, and by whom.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CachePolicy<'a> {
    /// The URL names a version: the bytes behind it never change.
    Versioned,
    /// The deployment's `LENSLET_CACHE_CONTROL`.
    Configured(&'a str),
    /// Served although the origin could not be asked: ask again soon.
    Stale,
    /// An error of this many seconds.
    Error(u32),
    /// Nobody may keep it.
    NoStore,
}

/// One year, as good as for ever.
const YEAR: u64 = 31_536_000;

/// Seconds a stale answer may be kept.
const STALE_SECONDS: u32 = 5;

impl<'a> CachePolicy<'a> {
    /// Of a picture whose original is confirmed; `configured` is the deployment's.
    pub(crate) const fn of(has_version: bool, configured: &'a str) -> Self {
        if has_version { Self::Versioned } else { Self::Configured(configured) }
    }

    /// The header's value. `seconds_left` is the time until a signed URL expires: no cache may
    /// keep what the URL no longer gives.
    pub(crate) fn header(self, seconds_left: Option<u64>) -> String {
        match (self, seconds_left) {
            (Self::Versioned, None) => format!("public, max-age={YEAR}, immutable"),
            (Self::Versioned, Some(left)) => format!("public, max-age={}", left.min(YEAR)),
            (Self::Configured(value), None) => value.to_owned(),
            (Self::Configured(value), Some(left)) => capped(value, left),
            (Self::Stale, left) => {
                let seconds =
                    left.map_or(u64::from(STALE_SECONDS), |left| left.min(STALE_SECONDS.into()));
                format!("public, max-age={seconds}")
            }
            (Self::Error(seconds), _) => format!("public, max-age={seconds}"),
            (Self::NoStore, _) => "no-store".to_owned(),
        }
    }
}

/// A configured value with every lifetime cut to `left` seconds. What would outlive it goes
/// (`stale-*`, `immutable`), and a value that names no lifetime gets one.
fn capped(value: &str, left: u64) -> String {
    let mut bounded = false;
    let mut directives = Vec::new();
    for directive in value.split(',').map(str::trim) {
        let (name, seconds) = directive.split_once('=').unwrap_or((directive, ""));
        let name = name.to_ascii_lowercase();
        match name.as_str() {
            "max-age" | "s-maxage" => {
                bounded |= name == "max-age";
                let seconds = seconds.trim_matches('"').parse::<u64>().unwrap_or(0).min(left);
                directives.push(format!("{name}={seconds}"));
            }
            "immutable" => {}
            _ if name.starts_with("stale-") => {}
            _ => {
                bounded |= matches!(name.as_str(), "no-store" | "no-cache");
                directives.push(directive.to_owned());
            }
        }
    }
    if !bounded {
        directives.push(format!("max-age={left}"));
    }
    directives.join(", ")
}

/// Whether an `If-None-Match` names an ETag: lists, `*`, weak comparison (RFC 9110 §13.1.2).
pub(crate) fn names(if_none_match: &str, etag: &str) -> bool {
    if_none_match.split(',').map(str::trim).any(|candidate| {
        candidate == "*" || candidate.strip_prefix("W/").unwrap_or(candidate) == etag
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_expiring_url_is_never_kept_longer_than_it_lives() {
        let value = "public, max-age=3600, stale-while-revalidate=86400, stale-if-error=604800";
        let policy = CachePolicy::Configured(value);
        assert_eq!(policy.header(None), value);
        assert_eq!(policy.header(Some(100)), "public, max-age=100");
        assert_eq!(policy.header(Some(10_000)), "public, max-age=3600");
        assert_eq!(CachePolicy::Versioned.header(Some(9)), "public, max-age=9");
        let spelt = |value| CachePolicy::Configured(value).header(Some(9));
        assert_eq!(spelt("Public, Max-Age=3600, Immutable"), "Public, max-age=9");
        assert_eq!(spelt("public"), "public, max-age=9");
        assert_eq!(spelt("no-store"), "no-store");
    }

    #[test]
    fn if_none_match_reads_lists_stars_and_weak_tags() {
        let etag = "\"abc\"";
        for yes in ["\"abc\"", "W/\"abc\"", "\"x\", \"abc\"", "*", " \"abc\" "] {
            assert!(names(yes, etag), "{yes}");
        }
        for no in ["", "abc", "\"ab\"", "\"abcd\"", "W/\"x\""] {
            assert!(!names(no, etag), "{no}");
        }
    }
}
