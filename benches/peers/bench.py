"""What every part of the run stands on: who could be had, rounds in turns, medians, and the list of bars
with what was found. Knows no work by name."""

import math
import statistics
import time

import install
from common import INPUTS
from peers import Imagor, Imgproxy, Lenslet, Sharp, SharpServer, Thumbor, VipsThumbnail

# A batch is long enough for the clock and short enough that the machine is the same for the next one.
BATCH_SECONDS, BATCH_MOST = 0.5, 12


def percentile(values, share):
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, math.ceil(share * len(ordered)) - 1)]


class Runs:
    """The batches of one contestant, a batch a round."""

    def __init__(self, label):
        self.label, self.batches = label, []

    @property
    def cpu(self):
        return statistics.median(batch.cpu for batch in self.batches)

    @property
    def waits(self):
        return [wait for batch in self.batches for wait in batch.waits]

    @property
    def peak(self):
        return max(batch.peak_mib for batch in self.batches)

    def over(self, other):
        """Our share of their processor time: the median over the rounds, each within itself."""
        return statistics.median(a.cpu / b.cpu for a, b in zip(self.batches, other.batches))

    def figures(self):
        waits = self.waits
        return {
            "cpu_ms": self.cpu * 1000,
            "per_second": len(waits) / sum(waits),
            "p50_ms": percentile(waits, 0.50) * 1000,
            "p99_ms": percentile(waits, 0.99) * 1000,
            "peak_mib": self.peak,
        }


class Bench:
    """One run: `verdicts` is what the bars came to."""

    def __init__(self, rounds, folder):
        self.rounds, self.folder = rounds, folder
        self.had, self.missing = install.everything()
        self.verdicts, self.notes = [], []
        self.versions = {}

    def note(self, text):
        print(f"  .. {text}", flush=True)

    def bar(self, what, found, limit, aim=None, least=False):
        """Holds a figure to its bar; `least`: it is to be no lower."""
        met = found >= limit if least else found <= limit
        told = f"{'≥' if least else '≤'} {limit:g}" + (f", aim {aim:g}" if aim else "")
        self.verdicts.append((what, found, told, met))
        print(f"  {'PASS' if met else 'FAIL'}  {what}: {found:.3f} (bar {told})", flush=True)
        return met

    def peers(self, originals=INPUTS, only=None):
        """Those that could be had, started over a folder, by the names of works.Against."""
        makers = {
            "sharp": lambda: Sharp(self.had["sharp"], self.folder),
            "sharp, HTTP": lambda: SharpServer(self.had["sharp"], originals),
            "thumbor": lambda: Thumbor(self.had["thumbor"], originals, self.folder),
            "vipsthumbnail": lambda: VipsThumbnail(self.had["vipsthumbnail"], self.folder),
            "imgproxy": lambda: Imgproxy(self.had["imgproxy"], originals),
            "imagor": lambda: Imagor(self.had["imagor"], originals),
        }
        return {name: make() for name, make in makers.items() if name.split(",")[0] in self.had and (only is None or name in only)}

    def lenslet(self, originals=INPUTS, **settings):
        return Lenslet(originals, **settings)

    def interleaved(self, contestants, rounds=None):
        """Every contestant in turn, round after round, each round beginning with another one. A
        contestant is (label, do); `do(count)` returns a Batch, and so does the look ahead that finds how
        many make one. Those that fail are left out; returns Runs by label, and why not by label."""
        runs, counts, failed = {}, {}, {}
        for label, do in contestants:
            first = do(1)
            first = first if first.failed else do(1)  # what is allocated and compiled once is not counted
            if first.failed:
                failed[label] = first.failed
                self.note(f"left out: {first.failed}")
                continue
            counts[label] = max(1, min(BATCH_MOST, round(BATCH_SECONDS / max(first.cpu, 1e-4))))
            runs[label] = Runs(label)
        turns = [(label, do) for label, do in contestants if label in runs]
        for number in range(rounds or self.rounds):
            shift = number % max(1, len(turns))
            for label, do in turns[shift:] + turns[:shift]:
                batch = do(counts[label])
                if batch.failed:
                    raise SystemExit(f"{label} failed in the middle: {batch.failed}")
                runs[label].batches.append(batch)
        return runs, failed


def date():
    return time.strftime("%Y-%m-%d")
