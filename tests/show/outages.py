"""A broken store costs time, never a picture: the store of variants killed, silent, failing or
refusing, and the origin likewise, each with success rates and latencies as clients see them."""

import concurrent.futures
import itertools
import signal
import statistics
import time

from harness import Show, photographs, scratch, until
from processes import S3, Server, file_url

COLD = 40  # cold variants asked for in one phase
PARALLEL = 2
STORE_TIMEOUT, FETCH_TIMEOUT, REQUEST_TIMEOUT = 2.0, 2.0, 10.0  # seconds
READ_BUDGET_MS, OPEN_MS = 300, 5  # what a broken store may add to the median: at first, later
NAMES = [f"cat-{number}.jpg" for number in range(8)]
WISH = "w=160&f=webp"


class Phase:
    """Answers of one phase with the time each took, in milliseconds, in the order of their ends."""

    def __init__(self, server, targets, parallel=PARALLEL):
        self.answers, self.times = [], []

        def ask(target):
            began = time.monotonic()
            answer = server.get(target, seconds=30)
            return answer, (time.monotonic() - began) * 1000

        with concurrent.futures.ThreadPoolExecutor(parallel) as pool:
            for answer, took in pool.map(ask, targets):
                self.answers.append(answer)
                self.times.append(took)

    @property
    def good(self):
        return sum(answer.status == 200 for answer in self.answers)

    def told(self):
        """What else was answered, for messages."""
        return sorted({answer.told() for answer in self.answers if answer.status != 200})

    def caches(self):
        return sorted({answer.cache for answer in self.answers})

    def median(self, part=slice(None)):
        return statistics.median(self.times[part])


ROWS = []


def row(label, phase):
    times = sorted(phase.times)
    at = lambda share: times[min(len(times) - 1, int(share * len(times)))]
    ROWS.append((label, f"{phase.good}/{len(times)}", at(0.5), at(0.95), times[-1]))


def table():
    width = max(len(label) for label, *_ in ROWS)
    print(f"\n  {'phase'.ljust(width)}  success    p50 ms    p95 ms    max ms")
    for label, good, p50, p95, most in ROWS:
        print(f"  {label.ljust(width)}  {good:>7}  {p50:8.1f}  {p95:8.1f}  {most:8.1f}")


UNSEEN = itertools.count()


def cold(count=COLD):
    """Targets that nobody has asked for, all at the same cost: each is another cut-out."""
    numbers = itertools.islice(UNSEEN, count)
    return [f"/{NAMES[n % len(NAMES)]}?crop={n % 100},{n // 100},300,200&w=150&f=webp" for n in numbers]


def breakers(server, targets=()):
    """Those of reads and of writes by the metrics, after asking for some more: 1 is open."""
    for target in targets:
        server.get(target)
    return [server.metric("lenslet_store_breaker_open", op=way) for way in ("read", "write")]


VARIANT_FAULTS = {
    "killed": None,
    "silent": {"act": "pass", "delay_ms": 60_000},
    "answers 503": {"act": "status:503"},
    "refuses (403)": {"act": "status:403"},
}


def variant_store(show, folder, originals):
    """The store of variants fails in each way while cold and known variants are asked for."""
    for label, fault in VARIANT_FAULTS.items():
        with S3(folder / "variants-s3", "variants") as store:
            settings = {"ORIGIN": file_url(originals), "VARIANTS": "s3://variants"}
            with Server(**settings, **store.store_settings("VARIANTS")) as server:
                known = cold(len(NAMES))
                Phase(server, known)
                before = Phase(server, cold())
                until(lambda: server.metric("lenslet_writeback_queue_depth") == 0)
                if fault is None:
                    store.stop(signal.SIGKILL)
                else:
                    store.fault(**fault)
                during = Phase(server, cold())
                row(f"variants {label}", during)
                prefix = f"store of variants {label}"
                show.check(f"{prefix}: every picture is served", during.good == COLD, during.told() or f"{during.good}/{COLD}")
                added = during.median() - before.median()
                show.check(f"{prefix}: added to the median, below {READ_BUDGET_MS} ms", added < READ_BUDGET_MS, f"{added:.1f} ms")
                most = max(during.times) / 1000
                show.check(f"{prefix}: the slowest within the time of one read and one second", most < STORE_TIMEOUT + 1, f"{most:.2f} s")
                served = Phase(server, known)
                show.equal(f"{prefix}: what is in memory", (served.good, served.caches()), (len(known), ["memory"]))
                alive = server.alive
                if label == "refuses (403)":
                    # A refusal is how S3 says "not there" to those who may not list: never a reason
                    # to leave the store alone, but counted.
                    refused = server.metric("lenslet_store_read_faults_total", kind="forbidden")
                    show.check(f"{prefix}: refused reads are counted", refused >= COLD, refused)
                else:
                    # A silent write takes its two seconds to be one.
                    opened = until(lambda: breakers(server) == [1, 1], 10, 0.1)
                    show.check(f"{prefix}: both breakers are open by the metrics", opened, breakers(server))
                    after = Phase(server, cold())
                    row(f"variants {label}, breaker open", after)
                    show.equal(f"{prefix}: pictures served behind the open breaker", after.good, COLD)
                    # Noise of the machine is what two healthy phases differ by.
                    if fault is not None:
                        store.mend()
                        closed = until(lambda: breakers(server, cold(1)) == [0, 0], 15, 0.5)
                        show.check(f"{prefix}: both breakers close again", closed)
                        healthy = Phase(server, cold())
                        noise = abs(healthy.median() - before.median())
                        added = after.median() - min(healthy.median(), before.median())
                        show.check(f"{prefix}: added behind the open breaker, at most {OPEN_MS} ms and the noise", added <= OPEN_MS + noise, f"{added:.1f} ms, noise {noise:.1f} ms")
                show.check(f"{prefix}: the process lives", alive and server.alive)


ORIGIN_FAULTS = {
    "killed": None,
    "silent": {"act": "pass", "delay_ms": 60_000},
    "answers 503": {"act": "status:503"},
}


def is_stale(answer):
    return (answer.status, answer.cache, answer["Cache-Control"]) == (200, "stale", "public, max-age=5")


def stale_phase(show, prefix, label, server, targets, slow):
    """Stored variants while their origin is dead; at most `slow` of them may wait for it."""
    phase = Phase(server, targets, 1)
    row(f"{label}, {len(targets)} stored variants", phase)
    good = sum(is_stale(answer) for answer in phase.answers)
    found = sorted({(a.status, a.cache, a["Cache-Control"]) for a in phase.answers})
    show.check(f"{prefix}: every stored variant is served as stale, for 5 s", good == len(targets), found)
    waited = sum(took > 1_000 for took in phase.times)
    show.check(f"{prefix}: requests that waited over 1 s, at most {slow}", waited <= slow, waited)
    most = max(phase.times) / 1000
    show.check(f"{prefix}: the slowest within the request's own time", most < REQUEST_TIMEOUT, f"{most:.2f} s")


def origin(show, folder, originals):
    """The origin fails in each way; its neighbour does not."""
    stored = [f"/{name}?{WISH}" for name in NAMES]
    for label, fault in ORIGIN_FAULTS.items():
        place = folder / f"origin-{label.split()[0]}"
        with S3(place, "originals") as store, S3(place / "v", "variants") as variants:
            for name in NAMES + ["later.jpg", "never.jpg"]:
                (store.folder / "originals" / name).write_bytes((originals / NAMES[0]).read_bytes())
            settings = {
                "ORIGIN": "s3://originals",
                "ORIGINS": f"other={file_url(originals)}",
                "VARIANTS": "s3://variants",
                "SOURCE_TTL": "1s",
                # An original in memory would be rendered from, outage or not.
                "SOURCE_CACHE": "0",
                "DECODED_CACHE": "0",
                "NEGATIVE_TTL": "1s",
                "FETCH_TIMEOUT": f"{FETCH_TIMEOUT:.0f}s",
                **store.store_settings("ORIGIN_DEFAULT"),
                **variants.store_settings("VARIANTS"),
            }
            with Server(**settings) as server:
                first = Phase(server, stored)
                show.equal(f"origin {label}: rendered before", (first.good, first.caches()), (len(stored), ["rendered"]))
                until(lambda: len(variants.puts("variants")[0]) >= len(stored))
                port = store.address[1]
                if fault is None:
                    store.stop(signal.SIGKILL)
                else:
                    store.fault(**fault)
                time.sleep(1.1)  # the versions are older than their TTL

                prefix = f"origin {label}, the running process"
                stale_phase(show, prefix, f"origin {label}, running", server, stored, 1)
                wanted = 504 if label == "silent" else 502
                for what, target in (("a wish", f"/{NAMES[0]}?w=77"), ("an original", "/never.jpg?w=77")):
                    began = time.monotonic()
                    answer = server.get(target, seconds=30)
                    took = time.monotonic() - began
                    show.check(f"{prefix}: {what} that is not stored is {wanted}, in time", answer.status == wanted and took < REQUEST_TIMEOUT, f"{answer.told()}, {took:.1f} s")
                    show.equal(f"{prefix}: and kept by nobody", answer["Cache-Control"], "no-store")
                other = Phase(server, [f"/@other{target}" for target in cold(20)])
                row(f"origin {label}: the other origin", other)
                show.equal(f"{prefix}: the other origin's pictures", other.good, 20)
                slowest = max(other.times)
                show.check(f"{prefix}: and none of them waited", slowest < 1_000, f"{slowest:.0f} ms")

                with Server(**settings) as fresh:
                    prefix = f"origin {label}, a process started since"
                    # Each of three different originals has to fail before their origin counts as dead.
                    stale_phase(show, prefix, f"origin {label}, fresh", fresh, stored, 3)
                    again = Phase(fresh, stored, 4)
                    row(f"origin {label}, fresh, once more", again)
                    show.check(f"{prefix}: nobody waits any more", max(again.times) < 1_500 and all(map(is_stale, again.answers)), f"{max(again.times):.0f} ms, {again.caches()}")

                    if fault is None:
                        revived = S3(place, "originals", port=port)
                    else:
                        store.mend()
                        revived = None
                    healed = time.monotonic()
                    for name, process, width in (("the running process", server, 90), ("the one started since", fresh, 91)):
                        wish = f"/later.jpg?w={width}"
                        back = until(lambda p=process, t=wish: p.get(t).cache == "rendered", 10, 0.2)
                        took = time.monotonic() - healed
                        show.check(f"origin {label}: {name} renders again within 5 s", back and took < 5, f"{took:.1f} s")
                        current = until(lambda p=process: not is_stale(p.get(stored[0])), 5, 0.2)
                        show.check(f"origin {label}: and serves nothing stale", current)
                    if revived:
                        revived.stop()


if __name__ == "__main__":
    show = Show("outages: broken stores cost time, never a picture")
    folder = scratch("outages")
    photograph = photographs(folder)[1]
    originals = folder / "originals"
    originals.mkdir()
    for name in NAMES:
        (originals / name).write_bytes(photograph.read_bytes())
    variant_store(show, folder, originals)
    origin(show, folder, originals)
    table()
    show.end()
