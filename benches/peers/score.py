"""What a result is worth: its SSIMULACRA2 against one reference of the original, the same for every
peer, and the quality at which Lenslet reaches a given score. Measures no time."""

import hashlib
import io
import shutil
import subprocess

from PIL import Image, ImageOps

import install
from common import WORK, pinned
from peers import CLIENT_CPU, job

Image.MAX_IMAGE_PIXELS = None
# How Lenslet is told a codec's own quality, 1 to 100.
OWN_SCALE = {"jpeg": "{}", "webp": "webp:{}", "avif": "avif:{}"}


class Scorer:
    """References and scores, each worked out once."""

    def __init__(self, folder):
        self.folder, self.command = folder, install.scorer()
        self.references, self.scores = {}, {}

    def reference(self, source, size):
        """The original, upright, brought to the size of a result by Pillow's Lanczos from all of its
        pixels, in sRGB as it is stored, which is what every peer here does by default."""
        if (source, size) not in self.references:
            path = self.folder / f"reference-{len(self.references)}.png"
            with Image.open(source) as image:
                ImageOps.exif_transpose(image).convert("RGB").resize(size, Image.Resampling.LANCZOS).save(path, compress_level=1)
            self.references[source, size] = path
        return self.references[source, size]

    def score(self, source, body):
        """100 is the reference itself; 90 can hardly be told from it, 70 is good, 50 is fair."""
        key = (source, hashlib.sha256(body).digest())
        if key not in self.scores:
            with Image.open(io.BytesIO(body)) as image:
                path = self.folder / "distorted.png"
                image.convert("RGB").save(path, compress_level=1)
                reference = self.reference(source, image.size)
            command = [self.command, "image", reference, path]
            out = subprocess.run([str(c) for c in command], check=True, capture_output=True, text=True, preexec_fn=pinned(CLIENT_CPU)).stdout
            self.scores[key] = float(out.split("Score:")[1].split()[0])
        return self.scores[key]

    def sane(self, source, size):
        """Whether a picture is 100 against itself, and worse the coarser it is stored."""
        reference = self.reference(source, size)
        found = [self.score(source, reference.read_bytes())]
        for quality in (90, 50, 10):
            stream = io.BytesIO()
            with Image.open(reference) as image:
                image.save(stream, "JPEG", quality=quality)
            found.append(self.score(source, stream.getvalue()))
        return abs(found[0] - 100) < 0.01 and found == sorted(found, reverse=True), found

    def equal(self, make, wishes, wanted):
        """The quality, 1 to 100, at which the mean score of some pictures of one format is nearest to the
        wanted one, by bisection: (quality, score). `wishes(quality)` are the jobs, `make(job)` returns
        (body, why not)."""
        tried = {}

        def at(quality):
            if quality not in tried:
                scores = []
                for wish in wishes(quality):
                    body, failed = make(wish)
                    if failed:
                        raise SystemExit(failed)
                    scores.append(self.score(wish.source, body))
                tried[quality] = sum(scores) / len(scores)
            return tried[quality]

        low, high = 1, 100
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if at(middle) < wanted else (low, middle)
        best = min((low, high), key=lambda quality: abs(at(quality) - wanted))
        return best, tried[best]

    def ours(self, lenslet, source, widths, format, wanted):
        """The same of Lenslet: (its `q` in the codec's own scale, the score)."""
        form = OWN_SCALE[format]
        best, score = self.equal(lenslet.once, lambda quality: [job(source, width, format, q=form.format(quality)) for width in widths], wanted)
        return form.format(best), score


def workshop():
    """A folder for references and results, emptied."""
    folder = WORK / "scores"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder
