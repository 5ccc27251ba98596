//! A log line for people. Never colours what a field holds.

use super::{Fields, acts, stamp};
use crate::telemetry::logs::REQUEST_TARGET;
use std::fmt;
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

/// `2026-01-01T00:00:00.000000Z INFO request GET /cat.jpg 200 14.25ms request_id=r1 …`
#[derive(Debug)]
pub(in crate::telemetry) struct Pretty {
    /// Whether levels are coloured.
    pub(in crate::telemetry) color: bool,
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
        let fields = Fields::of(event);
        stamp::write_now(&mut writer)?;
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
            // A value that could close its own quotes could pass for another field.
            write_visible(&mut writer, &text.replace('"', "\\\""))?;
            writer.write_str(quote)?;
        }
        if !is_request {
            write!(writer, " ({})", metadata.target())?;
        }
        writer.write_char('\n')
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
