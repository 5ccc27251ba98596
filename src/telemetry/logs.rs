//! Logs: where they go, what they look like, and the one line that each request leaves. Never
//! writes a signature and never lets a control character through.

use super::format::{Json, Pretty};
use crate::config::{LogFormat, Logs};
use crate::model::format::{Format, SourceFormat};
use crate::model::stage::Stage;
use std::borrow::Cow;
use std::io::IsTerminal as _;
use std::time::Duration;
use tracing::Level;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::writer::BoxMakeWriter;

/// Where log lines go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stream {
    /// Standard output: a server says nothing else there.
    Stdout,
    /// Standard error: a command's result owns standard output.
    Stderr,
}

/// Why there is no log.
#[derive(Debug, thiserror::Error)]
#[error("cannot start logging: {0}")]
pub struct LogError(String);

/// Starts logging for the whole process; once.
///
/// # Errors
/// When the filter cannot be read (`config` has read it before) or logging runs already.
pub fn init(logs: &Logs, stream: Stream) -> Result<(), LogError> {
    let filter =
        EnvFilter::builder().parse(&logs.filter).map_err(|error| LogError(error.to_string()))?;
    let terminal = match stream {
        Stream::Stdout => std::io::stdout().is_terminal(),
        Stream::Stderr => std::io::stderr().is_terminal(),
    };
    // One write per line: each event is formatted whole before it is written.
    let writer = match stream {
        Stream::Stdout => BoxMakeWriter::new(std::io::stdout),
        Stream::Stderr => BoxMakeWriter::new(std::io::stderr),
    };
    let pretty = match logs.format {
        LogFormat::Auto => terminal,
        LogFormat::Pretty => true,
        LogFormat::Json => false,
    };
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(writer)
        // A closed pipe must not fill the other one with complaints about it.
        .log_internal_errors(false);
    let started = if pretty {
        let color = logs.color && terminal;
        builder.event_format(Pretty { color }).try_init()
    } else {
        builder.event_format(Json).try_init()
    };
    started.map_err(|error| LogError(error.to_string()))
}

/// The target of request lines, for filters: `RUST_LOG=info,lenslet::request=off`.
pub const REQUEST_TARGET: &str = "lenslet::request";

/// What one request leaves in the log. Absent fields are left out of the line.
#[derive(Debug, Default, Clone, Copy)]
pub struct RequestLine<'a> {
    /// As in `X-Request-Id`.
    pub request_id: &'a str,
    /// GET, HEAD, …
    pub method: &'a str,
    /// Path and query as received; the signature is taken out when the line is written.
    pub path: &'a str,
    /// Of the answer.
    pub status: u16,
    /// Bytes of the answer's body.
    pub bytes_out: u64,
    /// From the request's first byte to the answer's head.
    pub duration: Duration,
    /// As in `X-Cache`.
    pub cache: Option<&'a str>,
    /// Origin and key of the original.
    pub source: Option<&'a str>,
    /// Bytes of the original, where it was fetched.
    pub source_bytes: Option<u64>,
    /// Format of the original, where it was probed.
    pub source_format: Option<SourceFormat>,
    /// Format of the answer.
    pub out_format: Option<Format>,
    /// Pixels of the answer.
    pub width: Option<u32>,
    /// Pixels of the answer.
    pub height: Option<u32>,
    /// Where the time went; a stage that stands twice is summed.
    pub stages: &'a [(Stage, Duration)],
    /// As in `X-Error-Code`.
    pub error_code: Option<&'a str>,
    /// What went wrong, for people.
    pub error: Option<&'a str>,
}

/// Writes the line: 5xx as an error, 4xx as a warning, anything else as information.
pub fn emit(line: &RequestLine<'_>) {
    let path = without_signature(line.path);
    let stage = |stage: Stage| {
        let times = line.stages.iter().filter(|(of, _)| *of == stage).map(|(_, time)| *time);
        times.reduce(|sum, time| sum + time).map(millis)
    };
    macro_rules! write_at {
        ($level:expr) => {
            tracing::event!(
                target: REQUEST_TARGET,
                $level,
                request_id = line.request_id,
                method = line.method,
                path = path.as_ref(),
                status = u64::from(line.status),
                duration_ms = millis(line.duration),
                bytes_out = line.bytes_out,
                cache = line.cache,
                source = line.source,
                source_bytes = line.source_bytes,
                source_format = line.source_format.map(SourceFormat::name),
                out_format = line.out_format.map(Format::name),
                width = line.width.map(u64::from),
                height = line.height.map(u64::from),
                lookup_ms = stage(Stage::Lookup),
                fetch_ms = stage(Stage::Fetch),
                queue_ms = stage(Stage::Queue),
                decode_ms = stage(Stage::Decode),
                resize_ms = stage(Stage::Resize),
                encode_ms = stage(Stage::Encode),
                store_ms = stage(Stage::Store),
                error_code = line.error_code,
                error = line.error,
                "request"
            )
        };
    }
    match line.status {
        500.. => write_at!(Level::ERROR),
        400..=499 => write_at!(Level::WARN),
        _ => write_at!(Level::INFO),
    }
}

/// Milliseconds with microseconds behind the point.
fn millis(time: Duration) -> f64 {
    (time.as_secs_f64() * 1e6).round() / 1e3
}

/// The request target with the value of every `s` parameter taken out.
fn without_signature(target: &str) -> Cow<'_, str> {
    let Some((path, query)) = target.split_once('?') else { return Cow::Borrowed(target) };
    if !query.split('&').any(is_signature) {
        return Cow::Borrowed(target);
    }
    let fields = query.split('&').map(|field| if is_signature(field) { "s=***" } else { field });
    Cow::Owned(format!("{path}?{}", fields.collect::<Vec<_>>().join("&")))
}

/// Whether a field of a query carries a signature: `s`, however it is encoded, also behind an
/// `&amp;` that slipped through an HTML template, and whatever looks like one by its length.
fn is_signature(field: &str) -> bool {
    let (name, value) = field.split_once('=').unwrap_or((field, ""));
    let name = percent_encoding::percent_decode_str(name).decode_utf8_lossy();
    let spelt = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
    let looks_like_one = value.len() == 43 && value.bytes().all(spelt);
    name.trim_start_matches("amp;") == "s" || looks_like_one
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use std::io::Write;
    use std::sync::{Arc, Mutex, PoisonError};

    /// A place for lines that a test can look at.
    #[derive(Debug, Clone, Default)]
    pub(in crate::telemetry) struct Kept(Arc<Mutex<Vec<u8>>>);

    impl Kept {
        pub(in crate::telemetry) fn text(&self) -> String {
            let bytes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            String::from_utf8(bytes.clone()).unwrap()
        }

        pub(in crate::telemetry) fn writer(&self) -> BoxMakeWriter {
            let kept = self.clone();
            BoxMakeWriter::new(move || kept.clone())
        }
    }

    impl Write for Kept {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    const TWICE: [(Stage, Duration); 2] =
        [(Stage::Decode, Duration::from_millis(2)), (Stage::Decode, Duration::from_millis(3))];

    fn line(path: &str, status: u16) -> RequestLine<'_> {
        RequestLine {
            request_id: "r1",
            method: "GET",
            path,
            status,
            bytes_out: 1234,
            duration: Duration::from_micros(14_250),
            cache: Some("rendered"),
            source: Some("default:cat.jpg"),
            source_bytes: Some(99),
            source_format: Some(SourceFormat::Web(Format::Jpeg)),
            out_format: Some(Format::Webp),
            width: Some(300),
            height: Some(200),
            stages: &TWICE,
            error_code: None,
            error: None,
        }
    }

    fn json(lines: &[RequestLine<'_>]) -> Vec<serde_json::Value> {
        let kept = Kept::default();
        let subscriber =
            tracing_subscriber::fmt().with_writer(kept.writer()).event_format(Json).finish();
        tracing::subscriber::with_default(subscriber, || lines.iter().for_each(emit));
        kept.text().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    #[test]
    fn a_request_leaves_one_flat_line() {
        let lines = json(&[line("/cat.jpg?w=300", 200)]);
        let [line] = lines.as_slice() else { panic!("{lines:?}") };
        for (field, value) in [
            ("level", serde_json::json!("info")),
            ("msg", "request".into()),
            ("request_id", "r1".into()),
            ("path", "/cat.jpg?w=300".into()),
            ("status", 200.into()),
            ("duration_ms", 14.25.into()),
            ("bytes_out", 1234.into()),
            ("cache", "rendered".into()),
            ("source_format", "jpeg".into()),
            ("out_format", "webp".into()),
            ("width", 300.into()),
            ("decode_ms", 5.0.into()),
        ] {
            assert_eq!(line[field], value, "{field}");
        }
        for absent in ["fetch_ms", "error", "error_code"] {
            assert!(line.get(absent).is_none(), "{absent}");
        }
    }

    #[test]
    fn the_level_follows_the_status() {
        let lines = json(&[line("/", 304), line("/", 404), line("/", 503)]);
        let levels: Vec<_> = lines.iter().map(|line| line["level"].as_str().unwrap()).collect();
        assert_eq!(levels, ["info", "warn", "error"]);
    }

    #[test]
    fn a_signature_never_reaches_the_log() {
        for (target, shown) in [
            ("/a?w=1&s=SECRET", "/a?w=1&s=***"),
            ("/a?s=SECRET&s=SECRET", "/a?s=***&s=***"),
            ("/a?s=SECRET", "/a?s=***"),
            ("/a?sharpen=1&ss=x", "/a?sharpen=1&ss=x"),
            ("/s=1", "/s=1"),
        ] {
            assert_eq!(without_signature(target), shown);
        }
        assert_eq!(json(&[line("/a?w=1&s=SECRET", 200)])[0]["path"], "/a?w=1&s=***");
    }

    #[test]
    fn control_characters_are_escaped_on_one_line() {
        let lines = json(&[line("/a\r\n{\"level\":\"fake\"}\u{1b}[31m\u{9b}", 200)]);
        assert_eq!(lines.len(), 1);
        assert_eq!(lines[0]["path"], "/a\r\n{\"level\":\"fake\"}\u{1b}[31m\u{9b}");
    }
}
