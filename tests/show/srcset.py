"""A whole srcset at once: six widths in three formats of one cold 12 megapixel photograph, asked
for in the same moment. One read of the original, at most one decode for each scale, eighteen right
pictures, each with the bytes that a process with every cache off makes, at the processor time of
their encoding and little more, against eighteen renders one by one; and the memory stays within its limit while the
caches are full."""

import json
import random
import statistics
import subprocess
import threading
import time

from harness import CORPUS, LENSLET, Show, corpus_or_skip, need, scratch, until
from pictures import distance, twelve_megapixels, upright
from processes import S3, Server, environment
from wire import connected, receive, send

WIDTHS, FORMATS = (320, 480, 640, 800, 1200, 1600), ("jpeg", "webp", "avif")
TARGETS = [f"w={width}&f={format}" for width in WIDTHS for format in FORMATS]
# The bar; what cannot be shared (the encoding of eighteen pictures) may leave less to be saved than
# it asks for: then what is left, and so much on top.
ROUNDS, SERIES, LIMIT, ABOVE = 5, 3, 0.55, 0.04
# Time enough that nobody is turned away, however busy the machine is.
PATIENCE = {"REQUEST_TIMEOUT": "60s"}
MEMORY, OFF = "1GiB", {"DECODED_CACHE": "0", "SOURCE_CACHE": "0", "MEMORY_CACHE": "0"}
SCALES = ("1/1", "1/2", "1/4", "1/8")
# Mixed load: MiB of the limit, clients at a time, seconds.
TIGHT, CLIENTS, SECONDS = 512, 8, 12


def settled(server):
    """The CPU time once work behind the answers is over."""
    last, quiet = server.cpu_seconds(), 0
    while quiet < 5:
        time.sleep(0.05)
        now = server.cpu_seconds()
        quiet, last = (quiet + 1, now) if now == last else (0, now)
    return last


def at_once(server, name):
    """Every target of one original: all sockets first, then all requests."""
    sockets = [connected(server.address) for _ in TARGETS]
    answers = [None] * len(TARGETS)

    def read(index, sock):
        answers[index] = receive(sock)

    for target, sock in zip(TARGETS, sockets):
        send(sock, server.address, f"/{name}?{target}")
    readers = [threading.Thread(target=read, args=pair) for pair in enumerate(sockets)]
    for reader in readers:
        reader.start()
    for reader in readers:
        reader.join()
    return answers


def one_by_one(server, name):
    return [server.get(f"/{name}?{target}") for target in TARGETS]


def decodes(server):
    return [int(server.metric("lenslet_decodes_total", scale=scale)) for scale in SCALES]


def spent(server, ask, name):
    """Answers, and the CPU seconds they took with everything behind them."""
    before = settled(server)
    answers = ask(server, name)
    return answers, settled(server) - before


def bodies(answers):
    return [answer.body if answer.status == 200 and answer.cache == "rendered" else None for answer in answers]


def right_pictures(show, label, answers, photograph):
    """Whether each answer is the photograph, in its format, at its size."""
    whole = upright(photograph)
    wrong = []
    for target, answer in zip(TARGETS, answers):
        width, format = target[2:].split("&f=")
        expected = (format.upper(), (int(width), round(int(width) * whole.height / whole.width)))
        picture = answer.picture() if answer.status == 200 else None
        if picture is None or (picture.format, picture.size) != expected or distance(picture, whole) > 6:
            wrong.append((target, answer.told()))
    show.equal(f"{label}: pictures that Pillow finds wrong", wrong, [])


def shared(show, store, server, name, photograph, reference):
    """One srcset at once, counted."""
    store.clear()
    before = decodes(server)
    answers = at_once(server, name)
    right_pictures(show, "at once", answers, photograph)
    show.equal("bodies equal to those of a process with every cache off", [a == b for a, b in zip(bodies(answers), reference)], [True] * len(TARGETS))
    show.equal("GETs of the original", store.count("GET", f"/originals/{name}"), 1)
    heads = store.count("HEAD", f"/originals/{name}")
    show.check("HEADs of the original, at most one", heads <= 1, heads)
    made = [after - was for after, was in zip(decodes(server), before)]
    show.check("decodes at 1/1, 1/2, 1/4, 1/8: at most one each", max(made) == 1 and sum(made) >= 3, made)
    until(lambda: len(store.puts("variants")[0]) == len(TARGETS))
    show.equal("variants written to the store", len(store.puts("variants")[0]), len(TARGETS))


def load(server, names):
    """Clients that ask for whatever comes to their minds; returns how many answers of each status."""
    counts, lock, end = {}, threading.Lock(), time.monotonic() + SECONDS

    def client(seed):
        whim = random.Random(seed)
        while time.monotonic() < end:
            width = whim.choice((160, 320, 480, 640, 800, 1000, 1200, 1600, 2000)) + whim.randrange(40)
            answer = server.get(f"/{whim.choice(names)}?w={width}&f={whim.choice(FORMATS)}")
            with lock:
                counts[answer.status] = counts.get(answer.status, 0) + 1

    clients = [threading.Thread(target=client, args=(seed,)) for seed in range(CLIENTS)]
    for one in clients:
        one.start()
    for one in clients:
        one.join()
    return counts


def within_the_limit(show, store, settings, data):
    """Renders of many originals and sizes with every cache full, in a small process."""
    names = [f"mixed-{n}.jpg" for n in range(12)]
    for name in names:
        (store.folder / "originals" / name).write_bytes(data)
    for photograph in sorted((CORPUS / "photos").glob("*.jp*g"))[:12]:
        names.append(f"other-{photograph.name}")
        (store.folder / "originals" / names[-1]).write_bytes(photograph.read_bytes())
    with Server(MEMORY_LIMIT=f"{TIGHT}MiB", **settings) as server:
        counts = load(server, names)
        kept = [server.metric(f"lenslet_{cache}_bytes") / 2**20 for cache in ("decoded_cache", "source_cache", "cache")]
        show.note("MiB kept at the end: decoded {:.0f}, originals {:.0f}, variants {:.0f}".format(*kept))
        hits = server.metric("lenslet_decoded_cache_requests_total", result="hit")
        show.check("mixed load: everything answered, and no cache in the way", set(counts) == {200} and counts[200] > CLIENTS * 4, counts)
        show.check("mixed load: pictures were shared and originals kept", hits > 0 and min(kept) > 1, f"{hits:.0f} hits")
        peak = server.memory("VmHWM")
        show.check(f"mixed load: peak memory within {TIGHT} MiB", peak <= TIGHT, f"{peak:.0f} MiB")


def least(show, photograph):
    """What the ratio comes to where all is shared that can be: every encoding, one resize for each
    width, one decode for each scale, over all of them eighteen times."""
    total, encoding, resizes, scales = 0.0, 0.0, {}, {}
    for target in TARGETS:
        out = subprocess.run([LENSLET, "measure", photograph, target, "--rounds", "3"], env=environment(), check=True, capture_output=True, text=True).stdout
        parts = json.loads(out.strip().splitlines()[-1])
        width = int(target[2:].split("&")[0])
        scale = max(n for n in (1, 2, 4, 8) if n * width <= upright(photograph).width)
        total += parts["decode_ms"] + parts["resize_ms"] + parts["encode_ms"]
        encoding += parts["encode_ms"]
        resizes[width], scales[scale] = parts["resize_ms"], parts["decode_ms"]
    needed = encoding + sum(resizes.values()) + sum(scales.values())
    show.note(f"of {total:.0f} ms of stages, encoding {encoding:.0f}, a resize each {sum(resizes.values()):.0f}, a decode each {sum(scales.values()):.0f}: {needed / total:.3f} cannot be saved")
    return needed / total


def measured(show, store, settings, photograph, reference):
    """Processor time at once against one by one, in turns."""
    data, limit = photograph.read_bytes(), max(LIMIT, least(show, photograph) + ABOVE)
    # One render at a time on both sides, so that two at once do not get into each other's way on one.
    settings = {**settings, "MEMORY_LIMIT": MEMORY, "CPU_BUDGET": "1"}
    with Server(**settings) as together, Server(**settings, **OFF) as apart:
        # Whoever else is on the machine makes work dearer and never cheaper: a series over the bar
        # is taken again, all of it, and every series is printed.
        for series in range(1, SERIES + 1):
            ratios, costs = [], []
            for round in range(ROUNDS + 1):
                pair = []
                for server, ask in ((together, at_once), (apart, one_by_one)):
                    # A copy is an original of its own, as cold as the first.
                    name = f"round-{series}-{round}-{ask.__name__}.jpg"
                    (store.folder / "originals" / name).write_bytes(data)
                    answers, time_of = spent(server, ask, name)
                    if bodies(answers) != reference:
                        show.check(f"{ask.__name__}: every answer rendered, with the same bytes", False, [answer.told() + answer.cache for answer in answers])
                        show.end()
                    pair.append(time_of * 1000)
                # The first round grows buffers.
                if round:
                    ratios.append(pair[0] / pair[1])
                    costs.append(pair)
                    show.note(f"round {round}: at once {pair[0]:.0f} ms, one by one {pair[1]:.0f} ms of CPU; ratio {ratios[-1]:.3f}")
            ratio = statistics.median(ratios)
            told = "{:.3f}: {:.0f} against {:.0f} ms".format(ratio, *(statistics.median(cost) for cost in zip(*costs)))
            show.note(f"series {series}: {told}")
            if ratio <= limit:
                break
        show.note(f"the bar of {LIMIT} is {'met' if ratio <= LIMIT else 'missed'}")
        show.check(f"CPU at once over one by one, median at most {limit:.2f}, in one of {SERIES} series", ratio <= limit, told)


if __name__ == "__main__":
    show = Show(f"srcset: {len(TARGETS)} variants of one cold original at once")
    corpus_or_skip(show.title)
    need(LENSLET)
    folder = scratch("srcset")
    photograph = twelve_megapixels(folder)
    data = photograph.read_bytes()
    with S3(folder / "s3", "originals", "variants") as store:
        settings = {**store.settings("originals", "variants"), **PATIENCE}
        originals = store.folder / "originals"
        for name in ("reference", "shared", "alone"):
            (originals / f"{name}.jpg").write_bytes(data)
        with Server(MEMORY_LIMIT=MEMORY, **settings, **OFF) as server:
            reference = bodies(one_by_one(server, "reference.jpg"))
            show.equal("a process with every cache off: pictures made", sum(body is not None for body in reference), len(TARGETS))
            show.equal("decodes there", sum(decodes(server)), len(TARGETS))
            # What is shown would not show without the sharing: the counts are those of single renders.
            alone = bodies(at_once(server, "alone.jpg"))
            show.equal("at once with every cache off: the same bytes", alone == reference, True)
            show.equal("at once with every cache off: decodes", sum(decodes(server)) - len(TARGETS), len(TARGETS))
        with Server(MEMORY_LIMIT=MEMORY, **settings) as server:
            shared(show, store, server, "shared.jpg", photograph, reference)
        measured(show, store, settings, photograph, reference)
        within_the_limit(show, store, settings, data)
    show.end()
