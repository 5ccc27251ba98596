//! The path of a request target → which original, and at which size where the path says so.
//!
//! The path is percent-decoded once, as a whole, and only then read: `%2F` is a slash, `%40` an
//! `@`, `%78` the `x` of a size. One decoded path so has one meaning, and no encoding slips past
//! the rule that a size in the path is always a size. `+` stays a plus, `\` a backslash.

use super::query::{decoded, pieces};
use super::request::{RequestError, SizeError, SizedPath};
use crate::model::draft::{BadParam, BadParamKind};
use crate::model::key::{OriginName, SourceId, SourceKey, SourceKeyError};
use std::borrow::Cow;

/// Why a target names no original (SEMANTICS 23). Nothing was looked up.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TargetError {
    /// Neither a path nor a query.
    #[error("the request target does not start with /")]
    NotAPath,
    /// A raw `#`.
    #[error("the request target has a fragment (write # as %23)")]
    Fragment,
    /// `%` without two hex digits behind it.
    #[error("the path has a % without two hex digits (write % as %25)")]
    BadEscape,
    /// The decoded path is not UTF-8.
    #[error("the path is not UTF-8 once percent-decoded")]
    NotUtf8,
    /// `/` alone, without a `key=`.
    #[error("the path names no image")]
    NoKey,
    /// `key=` without a size in front.
    #[error("key= has to be a size and a key, such as 300x200/cat.jpg")]
    KeyNotSized,
    /// What stands behind `@`, its first 64 characters, cannot be the name of an origin.
    #[error("{0:?} cannot be the name of an origin (a key that starts with @ is read behind /@/)")]
    OriginName(String),
    /// The key breaks a rule of its own.
    #[error(transparent)]
    Key(#[from] SourceKeyError),
}

/// Where a target points.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) source: SourceId,
    pub(super) sized: Option<SizedPath>,
    /// Whether it was said by `key=`.
    pub(super) by_key: bool,
}

/// Decodes percent-escapes once; every `%` must be one, and the whole must be UTF-8.
pub(super) fn decode(raw: &str) -> Result<Cow<'_, str>, TargetError> {
    for behind in raw.split('%').skip(1) {
        let escape = behind.as_bytes().get(..2);
        if !escape.is_some_and(|pair| pair.iter().all(u8::is_ascii_hexdigit)) {
            return Err(TargetError::BadEscape);
        }
    }
    percent_encoding::percent_decode_str(raw).decode_utf8().or(Err(TargetError::NotUtf8))
}

/// Splits a target at its first `?`.
pub(super) fn split(target: &str) -> Result<(&str, &str), TargetError> {
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    if target.contains('#') {
        return Err(TargetError::Fragment);
    }
    if path.starts_with('/') || path.is_empty() {
        Ok((path, query))
    } else {
        Err(TargetError::NotAPath)
    }
}

/// Reads the path, and `key=` where the path is `/` alone.
pub(super) fn place(path: &str, query: &str) -> Result<Place, RequestError> {
    let path = decode(path)?;
    let path = path.strip_prefix('/').unwrap_or(&path);
    if path.is_empty() {
        return by_key(query);
    }
    if let Some(place) = sized(path, false)? {
        return Ok(place);
    }
    let (origin, key) = match path.strip_prefix('@') {
        None => (OriginName::default_origin(), path),
        Some(named) => {
            let (name, key) = named.split_once('/').unwrap_or((named, ""));
            let origin = if name.is_empty() {
                OriginName::default_origin()
            } else {
                OriginName::new(name)
                    .ok_or_else(|| TargetError::OriginName(name.chars().take(64).collect()))?
            };
            (origin, key)
        }
    };
    let key = SourceKey::new(key).map_err(TargetError::from)?;
    Ok(Place { source: SourceId { origin, key }, sized: None, by_key: false })
}

/// `/?key=300x200/cat.jpg`, as the routing rule of an S3 website sends what it has not got.
fn by_key(query: &str) -> Result<Place, RequestError> {
    let mut found = None;
    for (name, value) in pieces(query) {
        if decoded(name, name)? != "key" {
            continue;
        }
        let value = value.unwrap_or_default();
        if found.replace(value).is_some() {
            let once = "one value, under one name";
            return Err(BadParam::new(BadParamKind::Duplicate, "key", value, once).into());
        }
    }
    let Some(raw) = found else { return Err(TargetError::NoKey.into()) };
    let key = decoded("key", raw)?;
    sized(&key, true)?.ok_or_else(|| TargetError::KeyNotSized.into())
}

/// `{W}x{H}/{key}` with one to five digits each (SEMANTICS 21); `None` if it is not of the form.
fn sized(path: &str, by_key: bool) -> Result<Option<Place>, RequestError> {
    let Some((size, key)) = path.split_once('/') else { return Ok(None) };
    let fault = |kind| BadParam::new(kind, "size", size, "{W}x{H} in pixels, 0 for a free side");
    let sized = match size.parse::<SizedPath>() {
        _ if key.is_empty() => return Ok(None),
        Ok(sized) => sized,
        Err(SizeError::Form) => return Ok(None),
        Err(SizeError::LeadingZero) => {
            let fault = fault(BadParamKind::Malformed).suggest("write it without leading zeros");
            return Err(fault.into());
        }
        Err(SizeError::BothFree) => {
            let fault = fault(BadParamKind::OutOfRange).suggest("one side has to be given");
            return Err(fault.into());
        }
    };
    let key = SourceKey::new(key).map_err(TargetError::from)?;
    let source = SourceId { origin: OriginName::default_origin(), key };
    Ok(Some(Place { source, sized: Some(sized), by_key }))
}
