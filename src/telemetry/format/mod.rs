//! The forms of a log line: one flat JSON object, the same with the names of Google Cloud
//! Logging, `key=value` pairs, or text for people. Each is one line, whatever the fields hold.
//! Never drops a field.

mod gcp;
mod json;
mod logfmt;
mod pretty;
#[cfg(test)]
mod tests;

pub(super) use gcp::Gcp;
pub(super) use json::Json;
pub(super) use logfmt::Logfmt;
pub(super) use pretty::Pretty;

use std::fmt;
use tracing::field::{Field, Visit};
use tracing::{Event, Level};
use tracing_subscriber::fmt::format::Writer;

/// A field's value.
enum Value {
    /// A number or a switch, as JSON spells it.
    Bare(String),
    /// Anything else.
    Text(String),
}

impl Value {
    fn text(&self) -> &str {
        match self {
            Self::Bare(text) | Self::Text(text) => text,
        }
    }

    fn write_json(&self, writer: &mut Writer<'_>) -> fmt::Result {
        match self {
            Self::Bare(text) => writer.write_str(text),
            Self::Text(text) => write_json_text(writer, text),
        }
    }
}

/// What JSON and logfmt write themselves, in front of the fields.
const IN_FRONT: [&str; 4] = ["ts", "level", "msg", "target"];

/// What a field's name is written behind: a name that stands in front already would make the line
/// ambiguous.
fn unshadowed(name: &str, in_front: &[&str]) -> &'static str {
    if in_front.contains(&name) { "field_" } else { "" }
}

/// The fields of one event in their order, the message apart.
#[derive(Default)]
struct Fields {
    message: String,
    others: Vec<(&'static str, Value)>,
}

impl Fields {
    fn of(event: &Event<'_>) -> Self {
        let mut fields = Self::default();
        event.record(&mut fields);
        fields
    }

    fn get(&self, name: &str) -> Option<&Value> {
        self.others.iter().find(|(known, _)| *known == name).map(|(_, value)| value)
    }

    fn text(&mut self, field: &Field, text: String) {
        if field.name() == "message" {
            self.message = text;
        } else {
            self.others.push((field.name(), Value::Text(text)));
        }
    }

    fn bare(&mut self, field: &Field, text: String) {
        self.others.push((field.name(), Value::Bare(text)));
    }
}

impl Visit for Fields {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.text(field, value.to_owned());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.text(field, format!("{value:?}"));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.bare(field, value.to_string());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.bare(field, value.to_string());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.bare(field, value.to_string());
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        // JSON has no spelling for infinities and NaN.
        if value.is_finite() {
            // With a point even where it is whole: a store of logs types a field by its first value.
            self.bare(field, format!("{value:?}"));
        } else {
            self.text(field, value.to_string());
        }
    }
}

fn level_name(level: Level) -> &'static str {
    match level {
        Level::ERROR => "error",
        Level::WARN => "warn",
        Level::INFO => "info",
        Level::DEBUG => "debug",
        Level::TRACE => "trace",
    }
}

/// Characters a terminal or a viewer would act on instead of showing: controls of both ranges,
/// line separators, and the marks that turn the direction of text.
fn acts(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{2028}' | '\u{2029}' | '\u{200e}' | '\u{200f}' | '\u{61c}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

fn write_json_text(writer: &mut Writer<'_>, text: &str) -> fmt::Result {
    writer.write_char('"')?;
    for c in text.chars() {
        match c {
            '"' => writer.write_str("\\\"")?,
            '\\' => writer.write_str("\\\\")?,
            '\n' => writer.write_str("\\n")?,
            '\r' => writer.write_str("\\r")?,
            '\t' => writer.write_str("\\t")?,
            // All of them lie below U+10000: one escape each.
            c if acts(c) => write!(writer, "\\u{:04x}", u32::from(c))?,
            c => writer.write_char(c)?,
        }
    }
    writer.write_char('"')
}
