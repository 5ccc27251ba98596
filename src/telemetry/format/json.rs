//! A log line as one flat JSON object. Never nests, so that every store of logs can index it.

use super::{Fields, IN_FRONT, level_name, unshadowed, write_json_text};
use crate::telemetry::logs::REQUEST_TARGET;
use std::fmt;
use tracing::{Event, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{FormatTime as _, SystemTime};
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
        let fields = Fields::of(event);
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
            write!(writer, ",\"{}{name}\":", unshadowed(name, &IN_FRONT))?;
            value.write_json(&mut writer)?;
        }
        writer.write_str("}\n")
    }
}
