"""HAProxy itself with the configuration of path-affinity-haproxy, in front of three servers of ours:
variants of one original meet at one of them, originals spread, a server that is not ready is left
out, and none gets more than its bound. Only names and ports are changed."""

import collections
import http.client
import http.server
import re
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

from render import K8S

CONFIG = K8S / "components" / "path-affinity-haproxy" / "haproxy.cfg"


class Backend:
    """A server that says who it is, and is ready or not. Slow where the path says so."""

    def __init__(self, name):
        self.name, self.ready, self.at_once, self.most = name, True, 0, 0
        self.lock = threading.Lock()
        backend = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                if self.path.startswith("/slow"):
                    with backend.lock:
                        backend.at_once += 1
                        backend.most = max(backend.most, backend.at_once)
                    time.sleep(0.5)
                    with backend.lock:
                        backend.at_once -= 1
                body = backend.name.encode()
                self.send_response(200 if backend.ready or not self.path.startswith("/readyz") else 503)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        class Server(http.server.ThreadingHTTPServer):
            def handle_error(self, *_):
                """A check hangs up as soon as it knows."""

        self.server = Server(("127.0.0.1", 0), Handler)
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


def free_port():
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


def configuration(text, backends, port, health):
    """The committed text on loopback: ports of our own, servers by address instead of by name."""
    text = text.replace("bind :8080", f"bind 127.0.0.1:{port}").replace("bind :8081", f"bind 127.0.0.1:{health}")
    text = re.sub(r"default-server check port 8081 (.*) resolvers cluster init-addr none", r"default-server check \1", text)
    servers = "\n".join(f"    server pod{number} 127.0.0.1:{backend.port}" for number, backend in enumerate(backends))
    text, changed = re.subn(r'^    server-template .*$', servers, text, flags=re.M)
    assert changed == 1, "the configuration has one server-template"
    return text.replace("inter 2s", "inter 100ms")


def get(port, path):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    finally:
        connection.close()


class Caller:
    """One caller who asks one thing after the other on one connection: the balancer counts a request
    as over before it reads the next, so no two of them stand in each other's way."""

    def __init__(self, port):
        self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)

    def who(self, path):
        self.connection.request("GET", path)
        return self.connection.getresponse().read().decode()


def wait_for(condition, seconds=10):
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def problems():
    """What does not hold; raises FileNotFoundError where HAProxy is not installed."""
    backends = [Backend(name) for name in "abc"]
    port, health = free_port(), free_port()
    with tempfile.NamedTemporaryFile("w", suffix=".cfg") as config:
        config.write(configuration(CONFIG.read_text(), backends, port, health))
        config.flush()
        path = next((p for p in ("/usr/sbin/haproxy", "/usr/local/sbin/haproxy") if Path(p).exists()), "haproxy")
        child = subprocess.Popen([path, "-f", config.name], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            yield from observed(backends, port, health)
        finally:
            child.terminate()
            try:
                child.wait(5)
            except subprocess.TimeoutExpired:
                child.kill()


def ready(health):
    try:
        return get(health, "/readyz")[0] == 200
    except OSError:
        return False


def observed(backends, port, health):
    if not wait_for(lambda: ready(health)):
        yield "HAProxy does not become ready"
        return
    time.sleep(0.5)
    caller = Caller(port)
    originals = [f"/photos/{number}.jpg" for number in range(60)]
    home = {}
    for original in originals:
        found = {caller.who(f"{original}?w={width}&f={form}&s=x{width}") for width in (200, 400, 800) for form in ("avif", "webp")}
        if len(found) != 1:
            yield f"variants of {original} go to {sorted(found)}"
        home[original] = found.pop()
    spread = collections.Counter(home.values())
    if len(spread) != 3 or max(spread.values()) > 40:
        yield f"60 originals are spread as {dict(spread)}"
    # One hot original: forty callers at once.
    callers = [threading.Thread(target=get, args=(port, "/slow/hot.jpg?w=1")) for _ in range(40)]
    for one in callers:
        one.start()
    for one in callers:
        one.join()
    most = sorted(backend.most for backend in backends)
    # 1.5 times a third of forty is 20; the connection that is being counted comes on top.
    if most[-1] > 21:
        yield f"a hot original had {most} of 40 callers at once at the three pods"
    # A pod that is not ready: its originals move, the others stay where they are.
    gone = backends[0]
    gone.ready = False
    wait_for(lambda: all(caller.who(original) != gone.name for original in originals), 10)
    after = {original: caller.who(original) for original in originals}
    if gone.name in after.values():
        yield "a pod that is not ready is asked"
    moved = sum(after[original] != home[original] for original in originals if home[original] != gone.name)
    if moved:
        yield f"{moved} originals of other pods moved, too"


if __name__ == "__main__":
    found = list(problems())
    print("\n".join(found) or "holds")
    sys.exit(1 if found else 0)
