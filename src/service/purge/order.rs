//! The body of `POST /purge` as a scope, and a scope as such a body, for the other pods. Every
//! refusal is a sentence that names the value. Never decides who may order.

use super::Scope;
use crate::config::BasePath;
use crate::dialect::request::{self, DialectSettings};
use crate::model::key::{OriginName, SourceId, SourceKey, SourceVersion};
use crate::model::limits::Limits;
use crate::model::transform::{Accepts, Transform};
use serde_json::{Map, Value, json};

/// What the body is read by.
#[derive(Debug, Clone, Copy)]
pub(in crate::service) struct Rules<'a> {
    /// How a variant's URL is read.
    pub(in crate::service) dialect: DialectSettings<'a>,
    /// In front of every URL of ours.
    pub(in crate::service) base_path: &'a BasePath,
    /// What resolves a wish.
    pub(in crate::service) limits: &'a Limits,
    /// Whether sized URLs are mirrored.
    pub(in crate::service) mirror: bool,
    /// The names of the origins.
    pub(in crate::service) origins: &'a [OriginName],
}

const FORM: &str = "one of {\"source\": \"photos/cat.jpg\"}, {\"prefix\": \"photos/\"}, \
                    {\"variant\": \"/photos/cat.jpg?w=400\"}, {\"all\": true}";

/// Classes of clients that a negotiable URL may be answered for.
const CLASSES: [Accepts; 4] = [Accepts::AvifWebp, Accepts::Avif, Accepts::Webp, Accepts::Classic];

/// Reads a body.
///
/// # Errors
/// One sentence that names what is wrong.
pub(in crate::service) fn read(body: &[u8], rules: &Rules<'_>) -> Result<Scope, String> {
    let value: Value = serde_json::from_slice(body)
        .map_err(|error| format!("the body is not JSON: {error}; it should be {FORM}"))?;
    let Value::Object(mut members) = value else {
        return Err(format!("the body is no JSON object; it should be {FORM}"));
    };
    let keep = members.remove("keep");
    let mut members = members.into_iter();
    let (Some((name, value)), None) = (members.next(), members.next()) else {
        return Err(format!("the body has not exactly one scope; it should be {FORM}"));
    };
    let scope = match (name.as_str(), value) {
        ("source", Value::String(text)) => {
            let keep = keep.map(version).transpose()?;
            return Ok(Scope::Source { id: source(&text, rules)?, keep });
        }
        ("prefix", Value::String(text)) => prefix(&text, rules)?,
        ("variant", Value::String(text)) => variant(&text, rules)?,
        ("all", Value::Bool(true)) => Scope::All,
        ("source" | "prefix" | "variant", value) => {
            return Err(format!("{name} is {value}, which is not a text"));
        }
        ("all", value) => return Err(format!("all is {value}; only true means something")),
        (name, _) => return Err(format!("{name:?} is no scope; the body should be {FORM}")),
    };
    match keep {
        None => Ok(scope),
        Some(_) => Err(format!("keep goes with source only, not with {name}")),
    }
}

fn version(value: Value) -> Result<SourceVersion, String> {
    let Value::String(text) = value else {
        return Err(format!("keep is {value}, which is not a text"));
    };
    let expected = "a version of 24 hex digits, as `lenslet explain` prints it";
    SourceVersion::parse(&text).ok_or_else(|| format!("keep is {text:?} (expected {expected})"))
}

/// `photos/cat.jpg`, `@shop/photos/cat.jpg`; `@/…` is the default origin, as in URLs.
fn origin<'t>(text: &'t str, rules: &Rules<'_>) -> Result<(OriginName, &'t str), String> {
    let Some(named) = text.strip_prefix('@') else {
        return Ok((OriginName::default_origin(), text));
    };
    let (name, key) = named.split_once('/').unwrap_or((named, ""));
    if name.is_empty() {
        return Ok((OriginName::default_origin(), key));
    }
    if let Some(name) = OriginName::new(name).filter(|name| rules.origins.contains(name)) {
        Ok((name, key))
    } else {
        let known: Vec<&str> = rules.origins.iter().map(OriginName::as_str).collect();
        Err(format!("no origin is called {name:?}; there is {}", known.join(", ")))
    }
}

fn source(text: &str, rules: &Rules<'_>) -> Result<SourceId, String> {
    let (origin, key) = origin(text, rules)?;
    let key = SourceKey::new(key).map_err(|error| format!("source {text:?}: {error}"))?;
    Ok(SourceId { origin, key })
}

fn prefix(text: &str, rules: &Rules<'_>) -> Result<Scope, String> {
    let (origin, prefix) = origin(text, rules)?;
    if prefix.is_empty() {
        return Err(format!(
            "prefix {text:?} names no part of an origin; {{\"all\": true}} is everything"
        ));
    }
    // The last segment may be the beginning of one.
    let whole = prefix.rsplit_once('/').map(|(whole, _)| whole);
    let good = !prefix.chars().any(char::is_control)
        && whole.is_none_or(|whole| SourceKey::new(whole).is_ok());
    if !good {
        return Err(format!("prefix {text:?}: no key of an original begins so"));
    }
    Ok(Scope::Prefix { origin, prefix: prefix.to_owned() })
}

fn variant(text: &str, rules: &Rules<'_>) -> Result<Scope, String> {
    // A URL within a path or a query is no part of a host.
    let whole = Some(text).filter(|text| !text.starts_with('/'));
    let target = match whole.and_then(|text| text.split_once("://")) {
        Some((_, rest)) => rest.find('/').and_then(|at| rest.get(at..)).unwrap_or("/"),
        None => text,
    };
    let below = rules
        .base_path
        .below(target)
        .ok_or_else(|| format!("variant {text:?} is outside {}/", rules.base_path.as_str()))?;
    let wrong = |error: &dyn std::fmt::Display| format!("variant {text:?}: {error}");
    let image = request::parse(below, &rules.dialect).map_err(|error| wrong(&error))?;
    if !rules.origins.contains(&image.source.origin) {
        return Err(wrong(&format!("no origin is called {:?}", image.source.origin.as_str())));
    }
    let mut wishes: Vec<Transform> = Vec::with_capacity(1);
    for class in CLASSES {
        let wish = image.resolve(class, rules.limits).map_err(|error| wrong(&error))?;
        if wishes.iter().all(|known| known.canonical() != wish.canonical()) {
            wishes.push(wish);
        }
    }
    let path = image.mirror_path().filter(|_| rules.mirror);
    Ok(Scope::Variant { id: image.source, wishes, path, target: target.to_owned() })
}

/// The body that orders the same of another pod.
pub(in crate::service) fn write(scope: &Scope) -> Value {
    match scope {
        Scope::Source { id, keep } => {
            let mut members = Map::new();
            members.insert("source".to_owned(), json!(format!("@{}/{}", id.origin, id.key)));
            if let Some(keep) = keep {
                members.insert("keep".to_owned(), json!(keep.as_str()));
            }
            Value::Object(members)
        }
        Scope::Prefix { origin, prefix } => json!({ "prefix": format!("@{origin}/{prefix}") }),
        Scope::Variant { target, .. } => json!({ "variant": target }),
        Scope::All => json!({ "all": true }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dialect::presets::Presets;
    use crate::dialect::request::UnknownParams;
    use crate::model::units::{ByteSize, PixelCount};

    fn read_with(body: &str, mirror: bool) -> Result<Scope, String> {
        let limits = Limits {
            source_bytes: ByteSize::new(1 << 20),
            source_pixels: PixelCount::new(50_000_000),
            output_side: 8_192,
            frames: 1,
            avif_pixels: PixelCount::new(16_000_000),
        };
        let presets = Presets::default();
        let origins = ["default", "shop"].map(|name| OriginName::new(name).unwrap());
        let rules = Rules {
            dialect: DialectSettings {
                presets: &presets,
                unknown: UnknownParams::Refuse,
                ignored: &[],
            },
            base_path: &"/img".parse().unwrap(),
            limits: &limits,
            mirror,
            origins: &origins,
        };
        read(body.as_bytes(), &rules)
    }

    fn scope(body: &str) -> Scope {
        read_with(body, true).unwrap_or_else(|error| panic!("{body}: {error}"))
    }

    #[test]
    fn each_scope_is_read_and_written_back_as_the_same() {
        for body in [
            r#"{"source": "photos/cat.jpg"}"#,
            r#"{"source": "@shop/photos/cat.jpg", "keep": "0123456789abcdef01234567"}"#,
            r#"{"source": "@/@odd/cat.jpg"}"#,
            r#"{"prefix": "photos/ca"}"#,
            r#"{"prefix": "@shop/photos/"}"#,
            r#"{"variant": "/img/photos/cat.jpg?w=400&f=auto"}"#,
            r#"{"variant": "https://cdn.example/img/300x200/cat.jpg"}"#,
            r#"{"all": true}"#,
        ] {
            let read = scope(body);
            assert_eq!(scope(&write(&read).to_string()), read, "{body}");
        }
        let Scope::Source { id, .. } = scope(r#"{"source": "@/@odd/cat.jpg"}"#) else { panic!() };
        assert_eq!(id.to_string(), "default:@odd/cat.jpg");
    }

    #[test]
    fn a_negotiable_url_is_all_its_answers_and_a_sized_one_has_a_place() {
        let wishes = |body| match scope(body) {
            Scope::Variant { wishes, path, .. } => (wishes.len(), path),
            other => panic!("{other:?}"),
        };
        assert_eq!(wishes(r#"{"variant": "/img/cat.jpg?w=4&f=auto"}"#).0, 4);
        assert_eq!(wishes(r#"{"variant": "/img/cat.jpg?w=4&s=notneeded"}"#), (1, None));
        let Err(error) = read_with(r#"{"variant": "/img/cat.jpg?x=https://h/y"}"#, true) else {
            panic!("x is no parameter")
        };
        assert!(!error.contains("outside"), "the whole text is the target: {error}");
        let sized = r#"{"variant": "/img/300x200/cat.jpg"}"#;
        assert_eq!(wishes(sized), (1, Some("300x200/cat.jpg".to_owned())));
        assert!(matches!(read_with(sized, false), Ok(Scope::Variant { path: None, .. })));
    }

    #[test]
    fn whatever_is_wrong_is_named() {
        for (body, named) in [
            ("", "not JSON"),
            ("[]", "no JSON object"),
            ("{}", "exactly one"),
            (r#"{"source": "a", "prefix": "b"}"#, "exactly one"),
            (r#"{"sauce": "a"}"#, "\"sauce\""),
            (r#"{"source": 7}"#, "source is 7"),
            (r#"{"source": ""}"#, "empty"),
            (r#"{"source": "/cat.jpg"}"#, "\"/cat.jpg\""),
            (r#"{"source": "../cat.jpg"}"#, "\"..\""),
            (r#"{"source": "@shopp/cat.jpg"}"#, "\"shopp\"; there is default, shop"),
            (r#"{"prefix": ""}"#, "{\"all\": true}"),
            (r#"{"prefix": "@shop/"}"#, "{\"all\": true}"),
            (r#"{"prefix": "/photos"}"#, "\"/photos\""),
            (r#"{"prefix": "a/../b"}"#, "\"a/../b\""),
            (r#"{"variant": "/cat.jpg?w=4"}"#, "outside /img/"),
            (r#"{"variant": "/img/cat.jpg?widht=4"}"#, "widht"),
            (r#"{"variant": "/img/@other/cat.jpg?w=4"}"#, "\"other\""),
            (r#"{"all": false}"#, "all is false"),
            (r#"{"all": true, "keep": "x"}"#, "keep goes with source"),
            (r#"{"source": "a", "keep": "x"}"#, "\"x\""),
        ] {
            let error = read_with(body, true).unwrap_err();
            assert!(error.contains(named), "{body}: {error}");
        }
    }
}
