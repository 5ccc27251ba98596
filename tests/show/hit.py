"""A picture from memory against a file from nginx: requests a second and processor time of the server
for each, of the same bodies, one server core each, both writing an access log in large pieces."""

import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from harness import LENSLET, SKIPPED, Show, corpus_or_skip, need, scratch, until
from processes import environment, file_url, split_address
from wire import request

# Of nginx's rate, at least; what a round lasts, and how many are taken of each server in turns.
BAR, SECONDS, ROUNDS, CONNECTIONS, BODY = 0.90, 3, 7, 32, 60_000
MANY = 500
SERVER_CORE, CLIENT_CORE = 0, 1

NGINX = """
user root; worker_processes 1; daemon off; error_log {folder}/error.log; pid {folder}/pid;
events {{ worker_connections 512; }}
http {{
    types {{ image/jpeg jpg; }}
    sendfile on; tcp_nopush on; tcp_nodelay on;
    keepalive_timeout 75s; keepalive_requests 1000000000;
    access_log {folder}/access.log combined buffer=64k flush=1s;
    client_body_temp_path {folder}/t1; proxy_temp_path {folder}/t2; fastcgi_temp_path {folder}/t3;
    uwsgi_temp_path {folder}/t4; scgi_temp_path {folder}/t5;
    server {{ listen 127.0.0.1:{port}; root {folder}/files; }}
}}
"""

# Each request takes the next target of the list; the requests are written out once.
MANY_TARGETS = """
local requests, at = {}, 0
function init()
  for target in io.lines("%s") do requests[#requests + 1] = wrk.format("GET", target) end
end
function request()
  at = at %% #requests + 1
  return requests[at]
end
"""


class Pinned:
    """A server on one core, its output in a file of a tmpfs, as a collector of logs would have it."""

    def __init__(self, command, env, out):
        self.out = out
        self.child = subprocess.Popen(
            ["taskset", "-c", str(SERVER_CORE), *map(str, command)],
            env=env, stdin=subprocess.DEVNULL, stdout=out.open("wb"), stderr=subprocess.STDOUT,
        )

    def cpu_seconds(self):
        """User and system time so far, of the server and of its children, with threads that ended."""
        total = 0
        for pid in [self.child.pid, *children(self.child.pid)]:
            fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
            total += int(fields[11]) + int(fields[12])
        return total / os.sysconf("SC_CLK_TCK")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.child.terminate()
        self.child.wait(20)


def children(pid):
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def lenslet(folder, originals):
    settings = {
        "LISTEN": "127.0.0.1:0", "ADMIN_LISTEN": "127.0.0.1:0", "UNSIGNED": "allow", "DRAIN_DELAY": "0s",
        "LOG_FORMAT": "json", "ORIGIN": file_url(originals), "MEMORY_CACHE": "256MiB",
    }
    env = environment(**{f"LENSLET_{name}": value for name, value in settings.items()})
    server = Pinned([LENSLET, "serve"], env, folder / "lenslet.log")
    told = until(lambda: listening(server.out), 20)
    if not told:
        sys.exit(f"the service did not start: {server.out.read_text()}")
    server.address, server.admin = split_address(told["address"]), split_address(told["admin"])
    return server


def listening(log):
    for line in log.read_text().splitlines():
        if '"msg":"listening"' in line:
            return json.loads(line)
    return None


def nginx(folder):
    port = 20_000 + os.getpid() % 20_000
    (folder / "nginx.conf").write_text(NGINX.format(folder=folder, port=port))
    program = shutil.which("nginx", path=os.environ.get("PATH", "") + ":/usr/sbin")
    server = Pinned([program, "-c", folder / "nginx.conf", "-p", folder], environment(), folder / "nginx.out")
    server.address = ("127.0.0.1", port)

    def answers():
        try:
            return request(server.address, "/0.jpg").status == 200
        except OSError:
            return False

    if not until(answers, 10):
        sys.exit(f"nginx did not start: {server.out.read_text()}")
    return server


def load(server, targets, folder, seconds=SECONDS):
    """Requests a second, and microseconds of the server's processor time for one."""
    url = "http://%s:%d%s" % (*server.address, targets[0])
    command = ["taskset", "-c", str(CLIENT_CORE), "wrk", "-t1", f"-c{CONNECTIONS}", f"-d{seconds}s"]
    if len(targets) > 1:
        (folder / "targets").write_text("\n".join(targets) + "\n")
        (folder / "many.lua").write_text(MANY_TARGETS % (folder / "targets"))
        command += ["-s", folder / "many.lua"]
    before = server.cpu_seconds()
    text = subprocess.run([*map(str, command), url], check=True, capture_output=True, text=True).stdout
    used = server.cpu_seconds() - before
    if "Non-2xx" in text or "Socket errors" in text:
        sys.exit(f"not every answer was a picture:\n{text}")
    count, took = re.search(r"(\d+) requests in ([\d.]+)s", text).groups()
    return int(count) / float(took), used * 1e6 / int(count)


def wishes(server):
    """The targets of about the wanted size: the one nearest, and as many different ones around it."""
    near = min(range(200, 1200, 50), key=lambda width: abs(len(server.get(width, 80).body) - BODY))
    near = min(range(near - 40, near + 50, 10), key=lambda width: abs(len(server.get(width, 80).body) - BODY))
    many = [(width, quality) for width in range(near - 25, near + 25) for quality in range(75, 85)]
    return near, many[:MANY]


def compare(show, label, ours, theirs, ours_targets, their_targets, folder):
    for server, targets in ((ours, ours_targets), (theirs, their_targets)):
        load(server, targets, folder, 1)  # warm
    rates, costs = ([], []), ([], [])
    for round in range(1, ROUNDS + 1):
        said = []
        for side, (server, targets) in enumerate(((ours, ours_targets), (theirs, their_targets))):
            rate, cost = load(server, targets, folder)
            rates[side].append(rate)
            costs[side].append(cost)
            said.append(f"{rate:,.0f}/s {cost:.2f} us")
        show.note(f"{label}, round {round}: lenslet {said[0]}; nginx {said[1]}")
    rate = statistics.median(a / b for a, b in zip(*rates))
    cost = statistics.median(b / a for a, b in zip(*costs))
    told = f"{rate:.2f}: {statistics.median(rates[0]):,.0f} against {statistics.median(rates[1]):,.0f} a second"
    show.check(f"{label}: requests a second, at least {BAR} of nginx's", rate >= BAR, told)
    told = f"{cost:.2f}: {statistics.median(costs[0]):.2f} against {statistics.median(costs[1]):.2f} us"
    show.note(f"{label}: requests for one second of the server's processor, of nginx's: {told}")


if __name__ == "__main__":
    show = Show("hit: a picture from memory against a file from nginx")
    corpus = corpus_or_skip(show.title)
    need(LENSLET)
    missing = [name for name in ("nginx", "wrk", "taskset") if not shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin")]
    if missing or len(os.sched_getaffinity(0)) < 2:
        print(f"SKIPPED: {show.title}: two cores, nginx, wrk and taskset are needed; missing: {missing}")
        sys.exit(SKIPPED)
    folder = scratch("hit")
    shared = Path(tempfile.mkdtemp(prefix="lenslet-hit-", dir="/dev/shm"))
    try:
        originals, files = shared / "originals", shared / "files"
        originals.mkdir()
        files.mkdir()
        shutil.copy(corpus / "photos/bimg-vertical.jpg", originals / "photo.jpg")
        with lenslet(shared, originals) as ours:
            ours.get = lambda width, quality: request(ours.address, f"/photo.jpg?w={width}&f=jpeg&q={quality}")
            near, many = wishes(ours)
            one = ours.get(near, 80)
            picture = one.picture()
            show.check("the body is a JPEG of about 60 KB", picture.format == "JPEG" and abs(len(one.body) - BODY) < BODY * 0.05, f"{len(one.body):,} bytes, {picture.size}")
            (files / "0.jpg").write_bytes(one.body)
            sizes = []
            for number, (width, quality) in enumerate(many, 1):
                body = ours.get(width, quality).body
                sizes.append(len(body))
                (files / f"{number}.jpg").write_bytes(body)
            with nginx(shared) as theirs:
                show.note(f"{MANY} others: {min(sizes):,} to {max(sizes):,} bytes, {statistics.mean(sizes):,.0f} on average")
                same = request(theirs.address, "/0.jpg").body == ours.get(near, 80).body
                show.check("nginx serves the very same bytes", same)
                compare(show, "one picture", ours, theirs, [f"/photo.jpg?w={near}&f=jpeg&q=80"], ["/0.jpg"], shared)
                targets = [f"/photo.jpg?w={width}&f=jpeg&q={quality}" for width, quality in many]
                compare(show, f"{MANY} pictures", ours, theirs, targets, [f"/{n}.jpg" for n in range(1, MANY + 1)], shared)
                counted = int(re.search(r'^lenslet_http_requests_total\{route="native".*cache="memory"\} (\d+)', request(ours.admin, "/metrics").body.decode(), re.M)[1])
                show.note(f"answers from memory counted: {counted:,}")
                time.sleep(1.5)
                logged = sum('"cache":"memory"' in line for line in (shared / "lenslet.log").open())
                show.equal("every answer from memory left its line", logged, counted)
    finally:
        shutil.rmtree(shared, ignore_errors=True)
    show.end()
