//! A log line as `key=value` pairs. A value is quoted where a reader could mistake its end, with
//! the escapes of JSON inside. Never splits a pair over lines.

use super::{Fields, IN_FRONT, acts, level_name, unshadowed, write_json_text};
use crate::telemetry::logs::REQUEST_TARGET;
use std::fmt;
use tracing::{Event, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{FormatTime as _, SystemTime};
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
        let fields = Fields::of(event);
        writer.write_str("ts=")?;
        SystemTime.format_time(&mut writer)?;
        let metadata = event.metadata();
        write!(writer, " level={} msg=", level_name(*metadata.level()))?;
        write_value(&mut writer, &fields.message)?;
        if metadata.target() != REQUEST_TARGET {
            writer.write_str(" target=")?;
            write_value(&mut writer, metadata.target())?;
        }
        for (name, value) in &fields.others {
            write!(writer, " {}{name}=", unshadowed(name, &IN_FRONT))?;
            write_value(&mut writer, value.text())?;
        }
        writer.write_char('\n')
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
