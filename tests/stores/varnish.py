"""Debian's Varnish in front of Lenslet, with config/cdn/varnish.vcl as it is committed."""

import edge
import install
from harness import Show, photographs, scratch, until
from parts import Varnish, copies, version


def purging(bench):
    """By URL, in every format; by the tag that every answer of one original carries."""
    browsers = ("image/avif,image/webp", "image/webp", "*/*")
    targets = [("/tags.jpg?w=200&f=auto&v=1", accept) for accept in browsers] + [("/80x60/tags.jpg?v=1", "*/*")]

    def ask():
        return [bench.get(target, headers={"Accept": accept}) for target, accept in targets]

    answers = ask()
    bench.equal("questions for four pictures of one original", bench.reached("/"), 4)
    bench.counter.clear()
    ask()
    bench.equal("questions for them again", bench.reached("/"), 0)
    bench.equal("purging a URL", bench.get(targets[0][0], method="PURGE").status, 200)
    ask()
    bench.equal("questions then: every format of it and nothing else", bench.reached("/"), 3)
    bench.counter.clear()
    tag = next(tag for tag in answers[0]["Surrogate-Key"].split() if tag.startswith("src-"))
    bench.equal("all of them carry the tag of their original", all(tag in answer["Surrogate-Key"].split() for answer in answers), True)
    purged = bench.get("/", method="PURGE", headers={"Surrogate-Key": tag})
    bench.equal("purging the tag", (purged.status, purged.body), (200, b"purged 4\n"))
    ask()
    bench.equal("questions then", bench.reached("/"), 4)


def campaigns(bench):
    """What campaigns add to a URL makes no entry of its own, but in a signed URL."""
    bench.counter.clear()
    for extra in ("", "&utm_source=x", "&fbclid=1&utm_medium=y", "&gclid"):
        bench.get(f"/cat.jpg?w=199&f=webp&v=1{extra}")
    bench.get("/cat.jpg?utm_source=x&w=199&f=webp&v=1")
    bench.equal("questions for one URL with five kinds of tracking", [entry[1] for entry in bench.counter.requests("/cat.jpg")], ["/cat.jpg?w=199&f=webp&v=1"])
    signed = "/cat.jpg?w=198&utm_source=x&s=" + "A" * 43
    bench.get(signed)
    bench.equal("a signed one goes through as it is", bench.counter.requests("/cat.jpg")[-1][1], signed)


def rate_limit(bench):
    """Only misses count."""
    copies(bench.photograph, bench.originals, ["many.jpg"])
    edge.hammering(bench, [f"/many.jpg?w=16&v={number}" for number in range(600)])
    hits = {bench.get("/cat.jpg?w=199&f=webp&v=1").status for _ in range(50)}
    bench.equal("hits are served to the same client", hits, {200})


if __name__ == "__main__":
    show = Show("varnish: in front of Lenslet")
    show.note(f"Varnish {version([install.debian('varnishd'), '-V'])}")
    photograph = photographs(scratch("photographs"))[0]
    with edge.Bench(show, "varnish", photograph, Varnish) as bench:
        for part in (edge.negotiation, edge.revalidation, edge.slowly, edge.collapsing):
            part(bench)
        bench.counter.clear()
        purging(bench)
        campaigns(bench)
        edge.outage(bench)
        # Its probe needs three good answers.
        until(lambda: bench.get("/cat.jpg?w=199&f=webp&v=1").status == 200, 10)
        edge.closed(bench)
        rate_limit(bench)
    show.end()
