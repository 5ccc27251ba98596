//! Logs: where they go, what they look like, and the one line that each request leaves. Never
//! writes a signature or a token and never lets a control character through.

use super::format::{Gcp, Json, Logfmt, Pretty};
use super::redact;
use super::sink::{self, Out, Sink};
use super::trace::TraceContext;
use crate::config::{LogFormat, Logs};
use crate::model::format::{Format, SourceFormat};
use crate::model::stage::Stage;
use std::borrow::Cow;
use std::io::{self, IsTerminal as _};
use std::time::Duration;
use tracing::Level;
use tracing_subscriber::EnvFilter;

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

/// How long the end of the process may take to write what waits, and a panic to write what led to it.
const LAST_WORDS: Duration = Duration::from_secs(2);
const AT_A_PANIC: Duration = Duration::from_millis(100);

/// A log that has been started: dropping it writes what waits.
#[derive(Debug)]
#[must_use = "what waits is written when this is dropped"]
pub struct Started(Option<Sink>);

impl Drop for Started {
    fn drop(&mut self) {
        if let Some(sink) = &self.0 {
            sink.close(LAST_WORDS);
        }
    }
}

/// Lines that were lost so far, because whoever reads standard output was too slow or has gone.
#[must_use]
pub fn lost_lines() -> u64 {
    sink::lost()
}

/// Starts logging for the whole process; once. A server's lines may wait for a fifth of a second
/// before they are written, unless they are errors or not about requests.
///
/// # Errors
/// When the filter cannot be read (`config` has read it before), no thread can be had, or logging
/// runs already.
pub fn init(logs: &Logs, stream: Stream) -> Result<Started, LogError> {
    let filter =
        EnvFilter::builder().parse(&logs.filter).map_err(|error| LogError(error.to_string()))?;
    let (terminal, out) = match stream {
        Stream::Stdout if io::stdout().is_terminal() => (true, Out::Stdout),
        Stream::Stdout => {
            let sink = Sink::start(io::stdout()).map_err(|error| LogError(error.to_string()))?;
            (false, Out::Buffered(sink))
        }
        Stream::Stderr => (io::stderr().is_terminal(), Out::Stderr),
    };
    let started = Started(match &out {
        Out::Buffered(sink) => Some(sink.clone()),
        Out::Stdout | Out::Stderr => None,
    });
    let format = match logs.format {
        LogFormat::Auto if terminal => LogFormat::Pretty,
        LogFormat::Auto => LogFormat::Json,
        other => other,
    };
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(out)
        // A closed pipe must not fill the other one with complaints about it.
        .log_internal_errors(false);
    let subscribed = match format {
        LogFormat::Pretty => {
            builder.event_format(Pretty { color: logs.color && terminal }).try_init()
        }
        LogFormat::Logfmt => builder.event_format(Logfmt).try_init(),
        LogFormat::Gcp => builder.event_format(Gcp { project: logs.project.clone() }).try_init(),
        LogFormat::Auto | LogFormat::Json => builder.event_format(Json).try_init(),
    };
    subscribed.map_err(|error| LogError(error.to_string()))?;
    if let Some(sink) = started.0.clone() {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            before(panic);
            sink.flush(AT_A_PANIC);
        }));
    }
    Ok(started)
}

/// The target of request lines, for filters: `RUST_LOG=info,lenslet::request=off`.
pub const REQUEST_TARGET: &str = "lenslet::request";

/// What one request leaves in the log. Absent fields are left out of the line.
#[derive(Debug, Default, Clone, Copy)]
pub struct RequestLine<'a> {
    /// As in `X-Request-Id`.
    pub request_id: &'a str,
    /// Where it belongs, if it belongs to a trace.
    pub trace: Option<TraceContext>,
    /// GET, HEAD, …
    pub method: &'a str,
    /// Path and query as received; secrets are taken out when the line is written.
    pub path: &'a str,
    /// Whether `path` is known to hold no secret: nothing is looked for then.
    pub clean: bool,
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

/// Whether a request's target holds nothing that a log must not show.
#[must_use]
pub fn is_clean(target: &str) -> bool {
    matches!(redact::target(target), Cow::Borrowed(_))
}

/// Writes the line: 5xx as an error, 4xx as a warning, anything else as information.
pub fn emit(line: &RequestLine<'_>) {
    let path = if line.clean { Cow::Borrowed(line.path) } else { redact::target(line.path) };
    let error = line.error.map(|error| redact::text(error, line.path));
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
                trace_id = line.trace.map(|trace| tracing::field::display(trace.trace)),
                span_id = line.trace.map(|trace| tracing::field::display(trace.span)),
                trace_sampled = line.trace.map(|trace| trace.sampled),
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
                version_ms = stage(Stage::Version),
                lookup_ms = stage(Stage::Lookup),
                fetch_ms = stage(Stage::Fetch),
                queue_ms = stage(Stage::Queue),
                decode_ms = stage(Stage::Decode),
                resize_ms = stage(Stage::Resize),
                encode_ms = stage(Stage::Encode),
                store_ms = stage(Stage::Store),
                error_code = line.error_code,
                error = error.as_deref(),
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

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::io::Write;
    use std::sync::{Arc, Mutex, PoisonError};
    use tracing_subscriber::fmt::writer::BoxMakeWriter;

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
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    const TWICE: [(Stage, Duration); 2] =
        [(Stage::Decode, Duration::from_millis(2)), (Stage::Decode, Duration::from_millis(3))];

    fn line(path: &str, status: u16) -> RequestLine<'_> {
        RequestLine {
            request_id: "r1",
            trace: None,
            method: "GET",
            path,
            clean: false,
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

    fn written<E>(format: E, line: &RequestLine<'_>) -> String
    where
        E: tracing_subscriber::fmt::FormatEvent<
                tracing_subscriber::Registry,
                tracing_subscriber::fmt::format::DefaultFields,
            > + Send
            + Sync
            + 'static,
    {
        let kept = Kept::default();
        let subscriber =
            tracing_subscriber::fmt().with_writer(kept.writer()).event_format(format).finish();
        tracing::subscriber::with_default(subscriber, || emit(line));
        kept.text()
    }

    fn in_every_format(line: &RequestLine<'_>) -> [String; 5] {
        [
            written(Json, line),
            written(Gcp { project: Some("p".to_owned()) }, line),
            written(Logfmt, line),
            written(Pretty { color: false }, line),
            written(Pretty { color: true }, line),
        ]
    }

    #[test]
    fn a_line_names_its_trace() {
        let header = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        let traced = RequestLine { trace: TraceContext::parse(header), ..line("/", 200) };
        let lines = json(&[traced, line("/", 200)]);
        assert_eq!(lines[0]["trace_id"], "0af7651916cd43dd8448eb211c80319c");
        assert_eq!(lines[0]["span_id"], "b7ad6b7169203331");
        assert_eq!(lines[0]["trace_sampled"], true);
        assert!(lines[1].get("trace_id").is_none());
    }

    #[test]
    fn control_characters_are_escaped_on_one_line() {
        let lines = json(&[line("/a\r\n{\"level\":\"fake\"}\u{1b}[31m\u{9b}", 200)]);
        assert_eq!(lines.len(), 1);
        assert_eq!(lines[0]["path"], "/a\r\n{\"level\":\"fake\"}\u{1b}[31m\u{9b}");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn no_secret_reaches_a_line_of_any_format(
            secret in "[A-Za-z0-9_-]{8,60}",
            name in prop::sample::select(vec!["s", "S", "%73", "amp;s", "token", "Token", "sig", "X-Amz-Signature"]),
            path in "/[a-z]{1,9}",
            before in "(w=[0-9]{1,3}&)?",
            behind in "(&h=[0-9]{1,3})?",
        ) {
            let target = format!("{path}?{before}{name}={secret}{behind}");
            let error = format!("the parameter {name}={secret} is not known");
            let failed = RequestLine { error: Some(&error), ..line(&target, 400) };
            for text in in_every_format(&failed) {
                prop_assert!(!text.contains(&secret), "{secret} in {text}");
                prop_assert!(text.contains(&path));
            }
        }

        #[test]
        fn nothing_in_a_request_makes_a_second_line_or_a_command(text in "\\PC{0,20}[\\x00-\\x9f]{0,20}\\PC{0,20}") {
            let hostile = RequestLine {
                request_id: &text,
                source: Some(&text),
                error: Some(&text),
                ..line(&text, 400)
            };
            for (index, text) in in_every_format(&hostile).into_iter().enumerate() {
                // The last one is coloured by us.
                let text = if index == 4 { text.replace("\u{1b}[33m", "").replace("\u{1b}[0m", "") } else { text };
                let (line, rest) = text.split_once('\n').unwrap();
                prop_assert_eq!(rest, "");
                prop_assert!(!line.chars().any(char::is_control), "{:?}", line);
            }
        }
    }
}
