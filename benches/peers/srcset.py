"""A `srcset` of a cold A12: six widths in three formats. By Lenslet as it is asked for by a browser, all
at once; as one run of `lenslet warm`; and as 18 renders that share nothing. By sharp as 18 pipelines,
which is what stands behind 18 URLs, and in the two ways in which a program of one's own could do
better. At the qualities at which the mean score over two of the widths is sharp's."""

import json
import os
import shutil
import subprocess
import time

import inputs
from common import INPUTS, LENSLET, at_rest, pinned
from peers import SERVER_CPU, Batch, Lenslet, environment, file_url, job
from wire import connected, receive, send
from works import SHARED_BAR, SRCSET, SRCSET_BAR, SRCSET_FORMATS, SRCSET_SCORED

SHARP = {"jpeg": {}, "webp": {}, "avif": {"effort": 2}}
COPIES = INPUTS / "srcset"
# On one core, 18 renders that share nothing are more than fits a quarter of the usual deadline.
PATIENT = {"REQUEST_TIMEOUT": "120s"}
SEPARATE, TOGETHER, WARM = "Lenslet, 18 cold renders", "Lenslet, 18 requests at once", "Lenslet, one `lenslet warm`"
PIPELINES = "sharp, 18 pipelines"
WAYS = {"separate": PIPELINES, "clone": "sharp, clones of one pipeline", "raw": "sharp, one decode by hand"}


def qualities(bench, scorer, sharp, lenslet, source):
    """Lenslet's `q` by format, with both mean scores."""
    found = {}
    for form in SRCSET_FORMATS:
        wanted = 0.0
        for width in SRCSET_SCORED:
            body, failed = sharp.result(job(source, width, form, **SHARP[form]))
            if failed:
                raise SystemExit(failed)
            wanted += scorer.score(source, body) / len(SRCSET_SCORED)
        quality, score = scorer.ours(lenslet, source, SRCSET_SCORED, form, wanted)
        bench.note(f"{form}: sharp scores {wanted:.2f} on the mean, Lenslet at q={quality} {score:.2f}")
        found[form] = (quality, wanted, score)
    return found


def wishes(found, source):
    return [job(source, width, form, q=found[form][0]) for form in SRCSET_FORMATS for width in SRCSET]


class Fresh:
    """Copies of A12 under names that nobody has asked for yet; made before the clock starts."""

    def __init__(self, source):
        self.source, self.count = source, 0
        shutil.rmtree(COPIES, ignore_errors=True)

    def next(self):
        path = COPIES / str(self.count) / self.source.name
        path.parent.mkdir(parents=True)
        shutil.copyfile(self.source, path)
        self.count += 1
        return path


def separate(lenslet, jobs):
    """One after the other, each rendered from the file's bytes."""
    bodies, begun = [], time.monotonic()
    lenslet.forget_peak()
    before = at_rest(lenslet.pid)
    for wish in jobs:
        body, failed = lenslet.once(wish)
        if failed:
            return Batch(0.0, [0.0], b"", failed=failed)
        bodies.append(body)
    wait = time.monotonic() - begun
    batch = Batch(at_rest(lenslet.pid) - before, [wait], b"", lenslet.peak())
    batch.bodies = bodies
    return batch


def together(lenslet, jobs):
    """All at once, as a browser's many users would, to a process that keeps what it likes."""
    targets = [lenslet.target(wish) for wish in jobs]
    sockets = [connected(lenslet.address) for _ in targets]
    lenslet.forget_peak()
    before, begun = at_rest(lenslet.pid), time.monotonic()
    for sock, target in zip(sockets, targets):
        send(sock, lenslet.address, target)
    answers = [receive(sock) for sock in sockets]
    wait = time.monotonic() - begun
    batch = Batch(at_rest(lenslet.pid) - before, [wait], b"", lenslet.peak())
    batch.failed = next((why for why in map(lenslet.cold, answers) if why), "")
    batch.bodies = [answer.body for answer in answers]
    return batch


def warm(bench, path, found):
    """The command over a folder with that one original, its own start and what it writes included."""
    variants, presets = bench.folder / "warm-variants", bench.folder / "warm.toml"
    shutil.rmtree(variants, ignore_errors=True)
    variants.mkdir()
    names = {f"{form}{width}": f"w={width}&f={form}&q={found[form][0]}" for form in SRCSET_FORMATS for width in SRCSET}
    presets.write_text("".join(f'[{name}]\nparams = "{params}"\n' for name, params in names.items()))
    settings = {
        "ORIGIN": file_url(path.parent), "VARIANTS": file_url(variants), "PRESETS_FILE": presets,
        "UNSIGNED": "allow", **PATIENT, "ADMIN_LISTEN": "127.0.0.1:0", "CPU_BUDGET": "1", "LOG_FORMAT": "json",
    }
    command, begun = [str(LENSLET), "warm", "--concurrency", "1", "--presets", ",".join(names)], time.monotonic()
    child = subprocess.Popen(command, env=environment(**{f"LENSLET_{name}": value for name, value in settings.items()}), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, preexec_fn=pinned(SERVER_CPU))
    said = child.stdout.read().decode("utf-8", "replace")
    _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    child.stdout.close()
    made = f"{len(names)} variants made of 1 originals" in said
    failed = "" if child.returncode == 0 and made else f"lenslet warm did not make {len(names)} variants:\n{said[-1500:]}"
    return Batch(usage.ru_utime + usage.ru_stime, [time.monotonic() - begun], b"", usage.ru_maxrss / 1024, 1, failed)


def parts(found, source):
    """Decode, resize and encode of every variant apart, by `lenslet measure`, and the least that a set can
    cost whose decodes are shared by scale and whose resizes by width, against 18 times everything."""
    rows, decodes, resizes = {}, {}, {}
    for form in SRCSET_FORMATS:
        for width in SRCSET:
            command = [str(LENSLET), "measure", str(source), f"w={width}&f={form}&q={found[form][0]}", "--rounds", "5"]
            out = subprocess.run(command, env=environment(), check=True, capture_output=True, text=True, preexec_fn=pinned(SERVER_CPU)).stdout
            told = json.loads(out.strip().splitlines()[-1])
            row = rows[form, width] = {part: told[f"{part}_ms"] for part in ("decode", "resize", "encode")}
            # The step of the ladder: the smallest of 1/1 to 1/8 that is no smaller than the result.
            step = max(step for step in (1, 2, 4, 8) if inputs.A12[0] / step >= width)
            decodes.setdefault(step, []).append(row["decode"])
            resizes.setdefault(width, []).append(row["resize"])
    whole = sum(sum(row.values()) for row in rows.values())
    least = sum(map(min, decodes.values())) + sum(map(min, resizes.values())) + sum(row["encode"] for row in rows.values())
    return rows, least / whole


def measure(bench, scorer):
    source, fresh = inputs.a12()["jpeg"], None
    print(f"\nsrcset of A12: {' '.join(map(str, SRCSET))} px as {', '.join(SRCSET_FORMATS)}", flush=True)
    peers = bench.peers(only={"sharp"})
    sharp, cold, caching = peers.get("sharp"), bench.lenslet(), Lenslet(INPUTS, cold=False, **PATIENT)
    try:
        if sharp is None:
            raise SystemExit("there is no srcset to compare with without sharp")
        found, fresh = qualities(bench, scorer, sharp, cold, source), Fresh(source)
        bodies = {}

        def ours(label, do, lenslet):
            def once(_):
                batch = do(lenslet, wishes(found, fresh.next()))
                bodies[label] = getattr(batch, "bodies", [])
                return batch

            return label, once

        variants = [(form, width, SHARP[form]) for form in SRCSET_FORMATS for width in SRCSET]
        contestants = [
            ours(SEPARATE, separate, cold),
            ours(TOGETHER, together, caching),
            (WARM, lambda _: warm(bench, fresh.next(), found)),
            *((label, lambda _, how=how: sharp.srcset(source, variants, how)) for how, label in WAYS.items()),
        ]
        runs, failed = bench.interleaved(contestants)
        if SEPARATE in failed or TOGETHER in failed:
            raise SystemExit(f"the srcset of Lenslet failed: {failed}")
        apart, least = parts(found, source)
        bench.note(f"with every decode and resize shared that could be, {least:.3f} of 18 renders would be left: encoders")
        differ = sum(a != b for a, b in zip(bodies[SEPARATE], bodies[TOGETHER], strict=True))
    finally:
        for peer in (sharp, cold, caching):
            peer and peer.close()
        shutil.rmtree(COPIES, ignore_errors=True)
    bench.bar("srcset: pictures that differ when they share work", differ, 0)
    bench.bar("srcset, shared, against 18 cold renders of ours", runs[TOGETHER].over(runs[SEPARATE]), SHARED_BAR)
    bench.bar("srcset, shared, against sharp's 18 pipelines", runs[TOGETHER].over(runs[PIPELINES]), SRCSET_BAR)
    rows = {}
    for label, run in runs.items():
        rows[label] = {**run.figures(), "ratio": runs[TOGETHER].over(run)}
        print(f"  {label:32} {run.cpu * 1000:8.0f} ms CPU  {run.figures()['p50_ms']:8.0f} ms  {run.peak:6.0f} MiB  shared/it {rows[label]['ratio']:.3f}", flush=True)
    return {"rows": rows, "qualities": found, "parts": apart, "least": least}
