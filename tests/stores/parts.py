"""The parts as processes on loopback: object stores, caches, and a counter in front of the service.
Each is started with the committed snippet where there is one, and stopped by whoever started it."""

import re
import shutil
import socket
import subprocess
import threading
import time
from pathlib import Path

import install
from harness import ROOT, scratch, until
from processes import S3, Process, environment
from s3client import Client
from wire import request

CDN, POLICIES = ROOT / "config/cdn", ROOT / "config/policies"


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def listening(address):
    try:
        socket.create_connection(address, timeout=1).close()
        return True
    except OSError:
        return False


class Part(Process):
    """A server that is ready once its port answers; its output goes into the message if it is not."""

    def __init__(self, command, address, env=None, seconds=30):
        super().__init__(command, env or environment())
        self.address = address
        if not until(lambda: not self.alive or listening(address), seconds, 0.05) or not self.alive:
            output = "\n".join(self.lines[-30:])
            self.stop()
            raise SystemExit(f"{command[0]} does not listen on {address}:\n{output}")


class S3Access:
    """Where an S3 store is, or will be, and the keys to it."""

    KEY, SECRET = "stores-access-key", "stores-secret-key-of-some-length"
    settings = S3.settings  # of the service, for two buckets of this store

    def __init__(self, address):
        self.address = address

    def client(self):
        return Client(self.address, self.KEY, self.SECRET)


class Store(S3Access, Part):
    """An S3 store as a process."""

    __init__ = Part.__init__


class VersityGw(Store):
    """The S3 gateway of Versity over a folder: an S3 server that others run in production."""

    def __init__(self, folder, website="", webhook="", address=None):
        binary = install.versitygw()
        address = address or ("127.0.0.1", free_port())
        self.website = ("127.0.0.1", free_port())
        for name in ("data", "metadata", "users"):
            (folder / name).mkdir(parents=True, exist_ok=True)
        command = [binary, "--port", "%s:%d" % address, "--access", self.KEY, "--secret", self.SECRET]
        command += ["--iam-dir", folder / "users", "--iam-cache-disable", "--keep-alive"]
        if website:
            command += ["--website", "%s:%d" % self.website, "--website-domain", website, "--website-no-tls"]
        if webhook:
            command += ["--event-webhook-url", webhook]
        self.binary = binary
        # Metadata beside the objects, not in extended attributes, which not every file system has.
        super().__init__([*command, "posix", "--sidecar", folder / "metadata", folder / "data"], address)

    def visit(self, bucket, path):
        """What a browser gets at the bucket's website."""
        return request(self.website, path, headers={"Host": f"{bucket}.localhost"})

    def user(self, key, secret):
        """A user without any right but what bucket policies give; returns a client of theirs."""
        command = [self.binary, "admin", "--allow-insecure", "--access", self.KEY, "--secret", self.SECRET]
        command += ["--endpoint-url", "http://%s:%d" % self.address, "create-user", "--access", key, "--secret", secret, "--role", "user"]
        subprocess.run([str(part) for part in command], check=True, capture_output=True, timeout=30)
        return Client(self.address, key, secret)


class S3rver(Store):
    """An S3 server with websites and their redirection rules, from npm."""

    KEY, SECRET = "S3RVER", "S3RVER"

    def __init__(self, folder, buckets):
        """`buckets`: name → the XML of its website, or nothing."""
        program = install.npm("s3rver") / "bin/s3rver.js"
        address = ("127.0.0.1", free_port())
        command = [install.node(), program, "--directory", folder / "data", "--address", address[0], "--port", address[1]]
        for name, website in buckets.items():
            command += ["--configure-bucket", name]
            if website:
                (folder / f"{name}.xml").write_text(website)
                command.append(folder / f"{name}.xml")
        super().__init__(command, address)

    def visit(self, bucket, path):
        """What a browser gets at the bucket's website."""
        return request(self.address, path, headers={"Host": f"{bucket}.s3-website-us-east-1.amazonaws.com"})


class Azurite(Part):
    """Microsoft's emulator of Azure Blob Storage, from npm, with its well-known account."""

    ACCOUNT = "devstoreaccount1"
    KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="

    def __init__(self, folder):
        program = install.npm("azurite") / "dist/src/blob/main.js"
        address = ("127.0.0.1", free_port())
        command = [install.node(), program, "--blobHost", address[0], "--blobPort", address[1], "--location", folder]
        super().__init__([*command, "--skipApiVersionCheck", "--disableTelemetry"], address, seconds=60)


class FakeGcs(Part):
    """A server of Google Cloud Storage's JSON and XML APIs, a Go module."""

    def __init__(self):
        program = install.go(*install.FAKE_GCS)
        address = ("127.0.0.1", free_port())
        command = [program, "-scheme", "http", "-host", address[0], "-port", address[1], "-backend", "memory"]
        super().__init__([*command, "-public-host", "%s:%d" % address, "-log-level", "warn"], address)


class Nginx(Part):
    """Debian's nginx with config/cdn/nginx.conf; only addresses and folders are other ones."""

    def __init__(self, service):
        program = install.debian("nginx")
        folder, address = scratch("nginx"), ("127.0.0.1", free_port())
        snippet = exchanged(
            (CDN / "nginx.conf").read_text(),
            {
                "server lenslet:8080;": "server %s:%d;" % service,
                "listen 80;": "listen %s:%d;" % address,
                "/var/cache/nginx/lenslet": str(folder / "cache"),
            },
        )
        (folder / "lenslet.conf").write_text(snippet)
        spool = "".join(f"  {name}_temp_path {folder}/{name};\n" for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
        (folder / "nginx.conf").write_text(
            f"pid {folder}/pid;\nerror_log {folder}/error.log warn;\ndaemon off;\nmaster_process off;\n"
            f"events {{ worker_connections 1024; }}\nhttp {{\n  access_log off;\n{spool}  include {folder}/lenslet.conf;\n}}\n"
        )
        self.folder = folder
        command = [program, "-p", folder, "-c", folder / "nginx.conf", "-e", folder / "error.log"]
        checked = subprocess.run([str(part) for part in command] + ["-t"], capture_output=True, text=True)
        if checked.returncode:
            raise SystemExit(f"nginx -t refuses the snippet:\n{checked.stderr}")
        super().__init__(command, address)


class Varnish(Part):
    """Debian's Varnish with config/cdn/varnish.vcl; only addresses are other ones."""

    def __init__(self, service):
        program = install.debian("varnishd")
        folder, address = scratch("varnish"), ("127.0.0.1", free_port())
        host, port = service
        snippet = exchanged(
            (CDN / "varnish.vcl").read_text(),
            {'.host = "lenslet";': f'.host = "{host}";', '.port = "8080";': f'.port = "{port}";'},
        )
        (folder / "lenslet.vcl").write_text(snippet)
        command = [program, "-F", "-n", folder / "work", "-f", folder / "lenslet.vcl", "-a", "%s:%d" % address, "-s", "malloc,128m"]
        # Jails want a user of their own, as the tests of a container do not have; no admin port.
        super().__init__([*command, "-j", "none", "-T", "none"], address, seconds=60)


def exchanged(text, pairs):
    """The text with every left side replaced; each must be there, once."""
    for old, new in pairs.items():
        if text.count(old) != 1:
            raise SystemExit(f"{old!r} stands {text.count(old)} times in the snippet, not once")
        text = text.replace(old, new)
    return text


class Counter:
    """Stands in front of the service and passes bytes; counts the requests that go through by their
    request lines. It opens one connection to the service for each it takes."""

    NOWHERE = ("127.0.0.1", 9)

    def __init__(self, service=NOWHERE):
        self.service, self.seen, self.lock = service, [], threading.Lock()
        self.delay = 0.0  # seconds that answers are held up
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=512)
        self.address = self.listener.getsockname()[:2]
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.listener.close()

    def lead_to(self, service):
        self.service = service

    def clear(self):
        with self.lock:
            self.seen = []

    def requests(self, path=""):
        """Method, target and Accept of what went through, probes of health left out."""
        with self.lock:
            return [entry for entry in self.seen if entry[1] != "/health" and entry[1].startswith(path)]

    def _accept(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client):
        try:
            server = socket.create_connection(self.service, timeout=30)
        except OSError:
            client.close()
            return
        back = threading.Thread(target=self._pass, args=(server, client, self._hold), daemon=True)
        back.start()
        self._pass(client, server, self._count)
        back.join()
        client.close()
        server.close()

    @staticmethod
    def _pass(source, sink, each):
        pending = b""
        try:
            while data := source.recv(65536):
                pending = each(pending + data)
                sink.sendall(data)
        except OSError:
            pass
        try:
            sink.shutdown(socket.SHUT_WR)
        except OSError:
            pass

    def _hold(self, _):
        time.sleep(self.delay)
        return b""

    def _count(self, data):
        """Takes whole heads off; requests of GET and HEAD have no body."""
        while (end := data.find(b"\r\n\r\n")) >= 0:
            head, data = data[:end].decode("latin-1"), data[end + 4 :]
            method, target, _ = head.split("\r\n", 1)[0].split(" ", 2)
            accept = re.search(r"^accept:\s*(.*?)\s*$", head, re.I | re.M)
            with self.lock:
                self.seen.append((method, target, accept[1] if accept else ""))
        return data


def told(seconds):
    """A duration for messages."""
    return f"{seconds:.1f} s"


def version(command, pattern=r"\d+\.\d+[\w.+-]*"):
    """What a program says its version is."""
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, timeout=30)
    found = re.search(pattern, done.stdout + done.stderr)
    return found[0] if found else "of no known version"


def wait(seconds, why, show):
    show.note(f"{told(seconds)}: {why}")
    time.sleep(seconds)


def copies(photograph, folder, names):
    """Copies of a photograph: each is an original of its own."""
    for name in names:
        path = Path(folder) / name
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(photograph, path)
