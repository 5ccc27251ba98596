"""Every file of the corpus through the service over HTTP: the good ones serve and decode with the
size they must have, the bad ones are refused as such, and nothing ends the process or is answered
with a 5xx. Prints the table of outcomes."""

import csv
import time
import urllib.parse
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

from PIL import Image

from harness import Show, corpus_or_skip, scratch
from pictures import distance, upright
from processes import Server, file_url

FORMATS = {"jpeg": "JPEG", "png": "PNG", "apng": "PNG", "webp": "WEBP", "avif": "AVIF", "gif": "GIF"}
CANARY = b"CANARY-S-7f3a"
MEMORY_LIMIT_MIB = 1024

# Where INDEX.tsv and Pillow leave out what the file says, each with its reason; everything else
# must agree with them.
SIZES = {
    # Its `clap` property is part of how the picture is shown (ISO/IEC 23000-22); Pillow passes it by.
    "avif/alpha/libavif-blue-and-magenta-crop.avif": (180, 100),
}
OTHERWISE = {
    # The first frame leaves part of the canvas uncovered: transparent to us, as in browsers, and
    # of the background colour to Pillow.
    "gif/anim/image-issue_1455_undersized.gif",
    "gif/anim/wuffs-multiple-loop-counts.gif",
    # Pillow turns it by its XMP, which the AVIF specification does not let count.
    "avif/orient/pillow-avif-plugin-xmp_tags_orientation.avif",
}
# AV1 code points (ISO/IEC 23091-2) that leave nothing to colour management: sRGB and its kin.
PLAIN_PRIMARIES, PLAIN_CURVES = {1, 2, 5, 6}, {1, 2, 6, 13, 14, 15}


def shown_size(row):
    return SIZES.get(row["path"]) or tuple(int(side) for side in row["display_WxH"].split("x"))


def expected_size(row, width):
    """SEMANTICS 3 and 5: `inside`, never enlarged, halves rounded up, at least 1."""
    w, h = shown_size(row)
    if w <= width:
        return w, h
    return width, max(1, (2 * h * width + w) // (2 * w))


def within(expected, status):
    """Whether a status is among what INDEX.tsv allows."""
    client_error = 400 <= status <= 499
    return {
        "200": status == 200,
        "4xx": client_error,
        "415": status == 415,
        "200|4xx": status == 200 or client_error,
        "200/4xx": status == 200 or client_error,
        "200/415": status == 200 or status == 415,
    }.get(expected, False)


def ask(server, row, wish):
    started = time.monotonic()
    try:
        answer = server.get(f"/{urllib.parse.quote(row['path'])}?{wish}")
    except OSError as error:
        return None, f"no answer: {error!r}", time.monotonic() - started
    return answer, "", time.monotonic() - started


def judge(row, answer, size, format_name):
    """What is wrong with a 200, or nothing."""
    try:
        picture = answer.picture()
    except Exception as error:  # Pillow raises whatever its decoders do
        return f"Pillow: {error}"
    if format_name and picture.format != format_name:
        return f"{picture.format} instead of {format_name}"
    if size and picture.size != size:
        return f"{picture.width}x{picture.height} instead of {size[0]}x{size[1]}"
    told = f"{picture.width}x{picture.height}"
    if answer["X-Size"] != told:
        return f"X-Size {answer['X-Size']!r} of a picture of {told}"
    return ""


def wide_or_hdr(data):
    """Whether an AVIF's first `colr` box names primaries or a curve that Pillow does not convert."""
    at = data.find(b"colrnclx")
    if at < 0 or data[4:8] != b"ftyp":
        return False
    primaries, curve = (int.from_bytes(data[at + 8 + i : at + 10 + i], "big") for i in (0, 2))
    return primaries not in PLAIN_PRIMARIES or curve not in PLAIN_CURVES


def plain_original(row, size):
    """The original as Pillow shows it; nothing where colour management or taste would decide."""
    if row["path"] in OTHERWISE or wide_or_hdr((corpus / row["path"]).read_bytes()):
        return None
    try:
        with Image.open(corpus / row["path"]) as image:
            if "icc_profile" in image.info or image.mode not in ("L", "RGB", "RGBA", "P", "1"):
                return None
        original = upright(corpus / row["path"])
    except Exception:  # Pillow raises whatever its decoders do
        return None
    return original if original.size == size else None


def small(row):
    w, h = (int(side) for side in row["display_WxH"].split("x"))
    return w * h <= 4_000_000


def sweep(rows, wish, server):
    """Asks for every row, two at a time, in order."""
    results = []
    with ThreadPoolExecutor(2) as pool:
        asked = pool.map(lambda row: (row, *ask(server, row, wish(row))), rows)
        for number, result in enumerate(asked, 1):
            results.append(result)
            if number % 200 == 0 or number == len(rows):
                show.note(f"{number} of {len(rows)}")
    return results


def listed(found):
    """At most a dozen, one a line, in front of the verdict."""
    for line in found[:12]:
        show.note(line)
    if len(found) > 12:
        show.note(f"… and {len(found) - 12} more")
    return len(found)


def every_row(rows, server):
    show.note(f"every file with w=200: {len(rows)}")
    results = sweep(rows, lambda _: "w=200", server)
    table, faults, refused, outside, canaries, slow = Counter(), [], [], [], [], []
    for row, answer, problem, seconds in results:
        status = answer.status if answer else 0
        table[row["format"], row["expected"], status] += 1
        text = f"{row['path']} ({row['what_is_special']}): {problem or answer.told()}"
        if status == 0 or status >= 500:
            faults.append(text)
        elif not within(row["expected"], status):
            outside.append(f"{text}, expected {row['expected']}")
        if answer and CANARY in answer.body:
            canaries.append(row["path"])
        if seconds > 11:
            slow.append(f"{row['path']}: {seconds:.1f} s")
        if good(row):
            wrong = judge(row, answer, expected_size(row, 200), FORMATS[row["format"]]) if status == 200 else text
            if wrong:
                refused.append(f"{row['path']}: {wrong}")

    print_table(table)
    count = sum(good(row) for row in rows)
    show.equal(f"of {count} `200` rows of JPEG, PNG, WebP, AVIF, GIF: not served, or wrong", listed(refused), 0)
    show.equal("rows answered with a 5xx or not at all", listed(faults), 0)
    show.equal("rows outside the outcome INDEX.tsv expects", listed(outside), 0)
    show.equal("rows answered after the deadline", listed(slow), 0)
    show.equal("answers that hold the canary", listed(canaries), 0)


def whole_pictures(rows, server):
    rows = [row for row in rows if good(row) and small(row)]
    show.note(f"the good ones whole, as PNG, against Pillow's own reading: {len(rows)}")
    wrong, differ, compared = [], [], 0
    for row, answer, problem, _ in sweep(rows, lambda _: "f=png", server):
        if answer is None or answer.status != 200:
            wrong.append(f"{row['path']}: {problem or answer.told()}")
            continue
        w, h = shown_size(row)
        if found := judge(row, answer, (w, h), "PNG"):
            wrong.append(f"{row['path']}: {found}")
        elif original := plain_original(row, (w, h)):
            compared += 1
            gap = distance(answer.picture(), original)
            if gap > 4:
                differ.append(f"{row['path']} ({row['what_is_special']}): mean difference {gap:.1f} of 255")
    show.equal("not served as PNG, or of the wrong size", listed(wrong), 0)
    show.equal(f"of {compared} without a profile: not what Pillow sees", listed(differ), 0)


def good(row):
    return row["expected"] == "200" and row["format"] in FORMATS


def print_table(table):
    statuses = sorted({status for _, _, status in table})
    print(f"\n  {'format':10}{'expected':10}" + "".join(f"{status or 'none':>7}" for status in statuses))
    for form, expected in sorted({key[:2] for key in table}):
        cells = "".join(f"{table.get((form, expected, status), '.'):>7}" for status in statuses)
        print(f"  {form:10}{expected:10}{cells}")
    print(flush=True)


if __name__ == "__main__":
    show = Show("corpus: every good file serves, no file harms")
    corpus = corpus_or_skip(show.title)
    with open(corpus / "INDEX.tsv", newline="", encoding="utf-8") as index:
        rows = list(csv.DictReader(index, delimiter="\t", quoting=csv.QUOTE_NONE))
    variants = scratch("corpus")
    settings = {
        "ORIGIN": file_url(corpus),
        "VARIANTS": file_url(variants),
        "MEMORY_LIMIT": f"{MEMORY_LIMIT_MIB}MiB",
    }
    with Server(**settings) as server:
        every_row(rows, server)
        whole_pictures(rows, server)
        if show.check("the process is alive at the end", server.alive):
            show.check("it still answers", server.get("/health").status == 200)
            peak = server.memory("VmHWM")
            show.check("peak resident memory within its limit", peak <= MEMORY_LIMIT_MIB, f"{peak:.0f} of {MEMORY_LIMIT_MIB} MiB")
        stopped = server.stop()
        show.equal("it stops on SIGTERM", stopped, 0)
    show.end()
