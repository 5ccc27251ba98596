//! A log line as `key=value` pairs. A value is quoted where a reader could mistake its end, with
//! the escapes of JSON inside. Never splits a pair over lines.

use super::{
    IN_FRONT, Message, Passing, Stream, acts, level_name, stamp, unshadowed, write_json_text,
};
use crate::telemetry::logs::REQUEST_TARGET;
use std::fmt;
use tracing::{Event, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

/// `ts=… level=info msg=request request_id=r1 …`
#[derive(Debug)]
pub(in crate::telemetry) struct Logfmt;

impl<S, N> FormatEvent<S, N> for Logfmt
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
        writer.write_str("ts=")?;
        stamp::write_now(&mut writer)?;
        let metadata = event.metadata();
        write!(writer, " level={} msg=", level_name(*metadata.level()))?;
        Message::of(event, |message| write_spelt(&mut writer, message))?;
        if metadata.target() != REQUEST_TARGET {
            writer.write_str(" target=")?;
            write_value(&mut writer, metadata.target())?;
        }
        Stream::of(event, |name, value| {
            writer.write_char(' ')?;
            writer.write_str(unshadowed(name, &IN_FRONT))?;
            writer.write_str(name)?;
            writer.write_char('=')?;
            match value {
                Passing::Bare(text) => writer.write_fmt(text),
                Passing::Text(text) => write_value(&mut writer, text),
                Passing::Spelt(text) => write_spelt(&mut writer, text),
            }
        })?;
        writer.write_char('\n')
    }
}

/// Whether it has to be quoted is known once it is spelt.
fn write_spelt(writer: &mut Writer<'_>, text: fmt::Arguments<'_>) -> fmt::Result {
    match text.as_str() {
        Some(text) => write_value(writer, text),
        None => write_value(writer, &text.to_string()),
    }
}

fn write_value(writer: &mut Writer<'_>, text: &str) -> fmt::Result {
    let plain = |c: char| !matches!(c, '"' | '=' | '\\') && !c.is_whitespace() && !acts(c);
    if !text.is_empty() && text.chars().all(plain) {
        writer.write_str(text)
    } else {
        write_json_text(writer, text)
    }
}
