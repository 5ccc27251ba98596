//! The spans of one request, made after it is over from what its log line says: one for the
//! whole of it, below it one for each stage. Never shows a secret, and costs nothing where a
//! request is not recorded.

use super::Begun;
use super::context::{SpanId, TraceContext};
use crate::model::format::{Format, SourceFormat};
use crate::model::stage::Stage;
use crate::telemetry::logs::RequestLine;
use crate::telemetry::redact;
use std::borrow::Cow;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// A span that is over.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Span {
    pub(super) context: TraceContext,
    pub(super) parent: Option<SpanId>,
    /// The caller's `tracestate`, handed on.
    pub(super) state: Option<String>,
    pub(super) name: Cow<'static, str>,
    /// Whether it is the whole request, whose parent is somebody else's.
    pub(super) is_server: bool,
    /// Nanoseconds since 1970.
    pub(super) start: u64,
    /// The same, never before `start`.
    pub(super) end: u64,
    pub(super) attributes: Vec<(&'static str, Value)>,
    /// The span of the request that did the work this one waited for.
    pub(super) link: Option<TraceContext>,
    pub(super) failed: bool,
}

/// An attribute's value.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Value {
    Word(&'static str),
    Text(String),
    Whole(u64),
}

/// What the spans of a request are made of.
#[derive(Debug, Clone, Copy)]
pub struct Told<'a> {
    /// Its log line.
    pub line: &'a RequestLine<'a>,
    /// The route's template, such as `/{key}`; none for what matched nothing.
    pub route: Option<&'static str>,
    /// As the client named itself.
    pub user_agent: Option<&'a str>,
    /// The request whose work this one waited for.
    pub leader: Option<TraceContext>,
    /// Whether its client left before there was an answer.
    pub left: bool,
}

/// A longer `User-Agent` is cut: it is written by strangers.
const MAX_USER_AGENT: usize = 200;

/// Methods that may stand in a span; another one could be any word.
const METHODS: [&str; 9] =
    ["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE", "CONNECT"];

/// The spans of a request that ended just now, the whole one first.
pub(super) fn of(told: &Told<'_>, begun: &Begun) -> Vec<Span> {
    let line = told.line;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let (start, end) = (nanos(now.saturating_sub(line.duration)), nanos(now));
    let mut spans = Vec::with_capacity(line.stages.len() + 1);
    spans.push(Span {
        context: begun.own,
        parent: begun.parent,
        state: begun.state.clone(),
        name: name(line.method, told.route),
        is_server: true,
        start,
        end,
        attributes: attributes(told),
        link: told.leader,
        failed: line.status >= 500,
    });
    // What a flight spent that somebody else led is told in that one's trace.
    let joined = told.leader.is_some_and(|leader| leader != begun.own);
    let parts =
        if joined { waited(line.stages, start, end) } else { timeline(line.stages, start, end) };
    spans.extend(parts.into_iter().map(|(name, start, end)| Span {
        context: TraceContext { span: SpanId::random(), ..begun.own },
        parent: Some(begun.own.span),
        state: None,
        name: Cow::Borrowed(name),
        is_server: false,
        start,
        end,
        attributes: Vec::new(),
        link: None,
        failed: false,
    }));
    spans
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

fn name(method: &str, route: Option<&str>) -> Cow<'static, str> {
    // The word that semantic conventions have for a method that is none.
    let method = METHODS.into_iter().find(|known| *known == method).unwrap_or("HTTP");
    route.map_or(Cow::Borrowed(method), |route| Cow::Owned(format!("{method} {route}")))
}

/// A name, a start and an end.
type Part = (&'static str, u64, u64);

/// The stages in their order. Asking for the version comes first of all; the others lie back to
/// back before the answer, and none of them before the start.
fn timeline(stages: &[(Stage, Duration)], start: u64, end: u64) -> Vec<Part> {
    let (first, rest) = match stages {
        [(Stage::Version, time), rest @ ..] => (Some(*time), rest),
        all => (None, all),
    };
    let earliest = start.saturating_add(first.map_or(0, nanos)).min(end);
    let mut later = end;
    let mut parts: Vec<Part> = rest
        .iter()
        .rev()
        .map(|(stage, time)| {
            let until = later;
            later = until.saturating_sub(nanos(*time)).max(earliest);
            (stage.name(), later, until)
        })
        .collect();
    if first.is_some() {
        parts.push((Stage::Version.name(), start, earliest));
    }
    parts.reverse();
    parts
}

/// The same of a request that joined another's flight.
fn waited(stages: &[(Stage, Duration)], start: u64, end: u64) -> Vec<Part> {
    let own = stages.first().filter(|(stage, _)| *stage == Stage::Version);
    let mut parts = timeline(own.map_or(&[], std::slice::from_ref), start, end);
    let from = parts.last().map_or(start, |(_, _, end)| *end);
    parts.push(("join", from, end));
    parts
}

/// By OpenTelemetry's conventions for HTTP servers, and ours behind `lenslet.`.
fn attributes(told: &Told<'_>) -> Vec<(&'static str, Value)> {
    let line = told.line;
    let mut list = Vec::with_capacity(20);
    let text = |text: &str| Value::Text(text.to_owned());
    let known = METHODS.into_iter().find(|known| *known == line.method).unwrap_or("_OTHER");
    list.push(("http.request.method", Value::Word(known)));
    if let Some(route) = told.route {
        list.push(("http.route", Value::Word(route)));
    }
    let target = redact::target(line.path);
    let (path, query) = target.split_once('?').unwrap_or((&target, ""));
    list.push(("url.scheme", Value::Word("http")));
    list.push(("url.path", text(path)));
    if !query.is_empty() {
        list.push(("url.query", text(query)));
    }
    if !told.left {
        list.push(("http.response.status_code", Value::Whole(line.status.into())));
        list.push(("http.response.body.size", Value::Whole(line.bytes_out)));
    }
    if let Some(agent) = told.user_agent {
        list.push((
            "user_agent.original",
            Value::Text(agent.chars().take(MAX_USER_AGENT).collect()),
        ));
    }
    match (told.left, line.error_code) {
        (true, _) => list.push(("error.type", Value::Word("client_disconnected"))),
        (false, Some(code)) => list.push(("error.type", text(code))),
        (false, None) => {}
    }
    for (key, value) in [
        ("lenslet.request_id", Some(line.request_id).filter(|id| !id.is_empty())),
        ("lenslet.cache", line.cache),
        ("lenslet.source", line.source),
        ("lenslet.source.format", line.source_format.map(SourceFormat::name)),
        ("lenslet.output.format", line.out_format.map(Format::name)),
    ] {
        list.extend(value.map(|value| (key, text(value))));
    }
    for (key, value) in [
        ("lenslet.source.bytes", line.source_bytes),
        ("lenslet.output.width", line.width.map(u64::from)),
        ("lenslet.output.height", line.height.map(u64::from)),
    ] {
        list.extend(value.map(|value| (key, Value::Whole(value))));
    }
    list
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Sampling;
    use proptest::prelude::*;

    const ALL: Sampling = Sampling { by_parent: true, ratio: 1.0 };

    fn begun() -> Begun {
        let parent = TraceContext::below(None, ALL);
        let own = TraceContext::below(Some(parent), ALL);
        Begun { own, parent: Some(parent.span), state: Some("a=b".to_owned()), recorded: true }
    }

    fn line(stages: &[(Stage, Duration)]) -> RequestLine<'_> {
        RequestLine {
            request_id: "r1",
            method: "GET",
            path: "/cat.jpg?w=300&s=SECRET&token=SECRET",
            status: 200,
            bytes_out: 12,
            duration: Duration::from_millis(100),
            cache: Some("rendered"),
            stages,
            ..RequestLine::default()
        }
    }

    fn told<'a>(line: &'a RequestLine<'a>, leader: Option<TraceContext>) -> Told<'a> {
        Told { line, route: Some("/{key}"), user_agent: Some("curl/8"), leader, left: false }
    }

    fn millis(stages: &[(Stage, u64)]) -> Vec<(Stage, Duration)> {
        stages.iter().map(|(stage, ms)| (*stage, Duration::from_millis(*ms))).collect()
    }

    #[test]
    fn a_request_is_one_span_with_one_for_each_stage_below_it() {
        let stages = millis(&[(Stage::Version, 10), (Stage::Fetch, 40), (Stage::Decode, 20)]);
        let (line, begun) = (line(&stages), begun());
        let spans = of(&told(&line, Some(begun.own)), &begun);
        let [server, version, fetch, decode] = spans.as_slice() else { panic!("{spans:?}") };
        assert_eq!(server.name, "GET /{key}");
        assert_eq!((server.parent, server.context), (begun.parent, begun.own));
        assert_eq!(server.end - server.start, 100_000_000);
        assert_eq!([&version.name, &fetch.name, &decode.name], ["version", "fetch", "decode"]);
        for child in [version, fetch, decode] {
            assert_eq!(child.parent, Some(server.context.span));
            assert_eq!(child.context.trace, server.context.trace);
        }
        assert_eq!((version.start, version.end), (server.start, server.start + 10_000_000));
        assert_eq!((decode.end, decode.start), (server.end, fetch.end));
        assert_eq!(fetch.end - fetch.start, 40_000_000);
    }

    #[test]
    fn a_span_says_what_the_conventions_ask_for_and_no_secret() {
        let (line, begun) = (line(&[]), begun());
        let spans = of(&told(&line, None), &begun);
        let said = &spans[0].attributes;
        for wanted in [
            ("http.request.method", Value::Word("GET")),
            ("http.route", Value::Word("/{key}")),
            ("url.path", Value::Text("/cat.jpg".to_owned())),
            ("url.query", Value::Text("w=300&s=***&token=***".to_owned())),
            ("http.response.status_code", Value::Whole(200)),
            ("http.response.body.size", Value::Whole(12)),
            ("user_agent.original", Value::Text("curl/8".to_owned())),
            ("lenslet.cache", Value::Text("rendered".to_owned())),
        ] {
            assert!(said.contains(&wanted), "{wanted:?} is not in {said:?}");
        }
        assert!(!format!("{spans:?}").contains("SECRET"));
    }

    #[test]
    fn whoever_joined_a_flight_waited_and_links_to_who_led_it() {
        let stages = millis(&[(Stage::Version, 10), (Stage::Fetch, 400), (Stage::Decode, 20)]);
        let (line, begun) = (line(&stages), begun());
        let leader = TraceContext::below(None, ALL);
        let spans = of(&told(&line, Some(leader)), &begun);
        let [server, version, join] = spans.as_slice() else { panic!("{spans:?}") };
        assert_eq!(server.link, Some(leader));
        assert_eq!((join.name.as_ref(), join.start, join.end), ("join", version.end, server.end));
    }

    #[test]
    fn a_method_that_is_none_never_names_a_span() {
        let (mut line, begun) = (line(&[]), begun());
        line.method = "X'; DROP";
        line.status = 405;
        let spans = of(&Told { route: None, ..told(&line, None) }, &begun);
        assert_eq!(spans[0].name, "HTTP");
        assert!(spans[0].attributes.contains(&("http.request.method", Value::Word("_OTHER"))));
        assert!(!spans[0].failed);
    }

    proptest! {
        #[test]
        fn stages_stay_in_order_and_within_the_request(
            times in proptest::collection::vec(0_u64..200_000, 0..9),
            version: bool,
            total in 0_u64..1_000_000,
        ) {
            let mut stages: Vec<_> =
                times.iter().map(|us| (Stage::Decode, Duration::from_micros(*us))).collect();
            if version {
                stages.insert(0, (Stage::Version, Duration::from_micros(7)));
            }
            let (start, end) = (1_000, 1_000 + total * 1_000);
            let parts = timeline(&stages, start, end);
            prop_assert_eq!(parts.len(), stages.len());
            let mut last = start;
            for (_, from, to) in parts {
                prop_assert!(last <= from && from <= to && to <= end);
                last = to;
            }
        }
    }
}
