//! A log line as Google Cloud Logging reads it from standard output: its own names for severity,
//! time, request and trace, everything else beside them. Never sends anything by itself.

use super::{Fields, Value, stamp, unshadowed, write_json_text};
use crate::telemetry::logs::REQUEST_TARGET;
use std::fmt;
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

/// `{"time":…,"severity":…,"message":…,"httpRequest":{…},"logging.googleapis.com/trace":…,` then
/// the other fields`}`.
#[derive(Debug)]
pub(in crate::telemetry) struct Gcp {
    /// In which project traces lie.
    pub(in crate::telemetry) project: Option<String>,
}

/// Fields of a request line that stand inside `httpRequest`.
const OF_THE_REQUEST: [&str; 5] = ["method", "path", "status", "bytes_out", "duration_ms"];

/// Fields that have a name of Google's.
const OF_THE_TRACE: [&str; 3] = ["trace_id", "span_id", "trace_sampled"];

/// Names that stand in front of the fields.
const TAKEN: [&str; 6] = ["time", "severity", "message", "httpRequest", "target", "timestamp"];

impl<S, N> FormatEvent<S, N> for Gcp
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
        let metadata = event.metadata();
        let is_request = metadata.target() == REQUEST_TARGET;
        writer.write_str("{\"time\":\"")?;
        stamp::write_now(&mut writer)?;
        write!(writer, "\",\"severity\":\"{}\",\"message\":", severity(*metadata.level()))?;
        if is_request {
            // The list of entries shows nothing but this.
            write_json_text(&mut writer, &summary(&fields))?;
            http_request(&mut writer, &fields)?;
        } else {
            write_json_text(&mut writer, &fields.message)?;
            writer.write_str(",\"target\":")?;
            write_json_text(&mut writer, metadata.target())?;
        }
        self.trace(&mut writer, &fields)?;
        for (name, value) in &fields.others {
            if OF_THE_TRACE.contains(name) || (is_request && OF_THE_REQUEST.contains(name)) {
                continue;
            }
            write!(writer, ",\"{}{name}\":", unshadowed(name, &TAKEN))?;
            value.write_json(&mut writer)?;
        }
        writer.write_str("}\n")
    }
}

impl Gcp {
    fn trace(&self, writer: &mut Writer<'_>, fields: &Fields) -> fmt::Result {
        if let Some(trace) = fields.get("trace_id") {
            writer.write_str(",\"logging.googleapis.com/trace\":")?;
            match &self.project {
                Some(project) => {
                    write_json_text(
                        writer,
                        &format!("projects/{project}/traces/{}", trace.text()),
                    )?;
                }
                None => trace.write_json(writer)?,
            }
        }
        for (name, googles) in [("span_id", "spanId"), ("trace_sampled", "trace_sampled")] {
            if let Some(value) = fields.get(name) {
                write!(writer, ",\"logging.googleapis.com/{googles}\":")?;
                value.write_json(writer)?;
            }
        }
        Ok(())
    }
}

fn summary(fields: &Fields) -> String {
    let words = ["method", "path", "status"].map(|name| fields.get(name).map_or("", Value::text));
    words.join(" ")
}

/// `HttpRequest` of the logging API: sizes are strings, the latency is in seconds.
fn http_request(writer: &mut Writer<'_>, fields: &Fields) -> fmt::Result {
    writer.write_str(",\"httpRequest\":{")?;
    let mut separator = "";
    for (name, googles) in
        [("method", "requestMethod"), ("path", "requestUrl"), ("status", "status")]
    {
        if let Some(value) = fields.get(name) {
            write!(writer, "{separator}\"{googles}\":")?;
            value.write_json(writer)?;
            separator = ",";
        }
    }
    if let Some(bytes) = fields.get("bytes_out") {
        write!(writer, "{separator}\"responseSize\":\"{}\"", bytes.text())?;
        separator = ",";
    }
    if let Some(millis) = fields.get("duration_ms").and_then(|time| time.text().parse::<f64>().ok())
    {
        write!(writer, "{separator}\"latency\":\"{:.6}s\"", millis / 1e3)?;
    }
    writer.write_char('}')
}

fn severity(level: Level) -> &'static str {
    match level {
        Level::ERROR => "ERROR",
        Level::WARN => "WARNING",
        Level::INFO => "INFO",
        Level::DEBUG | Level::TRACE => "DEBUG",
    }
}
