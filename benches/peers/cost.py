"""What a million transformations take: processor time, requests to the store, bytes sent, at hit ratios of
0, 90 and 99 %, of Lenslet and of the peers, at equal scores, for the mix and the prices of
k8s/capacity/plan.toml. Says of every figure whether it was measured or follows from how a program works."""

import json
import tomllib
from itertools import product

import inputs
from common import CORPUS, ROOT, S3WIRE, at_rest
from harness import need, until
from peers import Lenslet, Thumbor, job
from processes import S3
from score import OWN_SCALE

PLAN = ROOT / "k8s" / "capacity" / "plan.toml"
MEASURED = ROOT / "k8s" / "capacity" / "measured.json"
HITS = (0.0, 0.90, 0.99)
REPEATS = 20  # of a hit
# The encoders' own scales, which all begin at 1 and end at 100, and what is set beside.
SETTINGS = {
    "sharp": lambda form, quality: {"quality": quality, **({"effort": 2} if form == "avif" else {})},
    "thumbor": lambda form, quality: {"quality": quality},
    "vipsthumbnail": lambda form, quality: {"Q": quality, **({"effort": 2} if form == "avif" else {})},
}
# GET, HEAD and PUT of a miss and of a hit, of programs that were not run against a store: thumbor's storage
# of results is asked first and written last, and so is one that somebody programs around the others.
REASONED = ((2, 0, 1), (1, 0, 0))


def mix(plan):
    """(photograph, width, format) → share; they add up to one."""
    names = list(json.loads(MEASURED.read_text(encoding="utf-8"))["originals"])
    widths, formats = plan["mix"]["width"], plan["mix"]["format"]
    return {
        (CORPUS / "photos" / name, int(width), form): widths[width] * formats[form] / len(names)
        for name, width, form in product(names, widths, formats)
    }


def equal_settings(bench, scorer, peers, lenslet, source):
    """By peer and format, the settings that score on A12 at 800 px what Lenslet does by default."""
    found = {}
    for form in OWN_SCALE:
        wanted = scorer.score(source, lenslet.once(job(source, 800, form))[0])
        for name, peer in peers.items():
            settings = SETTINGS[name]
            quality, score = scorer.equal(peer.result, lambda q, s=settings, f=form: [job(source, 800, f, **s(f, q))], wanted)
            found[name, form] = settings(form, quality)
            bench.note(f"{name}, {form}: quality {quality} scores {score:.2f}, Lenslet {wanted:.2f}")
    return found


def renders(bench, shares, everyone, settings):
    """CPU seconds and bytes of a render, over the mix, by program; in turns, one picture after the other."""
    sums = {name: [0.0, 0.0] for name in everyone}
    for number, ((path, width, form), share) in enumerate(shares.items()):
        turns = list(everyone.items())
        shift = number % len(turns)
        for name, peer in turns[shift:] + turns[:shift]:
            wish = job(path, width, form, **settings.get((name, form), {}))
            if number < len(everyone):
                peer.batch(wish, 1)
            batch = peer.batch(wish, 2 if name == "Lenslet" else 1)
            if batch.failed:
                raise SystemExit(batch.failed)
            body = batch.body or peer.result(wish)[0]
            sums[name][0] += share * batch.cpu
            sums[name][1] += share * len(body)
    return sums


def hit(peer, wishes):
    """CPU seconds of an answer that has been made before."""
    before = at_rest(peer.pid)
    for _ in range(REPEATS):
        for wish in wishes:
            _, failed = peer.once(wish)
            if failed:
                raise SystemExit(failed)
    return (at_rest(peer.pid) - before) / (REPEATS * len(wishes))


class Kept(Lenslet):
    """Over an S3 server, which keeps originals and variants; `expected` is what every answer has to be."""

    def __init__(self, store, expected="rendered", **settings):
        self.expected = expected
        super().__init__(CORPUS, cold=False, **store.settings("originals", "variants"), **settings)

    def cold(self, answer):
        return "" if (answer.status, answer.cache) == (200, self.expected) else f"{answer.told()} {answer.cache!r}, not {self.expected}"


def asked(store, requests, originals, variants):
    """GET, HEAD and PUT a request to us, counted by the store, which forgets them. What happens once for
    an original, asking for its version and writing its record, is spread over its variants."""
    counts = {"GET": 0.0, "HEAD": 0.0, "PUT": 0.0}
    for entry in store.journal():
        once = entry["method"] == "HEAD" or entry["path"].endswith("/source.json")
        if entry["method"] in counts:
            counts[entry["method"]] += 1 / (originals * variants) if once else 1 / requests
    store.clear()
    return tuple(counts.values())


def kept(bench, shares, variants):
    """Lenslet's requests to an S3 store for a miss and for a hit, and the CPU seconds of hits."""
    wishes = [job(path, width, form) for path, width, form in shares if width == 400 and form != "avif"]
    with S3(bench.folder / "s3", "originals", "variants") as store:
        originals = {wish.source for wish in wishes}
        for path in originals:
            target = store.folder / "originals" / path.relative_to(CORPUS)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(path.read_bytes())
        lenslet = Kept(store, MEMORY_CACHE="0")
        try:
            for wish in wishes:
                if failed := lenslet.once(wish)[1]:
                    raise SystemExit(failed)
            until(lambda: len(store.puts("variants")[0]) >= len(wishes))
            miss = asked(store, len(wishes), len(originals), variants)
            lenslet.expected = "store"
            stored = hit(lenslet, wishes)
            found = asked(store, REPEATS * len(wishes), len(originals), variants)
        finally:
            lenslet.close()
        lenslet = Kept(store, "store", MEMORY_CACHE="256MiB")
        try:
            for wish in wishes:
                lenslet.once(wish)
            lenslet.expected = "memory"
            remembered = hit(lenslet, wishes)
        finally:
            lenslet.close()
    return miss, found, stored, remembered


def thumbors_hit(bench, shares):
    """CPU seconds of an answer from thumbor's own storage of results, in a folder."""
    thumbor = Thumbor(bench.had["thumbor"], CORPUS, bench.folder, results="thumbor.result_storages.file_storage")
    wishes = [job(path, width, form) for path, width, form in shares if width == 400 and form != "avif"]
    try:
        for wish in wishes:
            thumbor.once(wish)
        return hit(thumbor, wishes)
    finally:
        thumbor.close()


def million(cpu_miss, cpu_hit, per_miss, per_hit, kilobytes, prices):
    """By hit ratio: CPU seconds, GET, HEAD, PUT, GB sent, and what that costs, of a million answers."""
    rows = {}
    for hits in HITS:
        seconds = 1e6 * ((1 - hits) * cpu_miss + hits * cpu_hit)
        get, head, put = (1e6 * ((1 - hits) * a + hits * b) for a, b in zip(per_miss, per_hit))
        gigabytes = kilobytes  # a million of so many kB
        dollars = seconds / 3600 * prices["vcpu_hour"] + (get + head) * prices["get"] + put * prices["put"]
        rows[hits] = {"cpu": seconds, "get": get, "head": head, "put": put, "gb": gigabytes, "work": dollars, "egress": gigabytes * prices["egress_gb"]}
    return rows


def measure(bench, scorer):
    print("\na million transformations", flush=True)
    need(S3WIRE)
    plan = tomllib.loads(PLAN.read_text(encoding="utf-8"))
    shares, source = mix(plan), inputs.a12()["jpeg"]
    over_inputs, lenslet = bench.peers(only=SETTINGS), bench.lenslet()
    try:
        settings = equal_settings(bench, scorer, over_inputs, lenslet, source)
    finally:
        for peer in [lenslet, *over_inputs.values()]:
            peer.close()
    everyone = {"Lenslet": bench.lenslet(CORPUS), **bench.peers(CORPUS, only=SETTINGS)}
    try:
        made = renders(bench, shares, everyone, settings)
    finally:
        for peer in everyone.values():
            peer.close()
    per_miss, per_hit, stored, remembered = kept(bench, shares, plan["catalogue"]["variants"])
    hits = {"thumbor": thumbors_hit(bench, shares)} if "thumbor" in made else {}
    table = {}
    for name, (cpu, size) in made.items():
        requests = (per_miss, per_hit) if name == "Lenslet" else REASONED
        of_a_hit = stored if name == "Lenslet" else hits.get(name, 0.0)
        table[name] = {
            "render_ms": cpu * 1000, "hit_ms": of_a_hit * 1000, "kb": size / 1000, "per_miss": requests[0], "per_hit": requests[1],
            "rows": million(cpu, of_a_hit, *requests, size / 1000, plan["prices"]),
        }
        for share, row in table[name]["rows"].items():
            print(
                f"  {name:14} hits {share:4.0%}: {row['cpu']:9.0f} CPU s, {row['get']:9.0f} GET {row['head']:8.0f} HEAD {row['put']:8.0f} PUT,"
                f" {row['gb']:5.1f} GB out; ${row['work']:.2f} + ${row['egress']:.2f} egress",
                flush=True,
            )
    return {"table": table, "remembered_ms": remembered * 1000, "settings": {f"{name} {form}": value for (name, form), value in settings.items()}, "prices": plan["prices"], "variants": plan["catalogue"]["variants"]}
