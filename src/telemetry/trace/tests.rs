//! Spans over a real socket: a collector that decodes what it gets and answers as told.

use super::*;
use crate::config::{Batches, SpanExport};
use crate::model::stage::Stage;
use crate::telemetry::logs::RequestLine;
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTracePartialSuccess, ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message as _;
use std::io::Read as _;
use std::sync::{Arc, Mutex};
use std::time::Instant;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// One request as the collector got it.
#[derive(Debug, Clone)]
struct Got {
    head: String,
    request: ExportTraceServiceRequest,
}

impl Got {
    fn spans(&self) -> &[Span] {
        &self.request.resource_spans[0].scope_spans[0].spans
    }
}

#[derive(Clone, Default)]
struct Collector {
    got: Arc<Mutex<Vec<Got>>>,
    /// Statuses to answer with, from the last; then 200.
    answers: Arc<Mutex<Vec<u16>>>,
    refuses: i64,
}

impl Collector {
    async fn listen(self) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(self.clone().serve(stream));
            }
        });
        format!("http://{address}/v1/traces")
    }

    async fn serve(self, mut stream: TcpStream) {
        let (mut read, mut chunk) = (Vec::new(), [0; 4096]);
        loop {
            let Ok(n @ 1..) = stream.read(&mut chunk).await else { return };
            read.extend_from_slice(&chunk[..n]);
            let Some(end) = read.windows(4).position(|four| four == b"\r\n\r\n") else { continue };
            let head = String::from_utf8(read[..end].to_vec()).unwrap().to_ascii_lowercase();
            let (_, length) = head.split_once("content-length: ").unwrap();
            let length: usize = length.lines().next().unwrap().parse().unwrap();
            if read.len() < end + 4 + length {
                continue;
            }
            let mut body = read[end + 4..end + 4 + length].to_vec();
            read.drain(..end + 4 + length);
            if head.contains("content-encoding: gzip") {
                let packed = std::mem::take(&mut body);
                flate2::read::GzDecoder::new(packed.as_slice()).read_to_end(&mut body).unwrap();
            }
            let request = ExportTraceServiceRequest::decode(body.as_slice()).unwrap();
            self.got.lock().unwrap().push(Got { head, request });
            let status = self.answers.lock().unwrap().pop().unwrap_or(200);
            let partial =
                ExportTracePartialSuccess { rejected_spans: self.refuses, ..Default::default() };
            let answer =
                ExportTraceServiceResponse { partial_success: Some(partial) }.encode_to_vec();
            let head = format!("HTTP/1.1 {status} X\r\nContent-Length: {}\r\n\r\n", answer.len());
            let _ = stream.write_all(&[head.as_bytes(), &answer].concat()).await;
        }
    }
}

fn export(endpoint: String) -> SpanExport {
    SpanExport {
        endpoint,
        headers: vec![(http::HeaderName::from_static("x-scope"), "photos".parse().unwrap())],
        certificate: None,
        gzip: false,
        timeout: Duration::from_secs(2),
        resource: vec![("service.name".to_owned(), "lens".to_owned())],
        sampling: Sampling { by_parent: true, ratio: 1.0 },
        batches: Batches {
            delay: Duration::from_millis(20),
            timeout: Duration::from_secs(5),
            queue: 100,
            size: 50,
        },
    }
}

fn tracer(export: SpanExport) -> (Tracer, TraceMetrics) {
    let metrics = TraceMetrics::default();
    let settings = Tracing { propagate: true, export: Some(export) };
    (Tracer::start(&settings, &Handle::current(), &metrics), metrics)
}

const HEADER: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

fn tell(tracer: &Tracer) {
    let header = |name: &str| match name {
        "traceparent" => Some(HEADER),
        "tracestate" => Some("a=b"),
        _ => None,
    };
    let begun = tracer.begin(header).unwrap();
    let stages = [(Stage::Decode, Duration::from_millis(2))];
    let line = RequestLine {
        method: "GET",
        path: "/a.jpg?s=SECRET",
        status: 500,
        duration: Duration::from_millis(9),
        stages: &stages,
        ..RequestLine::default()
    };
    let leader = TraceContext::parse(HEADER);
    tracer.tell(&begun, &Told { line: &line, route: None, user_agent: None, leader, left: false });
}

async fn until(condition: impl Fn() -> bool) {
    let begun = Instant::now();
    while !condition() {
        assert!(begun.elapsed() < Duration::from_secs(10), "it does not come");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn a_collector_gets_the_spans_of_a_request_as_the_protocol_says() {
    for gzip in [false, true] {
        let collector = Collector::default();
        let endpoint = collector.clone().listen().await;
        let (tracer, metrics) = tracer(SpanExport { gzip, ..export(endpoint) });
        tell(&tracer);
        until(|| metrics.exported.get() == 2).await;
        let got = collector.got.lock().unwrap().clone();
        let [got] = got.as_slice() else { panic!("{got:?}") };
        assert!(got.head.starts_with("post /v1/traces "), "{}", got.head);
        for header in
            ["x-scope: photos", "content-type: application/x-protobuf", "user-agent: lenslet/"]
        {
            assert!(got.head.contains(header), "{header} in {}", got.head);
        }
        let resource = got.request.resource_spans[0].resource.clone().unwrap();
        assert_eq!(resource.attributes[0].key, "service.name");
        let [server, decode] = got.spans() else { panic!("{got:?}") };
        let (trace, parent) =
            (0x0af7_6519_16cd_43dd_8448_eb21_1c80_319c_u128, 0xb7ad_6b71_6920_3331_u64);
        assert_eq!(server.trace_id, trace.to_be_bytes());
        assert_eq!(server.parent_span_id, parent.to_be_bytes());
        assert_eq!((server.kind, server.flags, server.trace_state.as_str()), (2, 0x301, "a=b"));
        assert_eq!(server.status.as_ref().unwrap().code, 2);
        assert_eq!(server.links[0].span_id, parent.to_be_bytes());
        assert_eq!((decode.kind, decode.flags, decode.name.as_str()), (1, 0x101, "join"));
        assert_eq!(decode.parent_span_id, server.span_id);
        assert!(!format!("{got:?}").contains("SECRET"));
        assert_eq!((metrics.queued.get(), metrics.failed.get()), (0, 0));
    }
}

#[tokio::test]
async fn what_fails_in_passing_is_tried_again_and_what_is_refused_is_not() {
    let collector = Collector { answers: Arc::new(Mutex::new(vec![503])), ..Collector::default() };
    let (tracer, metrics) = tracer(export(collector.clone().listen().await));
    tell(&tracer);
    until(|| metrics.exported.get() == 2).await;
    assert_eq!(collector.got.lock().unwrap().len(), 2);
    collector.answers.lock().unwrap().push(400);
    tell(&tracer);
    until(|| metrics.failed.get() == 2).await;
    assert_eq!(collector.got.lock().unwrap().len(), 3);
}

#[tokio::test]
async fn spans_that_a_collector_refuses_in_part_are_counted_as_lost() {
    let collector = Collector { refuses: 1, ..Collector::default() };
    let (tracer, metrics) = tracer(export(collector.listen().await));
    tell(&tracer);
    until(|| metrics.exported.get() + metrics.failed.get() == 2).await;
    assert_eq!((metrics.exported.get(), metrics.failed.get()), (1, 1));
}

#[tokio::test]
async fn a_dead_collector_costs_a_bounded_queue_and_no_waiting() {
    // Nobody listens at the discard port.
    let (tracer, metrics) = tracer(export("http://127.0.0.1:9/v1/traces".to_owned()));
    let begun = Instant::now();
    for _ in 0..1_000 {
        tell(&tracer);
    }
    assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
    assert!(metrics.queued.get() <= 100);
    assert!(metrics.dropped.get() >= 1_800, "{}", metrics.dropped.get());
    let begun = Instant::now();
    tracer.flush(Duration::from_millis(200)).await;
    assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn a_flush_sends_what_waits_at_once() {
    let collector = Collector::default();
    let mut export = export(collector.clone().listen().await);
    export.batches.delay = Duration::from_mins(10);
    let (tracer, metrics) = tracer(export);
    for _ in 0..30 {
        tell(&tracer);
    }
    tracer.flush(Duration::from_secs(5)).await;
    assert_eq!(metrics.exported.get(), 60);
    let sizes: Vec<usize> =
        collector.got.lock().unwrap().iter().map(|got| got.spans().len()).collect();
    assert_eq!(sizes, [50, 10]);
}

#[test]
fn without_an_endpoint_a_callers_trace_is_known_and_nothing_is_made() {
    let tracer = Tracer { propagate: true, recorder: None };
    let begun = tracer.begin(|name| (name == "traceparent").then_some(HEADER)).unwrap();
    assert_eq!(Some(begun.own), TraceContext::parse(HEADER));
    assert!(!begun.is_recorded());
    assert!(begun.exemplar().is_some());
    assert!(tracer.begin(|_| None).is_none());
    assert!(Tracer::off().begin(|_| Some(HEADER)).is_none());
}
