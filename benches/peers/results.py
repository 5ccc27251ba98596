"""Writes what a run found into benches/RESULTS.md, between the marks of `make bench-peers`; what stands
outside of them belongs to others and is left as it is."""

import platform
import re
import subprocess
from pathlib import Path

import inputs
import install
from bench import date
from common import LENSLET, RESULTS, ROOT
from works import LINEAR_WIDTH, SRCSET

BEGIN, END = "<!-- peers:start -->", "<!-- peers:end -->"


def table(head, rows):
    """Markdown; every column but the first is of numbers."""
    lines = ["| " + " | ".join(head) + " |", "|---|" + "---:|" * (len(head) - 1)]
    return "\n".join([*lines, *("| " + " | ".join(str(cell) for cell in row) + " |" for row in rows)])


def machine():
    text = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
    models = re.findall(r"^model name\s*: (.*)$", text, re.M)
    return f"{len(models) or 1} CPUs of {models[0] if models else platform.machine()}, Linux {platform.release().split('-')[0]}"


def commit():
    """The commit of the tree, where it is one of git's."""
    asked = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True)
    return [f"at {asked.stdout.strip()}"] if asked.returncode == 0 else []


def versions(bench):
    """Who was measured, and of what they are made."""
    sharp = bench.versions.get("sharp", {})
    found = [" ".join([subprocess.check_output([LENSLET, "--version"], text=True).splitlines()[0], *commit()])]
    if sharp:
        found.append(f"sharp {sharp['sharp']} (libvips {sharp['vips']}, mozjpeg {sharp['mozjpeg']}, libwebp {sharp['webp']}, libaom {sharp['aom']})")
    if "thumbor" in bench.had:
        found.append(", ".join(" ".join(line.split("==")) for line in (install.HERE / "requirements.txt").read_text().splitlines() if re.match("thumbor==|pillow==", line)))
    if "vipsthumbnail" in bench.had:
        found.append(f"vipsthumbnail of {' '.join(subprocess.check_output([bench.had['vipsthumbnail'], '--version'], text=True).split()[:1])}")
    for name, (_, version) in {"imgproxy": install.IMGPROXY, "imagor": install.IMAGOR}.items():
        found += [f"{name} {version}"] if name in bench.had else []
    return "; ".join(found) + f"; scored by {' '.join(install.SCORER)}"


def number(value, digits=1):
    return f"{value:,.{digits}f}"


def bars(bench):
    rows = [(what, f"{value:.3f}" if isinstance(value, float) else value, limit, "met" if met else "**missed**") for what, value, limit, met in bench.verdicts]
    return table(["bar", "found", "wanted", ""], rows)


def singles(found):
    parts = []
    for name, rows in found.items():
        lines = [
            (
                label, number(row["cpu_ms"]), number(row["per_second"]), number(row["p50_ms"]), number(row["p99_ms"]), number(row["peak_mib"], 0),
                number(row["bytes"], 0), number(row["score"], 2), "" if row["ratio"] is None else f"**{row['ratio']:.3f}** at {row['beside'].removeprefix('Lenslet, ')}",
            )
            for label, row in rows.items()
        ]
        parts.append(f"### {name}\n\n" + table(["", "CPU, ms", "req/s", "p50, ms", "p99, ms", "peak RSS, MiB", "bytes", "score", "Lenslet ÷ it"], lines))
    return "\n\n".join(parts)


def srcset(found):
    lines = [(label, number(row["cpu_ms"], 0), number(row["p50_ms"], 0), number(row["peak_mib"], 0), f"{row['ratio']:.3f}") for label, row in found["rows"].items()]
    scores = "; ".join(f"{form}: {quality}, {ours:.1f} and sharp's {theirs:.1f}" for form, (quality, theirs, ours) in found["qualities"].items())
    forms = list(found["qualities"])
    apart = [
        (width, *(number(found["parts"][form, width][part]) for form in forms for part in ("decode", "resize", "encode"))) for width in SRCSET
    ]
    return (
        f"### A `srcset` of a cold A12\n\n{', '.join(map(str, SRCSET))} px as JPEG, WebP and AVIF (sharp: effort 2). Lenslet's qualities and mean scores: {scores}.\n\n"
        + table(["", "CPU, ms", "until the last, ms", "peak RSS, MiB", "requests at once ÷ it"], lines)
        + "\n\nWhere Lenslet's time goes, CPU milliseconds of each part apart (`lenslet measure`). Decodes shared by scale and resizes"
        + f" by width, **{found['least']:.3f}** of 18 renders would be left: that is what sharing can come to here, the rest is encoders.\n\n"
        + table(["px", *(f"{form}: {part}" for form in forms for part in ("decode", "resize", "encode"))], apart)
    )


def alone(miss, linear):
    lines = [(form, *(number(row[label], 2) for label in ("in process", "HTTP", "HTTP, stored")), f"{row['ratio']:.3f}", f"{row['stored ratio']:.3f}") for form, row in miss.items()]
    head = ["A12 → 800 px", "in the process, ms", "by HTTP, ms", "and stored, ms", "HTTP ÷ process", "stored ÷ process"]
    sizes = [f"{megapixels:.0f} MP" for megapixels, _ in linear["Lenslet"]["points"]]
    grown = [
        (name, *(number(cost) for _, cost in row["points"]), f"{row['slope']:.3f}", number(row["start"]), f"{row['fit']:.4f}") for name, row in linear.items()
    ]
    return (
        "### What a miss costs beside the render\n\n" + table(head, lines)
        + f"\n\n### A render against the megapixels of the original\n\nMosaics of A12's patches → {LINEAR_WIDTH} px JPEG, CPU milliseconds, and the straight line through them.\n\n"
        + table(["", *sizes, "ms a megapixel", "+ ms", "R²"], grown)
    )


def photographs(found):
    lines = [
        (f"{who}, {form}", f"{row['count']}", number(row["cpu"], 2), f"{row['ratio']:.3f}", f"{row['median']:.3f}", number(row["kb"]), number(row["score"], 2))
        for form, rows in found["formats"].items()
        for who, row in rows.items()
    ]
    return (
        f"### {found['count']} photographs of the corpus → 400 px\n\nOnce each, by everybody's defaults; the ratios over the pictures that both can read.\n\n"
        + table(["", "made", "CPU, s", "Lenslet ÷ it", "median of ratios", "kB", "median score"], lines)
    )


def cost(found):
    prices, lines, figures = found["prices"], [], []
    for name, one in found["table"].items():
        each = lambda counts: " + ".join(f"{count:.2g} {what}" for count, what in zip(counts, ("GET", "HEAD", "PUT")) if count) or "none"  # noqa: E731
        figures.append((name, number(one["render_ms"]), f"{one['hit_ms']:.3f}" if one["hit_ms"] else "–", number(one["kb"]), each(one["per_miss"]), each(one["per_hit"])))
        for hits, row in one["rows"].items():
            requests = [f"{row[what]:,.0f}" for what in ("get", "head", "put")]
            lines.append((f"{name}, {hits:.0%} hits", number(row["cpu"], 0), *requests, number(row["gb"]), f"${row['work']:.2f}", f"${row['egress']:.2f}"))
    return f"""### What a million transformations cost

The widths, formats, photographs and prices are those of [plan.toml](../k8s/capacity/plan.toml); every peer at
the quality that scores on A12 what Lenslet does by default; AVIF of libvips at effort 2.

{table(["", "CPU of a render, ms", "of a hit, ms", "kB", "store requests of a miss", "of a hit"], figures)}

{table(["a million answers", "CPU s", "GET", "HEAD", "PUT", "GB out", "CPU and store", "egress"], lines)}

* Measured: CPU of renders and hits, bytes, and Lenslet's store requests, in the journal of an S3 server. What
  happens once for an original is spread over the plan's {found["variants"]} variants. A hit is one of the store of
  variants; from memory it takes {found["remembered_ms"]:.3f} ms and no request.
* Reasoned: the peers' store requests, with results kept on S3 by everybody. thumbor can, and its hits were measured
  with its storage in a folder; around sharp and vipsthumbnail it has to be programmed, and their hits
  are taken to cost no CPU at all.
* Egress at the price to the internet; to a CDN of the same provider it is nothing. How many pods that makes, and what they cost
  beside functions: [k8s/CAPACITY.md](../k8s/CAPACITY.md).

With your own prices:

    cost = answers × ((1 − hits) × CPU of a render + hits × CPU of a hit) × price of a CPU second
         + answers × ((1 − hits) × GETs and HEADs of a miss + hits × those of a hit) × price of a GET
         + answers × (1 − hits) × PUTs of a miss × price of a PUT
         + answers × kB × price of egress

Here: ${prices["vcpu_hour"]} a CPU hour, ${prices["get"] * 1e6:.2f} a million GETs, ${prices["put"] * 1e6:.2f} a million PUTs, ${prices["egress_gb"]} a GB."""


def section(bench, found):
    sizes = "; ".join(f"{form} {path.stat().st_size / 1e6:.2f} MB" for form, path in inputs.a12().items())
    missing = "".join(f"* **Not measured: {name}.** {why}\n" for name, why in bench.missing.items())
    refused = "".join(f"* Left out: {note}\n" for note in bench.notes)
    return f"""## Against peers

`make bench-peers`, {date()}, {machine()}.
{versions(bench)}.

* A12 is a photograph of {inputs.A12[0]} × {inputs.A12[1]} pixels ({sizes}); `benches/peers/inputs.py` makes it.
* Everything in turns within one run, {bench.rounds} rounds, medians; ratios are of processor time within a round. One core
  each, one request at a time, originals in a folder, every cache off on both sides, every answer of ours
  checked to be a render.
* sharp runs in a bare loop of node's; *HTTP* is the same behind node's HTTP server. thumbor and Lenslet are
  servers, vipsthumbnail is a process for each picture. *sharp, imgproxy's settings* is libvips with what imgproxy has by
  default (AVIF: quality 63, speed 8).
* score is SSIMULACRA2 against Pillow's Lanczos of the whole original, the same for all: 100 is that
  reference. For every peer Lenslet is measured at the quality that scores within 1 of it.
{missing}{refused}
### Bars

{bars(bench)}

{singles(found["singles"])}

{srcset(found["srcset"])}

{alone(found["miss"], found["linear"])}

{photographs(found["photographs"])}

{cost(found["cost"])}
"""


def write(bench, found):
    """The section of this command, in place of what stood between its marks."""
    text = RESULTS.read_text(encoding="utf-8")
    before, _, rest = text.partition(BEGIN)
    _, mark, after = rest.partition(END)
    if not mark:
        raise SystemExit(f"{RESULTS} has lost its marks {BEGIN} and {END}")
    RESULTS.write_text(f"{before}{BEGIN}\n{section(bench, found)}{END}{after}", encoding="utf-8")
    print(f"\nwrote {RESULTS}")
