//! A log line as one flat JSON object. Never nests, so that every store of logs can index it.

use super::{
    IN_FRONT, Message, Passing, Stream, level_name, stamp, unshadowed, write_json_spelt,
    write_json_text,
};
use crate::telemetry::logs::REQUEST_TARGET;
use std::fmt;
use tracing::{Event, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

/// `{"ts":…,"level":…,"msg":…,` then the fields in the order of the event`}`.
#[derive(Debug)]
pub(in crate::telemetry) struct Json;

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
        writer.write_str("{\"ts\":\"")?;
        stamp::write_now(&mut writer)?;
        let metadata = event.metadata();
        write!(writer, "\",\"level\":\"{}\",\"msg\":", level_name(*metadata.level()))?;
        Message::of(event, |message| write_json_spelt(&mut writer, message))?;
        if metadata.target() != REQUEST_TARGET {
            writer.write_str(",\"target\":")?;
            write_json_text(&mut writer, metadata.target())?;
        }
        Stream::of(event, |name, value| {
            writer.write_str(",\"")?;
            writer.write_str(unshadowed(name, &IN_FRONT))?;
            writer.write_str(name)?;
            writer.write_str("\":")?;
            match value {
                Passing::Bare(text) => writer.write_fmt(text),
                Passing::Text(text) => write_json_text(&mut writer, text),
                Passing::Spelt(text) => write_json_spelt(&mut writer, text),
            }
        })?;
        writer.write_str("}\n")
    }
}
