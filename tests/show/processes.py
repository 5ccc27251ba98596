"""The processes of a show: the service under test, the S3 wire server, and a plain file server.
Each is started, watched through its output, and stopped; nothing of their code is imported."""

import base64
import http.server
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
import urllib.parse
from functools import partial
from pathlib import Path

from harness import LENSLET, S3WIRE, need
from wire import request


class Process:
    """A child whose standard output is read to its end, line by line."""

    def __init__(self, command, env, new_group=False):
        self.lines = []
        self.changed = threading.Condition()
        self.ended = False
        self.child = subprocess.Popen(
            [str(part) for part in command],
            env=env,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            start_new_session=new_group,
        )
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self):
        for line in self.child.stdout:
            with self.changed:
                self.lines.append(line.decode("utf-8", "replace").rstrip("\n"))
                self.changed.notify_all()
        with self.changed:
            self.ended = True
            self.changed.notify_all()

    def find(self, pick, seconds=30.0):
        """The first true `pick(line)`; ends the show when the child ends or is silent."""
        deadline, seen = time.monotonic() + seconds, 0
        with self.changed:
            while True:
                for line in self.lines[seen:]:
                    if found := pick(line):
                        return found
                seen = len(self.lines)
                left = deadline - time.monotonic()
                if self.ended or left <= 0:
                    why = "ended" if self.ended else "was silent"
                    sys.exit(f"{self.child.args[0]} {why}:\n" + "\n".join(self.lines[-30:]))
                self.changed.wait(left)

    @property
    def alive(self):
        return self.child.poll() is None

    def stop(self, how=signal.SIGTERM, seconds=20):
        """Sends a signal, waits for the end, returns the exit status."""
        if self.alive:
            self.child.send_signal(how)
        try:
            return self.child.wait(seconds)
        except subprocess.TimeoutExpired:
            self.child.kill()
            self.child.wait()
            return "killed: it did not stop in time"

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()


def environment(**settings):
    """A clean environment: the path and the given settings, nothing of the caller's."""
    env = {"PATH": os.environ.get("PATH", ""), "HOME": os.environ.get("HOME", "/")}
    env.update({name: str(value) for name, value in settings.items()})
    return env


def file_url(path):
    return "file://" + urllib.parse.quote(str(Path(path).resolve()))


class Server(Process):
    """The service under test. Settings are given without their prefix: `ORIGIN="s3://…"`."""

    DEFAULTS = {
        "LISTEN": "127.0.0.1:0",
        "ADMIN_LISTEN": "127.0.0.1:0",
        "UNSIGNED": "allow",
        "DRAIN_DELAY": "0s",
        "LOG_FORMAT": "json",
    }

    def __init__(self, others=None, wrapped=(), **settings):
        """`others` are variables with names of their own, such as `OTEL_…`; `wrapped` is a command that
        runs the service, such as a profiler."""
        need(LENSLET)
        settings = {**self.DEFAULTS, **settings}
        self.started = time.monotonic()
        super().__init__(
            [*wrapped, LENSLET, "serve"],
            environment(**{f"LENSLET_{name}": value for name, value in settings.items()}, **(others or {})),
        )
        told = self.find(self._listening)
        self.address, self.admin = split_address(told["address"]), split_address(told["admin"])

    @staticmethod
    def _listening(line):
        try:
            record = json.loads(line)
        except ValueError:
            return None
        fields = {**record, **(record.get("fields") or {})} if isinstance(record, dict) else {}
        message = fields.get("msg") or fields.get("message")
        return fields if message == "listening" and "address" in fields else None

    def get(self, target, **options):
        return request(self.address, target, **options)

    def metrics(self):
        """Every sample of /metrics: name with labels → value."""
        text = request(self.admin, "/metrics").body.decode()
        samples = re.findall(r"^([a-zA-Z_:][^\s{]*(?:\{.*\})?) (\S+)", text, re.M)
        return {name: float(value) for name, value in samples}

    def metric(self, name, **labels):
        """The sum of a metric's samples that carry all the given labels."""
        wanted = [f'{label}="{value}"' for label, value in labels.items()]
        return sum(
            value
            for sample, value in self.metrics().items()
            if sample.split("{")[0] == name and all(label in sample for label in wanted)
        )

    def cpu_seconds(self):
        """User and system time of all threads so far."""
        fields = Path(f"/proc/{self.child.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def memory(self, field="VmRSS"):
        """MiB of a /proc status field: VmRSS (now) or VmHWM (the peak)."""
        status = Path(f"/proc/{self.child.pid}/status").read_text()
        return int(re.search(rf"^{field}:\s+(\d+) kB", status, re.M)[1]) / 1024


class S3(Process):
    """A real S3 wire server over a folder, with a journal of the requests it got."""

    KEY, SECRET = "show-access-key", "show-secret-key-of-some-length"

    def __init__(self, folder, *buckets, port=0):
        need(S3WIRE)
        self.folder = Path(folder)
        for bucket in buckets:
            (self.folder / bucket).mkdir(parents=True, exist_ok=True)
        super().__init__(
            [S3WIRE, "--dir", folder, "--port", port, "--access-key", self.KEY, "--secret-key", self.SECRET],
            environment(),
        )
        self.address = split_address(self.find(after("listening on ")))
        self.journal_address = split_address(self.find(after("journal on ")))

    def settings(self, origin, variants):
        """Server settings for two buckets (or `bucket/prefix`) of this store."""
        settings = {"ORIGIN": f"s3://{origin}", "VARIANTS": f"s3://{variants}"}
        for store in ("ORIGIN_DEFAULT", "VARIANTS"):
            settings |= {
                f"{store}_ENDPOINT": "http://%s:%d" % self.address,
                f"{store}_ALLOW_HTTP": "on",
                f"{store}_REGION": "us-east-1",
                f"{store}_ACCESS_KEY_ID": self.KEY,
                f"{store}_SECRET_ACCESS_KEY": self.SECRET,
            }
        return settings

    def store_settings(self, store):
        """Options of one store of the server, named as in its variables: `VARIANTS`, `ORIGIN_SHOP`."""
        return {
            f"{store}_ENDPOINT": "http://%s:%d" % self.address,
            f"{store}_ALLOW_HTTP": "on",
            f"{store}_REGION": "us-east-1",
            f"{store}_ACCESS_KEY_ID": self.KEY,
            f"{store}_SECRET_ACCESS_KEY": self.SECRET,
        }

    def fault(self, act="pass", **options):
        """Every matching request from now on: `status:503`, `cut:0`, `pass` with `delay_ms`."""
        query = urllib.parse.urlencode({**options, "act": act})
        answer = request(self.journal_address, f"/fault?{query}", method="POST")
        if answer.status != 200:
            sys.exit(f"the fault {query} was not understood: {answer.told()}")

    def mend(self):
        request(self.journal_address, "/fault", method="DELETE")

    def clear(self):
        request(self.journal_address, "/journal", method="DELETE")

    def journal(self):
        """The requests since the last `clear`, in order; a path is `/bucket/key`, decoded."""
        text = request(self.journal_address, "/journal").body.decode()
        return [json.loads(line) for line in text.splitlines() if line.strip()]

    def count(self, method, path):
        """Requests of a method whose path starts with `/bucket/key…`."""
        return sum(e["method"] == method and e["path"].startswith(path) for e in self.journal())

    def puts(self, bucket):
        """Paths written to a bucket: (variants, source records)."""
        paths = [
            e["path"]
            for e in self.journal()
            if e["method"] in ("PUT", "POST") and e["path"].startswith(f"/{bucket}/")
        ]
        records = [path for path in paths if path.endswith("/source.json")]
        return [path for path in paths if path not in records], records

    def attributes(self, bucket, key):
        """What the store keeps beside an object's bytes; the names are the wire server's own."""
        name = ".bucket-{}.object-{}.metadata.json".format(
            *(base64.urlsafe_b64encode(part.encode()).decode().rstrip("=") for part in (bucket, key))
        )
        path = self.folder / name
        return json.loads(path.read_text()) if path.exists() else {}


def after(prefix):
    return lambda line: line.split(prefix, 1)[1].strip() if prefix in line else None


def split_address(text):
    host, _, port = text.rpartition(":")
    return host, int(port)


class PlainFiles:
    """Python's own file server over a folder: it knows nothing of pictures or of us."""

    def __init__(self, folder):
        class Quiet(http.server.SimpleHTTPRequestHandler):
            def log_message(self, *_):
                pass

        handler = partial(Quiet, directory=str(folder))
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.address = self.server.server_address[:2]
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()
