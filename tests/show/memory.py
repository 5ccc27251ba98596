"""What a render takes in memory: for every format and flavour, a photograph of 24 megapixels to 800 px
by a server that has done nothing else, and a PNG of 100 megapixels. The peak of its resident memory
above idle is held against what the plan reserves for it, and with `--write` the table is put into
benches/RESULTS.md."""

import json
import platform
import re
import struct
import subprocess
import sys
import sys
import time
import zlib
from datetime import datetime, timezone

from PIL import Image

from harness import LENSLET, ROOT, Show, corpus_or_skip, need, scratch
from processes import Server, environment, file_url

WIDTH = 800
BAR_MIB = 64  # above idle and the file's bytes, for the large PNG
# What is no part of a reservation: the code a first render pages in, the buffers threads keep
# between renders, what the allocator rounds up.
SLACK_MIB = 32
LIMITS = {"MAX_SOURCE_PIXELS": "200MP", "MAX_SOURCE_BYTES": "1GiB", "MEMORY_LIMIT": "6GiB", "REQUEST_TIMEOUT": "120"}
RESULTS = ROOT / "benches" / "RESULTS.md"
BEGIN, END = "<!-- memory -->", "<!-- /memory -->"
MIB = 1 << 20


def chunk(name, data):
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def png(path, image, depth, interlaced):
    """What Pillow does not write: PNG of 16 bits (each byte twice), and Adam7."""
    width, height = image.size
    data = image.tobytes()
    passes = [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)]
    rows = zlib.compressobj(1)
    with path.open("wb") as file:
        file.write(b"\x89PNG\r\n\x1a\n")
        file.write(chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, 2, 0, 0, int(interlaced))))
        for left, top, across, down in passes if interlaced else [(0, 0, 1, 1)]:
            out = []
            for y in range(top, height, down):
                row = data[y * width * 3 : (y + 1) * width * 3]
                channels = [row[3 * left + channel :: 3 * across] for channel in range(3)]
                wide = bytearray(3 * len(channels[0]))
                for channel, samples in enumerate(channels):
                    wide[channel::3] = samples
                if depth == 16:
                    twice = bytearray(2 * len(wide))
                    twice[0::2], twice[1::2] = wide, wide
                    wide = twice
                out.append(rows.compress(b"\0" + bytes(wide)))
            file.write(chunk(b"IDAT", b"".join(out)))
        file.write(chunk(b"IDAT", rows.flush()) + chunk(b"IEND", b""))


def originals(folder, photograph):
    """One file after the other: what it is, and its path; the file may be removed after use."""
    with Image.open(photograph) as opened:
        image = opened.convert("RGB")
    translucent = image.copy()
    translucent.putalpha(image.convert("L").point(lambda level: min(255, level * 2)))
    pictures = {
        "PNG": ("png", image, {"compress_level": 1}),
        "PNG with alpha": ("png", translucent, {"compress_level": 1}),
        "JPEG, baseline": ("jpg", image, {"quality": 90}),
        "JPEG, progressive": ("jpg", image, {"quality": 90, "progressive": True}),
        "WebP, lossy": ("webp", image, {"quality": 80, "method": 0}),
        "WebP, lossless": ("webp", image, {"lossless": True, "quality": 0, "method": 0}),
        "AVIF": ("avif", image, {"quality": 60, "speed": 10}),
        "TIFF, strips": ("tif", image, {"compression": "tiff_lzw"}),
        "GIF": ("gif", image.quantize(256, Image.Quantize.FASTOCTREE), {}),
        "BMP": ("bmp", image, {}),
    }
    for name, (suffix, picture, options) in pictures.items():
        path = folder / f"photograph.{suffix}"
        picture.save(path, **options)
        yield name, image.size, path
    for name, depth, interlaced in [("PNG, 16 bits", 16, False), ("PNG, interlaced", 8, True)]:
        path = folder / "photograph.png"
        png(path, image, depth, interlaced)
        yield name, image.size, path
    large = image.resize((8160, 12240), Image.Resampling.BICUBIC)
    path = folder / "photograph.png"
    large.save(path, compress_level=1)
    yield "PNG, large", large.size, path


def measured(show, name, path):
    """MiB of one render by a new process above its idle memory, and what the plan says."""
    settings = {f"LENSLET_{key}": value for key, value in LIMITS.items()}
    told = subprocess.run([LENSLET, "measure", path, f"w={WIDTH}&f=jpeg", "--rounds", "0"], env=environment(**settings), check=True, capture_output=True, text=True)
    plan = json.loads(told.stdout)["memory_bytes"] / MIB
    with Server(ORIGIN=file_url(path.parent), **LIMITS) as server:
        server.get("/none.jpg?w=1")
        time.sleep(0.5)
        idle = server.memory()
        answer = server.get(f"/{path.name}?w={WIDTH}&f=jpeg", seconds=120)
        shown = answer.picture().size[0] if answer.status == 200 else answer.told()
        peak = server.memory("VmHWM")
    show.equal(f"{name}: a picture of {WIDTH} px", shown, WIDTH)
    return peak - idle, plan


def write(rows, megapixels):
    version = subprocess.run([LENSLET, "--version"], capture_output=True, text=True, check=True).stdout.split("\n")[0]
    today = datetime.now(timezone.utc).strftime("%Y-%m-%d")
    lines = [
        "## Memory of one render",
        "",
        f"`make bench-memory`, {today}, {version}, {platform.machine()}: photographs of {megapixels:.0f} MP (the large PNG: 100 MP)",
        f"to {WIDTH} px JPEG, each by a server that did nothing before. Peak of resident memory above idle, the",
        "file's bytes among it, against file and plan (what is reserved before the first byte is decoded), in MiB.",
        "A first render pages its code in and leaves buffers behind: some 20 MiB, whatever the original.",
        "",
        "| original | file | peak above idle | file + plan |",
        "|---|--:|--:|--:|",
        *(f"| {name} | {file:.1f} | {peak:.1f} | {file + plan:.1f} |" for name, file, peak, plan in rows),
    ]
    text = RESULTS.read_text() if RESULTS.exists() else "# Results\n"
    section = f"{BEGIN}\n" + "\n".join(lines) + f"\n{END}"
    if BEGIN in text:
        text = re.sub(re.escape(BEGIN) + ".*" + re.escape(END), lambda _: section, text, flags=re.S)
    else:
        text = text.rstrip("\n") + f"\n\n{section}\n"
    RESULTS.write_text(text)


if __name__ == "__main__":
    show = Show("memory: what a render takes, against what is reserved for it")
    corpus = corpus_or_skip(show.title)
    need(LENSLET)
    folder = scratch("memory")
    rows, megapixels = [], 0
    for name, size, path in originals(folder, corpus / "photos/bimg-vertical.jpg"):
        megapixels = megapixels or size[0] * size[1] / 1e6
        file = path.stat().st_size / MIB
        peak, plan = measured(show, name, path)
        path.unlink()
        rows.append((name, file, peak, plan))
        told = f"{peak:.1f} MiB; file {file:.1f} + plan {plan:.1f}"
        show.check(f"{name}: peak above idle within file + plan + {SLACK_MIB} MiB", peak <= file + plan + SLACK_MIB, told)
        if name == "PNG, large":
            show.check(f"{name}: at most {BAR_MIB} MiB above idle and the file's bytes", peak <= file + BAR_MIB, told)
    if "--write" in sys.argv:
        write(rows, megapixels)
    show.end()
