"""The peers as they run: each does one job at a time, tells the processor time its own process took for
it, and has nothing cached. What is compared and which settings are fair is said elsewhere."""

import http.client
import json
import os
import re
import socket
import subprocess
import time
import urllib.parse
from dataclasses import dataclass, field
from pathlib import Path

from common import HERE, ROOT, at_rest, pinned
from processes import Process, Server, environment, file_url, split_address
from wire import Answer

SERVER_CPU, CLIENT_CPU = 0, 1


@dataclass(frozen=True)
class Job:
    """One picture to make: `settings` are the encoder's, in the words of the peer that gets them."""

    source: Path
    width: int
    format: str
    settings: tuple = ()

    def options(self):
        return dict(self.settings)


def job(source, width, format, **settings):
    return Job(source, width, format, tuple(sorted(settings.items())))


@dataclass
class Batch:
    """What some runs of one job took: CPU seconds of one, seconds of waiting of each, the last result."""

    cpu: float
    waits: list
    body: bytes
    peak_mib: float = 0.0
    count: int = 1
    failed: str = ""


@dataclass
class Peer:
    """A process that does jobs, one by one."""

    name: str
    process: object = None
    connection: object = None
    notes: list = field(default_factory=list)

    @property
    def pid(self):
        return self.process.child.pid

    def once(self, job):
        """Does the job; returns (body, why not)."""
        raise NotImplementedError

    def result(self, job):
        """The picture alone, apart from what is measured: (body, why not)."""
        done = self.batch(job, 1)
        return done.body, done.failed

    def forget_peak(self):
        Path(f"/proc/{self.pid}/clear_refs").write_text("5")

    def peak(self):
        """MiB at most since `forget_peak`."""
        text = Path(f"/proc/{self.pid}/status").read_text()
        return int(re.search(r"^VmHWM:\s+(\d+) kB", text, re.M)[1]) / 1024

    def batch(self, job, count):
        body, waits, failed = b"", [], ""
        self.forget_peak()
        before = at_rest(self.pid)
        for _ in range(count):
            begun = time.monotonic()
            body, failed = self.once(job)
            waits.append(time.monotonic() - begun)
            if failed:
                break
        cpu = (at_rest(self.pid) - before) / len(waits)
        return Batch(cpu, waits, body, self.peak(), len(waits), failed)

    def close(self):
        if self.connection:
            self.connection.close()
        if self.process:
            self.process.stop()


class HttpPeer(Peer):
    """A server that is asked over one kept connection."""

    address = None

    def target(self, job):
        raise NotImplementedError

    def cold(self, answer):
        """Why an answer was no render of its own; empty where it was."""
        return "" if answer.status == 200 else f"{self.name}: {answer.told()}"

    def once(self, job):
        for attempt in (0, 1):
            if self.connection is None:
                self.connection = http.client.HTTPConnection(*self.address, timeout=120)
            try:
                self.connection.request("GET", self.target(job))
                response = self.connection.getresponse()
                answer = Answer(response.status, response.getheaders(), response.read())
                break
            except (http.client.HTTPException, OSError):
                self.connection.close()
                self.connection = None
                if attempt:
                    raise
        return answer.body, self.cold(answer)


def supported(settings):
    """Those settings that this version has: a cache that is not built yet needs no switching off."""
    known = re.findall(r"^LENSLET_([A-Z_]+)=", (ROOT / "config/default.env").read_text(encoding="utf-8"), re.M)
    return {name: value for name, value in settings.items() if name in known}


class Lenslet(HttpPeer):
    """The service, its originals in a folder, without a store of variants. Every answer has to say that
    it was rendered."""

    COLD = {"MEMORY_CACHE": "0", "DECODED_CACHE": "0", "SOURCE_CACHE": "0"}

    def __init__(self, originals, name="Lenslet", cold=True, **settings):
        super().__init__(name)
        caches = supported(self.COLD) if cold else {}
        self.originals = Path(originals).resolve()
        self.process = Server(**{"ORIGIN": file_url(originals), "CPU_BUDGET": "1", **caches, **settings})
        pin(self.pid)
        self.address = self.process.address

    def target(self, job):
        key = job.source.resolve().relative_to(self.originals).as_posix()
        quality = job.options().get("q")
        query = f"w={job.width}&f={job.format}" + (f"&q={quality}" if quality else "")
        return f"/{urllib.parse.quote(key)}?{query}"

    def cold(self, answer):
        if answer.status == 200 and answer.cache != "rendered":
            return f"{self.name}: X-Cache {answer.cache!r} where a render was measured"
        return super().cold(answer)


def pin(pid):
    """Moves a running process, with every thread it has, to the peers' core."""
    cpu = sorted(os.sched_getaffinity(0))[SERVER_CPU]
    for task in os.listdir(f"/proc/{pid}/task"):
        os.sched_setaffinity(int(task), {cpu})


class Sharp(Peer):
    """sharp in a loop of node's, without a server around it."""

    def __init__(self, node_modules, scratch, name="sharp"):
        super().__init__(name)
        self.out = Path(scratch) / "sharp-out"
        self.process = Piped(["node", HERE / "sharp.cjs", "loop"], node_environment(node_modules))
        self.versions = json.loads(self.process.line().removeprefix("ready "))

    def once(self, job, **extra):
        wish = {"input": str(job.source), "width": job.width, "format": job.format, "options": job.options(), **extra}
        answer = self.process.ask(json.dumps(wish))
        return b"", "" if answer.startswith("done") else f"{self.name}: {answer}"

    def result(self, job):
        """The loop writes a picture only when asked to."""
        _, failed = self.once(job, out=str(self.out))
        return (b"", failed) if failed else (Path(f"{self.out}.0").read_bytes(), "")

    def srcset(self, source, variants, how):
        """(format, width, settings) each, in one of the ways of sharp.cjs; a Batch of one set."""
        wish = {"input": str(source), "how": how, "variants": [{"format": f, "width": w, "options": options} for f, w, options in variants]}
        self.forget_peak()
        before, begun = at_rest(self.pid), time.monotonic()
        answer = self.process.ask(json.dumps(wish))
        wait = time.monotonic() - begun
        return Batch(at_rest(self.pid) - before, [wait], b"", self.peak(), 1, "" if answer.startswith("done") else f"{self.name}: {answer}")


class Piped:
    """A child that answers a line of its input with a line."""

    def __init__(self, command, env):
        command = [str(part) for part in command]
        self.child = subprocess.Popen(command, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, preexec_fn=pinned(SERVER_CPU))

    def line(self):
        line = self.child.stdout.readline()
        if not line:
            raise SystemExit(f"{self.child.args[0]} ended")
        return line.strip()

    def ask(self, text):
        self.child.stdin.write(text + "\n")
        self.child.stdin.flush()
        return self.line()

    def stop(self):
        self.child.stdin.close()
        self.child.wait(20)


class SharpServer(HttpPeer):
    """sharp behind node's own HTTP server."""

    def __init__(self, node_modules, originals, name="sharp, HTTP"):
        super().__init__(name)
        self.originals = Path(originals).resolve()
        self.process = Process(["node", HERE / "sharp.cjs", "serve", self.originals], node_environment(node_modules))
        pin(self.pid)
        self.address = split_address(self.process.find(lambda line: line.removeprefix("listening on ") if line.startswith("listening on ") else None))

    def target(self, job):
        wish = {"width": job.width, "format": job.format, "options": job.options()}
        key = job.source.resolve().relative_to(self.originals).as_posix()
        return f"/{urllib.parse.quote(key)}?job={urllib.parse.quote(json.dumps(wish))}"


def node_environment(node_modules):
    return environment(NODE_PATH=node_modules, VIPS_CONCURRENCY="1", UV_THREADPOOL_SIZE="1")


class Thumbor(HttpPeer):
    """thumbor with its file loader, its storages off."""

    CONFIG = (
        "LOADER = 'thumbor.loaders.file_loader'\nFILE_LOADER_ROOT_PATH = {root!r}\n"
        "STORAGE = 'thumbor.storages.no_storage'\nRESULT_STORAGE = {results!r}\n"
        "RESULT_STORAGE_FILE_STORAGE_ROOT_PATH = {kept!r}\nRESULT_STORAGE_STORES_UNSAFE = True\n"
        "ALLOW_UNSAFE_URL = True\nMAX_PIXELS = 200000000\nRESPECT_ORIENTATION = True\n"
    )

    def __init__(self, command, originals, scratch, results=None, name="thumbor"):
        super().__init__(name)
        self.originals = Path(originals).resolve()
        config = Path(scratch) / f"thumbor-{len(os.listdir(scratch))}.conf"
        kept = Path(scratch) / "thumbor-results"
        config.write_text(self.CONFIG.format(root=str(self.originals), results=results, kept=str(kept)))
        port = free_port()
        self.process = Process([command, "--port", port, "--ip", "127.0.0.1", "--conf", config, "--log-level", "error"], environment())
        self.address = ("127.0.0.1", port)
        listening(self.process, self.address)
        pin(self.pid)

    def target(self, job):
        key = job.source.resolve().relative_to(self.originals).as_posix()
        quality = job.options().get("quality")
        filters = f"format({job.format})" + (f":quality({quality})" if quality else "")
        return f"/unsafe/{job.width}x0/filters:{filters}/{urllib.parse.quote(key)}"


class Imgproxy(HttpPeer):
    """imgproxy over a folder, one worker, its defaults otherwise."""

    def __init__(self, command, originals, name="imgproxy"):
        super().__init__(name)
        self.originals = Path(originals).resolve()
        self.address = ("127.0.0.1", free_port())
        settings = {"IMGPROXY_BIND": "127.0.0.1:%d" % self.address[1], "IMGPROXY_LOCAL_FILESYSTEM_ROOT": self.originals, "IMGPROXY_WORKERS": "1"}
        self.process = Process([command], environment(VIPS_CONCURRENCY="1", IMGPROXY_MAX_SRC_RESOLUTION="200", IMGPROXY_LOG_LEVEL="error", **settings))
        listening(self.process, self.address)
        pin(self.pid)

    def target(self, job):
        key = job.source.resolve().relative_to(self.originals).as_posix()
        return f"/unsafe/rs:fit:{job.width}:0/plain/local:///{urllib.parse.quote(key)}@{job.format}"


class Imagor(HttpPeer):
    """imagor over a folder, its storages off."""

    def __init__(self, command, originals, name="imagor"):
        super().__init__(name)
        self.originals = Path(originals).resolve()
        self.address = ("127.0.0.1", free_port())
        settings = {"PORT": self.address[1], "FILE_LOADER_BASE_DIR": self.originals, "IMAGOR_UNSAFE": "1", "VIPS_CONCURRENCY": "1"}
        self.process = Process([command], environment(**settings))
        listening(self.process, self.address)
        pin(self.pid)

    def target(self, job):
        key = job.source.resolve().relative_to(self.originals).as_posix()
        return f"/unsafe/{job.width}x0/filters:format({job.format})/{urllib.parse.quote(key)}"


class VipsThumbnail(Peer):
    """Debian's command: a process for every picture, as scripts use it."""

    SUFFIX = {"jpeg": "jpg", "webp": "webp", "avif": "avif"}

    def __init__(self, command, scratch, name="vipsthumbnail"):
        super().__init__(name)
        self.command, self.scratch = command, Path(scratch)

    def batch(self, job, count):
        out = self.scratch / f"vips.{self.SUFFIX[job.format]}"
        options = ",".join(["strip", *(f"{name}={value}" for name, value in job.settings)])
        command = [str(self.command), str(job.source), "--size", f"{job.width}x>", "-o", f"{out}[{options}]"]
        cpu, waits, peak = 0.0, [], 0
        for _ in range(count):
            begun = time.monotonic()
            child = subprocess.Popen(command, env=environment(VIPS_CONCURRENCY="1"), stderr=subprocess.PIPE, preexec_fn=pinned(SERVER_CPU))
            said = child.stderr.read().decode("utf-8", "replace")
            _, status, usage = os.wait4(child.pid, 0)
            child.returncode = os.waitstatus_to_exitcode(status)
            child.stderr.close()
            waits.append(time.monotonic() - begun)
            cpu += usage.ru_utime + usage.ru_stime
            peak = max(peak, usage.ru_maxrss / 1024)
            if child.returncode or not out.exists():
                return Batch(cpu / len(waits), waits, b"", peak, len(waits), f"{self.name}: {' '.join(said.split())[:160] or f'ended with {child.returncode}, without a word'}")
        return Batch(cpu / count, waits, out.read_bytes(), peak, count)


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def listening(process, address, seconds=30):
    """Waits until a server takes connections."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and process.alive:
        try:
            return socket.create_connection(address, timeout=1).close()
        except OSError:
            time.sleep(0.05)
    output = "\n".join(process.lines[-30:])
    process.stop()
    raise SystemExit(f"{process.child.args[0]} does not listen on {address}:\n{output}")
