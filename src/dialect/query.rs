//! A query string → a draft and an envelope, by the option table. Decodes percent-escapes once,
//! keeps `+` a plus, refuses what it does not know unless told to ignore it. The same reading
//! serves URLs and the `params` of presets.

use super::options::{self, OptionSpec, Reader};
use super::request::{Download, IgnoredName, UnknownParams};
use super::target::decode;
use super::values::Given;
use crate::model::draft::{BadParam, BadParamKind, Draft};
use std::borrow::Cow;

/// What a query says beside the picture.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Envelope {
    /// `v`.
    pub version: Option<String>,
    /// `exp`, seconds since 1970.
    pub exp: Option<u64>,
    /// Whether `s` was there.
    pub signed: bool,
    /// `dl`.
    pub download: Option<Download>,
    /// `preset`, in whatever spelling.
    pub preset: Option<String>,
}

/// A query, read.
#[derive(Debug, Default)]
pub(super) struct Query {
    pub(super) draft: Draft,
    pub(super) envelope: Envelope,
    /// The rows of what was given, in the order it was.
    pub(super) given: Vec<&'static OptionSpec>,
}

/// Which parameters may stand where the query was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scope {
    /// Behind a native path: all.
    Native,
    /// Beside a size in the path: `v exp s` (SEMANTICS 21).
    Sized,
    /// The same, and `key`, which was read already.
    SizedByKey,
    /// In a preset: what changes bytes, but no preset.
    Preset,
}

pub(super) struct Rules<'a> {
    pub(super) scope: Scope,
    pub(super) unknown: UnknownParams,
    pub(super) ignored: &'a [IgnoredName],
}

/// The pieces between `&`, as `(name, value)`, still encoded. Empty pieces, as a trailing `&`
/// leaves one, say nothing.
pub(super) fn pieces(raw: &str) -> impl Iterator<Item = (&str, Option<&str>)> {
    raw.split('&').filter(|piece| !piece.is_empty()).map(|piece| match piece.split_once('=') {
        Some((name, value)) => (name, Some(value)),
        None => (piece, None),
    })
}

/// Decodes one name or value, once.
pub(super) fn decoded<'a>(name: &str, raw: &'a str) -> Result<Cow<'a, str>, BadParam> {
    decode(raw).map_err(|_| {
        let form = "UTF-8 with percent-escapes of two hex digits";
        BadParam::new(BadParamKind::Malformed, name, raw, form)
    })
}

/// Reads a whole query.
///
/// # Errors
/// [`BadParam`] for the first piece that cannot be obeyed.
pub(super) fn read(raw: &str, rules: &Rules<'_>) -> Result<Query, BadParam> {
    let mut query = Query::default();
    for (raw_name, raw_value) in pieces(raw) {
        let name = decoded(raw_name, raw_name)?;
        if rules.scope == Scope::SizedByKey && name == "key" {
            continue;
        }
        let spec = options::find(&name);
        // What is built is always obeyed; a name merely reserved may be ignored like any other.
        let built = spec.filter(|spec| spec.is_built());
        if built.is_none() && rules.ignored.iter().any(|ignored| ignored.matches(&name)) {
            continue;
        }
        let raw_text = raw_value.unwrap_or_default();
        let Some(spec) = spec else {
            match rules.unknown {
                UnknownParams::Ignore => continue,
                UnknownParams::Refuse => {
                    let value = decode(raw_text).unwrap_or(Cow::Borrowed(raw_text));
                    return Err(BadParam::new(BadParamKind::Unknown, &name, &value, "")
                        .suggest(options::suggest(&name)));
                }
            }
        };
        let text = raw_value.map(|raw| decoded(&name, raw)).transpose()?;
        let given = Given { spec, spelt: &name, text: text.as_deref() };
        admit(&given, rules.scope)?;
        if query.given.iter().any(|seen| seen.name == spec.name) {
            let mut fault = given.fault(BadParamKind::Duplicate);
            "one value, under one name".clone_into(&mut fault.allowed);
            return Err(fault);
        }
        match spec.reader {
            Reader::Wish(read) => read(&mut query.draft, &given)?,
            Reader::Envelope(read) => read(&mut query.envelope, &given)?,
            Reader::Preset => query.envelope.preset = Some(given.value()?.to_owned()),
            Reader::Later => return Err(given.fault(BadParamKind::NotYet)),
        }
        query.given.push(spec);
    }
    Ok(query)
}

/// Whether a known parameter may stand here.
fn admit(given: &Given<'_>, scope: Scope) -> Result<(), BadParam> {
    let mut fault = given.fault(BadParamKind::Contradiction);
    match scope {
        Scope::Native => Ok(()),
        Scope::Sized | Scope::SizedByKey => {
            if matches!(given.spec.name, "v" | "exp" | "s") {
                return Ok(());
            }
            "a size in the path, which takes v, exp and s alone".clone_into(&mut fault.allowed);
            Err(fault.suggest("a key that looks like a size is reached behind /@/"))
        }
        Scope::Preset => {
            if matches!(given.spec.reader, Reader::Wish(_) | Reader::Later) {
                return Ok(());
            }
            "a preset, which holds only what changes the picture".clone_into(&mut fault.allowed);
            Err(fault)
        }
    }
}
