//! The forms of a log line: one flat JSON object, the same with the names of Google Cloud
//! Logging, `key=value` pairs, or text for people. Each is one line, whatever the fields hold.
//! Never drops a field.

mod gcp;
mod json;
mod logfmt;
mod pretty;
mod stamp;
#[cfg(test)]
mod tests;

pub(super) use gcp::Gcp;
pub(super) use json::Json;
pub(super) use logfmt::Logfmt;
pub(super) use pretty::Pretty;

use std::fmt::{self, Write};
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

/// Writes an event's message, which stands in front of its fields, and nothing else of it.
struct Message<F> {
    write: F,
    result: fmt::Result,
}

impl<F: FnMut(fmt::Arguments<'_>) -> fmt::Result> Message<F> {
    fn of(event: &Event<'_>, write: F) -> fmt::Result {
        let mut message = Self { write, result: Ok(()) };
        event.record(&mut message);
        message.result
    }
}

impl<F: FnMut(fmt::Arguments<'_>) -> fmt::Result> Visit for Message<F> {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() == "message" {
            self.result = (self.write)(format_args!("{value:?}"));
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.record_debug(field, &format_args!("{value}"));
    }
}

/// Writes an event's fields in their order, the message apart, as they come: nothing is allocated.
/// For forms that take each field as it is.
struct Stream<F> {
    write: F,
    result: fmt::Result,
}

/// A field's value on its way.
enum Passing<'a> {
    /// A number or a switch, as JSON spells it.
    Bare(fmt::Arguments<'a>),
    /// A text as it is.
    Text(&'a str),
    /// A text that is yet to be spelt.
    Spelt(fmt::Arguments<'a>),
}

impl<F: FnMut(&'static str, Passing<'_>) -> fmt::Result> Stream<F> {
    fn of(event: &Event<'_>, write: F) -> fmt::Result {
        let mut stream = Self { write, result: Ok(()) };
        event.record(&mut stream);
        stream.result
    }

    fn take(&mut self, field: &Field, value: Passing<'_>) {
        if self.result.is_ok() && field.name() != "message" {
            self.result = (self.write)(field.name(), value);
        }
    }
}

impl<F: FnMut(&'static str, Passing<'_>) -> fmt::Result> Visit for Stream<F> {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.take(field, Passing::Text(value));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.take(field, Passing::Spelt(format_args!("{value:?}")));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.take(field, Passing::Bare(format_args!("{value}")));
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.take(field, Passing::Bare(format_args!("{value}")));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.take(field, Passing::Bare(format_args!("{value}")));
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        // As [`Fields`] has it.
        if let Some(thousandths) = thousandths(value) {
            let (whole, mut behind) = (thousandths / 1_000, thousandths % 1_000);
            let mut digits = 3;
            while digits > 1 && behind.is_multiple_of(10) {
                (behind, digits) = (behind / 10, digits - 1);
            }
            self.take(field, Passing::Bare(format_args!("{whole}.{behind:0digits$}")));
        } else if value.is_finite() {
            self.take(field, Passing::Bare(format_args!("{value:?}")));
        } else {
            self.take(field, Passing::Spelt(format_args!("{value}")));
        }
    }
}

/// A number that is so many thousandths and nothing else, as times of requests are: spelt as such it
/// costs a third, and reads the same.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::float_cmp,
    reason = "what the conversions change is found by converting back"
)]
fn thousandths(value: f64) -> Option<u64> {
    /// Up to here a number of thousandths has no more digits than every `f64` tells apart.
    const MOST: f64 = 1e12;
    let thousandths = (value * 1_000.0).round();
    let same = value.is_sign_positive() && thousandths < MOST && thousandths / 1_000.0 == value;
    same.then_some(thousandths as u64)
}

/// The fields of one event in their order, the message apart, for forms that look fields up.
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
    Escaped(writer).write_str(text)?;
    writer.write_char('"')
}

/// The same for what is yet to be spelt.
fn write_json_spelt(writer: &mut Writer<'_>, text: fmt::Arguments<'_>) -> fmt::Result {
    writer.write_char('"')?;
    Escaped(writer).write_fmt(text)?;
    writer.write_char('"')
}

/// Escapes what passes as JSON does between quotes, and whatever a terminal would act on.
struct Escaped<'w, 'a>(&'w mut Writer<'a>);

impl Write for Escaped<'_, '_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let stands_for_itself = |b: &u8| matches!(b, b' '..=b'~') && !matches!(b, b'"' | b'\\');
        let mut rest = text;
        loop {
            // Whatever is before it is ASCII, so it is the beginning of a character.
            let plain = rest.bytes().position(|b| !stands_for_itself(&b)).unwrap_or(rest.len());
            let (run, behind) = rest.split_at(plain);
            self.0.write_str(run)?;
            let mut chars = behind.chars();
            match chars.next() {
                None => return Ok(()),
                Some('"') => self.0.write_str("\\\"")?,
                Some('\\') => self.0.write_str("\\\\")?,
                Some('\n') => self.0.write_str("\\n")?,
                Some('\r') => self.0.write_str("\\r")?,
                Some('\t') => self.0.write_str("\\t")?,
                // All of them lie below U+10000: one escape each.
                Some(c) if acts(c) => write!(self.0, "\\u{:04x}", u32::from(c))?,
                Some(c) => self.0.write_char(c)?,
            }
            rest = chars.as_str();
        }
    }
}
