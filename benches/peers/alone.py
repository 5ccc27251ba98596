"""Lenslet against itself: what HTTP, fetching and waiting add to a render in the process, and how the cost
of a render grows with the original. Compares with no peer, but tells sharp's slope beside ours."""

import json
import os
import subprocess
from dataclasses import replace

import inputs
from common import LENSLET, pinned
from peers import SERVER_CPU, Batch, Lenslet, environment, file_url, job
from works import LINEAR_BAR, LINEAR_WIDTH, MISS_BAR, WIDTH

ROUNDS_WITHIN = 12


def in_process(source, query):
    """The same decode, resize and encode by `lenslet measure`, in one thread, without a server."""

    def do(_):
        command = [str(LENSLET), "measure", str(source), query, "--rounds", str(ROUNDS_WITHIN)]
        out = subprocess.run(command, env=environment(), check=True, capture_output=True, text=True, preexec_fn=pinned(SERVER_CPU)).stdout
        told = json.loads(out.strip().splitlines()[-1])
        return Batch(told["whole_ms"] / 1000, [told["whole_ms"] / 1000], b"", 0.0)

    return do


class Stored(Lenslet):
    """The same with a store of variants in a folder: what is written is part of the miss. Every request
    is for an original of its own, a link to the same bytes, so that nothing is in the store yet."""

    def __init__(self, folder):
        self.links, variants = folder / "links", folder / "stored"
        for path in (self.links, variants):
            path.mkdir(exist_ok=True)
        super().__init__(self.links, VARIANTS=file_url(variants))
        self.turn = 0

    def target(self, job):
        self.turn += 1
        link = self.links.resolve() / f"{self.turn}{job.source.suffix}"
        os.link(job.source, link)
        return super().target(replace(job, source=link))


def miss(bench, _):
    """An HTTP request that misses everything over the same render in the process."""
    print("\nan HTTP miss over the render in the process", flush=True)
    source, rows = inputs.a12()["jpeg"], {}
    lenslet, stored = bench.lenslet(), Stored(bench.folder)
    try:
        for form in ("jpeg", "webp", "avif"):
            wish = job(source, WIDTH, form)
            runs, failed = bench.interleaved(
                [
                    ("HTTP", lambda count: lenslet.batch(wish, count)),
                    ("HTTP, stored", lambda count: stored.batch(wish, count)),
                    ("in process", in_process(source, f"w={WIDTH}&f={form}")),
                ]
            )
            if failed:
                raise SystemExit(str(failed))
            rows[form] = {label: run.cpu * 1000 for label, run in runs.items()}
            rows[form]["ratio"] = runs["HTTP"].over(runs["in process"])
            rows[form]["stored ratio"] = runs["HTTP, stored"].over(runs["in process"])
            bench.note(f"{form}: {rows[form]['HTTP']:.2f} ms by HTTP, {rows[form]['HTTP, stored']:.2f} with the write of the variant, {rows[form]['in process']:.2f} in the process")
            bench.bar(f"HTTP miss over the in-process render, {form}", rows[form]["ratio"], MISS_BAR)
    finally:
        lenslet.close()
        stored.close()
    return rows


def line(points):
    """Least squares: (milliseconds per megapixel, milliseconds at none, R²)."""
    n = len(points)
    mean_x, mean_y = sum(x for x, _ in points) / n, sum(y for _, y in points) / n
    spread = sum((x - mean_x) ** 2 for x, _ in points)
    slope = sum((x - mean_x) * (y - mean_y) for x, y in points) / spread
    start = mean_y - slope * mean_x
    missed = sum((y - start - slope * x) ** 2 for x, y in points)
    return slope, start, 1 - missed / sum((y - mean_y) ** 2 for _, y in points)


def linear(bench, _):
    """Processor time of a render against the megapixels of the original."""
    print(f"\na render to {LINEAR_WIDTH} px against the megapixels of the original", flush=True)
    sources, points = inputs.mosaics(), {}
    limits = {"MAX_SOURCE_PIXELS": "200MP", "MAX_SOURCE_BYTES": "256MiB", "REQUEST_TIMEOUT": "120s", "FETCH_TIMEOUT": "60s"}
    lenslet, peers = bench.lenslet(**limits), bench.peers(only={"sharp"})
    try:
        makers = [("Lenslet", lenslet), *peers.items()]
        contestants = [
            (f"{name} {megapixels}", lambda count, peer=peer, wish=job(path, LINEAR_WIDTH, "jpeg"): peer.batch(wish, count))
            for megapixels, path in sources.items()
            for name, peer in makers
        ]
        runs, _ = bench.interleaved(contestants)
        for name, _ in makers:
            points[name] = [(megapixels, runs[f"{name} {megapixels}"].cpu * 1000) for megapixels in sources if f"{name} {megapixels}" in runs]
    finally:
        for peer in [lenslet, *peers.values()]:
            peer.close()
    found = {}
    for name, values in points.items():
        slope, start, fit = line(values)
        found[name] = {"points": values, "slope": slope, "start": start, "fit": fit}
        bench.note(f"{name}: {slope:.3f} ms a megapixel + {start:.1f} ms, R² {fit:.4f}: " + ", ".join(f"{x:.0f} MP {y:.0f} ms" for x, y in values))
    bench.bar("a render's time is a line over 1 to 100 megapixels, R²", found["Lenslet"]["fit"], LINEAR_BAR, least=True)
    return found
