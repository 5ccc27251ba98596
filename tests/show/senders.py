"""What the events' shows have in common: settings, the bodies that stores send, what lies in a
bucket afterwards, and somebody to be told of processed originals."""

import http.server
import json
import threading
import urllib.parse

from wire import request

TOKEN = "show-events-token/+=0123456789"
PRESETS = """
[thumb]
params = "w=200&h=200&fit=cover&f=jpeg"
[card]
params = "w=480&f=webp"
[hero]
params = "w=1200&f=jpeg&q=70"
"""
ASKED = ["preset=thumb", "preset=card", "preset=hero"]
ON = {"EVENTS": "admin", "EVENTS_TOKEN": TOKEN, "PREGENERATE": "thumb,card,hero", "SOURCE_TTL": "1h"}


def presets(folder):
    path = folder / "presets.toml"
    path.write_text(PRESETS)
    return {"PRESETS_FILE": path}


def record(bucket, key, name="ObjectCreated:Put"):
    key = urllib.parse.quote_plus(key, safe="/")
    return {"eventVersion": "2.6", "eventSource": "aws:s3", "eventName": name, "s3": {"bucket": {"name": bucket}, "object": {"key": key}}}


def post(address, body, path="/events", token=TOKEN, headers=None, method="POST", seconds=60):
    body = body if isinstance(body, bytes) else json.dumps(body).encode()
    shown = {"Authorization": f"Bearer {token}"} if token else {}
    return request(address, path, method=method, headers={**shown, **(headers or {})}, body=body, seconds=seconds)


def tell(server, bucket, *keys, name="ObjectCreated:Put"):
    return post(server.admin, {"Records": [record(bucket, key, name) for key in keys]})


def entries(store, bucket, key):
    """The variants of an original that lie in a bucket."""
    area = store.folder / bucket / "v1/default" / key / "~"
    return [path for path in area.rglob("*") if path.is_file() and path.name != "source.json"]


def notes(store, bucket):
    area = store.folder / bucket / "v1/~/events"
    return [path for path in area.iterdir() if path.is_file()] if area.exists() else []


def works(server, outcome=None):
    labels = {"outcome": outcome} if outcome else {}
    return server.metric("lenslet_event_works_total", **labels)


class Hook:
    """A web server that keeps what is posted to it; it refuses the first one."""

    def __init__(self):
        hook, self.letters, self.refused = self, [], 0

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                letter = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                refuse = hook.refused == 0
                hook.refused += refuse
                if not refuse:
                    hook.letters.append((self.headers.get("Authorization"), letter))
                self.send_response(503 if refuse else 204)
                self.end_headers()

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = "http://127.0.0.1:%d/hook?sig=hunter2" % self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
