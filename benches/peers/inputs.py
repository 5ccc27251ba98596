"""The originals that everything here is measured on, made from photographs of the corpus into the
target folder, and left alone where they are there already:

* A12: `bimg-vertical.jpg` (24 MP) brought to 12 MP by Lanczos, as JPEG at quality 92 and 4:2:0, and the
  same pixels as PNG and as AVIF. Smooth enough to be a photograph, noisy enough to be one.
* the mosaics of 1 to 100 MP: the patches of A12 in one fixed, scattered order, repeated, so that a
  megapixel of each costs a decoder the same;
* the photographs of the corpus themselves, which are read where they lie.

Nothing of this is kept in the repository: the photographs have licences of their own."""

import csv
from pathlib import Path

from PIL import Image

from common import CORPUS, INPUTS

# 12.0 megapixels in the proportions of the photograph.
A12 = (2828, 4243)
PHOTOGRAPH = "photos/bimg-vertical.jpg"
MEGAPIXELS = (1, 3, 12, 25, 50, 100)
PATCH = 128
# Folders of the index whose pictures are made to break or to confuse.
ODD = {"bombs", "bombs_found", "corrupt", "mutated", "nasty", "apng"}
FORMATS = {"jpeg", "png", "webp", "avif"}
PIXELS, BITS = 300_000, 0.25  # at least, and per pixel: what is drawn needs fewer


def saved(path, save):
    """A file made once, and whole or not at all."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_name(f".{path.name}")
        save(part)
        part.replace(path)
    return path


def a12():
    """A12 by format."""
    folder = INPUTS / "a12"
    pixels = None

    def picture():
        nonlocal pixels
        if pixels is None:
            with Image.open(CORPUS / PHOTOGRAPH) as image:
                pixels = image.convert("RGB").resize(A12, Image.Resampling.LANCZOS)
        return pixels

    return {
        "jpeg": saved(folder / "a12.jpg", lambda path: picture().save(path, "JPEG", quality=92, subsampling="4:2:0")),
        "png": saved(folder / "a12.png", lambda path: picture().save(path, "PNG")),
        "avif": saved(folder / "a12.avif", lambda path: picture().save(path, "AVIF", quality=75, subsampling="4:2:0")),
    }


def mosaics():
    """A JPEG as large as each of MEGAPIXELS, by megapixels as they came out."""
    original, patches, made = a12()["jpeg"], [], {}

    def cut():
        with Image.open(original) as image:
            image.load()
            boxes = [(x, y) for y in range(0, A12[1] - PATCH, PATCH) for x in range(0, A12[0] - PATCH, PATCH)]
            # A step without a common divisor scatters neighbours: any run of patches is a fair sample.
            order = [boxes[index * 277 % len(boxes)] for index in range(len(boxes))]
            patches.extend(image.crop((x, y, x + PATCH, y + PATCH)) for x, y in order)

    def save(path, across, down):
        patches or cut()
        canvas = Image.new("RGB", (across * PATCH, down * PATCH))
        for place in range(across * down):
            canvas.paste(patches[place % len(patches)], (place % across * PATCH, place // across * PATCH))
        canvas.save(path, "JPEG", quality=92, subsampling="4:2:0")

    for megapixels in MEGAPIXELS:
        count = megapixels * 1e6 / PATCH**2
        across = round((count * 2 / 3) ** 0.5)
        down = round(count / across)
        path = saved(INPUTS / "mosaics" / f"m{megapixels}.jpg", lambda path: save(path, across, down))
        made[across * down * PATCH**2 / 1e6] = path
    return made


def photographs():
    """Paths below the corpus of what anyone would call a photograph: sound, of one frame, larger than
    PIXELS, in a format of the web."""
    with open(CORPUS / "INDEX.tsv", encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))
    found = []
    for row in rows:
        width, _, height = row["WxH"].partition("x")
        if row["expected"] != "200" or row["format"] not in FORMATS or row["frames"] not in ("", "1") or not height.isdigit():
            continue
        pixels = int(width) * int(height)
        if Path(row["path"]).parts[0] not in ODD and pixels >= PIXELS and int(row["bytes"]) * 8 / pixels >= BITS:
            found.append(row["path"])
    return sorted(found)


if __name__ == "__main__":
    for path in [*a12().values(), *mosaics().values()]:
        with Image.open(path) as image:
            print(f"{path.name:10} {image.width}×{image.height}, {image.width * image.height / 1e6:.1f} MP, {path.stat().st_size / 1e6:.2f} MB")
    print(f"{len(photographs())} photographs of the corpus")
