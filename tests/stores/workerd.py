"""Cloudflare's own runtime, workerd, with a Worker of ours in front of the service. Its Cache API asks a
server of its operator's for what is kept; that one is here: it keeps what it is given, nothing else."""

import http.server
import json
import threading

import install
from harness import scratch
from parts import CDN, Part, free_port

CONFIG = """using Workerd = import "/workerd/workerd.capnp";
const config :Workerd.Config = (
  services = [
    (name = "main", worker = .main),
    (name = "internet", network = (allow = ["local", "private"])),
    (name = "cache", external = (address = CACHE, http = ())),
  ],
  sockets = [(name = "http", address = LISTEN, http = (), service = "main")],
);
const main :Workerd.Worker = (
  modules = [(name = "worker.js", esModule = embed "worker.js")],
  compatibilityDate = "2026-01-01",
  bindings = [(name = "ORIGIN", text = ORIGIN)],
  cacheApiOutbound = "cache",
);
"""


class Kept:
    """What the Cache API of workerd talks to: PUT brings a whole HTTP response, GET asks for it."""

    def __init__(self):
        entries = {}

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_PUT(self):
                body = self.rfile.read(int(self.headers["Content-Length"])) if self.headers["Content-Length"] else self.chunks()
                entries[self.path] = body
                self.answer(204)

            def do_GET(self):
                entry = entries.get(self.path)
                if entry is None:
                    return self.answer(504, [("CF-Cache-Status", "MISS")])
                head, _, body = entry.partition(b"\r\n\r\n")
                lines = head.decode("latin-1").split("\r\n")
                headers = [tuple(line.split(": ", 1)) for line in lines[1:] if not line.lower().startswith(("transfer-encoding:", "content-length:"))]
                if "chunked" in head.decode("latin-1").lower():
                    body = unchunked(body)
                return self.answer(int(lines[0].split(" ")[1]), [*headers, ("CF-Cache-Status", "HIT")], body)

            def chunks(self):
                whole = b""
                while size := int(self.rfile.readline(), 16):
                    whole += self.rfile.read(size)
                    self.rfile.readline()
                self.rfile.readline()
                return whole

            def answer(self, status, headers=(), body=b""):
                self.send_response_only(status)
                for name, value in headers:
                    self.send_header(name, value)
                if status != 204:
                    self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = self.server.server_address[:2]
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def stop(self):
        self.server.shutdown()
        self.server.server_close()


def unchunked(body):
    whole = b""
    while True:
        size, _, body = body.partition(b"\r\n")
        count = int(size, 16)
        if not count:
            return whole
        whole, body = whole + body[:count], body[count + 2 :]


def binary():
    """The runtime itself; the package for this machine brings it."""
    scope = install.npm("@cloudflare")
    return next(scope.glob("workerd-*/bin/workerd"), None) or install.missing("workerd", "there is none for this machine")


class Worker(Part):
    """config/cdn/cloudflare-worker.js in front of a service."""

    def __init__(self, service):
        program, folder, address = binary(), scratch("workerd"), ("127.0.0.1", free_port())
        self.kept = Kept()
        told = {"CACHE": "%s:%d" % self.kept.address, "LISTEN": "%s:%d" % address, "ORIGIN": "http://%s:%d" % service}
        config = CONFIG
        for name, value in told.items():
            config = config.replace(f"= {name}", f"= {json.dumps(value)}")
        (folder / "config.capnp").write_text(config)
        (folder / "worker.js").write_text((CDN / "cloudflare-worker.js").read_text())
        super().__init__([program, "serve", folder / "config.capnp"], address)

    def stop(self, *arguments, **options):
        self.kept.stop()
        return super().stop(*arguments, **options)
