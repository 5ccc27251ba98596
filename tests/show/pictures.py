"""What two pictures have in common, as Pillow sees them."""

import warnings

from PIL import Image, ImageChops, ImageOps, ImageStat

from harness import CORPUS

# Pictures of tens of megapixels are what some shows are about; Pillow's guard would refuse them.
Image.MAX_IMAGE_PIXELS = None
# Damaged metadata are the point of half the corpus.
warnings.filterwarnings("ignore", module="PIL")


def upright(path):
    """A file as Pillow shows it: oriented, RGB, on white."""
    image = ImageOps.exif_transpose(Image.open(path))
    return flat(image)


def flat(image):
    if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        image = image.convert("RGBA")
        ground = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(ground, image)
    return image.convert("RGB")


def twelve_megapixels(folder):
    """A 12 megapixel baseline 4:2:0 JPEG at quality 92 of a real photograph, as phones make them."""
    path = folder / "twelve.jpg"
    with Image.open(CORPUS / "photos/bimg-vertical.jpg") as image:
        image = image.convert("RGB").resize((2828, 4243), Image.Resampling.LANCZOS)
        image.save(path, quality=92, subsampling="4:2:0")
    return path


def distance(one, other, side=32):
    """Mean difference per sample, 0–255, of two pictures shrunk to a square thumbnail."""
    small = [flat(image).resize((side, side), Image.Resampling.BOX) for image in (one, other)]
    return sum(ImageStat.Stat(ImageChops.difference(*small)).mean) / 3


def shows(answer, path):
    """Whether an answer is a picture of this file and not of another."""
    return answer.status == 200 and distance(answer.picture(), upright(path)) < 6
