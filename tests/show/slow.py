"""Slow readers, of pictures and of the log: a hundred clients that stop reading a large picture share
one copy of it; a log that nobody reads costs lines, which are counted, and never a request; a server
that is told to go has written the line of every answer it gave."""

import http.client
import json
import os
import signal
import socket
import subprocess
import time

from PIL import Image

from harness import LENSLET, Show, need, photographs, scratch, until
from processes import Server, environment, file_url
from wire import request

READERS, SHARE_KIB = 100, 320
TARGET = "/large.png?w=1600&f=png"


def slow_pictures(show, originals):
    """Clients that send a request and read nothing of the answer."""
    with Server(ORIGIN=file_url(originals), MEMORY_CACHE="64MiB") as server:
        body = server.get(TARGET).body
        show.check("the picture is large", len(body) > 2 << 20, f"{len(body) / 2**20:.1f} MiB")
        for _ in range(5):
            server.get(TARGET)
        before = server.memory()
        readers = []
        for _ in range(READERS):
            reader = socket.socket()
            # What waits in the kernel is not ours: little of it, so that the server has to hold the rest.
            reader.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            reader.connect(server.address)
            reader.sendall(f"GET {TARGET} HTTP/1.1\r\nHost: slow\r\n\r\n".encode())
            readers.append(reader)
        answered = until(lambda: server.metric("lenslet_cache_requests_total", tier="memory", result="hit") >= READERS + 5, 20)
        show.check(f"{READERS} slow readers are answered from memory", answered)
        time.sleep(1)
        grown = (server.memory() - before) * 1024 / READERS
        show.check(f"each of them costs at most {SHARE_KIB} KiB of its own", grown <= SHARE_KIB, f"{grown:.0f} KiB, a copy has {len(body) / 1024:.0f} KiB")
        quick = server.get(TARGET)
        show.check("another client gets the whole picture meanwhile", quick.status == 200 and quick.body == body)
        last = http.client.HTTPResponse(readers[-1])
        last.begin()
        show.check("and so does a slow one that goes on reading", last.read() == body)
        for reader in readers:
            reader.close()


class Bare:
    """The service with its standard output where the show wants it."""

    def __init__(self, out, **settings):
        self.admin = ("127.0.0.1", free_port())
        self.address = ("127.0.0.1", free_port())
        settings = {**Server.DEFAULTS, **settings, "LISTEN": "%s:%d" % self.address, "ADMIN_LISTEN": "%s:%d" % self.admin}
        env = environment(**{f"LENSLET_{name}": value for name, value in settings.items()})
        self.child = subprocess.Popen([LENSLET, "serve"], env=env, stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.DEVNULL)
        until(self.ready, 20)

    def ready(self):
        try:
            return request(self.admin, "/readyz").status == 200
        except OSError:
            return False

    def lost(self):
        text = request(self.admin, "/metrics").body.decode()
        return int(next(line.split()[1] for line in text.splitlines() if line.startswith("lenslet_log_lines_lost_total")))


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def asked(address, count, filler=""):
    """So many answers over one connection; the names of those that came."""
    connection, names = http.client.HTTPConnection(*address, timeout=20), []
    for number in range(count):
        name = f"r-{number}"
        connection.request("GET", f"/cat.jpg?w=40&utm_x={filler}", headers={"X-Request-Id": name})
        answer = connection.getresponse()
        answer.read()
        if answer.status == 200 and answer.getheader("X-Request-Id") == name:
            names.append(name)
    connection.close()
    return names


def unread_log(show, originals):
    """Standard output is a pipe that nobody empties."""
    reading, writing = os.pipe()
    server = Bare(writing, ORIGIN=file_url(originals))
    os.close(writing)
    filler = "x" * 900
    answered, started = 0, time.monotonic()
    while server.lost() == 0 and time.monotonic() - started < 60:
        answered += len(asked(server.address, 1_000, filler))
    took = time.monotonic() - started
    show.check("with a log that nobody reads, every request is answered", answered >= 5_000 and answered % 1_000 == 0, f"{answered:,} in {took:.1f} s")
    lost = server.lost()
    show.check("the lines that found no room are counted", lost > 0, f"{lost:,}")
    # Once somebody reads again, the log says what it has lost, and goes on.
    text = bytearray()
    os.set_blocking(reading, False)

    def read():
        try:
            while piece := os.read(reading, 1 << 20):
                text.extend(piece)
        except BlockingIOError:
            pass
        return b"log lines were lost" in text

    show.check("and told of once somebody reads", until(read, 20))
    names = asked(server.address, 10)
    until(lambda: read() and f'"{names[-1]}"'.encode() in text, 10)
    show.check("after that, lines come again", all(f'"request_id":"{name}"'.encode() in text for name in names))
    server.child.terminate()
    show.equal("and the server leaves in order", server.child.wait(20), 0)
    os.close(reading)


def last_lines(show, folder, originals):
    """SIGTERM right behind the last answer."""
    for attempt in range(5):
        log = folder / f"log-{attempt}"
        with log.open("wb") as out:
            server = Bare(out, ORIGIN=file_url(originals))
            names = asked(server.address, 500)
            server.child.send_signal(signal.SIGTERM)
            ended = server.child.wait(20)
        records = [json.loads(line) for line in log.read_text().splitlines()]
        logged = {record["request_id"] for record in records if record["msg"] == "request"}
        if ended != 0 or len(names) != 500 or not set(names) <= logged or records[-1]["msg"] != "stopped":
            show.check("a server told to go has written every line", False, f"{len(set(names) - logged)} of {len(names)} are missing, status {ended}")
            return
    show.check("a server told to go has written every line", True, "5 times 500 answers")


if __name__ == "__main__":
    show = Show("slow: readers of pictures and of the log")
    need(LENSLET)
    folder = scratch("slow")
    originals = folder / "originals"
    originals.mkdir()
    photograph = photographs(folder)[1]
    (originals / "cat.jpg").write_bytes(photograph.read_bytes())
    with Image.open(photographs(folder)[0]) as image:
        image.convert("RGB").resize((2000, 1500), Image.Resampling.LANCZOS).save(originals / "large.png", compress_level=1)
    slow_pictures(show, originals)
    unread_log(show, originals)
    last_lines(show, folder, originals)
    show.end()
