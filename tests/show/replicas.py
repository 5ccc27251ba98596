"""Three replicas on one store under load, behind a balancer that believes readiness probes a moment
late and keeps its connections. One replica is killed: no request fails that is tried once more.
One is told to go: no request fails at all."""

import http.client
import itertools
import random
import signal
import threading
import time

from PIL import Image

from harness import Show, corpus_or_skip, scratch, until
from processes import S3, Server
from wire import request

REPLICAS, CALLERS = 3, 12
# A balancer's probes and their spreading take this long; LENSLET_DRAIN_DELAY is longer.
PROBE_EVERY, SPREAD, DRAIN = 0.2, 0.8, 2.5


class Balancer:
    """Round robin over the replicas that were ready a moment ago."""

    def __init__(self):
        self.lock, self.turn = threading.Lock(), itertools.count()
        self.backends = {}  # server → list of (time, ready)
        self.going = True
        threading.Thread(target=self._probe, daemon=True).start()

    def add(self, server):
        with self.lock:
            self.backends[server] = [(time.monotonic() - SPREAD, True)]

    def _probe(self):
        while self.going:
            for server in list(self.backends):
                try:
                    ready = request(server.admin, "/readyz", seconds=1).status == 200
                except OSError:
                    ready = False
                with self.lock:
                    self.backends[server].append((time.monotonic(), ready))
            time.sleep(PROBE_EVERY)

    def ready(self):
        """Who was ready by the last probe that has spread by now."""
        known = time.monotonic() - SPREAD
        with self.lock:
            return [s for s, seen in self.backends.items() if next((r for at, r in reversed(seen) if at <= known), False)]

    def pick(self, but=None):
        ready = [server for server in self.ready() if server is not but]
        return ready[next(self.turn) % len(ready)] if ready else None


class Caller(threading.Thread):
    """Asks for one picture after the other over connections it keeps, as a balancer does."""

    def __init__(self, balancer, targets, seed):
        super().__init__(daemon=True)
        self.balancer, self.targets, self.random = balancer, targets, random.Random(seed)
        self.connections, self.results, self.closing, self.going = {}, [], [], True

    def ask(self, server, target):
        """One attempt: (status, ETag), or the words of what went wrong."""
        begun = time.monotonic()
        connection = self.connections.pop(server, None) or http.client.HTTPConnection(*server.address, timeout=15)
        try:
            connection.request("GET", target)
            response = connection.getresponse()
            body = response.read()
            self.closing.append((begun, server, response.will_close))
            # What says `Connection: close` is not used again; that is how a balancer learns it.
            if not response.will_close:
                self.connections[server] = connection
            else:
                connection.close()
            good = response.status == 200 and len(body) == int(response.headers["Content-Length"])
            return (200, response.headers["ETag"]) if good else (response.status, body[:80])
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            return type(error).__name__, str(error)

    def run(self):
        while self.going:
            target, server = self.random.choice(self.targets), self.balancer.pick()
            if server is None:
                self.results.append((time.monotonic(), target, ("nobody", "ready"), ("nobody", "ready"), None))
                time.sleep(0.05)
                continue
            first = self.ask(server, target)
            second = first
            if first[0] != 200:
                other = self.balancer.pick(but=server)
                second = self.ask(other, target) if other else ("nobody", "ready")
            self.results.append((time.monotonic(), target, first, second, server))


def outcome(callers, since, until_):
    """Requests of a span of time: how many, how many failed at first, how many for good."""
    results = [result for caller in callers for result in list(caller.results) if since <= result[0] < until_]
    first = [result[2] for result in results if result[2][0] != 200]
    both = [result[3] for result in results if result[3][0] != 200]
    return len(results), first, both


if __name__ == "__main__":
    show = Show(f"replicas: {REPLICAS} on one store, {CALLERS} callers, one killed, one told to go")
    corpus = corpus_or_skip(show.title)
    folder = scratch("replicas")
    with S3(folder / "s3", "originals", "variants") as store:
        names = []
        for name in ("wuffs-harvesters.jpeg", "lepton-iphone.jpg", "bimg-vertical.jpg"):
            with Image.open(corpus / "photos" / name) as image:
                image = image.convert("RGB")
                image.thumbnail((900, 900))
                for copy in range(12):
                    names.append(f"{copy}-{name.split('.')[0]}.jpg")
                    image.save(store.folder / "originals" / names[-1], quality=80 + copy % 5)
        # Enough different pictures that rendering never ends, and enough repetition for every tier.
        targets = [f"/{name}?w={width}&f={kind}" for name in names for width in range(60, 500, 9) for kind in ("jpeg", "webp")]
        settings = {**store.settings("originals", "variants"), "DRAIN_DELAY": f"{DRAIN}s"}
        servers = [Server(**settings) for _ in range(REPLICAS)]
        balancer = Balancer()
        for server in servers:
            balancer.add(server)
        callers = [Caller(balancer, targets, seed) for seed in range(CALLERS)]
        start = time.monotonic()
        for caller in callers:
            caller.start()
        time.sleep(4)

        killed_at = time.monotonic()
        servers[0].child.send_signal(signal.SIGKILL)
        servers[0].child.wait()
        until(lambda: servers[0] not in balancer.ready(), 5)
        time.sleep(3)
        replacement = Server(**settings)
        balancer.add(replacement)
        time.sleep(1.5)

        told_at = time.monotonic()
        under_load = servers[1].metric("lenslet_http_requests_total")
        servers[1].child.send_signal(signal.SIGTERM)
        status = servers[1].child.wait(30)
        gone_at = time.monotonic()
        time.sleep(2)
        end = time.monotonic()
        for caller in callers:
            caller.going = False
        for caller in callers:
            caller.join(20)
        balancer.going = False

        count, first, _ = outcome(callers, start, killed_at)
        show.check("before: requests, none failed", count > 100 and not first, f"{count} in {killed_at - start:.1f} s, {count / (killed_at - start):.0f}/s, failed: {first[:3]}")
        count, first, both = outcome(callers, killed_at, told_at)
        show.check("one killed: some requests were on it", first, f"{len(first)} of {count}: {sorted({str(f[0]) for f in first})}")
        show.check("one killed: with one retry none failed", count > 100 and not both, f"{count} requests, failed: {both[:3]}")
        count, first, _ = outcome(callers, told_at, end)
        show.check("one told to go: it was under load", under_load > 50, f"{under_load:.0f} requests by then")
        show.check("one told to go: none failed, without a retry", count > 100 and not first, f"{count} requests, failed: {first[:3]}")
        show.equal("it left with status", status, 0)
        show.check("it took connections for its drain delay and then left", DRAIN <= gone_at - told_at < DRAIN + 12, f"{gone_at - told_at:.1f} s")
        late = [r for caller in callers for r in caller.results if r[4] is servers[1] and r[0] > told_at]
        show.check("while it drained it still answered", late, f"{len(late)} answers")
        closing = [close for caller in callers for begun, server, close in caller.closing if server is servers[1] and begun > told_at + 0.2]
        show.check("and each of those answers gave its connection up", closing and all(closing), f"{sum(closing)} of {len(closing)}")
        kept = [close for caller in callers for begun, server, close in caller.closing if begun < killed_at]
        show.check("before that connections were kept", kept and not any(kept), f"{len(kept) - sum(kept)} of {len(kept)}")

        etags = {}
        for caller in callers:
            for _, target, _, last, _ in caller.results:
                if last[0] == 200:
                    etags.setdefault(target, set()).add(last[1])
        different = [target for target, tags in etags.items() if len(tags) > 1]
        show.check("every replica gives a URL the same identity", len(etags) > 200 and not different, f"{len(etags)} URLs")
        for server in (servers[2], replacement):
            server.stop()
    show.end()
