"""What is made, by whom, with which settings, and the bars: Lenslet's share of a peer's processor time.
Measures nothing."""

from dataclasses import dataclass, field

WIDTH = 800
SRCSET = (320, 480, 640, 960, 1280, 1600)
SRCSET_SCORED = (320, 640)
SRCSET_FORMATS = ("jpeg", "webp", "avif")
SHARED_BAR, SRCSET_BAR = 0.55, 0.25
MISS_BAR = 1.05
# How near to a straight line over 1 to 100 megapixels; and the widths that takes.
LINEAR_BAR, LINEAR_WIDTH = 0.99, 640


@dataclass(frozen=True)
class Against:
    """One column of a work: a program of install.PEERS, what the row calls it, its encoder's settings,
    and the bar, if there is one."""

    peer: str
    settings: dict = field(default_factory=dict)
    label: str = ""
    bar: float = None
    aim: float = None

    @property
    def name(self):
        return self.label or self.peer


@dataclass(frozen=True)
class Work:
    name: str
    source: str  # by format of A12
    format: str
    against: tuple


# imgproxy's defaults, as its source has them: AVIF at quality 63, speed 8, which libvips calls effort
# 9 − 8; WebP at 79, effort 4.
IMGPROXY = {"avif": {"quality": 63, "effort": 1}, "webp": {"quality": 79, "effort": 4}}

WORKS = (
    Work(
        "A12 → 800 px JPEG", "jpeg", "jpeg",
        (
            Against("sharp", bar=0.60),
            Against("sharp", label="sharp, HTTP"),
            Against("thumbor", bar=0.68),
            Against("vipsthumbnail"),
            Against("imgproxy"),
            Against("imagor"),
        ),
    ),
    Work(
        "A12 → 800 px WebP", "jpeg", "webp",
        (
            Against("sharp", bar=0.52, aim=0.45),
            Against("sharp", label="sharp, HTTP"),
            Against("thumbor"),
            Against("vipsthumbnail"),
            Against("imgproxy"),
            Against("imagor"),
        ),
    ),
    Work(
        "A12 → 800 px AVIF", "jpeg", "avif",
        (
            Against("sharp", {"effort": 2}, "sharp, effort 2", bar=0.35),
            Against("sharp", label="sharp, default (effort 4)"),
            Against("imgproxy", bar=0.50),
            Against("sharp", IMGPROXY["avif"], "sharp, imgproxy's settings", bar=0.50),
            Against("thumbor"),
            Against("vipsthumbnail", {"effort": 2}, "vipsthumbnail, effort 2"),
            Against("imagor"),
        ),
    ),
    Work(
        "A12 as PNG → 800 px WebP", "png", "webp",
        (Against("sharp", bar=0.80), Against("thumbor"), Against("vipsthumbnail"), Against("imgproxy"), Against("imagor")),
    ),
    Work(
        "A12 as AVIF → 800 px JPEG", "avif", "jpeg",
        (Against("sharp", bar=0.40), Against("thumbor"), Against("vipsthumbnail"), Against("imgproxy"), Against("imagor")),
    ),
)
