"""Instructions that one render and one memory hit take, counted by valgrind's callgrind on the release
binary itself: a gate without noise, where times on a shared machine are none. Fails when a count is more
than `SLACK` above benches/instructions.json.

    instructions.py            compare
    instructions.py --accept   take today's counts as the new measure

Counts depend on compilers, C library and valgrind, and on what the processor can do (callgrind knows up to
AVX2): with others than those of the measure they are printed and not judged, loudly. They do not see caches,
page faults or the kernel: those are `make show-cost` and `make bench-peers`."""

import http.client
import json
import platform
import re
import shutil
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests/show"))

from PIL import Image

from harness import LENSLET, ROOT, SKIPPED, Show, corpus_or_skip, need, scratch
from processes import Server, environment, file_url

MEASURE = ROOT / "benches/instructions.json"
SLACK = 1.05
HITS = 1000
# Name → source, wish. The photograph has 3 megapixels: counts grow with the pixels, and so does the wait.
RENDERS = {
    "jpeg-to-jpeg": ("photo.jpg", "w=800&f=jpeg"),
    "jpeg-to-webp": ("photo.jpg", "w=800&f=webp"),
    "jpeg-to-avif": ("photo.jpg", "w=800&f=avif"),
    "jpeg-full-size": ("photo.jpg", "w=1400&f=jpeg"),
    "jpeg-cover-blur": ("photo.jpg", "w=400&h=400&fit=cover&blur=4&f=jpeg"),
    "png-to-webp": ("photo.png", "w=400&f=webp"),
    "webp-to-jpeg": ("photo.webp", "w=400&f=jpeg"),
    "avif-to-jpeg": ("photo.avif", "w=400&f=jpeg"),
}


def inputs(corpus, folder):
    """One photograph in four formats."""
    with Image.open(corpus / "photos/bimg-vertical.jpg") as image:
        image = image.convert("RGB").resize((1414, 2121), Image.Resampling.LANCZOS)
        image.save(folder / "photo.jpg", quality=92, subsampling="4:2:0")
        image.save(folder / "photo.png", compress_level=6)
        image.save(folder / "photo.webp", quality=90)
        image.save(folder / "photo.avif", quality=80, speed=8)


def callgrind(folder, name):
    """The command that counts, and the file it counts into."""
    out = folder / f"{name}.callgrind"
    return ["valgrind", "--tool=callgrind", f"--callgrind-out-file={out}", "--quiet"], out


def circumstances():
    """What counts depend on beside the code."""

    def first_line(*command):
        return subprocess.run(command, capture_output=True, text=True).stdout.splitlines()[0]

    return {
        "rustc": first_line("rustc", "--version"),
        "cc": first_line("cc", "--version"),
        "libc": " ".join(platform.libc_ver()),
        "valgrind": first_line("valgrind", "--version"),
        "machine": platform.machine() + (" avx2" if " avx2 " in Path("/proc/cpuinfo").read_text() else ""),
    }


def counted(out):
    return int(re.search(r"^(?:summary|totals): (\d+)", out.read_text(), re.M)[1])


def render(folder, name, source, wish):
    """Instructions of `lenslet render`, the whole process."""
    command, out = callgrind(folder, name)
    made = folder / f"{name}.out"
    subprocess.run([*command, str(LENSLET), "render", str(folder / source), wish, "-o", str(made)], env=environment(), check=True, capture_output=True, timeout=300)
    with Image.open(made) as image:
        image.load()
    return counted(out)


def serve(folder, hits):
    """Instructions of a server that renders once and answers from memory `hits` times."""
    command, out = callgrind(folder, f"serve-{hits}")
    with Server(wrapped=command, ORIGIN=file_url(folder), CPU_BUDGET=1) as server:
        talk = http.client.HTTPConnection(*server.address, timeout=60)
        found = set()
        for _ in range(hits + 1):
            talk.request("GET", "/photo.jpg?w=300&f=webp", headers={"Accept": "image/avif,image/webp,*/*"})
            answer = talk.getresponse()
            answer.read()
            found.add((answer.status, answer.getheader("X-Cache")))
        talk.close()
        if not found <= {(200, "memory"), (200, "rendered")} or hits and (200, "memory") not in found:
            sys.exit(f"these are no memory hits: {found}")
        if server.stop(seconds=60):
            sys.exit("the server did not end well")
    return counted(out)


def compare(show, counts):
    kept = json.loads(MEASURE.read_text())
    now, then = circumstances(), kept["circumstances"]
    if now != then:
        print(f"{'!' * 78}\nSKIPPED: counted under other circumstances:\n  {then}\n  {now}\n{'!' * 78}")
        sys.exit(SKIPPED)
    show.equal("what is counted is what was", sorted(counts), sorted(kept["counts"]))
    for name, count in counts.items():
        before = kept["counts"].get(name)
        if before:
            show.check(f"{name}: at most {SLACK} of {before:,}", count <= before * SLACK, f"{count:,} ({count / before:.3f})")
            if count * SLACK < before:
                show.note(f"{name} became cheaper: --accept takes the new count")


if __name__ == "__main__":
    show = Show("instructions: no render and no hit costs more than it did")
    corpus = corpus_or_skip(show.title)
    need(LENSLET)
    if not shutil.which("valgrind"):
        print("SKIPPED: no valgrind; `.ci/setup valgrind` brings it on Debian and Ubuntu")
        sys.exit(SKIPPED)
    folder = scratch("instructions")
    inputs(corpus, folder)
    counts = {}
    for name, (source, wish) in RENDERS.items():
        counts[name] = render(folder, name, source, wish)
        show.note(f"{name}: {counts[name]:,}")
    counts["memory-hit"] = (serve(folder, HITS) - serve(folder, 0)) // HITS
    show.note(f"memory-hit: {counts['memory-hit']:,}")
    if "--accept" in sys.argv[1:]:
        MEASURE.write_text(json.dumps({"circumstances": circumstances(), "counts": counts}, indent=2) + "\n")
        show.check("taken", True, MEASURE.name)
    else:
        compare(show, counts)
    show.end()
