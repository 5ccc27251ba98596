"""What the service adds to the work itself: processor time of a cold request for an 800 px JPEG of
a 12 megapixel photograph, against its parts (reading the file, scaled decode, resize, encode)
measured apart, in turns, in the same minutes."""

import json
import statistics
import subprocess
import time

from harness import LENSLET, Show, corpus_or_skip, need, scratch, until
from pictures import twelve_megapixels
from processes import Server, environment, file_url

WIDTH, REQUESTS, ROUNDS, SERIES, LIMIT = 800, 16, 11, 4, 1.3


def settled(server):
    """The CPU time once work behind the answers is over."""
    last, quiet = server.cpu_seconds(), 0
    while quiet < 5:
        time.sleep(0.05)
        now = server.cpu_seconds()
        quiet, last = (quiet + 1, now) if now == last else (0, now)
    return last


def requests(server, names):
    """CPU milliseconds of one cold request, on average over copies of the photograph."""
    before = settled(server)
    for name in names:
        answer = server.get(f"/{name}?w={WIDTH}&f=jpeg")
        if (answer.status, answer.cache) != (200, "rendered"):
            show.check("every request is cold", False, f"{answer.told()} {answer.cache}")
            show.end()
    return (settled(server) - before) * 1000 / len(names), answer


def parts(path):
    """The parts in CPU milliseconds, from the same codecs in a process of their own."""
    out = subprocess.run([LENSLET, "measure", path, f"w={WIDTH}&f=jpeg", "--rounds", str(REQUESTS)], env=environment(), check=True, capture_output=True, text=True).stdout
    return json.loads(out.strip().splitlines()[-1])


if __name__ == "__main__":
    show = Show(f"cost: a 12 MP JPEG to {WIDTH} px costs at most {LIMIT} times its parts")
    corpus_or_skip(show.title)
    need(LENSLET)
    folder = scratch("cost")
    originals, variants = folder / "originals", folder / "variants"
    originals.mkdir()
    variants.mkdir()
    path = twelve_megapixels(folder)
    data = path.read_bytes()
    show.note(f"{len(data) / 1e6:.1f} MB, {ROUNDS} rounds of {REQUESTS} cold requests and {REQUESTS} runs of the parts")

    def fresh(label):
        """Names of copies, not links: each is an original of its own, as cold as the first."""
        names = [f"{label}-{copy}.jpg" for copy in range(REQUESTS)]
        for name in names:
            (originals / name).write_bytes(data)
        return names

    asked, told = 0, ""
    # Each original is asked for once: what is kept of it would only be memory taken anew.
    with Server(ORIGIN=file_url(originals), VARIANTS=file_url(variants), SOURCE_CACHE="0", DECODED_CACHE="0") as server:
        _, answer = requests(server, fresh("first"))  # buffers grown
        asked += REQUESTS
        picture = answer.picture()
        show.equal("what a request yields", (picture.format, picture.size), ("JPEG", (WIDTH, 1200)))
        parts(path)
        # Whoever else is on the machine makes a request dearer, by way of its memory, and never
        # cheaper: a series over the bar is taken again, all of it, and every series is printed.
        for series in range(1, SERIES + 1):
            ratios, costs, sums = [], [], []
            for round in range(1, ROUNDS + 1):
                cost, _ = requests(server, fresh(f"{series}-{round}"))
                asked += REQUESTS
                apart = parts(path)
                total = apart["read_ms"] + apart["decode_ms"] + apart["resize_ms"] + apart["encode_ms"]
                costs.append(cost)
                sums.append(total)
                ratios.append(cost / total)
                show.note(
                    f"round {round}: request {cost:.1f} ms; read {apart['read_ms']:.1f} + decode {apart['decode_ms']:.1f} + resize {apart['resize_ms']:.1f}"
                    f" + encode {apart['encode_ms']:.1f} = {total:.1f} ms; ratio {cost / total:.3f}"
                )
            ratio = statistics.median(ratios)
            told = f"{ratio:.3f}: {statistics.median(costs):.1f} ms of CPU against {statistics.median(sums):.1f} ms"
            show.note(f"series {series}: {told}")
            if ratio <= LIMIT:
                break
        stored = until(lambda: len([p for p in variants.rglob("*") if p.is_file() and p.name != "source.json"]) >= asked, 20)
        show.check("every one of them was stored, too", stored)
    show.check(f"median ratio at most {LIMIT}, in one of {SERIES} series", ratio <= LIMIT, told)
    show.end()
