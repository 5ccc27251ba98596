"""Line plots as SVG text, written by hand so that the same numbers give the same bytes everywhere.
Draws what it is given; knows nothing of pods or prices."""

import math
from dataclasses import dataclass

WIDTH, HEIGHT = 760, 300
LEFT, RIGHT, TOP, BOTTOM = 64, 16, 40, 44
COLOURS = ["#0b6bcb", "#c2410c", "#15803d", "#7c3aed", "#64748b"]


@dataclass
class Axis:
    """A range on the screen: linear, or logarithmic."""

    low: float
    high: float
    title: str
    log: bool = False
    text: object = None

    def place(self, value):
        """0 to 1."""
        if self.log:
            value = max(value, self.low)
            return math.log(value / self.low) / math.log(self.high / self.low)
        return (value - self.low) / (self.high - self.low)

    def ticks(self):
        if self.log:
            first, last = round(math.log10(self.low)), round(math.log10(self.high))
            return [10**power for power in range(first, last + 1)]
        step = 10 ** math.floor(math.log10((self.high - self.low) / 4))
        for factor in (1, 2, 2.5, 5, 10):
            if (self.high - self.low) / (step * factor) <= 6:
                break
        step *= factor
        count = int((self.high - self.low) / step + 1e-9)
        return [self.low + step * number for number in range(count + 1)]

    def label(self, value):
        return self.text(value) if self.text else f"{value:g}"


def escape(text):
    return str(text).replace("&", "&amp;").replace("<", "&lt;")


def panel(title, x, y, series, marks=(), height=HEIGHT, top=0):
    """One plot: series are (name, [(x, y)], dashed), marks are (x, text)."""
    wide, tall = WIDTH - LEFT - RIGHT, height - TOP - BOTTOM

    def at(px, py):
        left = LEFT + x.place(px) * wide
        return f"{left:.1f},{top + TOP + (1 - min(y.place(py), 1)) * tall:.1f}"

    out = [f'<text x="{LEFT}" y="{top + 18}" class="title">{escape(title)}</text>']
    for tick in y.ticks():
        line = at(x.low, tick).split(",")[1]
        out.append(f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{line}" y2="{line}" class="grid"/>')
        out.append(f'<text x="{LEFT - 6}" y="{float(line) + 4:.1f}" text-anchor="end">{escape(y.label(tick))}</text>')
    for tick in x.ticks():
        line = at(tick, y.low).split(",")[0]
        # The last one would leave the picture.
        anchor = "end" if tick >= x.high else "middle"
        out.append(f'<text x="{line}" y="{top + height - BOTTOM + 16}" text-anchor="{anchor}">{escape(x.label(tick))}</text>')
    out.append(f'<text x="{WIDTH - RIGHT}" y="{top + height - BOTTOM + 34}" text-anchor="end" class="axis">{escape(x.title)}</text>')
    out.append(f'<text x="{LEFT}" y="{top + 33}" class="axis">{escape(y.title)}</text>')
    for px, text in marks:
        line = at(px, y.low).split(",")[0]
        out.append(f'<line x1="{line}" x2="{line}" y1="{top + TOP}" y2="{top + height - BOTTOM}" class="mark"/>')
        out.append(f'<text x="{float(line) - 4:.1f}" y="{top + height - BOTTOM - 6}" text-anchor="end" class="axis">{escape(text)}</text>')
    names = WIDTH - RIGHT
    for (name, points, dashed), colour in reversed(list(zip(series, COLOURS))):
        path = " ".join(at(*point) for point in points)
        dash = ' stroke-dasharray="5 4"' if dashed else ""
        out.append(f'<polyline points="{path}" stroke="{colour}"{dash}/>')
        out.append(f'<text x="{names}" y="{top + 18}" text-anchor="end" fill="{colour}" class="name">{escape(name)}</text>')
        names -= 7 * len(name) + 18
    return out


STYLE = (
    "text{font:12px system-ui,sans-serif;fill:#334155}.title{font-weight:600;fill:#0f172a}.axis{fill:#64748b}"
    ".grid{stroke:#e2e8f0}.mark{stroke:#94a3b8;stroke-dasharray:2 3}polyline{fill:none;stroke-width:2}"
    + "".join(f'.name[fill="{colour}"]{{fill:{colour};font-weight:600}}' for colour in COLOURS)
)


def steps(points):
    """Only the corners of a line that goes in steps."""
    kept = [points[0]]
    for before, point in zip(points, points[1:]):
        if point[1] != before[1]:
            kept += [before, point]
    return kept + [points[-1]]


def document(panels, height, description):
    """The panels as one file; `description` is for those who do not see it."""
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" role="img">',
        f"<title>{escape(description)}</title>",
        f"<style>{STYLE}</style>",
        f'<rect width="{WIDTH}" height="{height}" fill="#fff"/>',
    ]
    for lines_of in panels:
        lines += lines_of
    return "\n".join([*lines, "</svg>", ""])
