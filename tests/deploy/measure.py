"""`make measure`: what a pod's work costs on this machine, into k8s/capacity/measured.json, which the
tables of k8s/CAPACITY.md are made from. The release binary as a process, photographs of the corpus,
an S3 wire server; CPU time is the process's own, by the kernel. Decides nothing."""

import http.client
import json
import os
import platform
import statistics
import subprocess
import sys
import threading
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "show"))

from harness import LENSLET, corpus_or_skip, need, scratch, until  # noqa: E402
from processes import S3, Server  # noqa: E402
from wire import request  # noqa: E402

# Photographs of 0.4 to 33 MP: what cameras, phones and editors leave in a bucket.
PHOTOGRAPHS = [
    "bimg-vertical.jpg",
    "codec-corpus-60430844748882ff66b9a5598ef06dd6.png",
    "lepton-iphone.jpg",
    "lepton-slrhills.jpg",
    "sharp-2569067123_aca715a2ee_o.jpg",
    "wuffs-harvesters.jpeg",
]
COPIES = 6
WIDTHS = (400, 800, 1600)
FORMATS = ("avif", "webp", "jpeg")
HITS = 6000
STARTS = 15
# The pod of k8s/base.
POD = {"CPU_BUDGET": "2", "MEMORY_LIMIT": "1GiB"}
OUT = ROOT / "k8s" / "capacity" / "measured.json"


def cpu(server):
    """CPU seconds of the process once it has come to rest, to the nanosecond: every thread's."""

    def now():
        tasks = Path(f"/proc/{server.child.pid}/task").glob("*/schedstat")
        return sum(int(path.read_text().split()[0]) for path in tasks) / 1e9

    last, quiet = now(), 0
    while quiet < 4:
        time.sleep(0.03)
        found = now()
        # Timers of idle threads take microseconds.
        quiet, last = (quiet + 1 if found - last < 0.0005 else 0), found
    return last


def one_by_one(server, targets):
    """Asks each, once, on kept connections, two at a time; returns statuses, caches, bytes, seconds."""
    answers, lock = [], threading.Lock()
    waiting = iter(targets)

    def work():
        connection = http.client.HTTPConnection(*server.address, timeout=60)
        while True:
            with lock:
                target = next(waiting, None)
            if target is None:
                return connection.close()
            path, headers = target if isinstance(target, tuple) else (target, {})
            begun = time.monotonic()
            connection.request("GET", path, headers=headers)
            answer = connection.getresponse()
            body = answer.read()
            took = time.monotonic() - begun
            with lock:
                answers.append((answer.status, answer.getheader("X-Cache"), len(body), took, answer.getheader("ETag"), path))

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return answers


def cost(server, targets, status, cache):
    """CPU milliseconds a request, bytes and milliseconds of waiting, over requests that all end alike."""
    before = cpu(server)
    answers = one_by_one(server, targets)
    spent = cpu(server) - before
    found = {(answer[0], answer[1]) for answer in answers}
    if found != {(status, cache)}:
        sys.exit(f"measure: {targets[0]} and others were answered {found}, not {status} {cache}")
    return {
        "cpu_ms": round(spent * 1000 / len(answers), 4),
        "bytes": round(statistics.mean(answer[2] for answer in answers)),
        "wall_ms": round(statistics.median(answer[3] for answer in answers) * 1000, 2),
    }, answers


def misses(store, settings):
    """Renders, by photograph, width and format; and the URLs that are in the store thereafter."""
    rows, stored = [], []
    # Each as dear as it can be: nothing of its original is there.
    cold = {"MEMORY_CACHE": "0", "DECODED_CACHE": "0", "SOURCE_CACHE": "0"}
    with Server(**settings, **POD, **cold, SOURCE_TTL="immutable") as server:
        # Buffers grown, connections open.
        cost(server, [f"/warm/{name}?w=640&f={f}" for name in PHOTOGRAPHS for f in FORMATS], 200, "rendered")
        for name in PHOTOGRAPHS:
            for width in WIDTHS:
                for f in FORMATS:
                    targets = [f"/{copy}/{name}?w={width}&f={f}" for copy in range(COPIES)]
                    row, answers = cost(server, targets, 200, "rendered")
                    rows.append({"original": name, "w": width, "f": f, **row})
                    stored += targets
                    print(f"  {name[:28]:28} w={width:<5} {f:5} {row['cpu_ms']:8.2f} ms CPU {row['bytes']:8} B", flush=True)
        peak = server.memory("VmHWM")
        wanted = len(stored) + len(PHOTOGRAPHS) * len(FORMATS)
        until(lambda: store.count("PUT", "/variants/") >= wanted, 30)
        time.sleep(1)
    return rows, stored, peak, asked_of(store, wanted)


def asked_of(store, requests):
    """Requests to each bucket for one request to us, and the journal empty again."""
    counts = {}
    for entry in store.journal():
        name = f"{entry['method']} {entry['path'].split('/')[1]}"
        counts[name] = counts.get(name, 0) + 1
    store.clear()
    return {name: round(count / requests, 3) for name, count in sorted(counts.items())}


def hits(store, settings, stored):
    """The same variants from the store, from memory, and told to be known already."""
    photographs = [target for target in stored if "w=400" in target or "w=800" in target]
    with Server(**settings, **POD, MEMORY_CACHE="0", SOURCE_TTL="immutable") as server:
        cost(server, photographs, 200, "store")
        store.clear()
        from_store, _ = cost(server, photographs * 5, 200, "store")
        asked = asked_of(store, len(photographs) * 5)
    with Server(**settings, **POD, MEMORY_CACHE="256MiB", SOURCE_TTL="immutable") as server:
        _, answers = cost(server, photographs, 200, "store")
        repeated = (photographs * (HITS // len(photographs) + 1))[:HITS]
        from_memory, _ = cost(server, repeated, 200, "memory")
        known = {answer[5]: answer[4] for answer in answers}
        conditional = [(target, {"If-None-Match": known[target]}) for target in repeated]
        not_modified, _ = cost(server, conditional, 304, None)
    return from_store, from_memory, not_modified, asked


def starts(settings):
    """Milliseconds from spawning the process to /readyz, and idle memory."""
    times, idle = [], []
    for _ in range(STARTS):
        with Server(**settings, **POD) as server:
            until(lambda: request(server.admin, "/readyz").status == 200, pause=0.001)
            times.append((time.monotonic() - server.started) * 1000)
            time.sleep(0.2)
            idle.append(server.memory())
            told = server.find(server._listening)
    shares = {name: told[name] for name in ("memory_bytes", "memory_cache_bytes", "source_bytes", "decode_bytes")}
    return statistics.median(times), statistics.median(idle), shares


def machine():
    model = [line.split(":")[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
    return {"cpu": model[0] if model else platform.machine(), "cpus": os.cpu_count(), "kernel": platform.release().split("-")[0]}


def megapixels(path):
    from PIL import Image

    with Image.open(path) as image:
        return round(image.width * image.height / 1e6, 1)


def main():
    corpus = corpus_or_skip("measure") / "photos"
    need(LENSLET)
    folder = scratch("measure")
    with S3(folder, "originals", "variants") as store:
        for name in PHOTOGRAPHS:
            for copy in ["warm", *range(COPIES)]:
                (folder / "originals" / str(copy)).mkdir(exist_ok=True)
                (folder / "originals" / str(copy) / name).write_bytes((corpus / name).read_bytes())
        settings = store.settings("originals", "variants")
        rows, stored, peak, per_miss = misses(store, settings)
        from_store, from_memory, not_modified, per_hit = hits(store, settings, stored)
        ready, idle, shares = starts(settings)
    version = subprocess.check_output([LENSLET, "--version"], text=True).splitlines()[0]
    image = json.loads(OUT.read_text()).get("image") if OUT.exists() else None
    measured = {
        "date": time.strftime("%Y-%m-%d"),
        "version": version,
        "machine": machine(),
        "originals": {name: {"megapixels": megapixels(corpus / name), "bytes": (corpus / name).stat().st_size} for name in PHOTOGRAPHS},
        "miss": rows,
        # With versions remembered for ever: without it, HEADs of originals come on top.
        "store_requests": {"miss": per_miss, "store_hit": per_hit},
        "store_hit": from_store,
        "memory_hit": from_memory,
        "not_modified": not_modified,
        "start_to_ready_ms": round(ready),
        "idle_mib": round(idle, 1),
        "shares": shares,
        "peak_mib": round(peak, 1),
        "image": image,
    }
    OUT.parent.mkdir(exist_ok=True)
    OUT.write_text(json.dumps(measured, indent=1) + "\n")
    print(json.dumps({key: measured[key] for key in ("store_requests", "store_hit", "memory_hit", "not_modified", "start_to_ready_ms", "idle_mib", "peak_mib")}))


if __name__ == "__main__":
    main()
