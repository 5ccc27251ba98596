"""One picture at a time: every work by every peer, and by Lenslet at the quality that scores what the peer
scores. Prints and returns rows; the bars are those of works.py."""

import inputs
from peers import job
from works import WIDTH, WORKS


def rows_of(bench, scorer, peers, lenslet, work, source):
    """Rows of one work: (contestant, figures, ratio of Lenslet to it, Lenslet's row beside it)."""
    print(f"\n{work.name}", flush=True)
    contestants, pairs, rows, outputs = [], [], {}, {}
    for against in work.against:
        name = against.label if against.label in peers else against.peer
        if name not in peers:
            continue
        peer, wish = peers[name], job(source, WIDTH, work.format, **against.settings)
        body, failed = peer.result(wish)
        if failed:
            bench.note(f"left out: {failed}")
            bench.notes.append(f"{work.name}: {failed}")
            continue
        wanted = scorer.score(source, body)
        quality, reached = scorer.ours(lenslet, source, [WIDTH], work.format, wanted)
        mine = job(source, WIDTH, work.format, q=quality)
        label = f"Lenslet, q={quality}"
        outputs[label] = (lenslet.once(mine)[0], reached)
        outputs[against.name] = (body, wanted)
        if label not in dict(contestants):
            contestants.append((label, lambda count, wish=mine: lenslet.batch(wish, count)))
        contestants.append((against.name, lambda count, peer=peer, wish=wish: peer.batch(wish, count)))
        pairs.append((label, against))
    runs, _ = bench.interleaved(contestants)
    for label, run in runs.items():
        body, score = outputs[label]
        rows[label] = {**run.figures(), "bytes": len(body), "score": score, "ratio": None}
    for label, against in pairs:
        if against.name not in runs:
            continue
        ratio = runs[label].over(runs[against.name])
        row = rows[against.name]
        row["ratio"], row["beside"] = ratio, label
        row["apart"] = abs(row["score"] - rows[label]["score"])
        if against.bar is not None:
            bench.bar(f"{work.name}, against {against.name}", ratio, against.bar, against.aim)
    for label, row in rows.items():
        told = "" if row["ratio"] is None else f"  Lenslet/it {row['ratio']:.3f} at {row['beside'].split('=', 1)[1]}"
        print(
            f"  {label:28} {row['cpu_ms']:8.2f} ms CPU {row['per_second']:6.1f}/s p50 {row['p50_ms']:7.1f} p99 {row['p99_ms']:7.1f} ms"
            f" {row['peak_mib']:6.0f} MiB {row['bytes']:8} B score {row['score']:6.2f}{told}",
            flush=True,
        )
    for label, against in pairs:
        row = rows.get(against.name)
        if against.bar is not None and row and row.get("apart", 0) > 1:
            bench.bar(f"{work.name}: score within 1 of {against.name}'s", row["apart"], 1)
    return rows


def measure(bench, scorer):
    sources, table = inputs.a12(), {}
    peers = bench.peers()
    lenslet = bench.lenslet(inputs.INPUTS)
    try:
        if "sharp" in peers:
            bench.versions["sharp"] = peers["sharp"].versions
        for one in WORKS:
            table[one.name] = rows_of(bench, scorer, peers, lenslet, one, sources[one.source])
    finally:
        for peer in [lenslet, *peers.values()]:
            peer.close()
    return table
