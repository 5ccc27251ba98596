//! The two forms of a log line: one flat JSON object, or text for people. Both are one line,
//! whatever the fields hold. Never drops a field.

use super::logs::REQUEST_TARGET;
use std::fmt;
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{FormatTime as _, SystemTime};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

/// `{"ts":…,"level":…,"msg":…,` then the fields in the order of the event`}`.
#[derive(Debug)]
pub(super) struct Json;

impl<S, N> FormatEvent<S, N> for Json
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        _: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut fields = Fields::default();
        event.record(&mut fields);
        writer.write_str("{\"ts\":\"")?;
        SystemTime.format_time(&mut writer)?;
        let metadata = event.metadata();
        write!(writer, "\",\"level\":\"{}\",\"msg\":", level_name(*metadata.level()))?;
        write_json_text(&mut writer, &fields.message)?;
        if metadata.target() != REQUEST_TARGET {
            writer.write_str(",\"target\":")?;
            write_json_text(&mut writer, metadata.target())?;
        }
        for (name, value) in &fields.others {
            // The names that stand in front already would make the object ambiguous.
            let shadows = matches!(*name, "ts" | "level" | "msg" | "target");
            write!(writer, ",\"{}{name}\":", if shadows { "field_" } else { "" })?;
            match value {
                Value::Bare(text) => writer.write_str(text)?,
                Value::Text(text) => write_json_text(&mut writer, text)?,
            }
        }
        writer.write_str("}\n")
    }
}

/// `2026-01-01T00:00:00.000000Z INFO request GET /cat.jpg 200 14.25ms request_id=r1 …`
#[derive(Debug)]
pub(super) struct Pretty {
    /// Whether levels are coloured.
    pub(super) color: bool,
}

impl<S, N> FormatEvent<S, N> for Pretty
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        _: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut fields = Fields::default();
        event.record(&mut fields);
        SystemTime.format_time(&mut writer)?;
        let metadata = event.metadata();
        let level = *metadata.level();
        if self.color {
            write!(writer, " \u{1b}[{}m{level:>5}\u{1b}[0m ", level_color(level))?;
        } else {
            write!(writer, " {level:>5} ")?;
        }
        write_visible(&mut writer, &fields.message)?;
        let is_request = metadata.target() == REQUEST_TARGET;
        let leads = |name: &str| {
            is_request && matches!(name, "method" | "path" | "status" | "duration_ms" | "cache")
        };
        for (name, value) in fields.others.iter().filter(|(name, _)| leads(name)) {
            writer.write_char(' ')?;
            write_visible(&mut writer, value.text())?;
            if *name == "duration_ms" {
                writer.write_str("ms")?;
            }
        }
        for (name, value) in fields.others.iter().filter(|(name, _)| !leads(name)) {
            write!(writer, " {name}=")?;
            let text = value.text();
            let quoted = text.is_empty() || text.contains([' ', '"', '=']);
            let quote = if quoted { "\"" } else { "" };
            writer.write_str(quote)?;
            write_visible(&mut writer, text)?;
            writer.write_str(quote)?;
        }
        if !is_request {
            write!(writer, " ({})", metadata.target())?;
        }
        writer.write_char('\n')
    }
}

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
}

/// The fields of one event in their order, the message apart.
#[derive(Default)]
struct Fields {
    message: String,
    others: Vec<(&'static str, Value)>,
}

impl Fields {
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

/// The terminal's colour of a level: red, yellow, green, blue, magenta.
fn level_color(level: Level) -> u8 {
    match level {
        Level::ERROR => 31,
        Level::WARN => 33,
        Level::INFO => 32,
        Level::DEBUG => 34,
        Level::TRACE => 35,
    }
}

/// Characters a terminal or a viewer would act on instead of showing: controls of both ranges,
/// line separators, and the marks that turn the direction of text.
fn acts(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
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

fn write_visible(writer: &mut Writer<'_>, text: &str) -> fmt::Result {
    for c in text.chars() {
        if acts(c) {
            write!(writer, "{}", c.escape_unicode())?;
        } else {
            writer.write_char(c)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::logs::tests::Kept;
    use super::*;

    fn said<E>(format: E, say: impl FnOnce()) -> String
    where
        E: FormatEvent<
                tracing_subscriber::Registry,
                tracing_subscriber::fmt::format::DefaultFields,
            > + Send
            + Sync
            + 'static,
    {
        use tracing_subscriber::layer::SubscriberExt as _;
        let kept = Kept::default();
        let layer =
            tracing_subscriber::fmt::layer().with_writer(kept.writer()).event_format(format);
        let subscriber = tracing_subscriber::registry().with(layer);
        tracing::subscriber::with_default(subscriber, say);
        kept.text()
    }

    fn hostile() {
        let text = "a\n\u{1b}[2J\u{9b}2J\u{202e}\"\\ü";
        tracing::warn!(text, ts = 1, nan = f64::NAN, on = true, n = -3, debug = ?Some("x"), "msg {}", "\u{7}");
    }

    #[test]
    fn json_is_one_valid_object_whatever_the_fields_hold() {
        let line = said(Json, hostile);
        assert_eq!(line.matches('\n').count(), 1);
        assert!(!line.trim_end().chars().any(acts), "{line:?}");
        let object: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert_eq!(object["text"], "a\n\u{1b}[2J\u{9b}2J\u{202e}\"\\ü");
        assert_eq!(object["msg"], "msg \u{7}");
        assert_eq!(object["level"], "warn");
        assert_eq!(object["field_ts"], 1);
        assert_eq!(object["nan"], "NaN");
        assert_eq!((&object["on"], &object["n"]), (&true.into(), &(-3).into()));
        assert_eq!(object["debug"], "Some(\"x\")");
        assert!(object["ts"].as_str().unwrap().ends_with('Z'));
        assert!(object["target"].as_str().unwrap().starts_with("lenslet::telemetry"));
    }

    #[test]
    fn the_order_of_json_fields_is_stable() {
        let line = said(Json, || tracing::info!(target: REQUEST_TARGET, b = 1, a = 2, "m"));
        let (_, rest) = line.split_once("\",\"level\"").unwrap();
        assert_eq!(rest, ":\"info\",\"msg\":\"m\",\"b\":1,\"a\":2}\n");
    }

    #[test]
    fn pretty_is_one_line_that_no_field_can_colour_or_break() {
        let line = said(Pretty { color: false }, hostile);
        assert_eq!(line.matches('\n').count(), 1);
        assert!(!line.trim_end().chars().any(acts), "{line:?}");
        assert!(line.contains(" WARN msg \\u{7}"), "{line}");
        assert!(said(Pretty { color: true }, hostile).contains("\u{1b}[33m"));
    }

    #[test]
    fn a_pretty_request_begins_with_what_people_look_for() {
        let line = said(Pretty { color: false }, || {
            tracing::info!(
                target: REQUEST_TARGET,
                request_id = "r1", method = "GET", path = "/cat.jpg", status = 200,
                duration_ms = 1.5, cache = "memory", "request"
            );
        });
        let (_, rest) = line.split_once("INFO ").unwrap();
        assert_eq!(rest, "request GET /cat.jpg 200 1.5ms memory request_id=r1\n");
    }
}
