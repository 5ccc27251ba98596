"""`make bench-peers`: the same originals, widths and formats through Lenslet and the programs that it
could be exchanged for, in turns within one run, one core each, everything cold. Prints req/s, processor
time, waiting, memory, bytes and scores, holds the ratios to the bars of works.py, and writes all
of it into benches/RESULTS.md. Exits 1 where a bar is missed.

    make bench-peers [PARTS='singles srcset miss linear photographs cost'] [ROUNDS=7]

With some parts alone nothing is written."""

import os
import sys

import alone
import cost
import inputs
import photographs
import results
import singles
import srcset
import works
from bench import Bench
from common import CORPUS, LENSLET, SKIPPED
from score import Scorer, workshop

PARTS = {"singles": singles.measure, "srcset": srcset.measure, "miss": alone.miss, "linear": alone.linear, "photographs": photographs.measure, "cost": cost.measure}


def main():
    parts = sys.argv[1:] or list(PARTS)
    if unknown := [part for part in parts if part not in PARTS]:
        sys.exit(f"bench-peers: no part {', '.join(unknown)}; there are {', '.join(PARTS)}")
    if not LENSLET.exists():
        sys.exit(f"{LENSLET} is missing: run this through `make bench-peers`")
    if not (CORPUS / "INDEX.tsv").exists():
        print(f"{'!' * 78}\nSKIPPED: bench-peers: no corpus at {CORPUS} (LENSLET_CORPUS says where)\n{'!' * 78}")
        sys.exit(SKIPPED)
    folder = workshop()
    bench, scorer = Bench(int(os.environ.get("ROUNDS") or 7), folder), Scorer(folder)
    sane, scores = scorer.sane(inputs.a12()["jpeg"], (works.WIDTH, works.WIDTH * 3 // 2))
    if not sane:
        sys.exit(f"bench-peers: the scorer gives {scores} for a picture and three ever worse copies of it")
    found = {part: PARTS[part](bench, scorer) for part in parts}
    print("\nbars")
    for what, value, told, met in bench.verdicts:
        print(f"  {'PASS' if met else 'FAIL'}  {what}: {value:.3f} (bar {told})")
    for name, why in bench.missing.items():
        print(f"  NOT MEASURED  {name}: {why}")
    if parts == list(PARTS):
        results.write(bench, found)
    missed = sum(not met for *_, met in bench.verdicts)
    print(f"\n{len(bench.verdicts) - missed} bars met, {missed} missed")
    sys.exit(1 if missed else 0)


if __name__ == "__main__":
    main()
