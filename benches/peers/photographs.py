"""Every photograph of the corpus, once by each, at 400 px as WebP and as JPEG, by everybody's defaults:
whole processor time and how it compares, over the pictures that both can read. A picture that is
refused is counted and named."""

import statistics

import inputs
from common import CORPUS
from peers import job

WIDTH, FORMATS = 400, ("webp", "jpeg")
# Scored where Pillow's plain conversion to RGB is what colour management would give, and nothing is transparent.
UNSCORED = ("icc/", "jpeg/cmyk/", "webp/alpha/", "webp/lossless/")


def measure(bench, scorer):
    names = inputs.photographs()
    print(f"\n{len(names)} photographs of the corpus at {WIDTH} px as {' and '.join(FORMATS)}", flush=True)
    lenslet, peers = bench.lenslet(CORPUS), bench.peers(CORPUS)
    everyone, table = {"Lenslet": lenslet, **peers}, {}
    try:
        for form in FORMATS:
            found = {name: {} for name in everyone}
            warm = job(CORPUS / inputs.PHOTOGRAPH, WIDTH, form)
            for peer in everyone.values():
                peer.batch(warm, 1)
            for number, name in enumerate(names):
                wish, turns = job(CORPUS / name, WIDTH, form), list(everyone.items())
                shift = number % len(turns)
                for who, peer in turns[shift:] + turns[:shift]:
                    batch = peer.batch(wish, 1)
                    if batch.failed:
                        bench.note(f"{name} as {form}: {batch.failed}")
                        continue
                    body = batch.body or peer.result(wish)[0]
                    score = None if name.startswith(UNSCORED) else scorer.score(CORPUS / name, body)
                    found[who][name] = (batch.cpu, len(body), score)
            table[form] = {who: row(found["Lenslet"], theirs, len(names)) for who, theirs in found.items()}
            for who, figures in table[form].items():
                print(
                    f"  {form:5} {who:14} {figures['count']:3} of {len(names)}, {figures['cpu']:6.2f} s CPU, Lenslet/it {figures['ratio']:.3f}"
                    f" (median {figures['median']:.3f}), {figures['kb']:.1f} kB, score {figures['score']:.2f}",
                    flush=True,
                )
    finally:
        for peer in everyone.values():
            peer.close()
    return {"count": len(names), "formats": table}


def row(ours, theirs, count):
    """Of the pictures that both made: sums, the ratio of the sums, and the median of the ratios."""
    both = [name for name in theirs if name in ours]
    scores = [theirs[name][2] for name in both if theirs[name][2] is not None]
    return {
        "count": len(theirs),
        "refused": count - len(theirs),
        "cpu": sum(theirs[name][0] for name in both),
        "ratio": sum(ours[name][0] for name in both) / sum(theirs[name][0] for name in both),
        "median": statistics.median(ours[name][0] / theirs[name][0] for name in both),
        "kb": statistics.mean(theirs[name][1] for name in both) / 1000,
        "score": statistics.median(scores),
    }
