"""What a cache in front of Lenslet must do, whichever it is: three answers for all browsers, one
question for many callers, old pictures while new ones are made and while Lenslet is down, 304 from
end to end. Counted on the wire between the cache and Lenslet."""

import threading
import time

from accepts import BROWSERS, EVERY, MODEST
from harness import scratch, until
from parts import Counter, copies
from pictures import shows
from processes import Server, file_url
from wire import request

FORMATS = {"A": ("image/avif", "AVIF"), "W": ("image/webp", "WEBP"), "-": ("image/jpeg", "JPEG")}
# Short enough to be outlived by a test, long in what may be shown meanwhile.
FRESH = 2
CACHE_CONTROL = f"public, max-age={FRESH}, stale-while-revalidate=60, stale-if-error=600"
# Caches that count whole seconds call it stale up to one later.
PAST = FRESH + 1.2
CALLERS = 40


class Bench:
    """The service over a folder of originals, a counter, and a cache in front of it."""

    def __init__(self, show, label, photograph, cache):
        self.show, self.label, self.photograph, self.make = show, label, photograph, cache
        folder = scratch(label)
        self.originals = folder / "originals"
        copies(photograph, self.originals, ["cat.jpg", *(f"{name}.jpg" for name in ("fresh", "crowd", "down", "gone", "odd", "big", "tags"))])
        self.settings = {"ORIGIN": file_url(self.originals), "VARIANTS": file_url(folder / "variants"), "CACHE_CONTROL": CACHE_CONTROL, "NEGATIVE_TTL": "0s"}
        (folder / "variants").mkdir()
        self.counter = Counter()
        self.server = None
        self.begin()
        self.cache = cache(self.counter.address)

    def begin(self, **settings):
        """Starts the service behind the counter."""
        self.server = Server(**{**self.settings, **settings})
        self.counter.lead_to(self.server.address)

    def end(self):
        self.server.stop()
        self.counter.lead_to(Counter.NOWHERE)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.cache.stop()
        self.counter.__exit__()
        self.server.stop()

    def get(self, target, **options):
        return request(self.cache.address, target, **options)

    def equal(self, requirement, found, expected):
        return self.show.equal(f"{self.label}: {requirement}", found, expected)

    def check(self, requirement, held, found=""):
        return self.show.check(f"{self.label}: {requirement}", held, found)

    def reached(self, path):
        return len(self.counter.requests(path))


def negotiation(bench):
    """Every browser there is, three questions to Lenslet, and each the format it can show. With `v`,
    nothing of it grows old meanwhile."""
    served, broken = {}, []
    for round in range(2):
        for name, (accept, kind) in BROWSERS.items():
            answer = bench.get("/cat.jpg?w=240&f=auto&v=1", headers={"Accept": accept})
            served.setdefault(kind, set()).add((answer["Content-Type"], answer.picture().format if answer.status == 200 else answer.told()))
            if not shows(answer, bench.photograph) or "accept" not in answer["Vary"].lower():
                broken.append((name, answer["Vary"]))
    bench.equal("format by class of browser", served, {kind: {format} for kind, format in FORMATS.items()})
    bench.equal("answers that do not show the picture, or have no Vary", broken, [])
    bench.equal(f"questions to Lenslet for {2 * len(BROWSERS)} requests of {len(BROWSERS)} clients", bench.reached("/cat.jpg"), 3)
    bench.counter.clear()
    for accept in EVERY:
        bench.get("/cat.jpg?w=241&f=webp&v=1", headers={"Accept": accept})
        bench.get("/120x80/cat.jpg?v=1", headers={"Accept": accept})
    bench.equal(f"questions for one format by name, of {len(EVERY)} headers", bench.reached("/cat.jpg"), 1)
    bench.equal("questions for a sized URL", bench.reached("/120x80/"), 1)
    bench.counter.clear()
    more = {}
    for accept, kind in EVERY.items():
        answer = bench.get("/odd.jpg?w=240&f=auto&v=1", headers={"Accept": accept})
        got = next((found for found, (media, _) in {**FORMATS, "a": FORMATS["A"]}.items() if media == answer["Content-Type"]), answer.told())
        if not (got in MODEST[kind] or (got == "A" and kind == "a")):
            more[accept] = (kind, got)
    bench.equal(f"of {len(EVERY)} headers, odd ones with them, answered with what was not named", more, {})
    bench.check("and at most four questions for all of those", bench.reached("/odd.jpg") <= 4, bench.reached("/odd.jpg"))


def revalidation(bench):
    """A client's 304 comes from the cache; the cache's own costs Lenslet no picture."""
    target = "/fresh.jpg?w=250&f=webp"
    first = bench.get(target)
    again = bench.get(target, headers={"If-None-Match": first["ETag"]})
    bench.equal("what the client has already", (again.status, again.body, bench.reached("/fresh.jpg")), (304, b"", 1))
    time.sleep(PAST)
    renewed = bench.server.metric("lenslet_http_requests_total", status_class="3xx")
    stale = bench.get(target)
    bench.equal("past its age the picture comes at once", (stale.status, stale.body == first.body), (200, True))
    asked = until(lambda: bench.reached("/fresh.jpg") == 2, 5)
    bench.check("and is renewed behind the answer, once", asked, bench.reached("/fresh.jpg"))
    bench.check("by a 304 of Lenslet", until(lambda: bench.server.metric("lenslet_http_requests_total", status_class="3xx") == renewed + 1, 5))
    time.sleep(0.3)
    bench.get(target)
    bench.equal("after which it is fresh again", bench.reached("/fresh.jpg"), 2)


def slowly(bench):
    """While a stale picture is renewed, nobody waits: Lenslet is held up, the cache is not."""
    target = "/big.jpg?w=260&f=webp"
    bench.get(target)
    time.sleep(PAST)
    bench.counter.delay = 3.0
    started = time.monotonic()
    answers = [bench.get(target).status for _ in range(5)]
    took = time.monotonic() - started
    bench.check("with a Lenslet that takes 3 s, five requests for a stale picture", answers == [200] * 5 and took < 1.5, f"{took:.2f} s, {answers}")
    bench.counter.delay = 0.0
    time.sleep(3.2)


def collapsing(bench):
    """Many callers of a missing picture are one caller for Lenslet."""
    answers = [None] * CALLERS

    def call(number):
        answers[number] = bench.get("/crowd.jpg?w=1400&f=avif")

    threads = [threading.Thread(target=call, args=(number,)) for number in range(CALLERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    bench.equal(f"{CALLERS} callers of a missing picture: statuses, bodies", ({answer.status for answer in answers}, len({answer.body for answer in answers})), ({200}, 1))
    bench.equal(f"{CALLERS} callers: questions to Lenslet", bench.reached("/crowd.jpg"), 1)


def outage(bench):
    """Lenslet fails, then is gone: what the cache has is still served; what it has not is an error that is
    not kept."""
    target = "/down.jpg?w=270&f=webp"
    before = bench.get(target)
    time.sleep(PAST)
    bench.end()
    found = []
    for _ in range(4):
        answer = bench.get(target)
        found.append((answer.status, answer.body == before.body))
        time.sleep(0.8)
    bench.equal("with Lenslet gone, the old picture", found, [(200, True)] * 4)
    error = bench.get("/gone.jpg?w=270&f=webp")
    bench.check("and an error for what was never asked", error.status in (502, 503, 504), error.status)
    bench.begin()
    back = until(lambda: (answer := bench.get("/gone.jpg?w=270&f=webp")).status == 200 and answer, 15, 0.2)
    bench.check("which is forgotten when Lenslet is back", back)
    (bench.originals / "down.jpg").unlink()
    bench.check("a picture that is gone for good goes when its time is over", until(lambda: bench.get(target).status == 404, 15, 0.5))


def closed(bench):
    """Nothing but pictures is reached through the cache."""
    bench.counter.clear()
    bench.equal("pages of our own", bench.get("/_/events").status, 404)
    bench.equal("questions to Lenslet for them", bench.reached("/_/"), 0)
    for path in ("/metrics", "/readyz"):
        answer = bench.get(path)
        bench.check(f"{path} of the admin listener is not there", answer.status in (400, 404) and b"lenslet_" not in answer.body, answer.status)
    post = bench.get("/cat.jpg?w=9", method="POST", headers={"Content-Length": "0"})
    bench.equal("POST", post.status, 405)


def hammering(bench, targets):
    """One client that asks faster than is allowed is told so, and can come back."""
    statuses = []
    lock = threading.Lock()

    def call(share):
        for target in share:
            status = bench.get(target)
            with lock:
                statuses.append(status)

    threads = [threading.Thread(target=call, args=(targets[number::8],)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    refused = [answer for answer in statuses if answer.status == 429]
    served = len(statuses) - len(refused)
    bench.check(f"{len(targets)} requests as fast as they go: about 200 are served, the rest are 429", refused and served >= 150, f"{served} and {len(refused)}")
    if refused:
        bench.equal("with Retry-After, and not kept", (refused[0]["Retry-After"], refused[0]["Cache-Control"]), ("1", "no-store"))
