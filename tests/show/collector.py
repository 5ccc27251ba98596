"""A collector of traces for the shows: an HTTP server that decodes OTLP with the messages of its
makers and keeps what it got. Knows nothing of the service."""

import gzip
import http.server
import socket
import threading

from opentelemetry.proto.collector.trace.v1 import trace_service_pb2


def plain(value):
    """An attribute's value as Python has it."""
    return getattr(value, value.WhichOneof("value"))


class Span:
    """One span with its attributes as a dict and its ids in hex."""

    def __init__(self, wire, resource):
        self.name, self.kind, self.flags = wire.name, wire.kind, wire.flags
        self.trace, self.id, self.parent = wire.trace_id.hex(), wire.span_id.hex(), wire.parent_span_id.hex()
        self.state = wire.trace_state
        self.start, self.end = wire.start_time_unix_nano, wire.end_time_unix_nano
        self.attributes = {pair.key: plain(pair.value) for pair in wire.attributes}
        self.links = [(link.trace_id.hex(), link.span_id.hex()) for link in wire.links]
        self.failed = wire.status.code == 2
        self.resource = resource

    @property
    def milliseconds(self):
        return (self.end - self.start) / 1e6


class Collector:
    """Listens on a free port of this machine; `spans` is what came."""

    def __init__(self):
        self.bodies, self.headers, self.spans = [], [], []
        self.lock = threading.Lock()
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if self.headers.get("Content-Encoding") == "gzip":
                    body = gzip.decompress(body)
                outer.keep(self.path, dict(self.headers.items()), body)
                answer = trace_service_pb2.ExportTraceServiceResponse().SerializeToString()
                self.send_response(200)
                self.send_header("Content-Type", "application/x-protobuf")
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = "http://127.0.0.1:%d" % self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def keep(self, path, headers, body):
        request = trace_service_pb2.ExportTraceServiceRequest.FromString(body)
        with self.lock:
            self.bodies.append(body)
            self.headers.append({"path": path, **{name.lower(): value for name, value in headers.items()}})
            for group in request.resource_spans:
                resource = {pair.key: plain(pair.value) for pair in group.resource.attributes}
                for scope in group.scope_spans:
                    self.spans += [Span(span, resource) for span in scope.spans]

    def of(self, trace):
        """The spans of one trace."""
        with self.lock:
            return [span for span in self.spans if span.trace == trace]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()


class BlackHole:
    """Takes connections and never answers."""

    def __init__(self):
        self.socket = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.url = "http://127.0.0.1:%d" % self.socket.getsockname()[1]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()
