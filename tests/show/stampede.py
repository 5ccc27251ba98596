"""Two hundred callers want one cold variant at the same moment: one read of the original, one
decode, one write, two hundred equal answers; also when the caller who started it hangs up."""

import threading
import time

from harness import Show, photographs, scratch, until
from pictures import shows
from processes import S3, Server
from wire import connected, receive, send

CALLERS = 200


def burst(server, target, leaver):
    """All sockets first, then all requests; with a leaver the first one sends and hangs up while the
    others wait."""
    sockets = [connected(server.address) for _ in range(CALLERS)]
    waiting = list(sockets)
    first = waiting.pop(0) if leaver else None
    if first:
        send(first, server.address, target)
        # Long enough to be the one whose request starts the work, short of its end.
        time.sleep(0.01)
    answers = [None] * len(waiting)

    def read(index, sock):
        try:
            answers[index] = receive(sock)
        except OSError as error:
            answers[index] = error

    for number, sock in enumerate(waiting):
        send(sock, server.address, target)
        if first and number == 0:
            first.close()
    readers = [threading.Thread(target=read, args=pair) for pair in enumerate(waiting)]
    for reader in readers:
        reader.start()
    for reader in readers:
        reader.join()
    return answers


def stampede(show, label, store, server, photograph, leaver, alone):
    key = f"{label.replace(' ', '-')}.jpg"
    (store.folder / "originals" / key).write_bytes(photograph.read_bytes())
    store.clear()
    renders = server.metric("lenslet_transforms_total")
    decodes = server.metric("lenslet_stage_duration_seconds_count", stage="decode")
    spent = server.cpu_seconds()
    answers = burst(server, f"/{key}?w=640&f=webp", leaver)
    spent = server.cpu_seconds() - spent

    good = [answer for answer in answers if getattr(answer, "status", None) == 200]
    bad = {str(getattr(answer, "status", answer)) for answer in answers if answer not in good}
    show.equal(f"{label}: answers 200", len(good), CALLERS - leaver)
    if bad:
        show.note(f"others: {bad}")
    show.equal(f"{label}: different bodies", len({answer.body for answer in good}), 1)
    show.check(f"{label}: a picture of the photograph", good and shows(good[0], photograph))
    until(lambda: store.puts("variants")[0])
    time.sleep(0.5)  # time for writes that should not be there
    show.equal(f"{label}: GETs of the original", store.count("GET", f"/originals/{key}"), 1)
    written, records = store.puts("variants")
    show.equal(f"{label}: PUTs of the variant", len(written), 1)
    show.check(f"{label}: PUTs of its source record, at most one", len(records) <= 1, len(records))
    show.equal(f"{label}: renders by the metrics", server.metric("lenslet_transforms_total") - renders, 1)
    show.equal(
        f"{label}: decodes by the metrics",
        server.metric("lenslet_stage_duration_seconds_count", stage="decode") - decodes,
        1,
    )
    # The leaver would have been told `rendered`; everyone else joined, or came later.
    cached = sorted({answer.cache for answer in good})
    rendered = sum(answer.cache == "rendered" for answer in good)
    show.check(f"{label}: answers that say rendered", rendered <= 1 if leaver else rendered == 1, f"{rendered}, all: {cached}")
    # The processor cannot be argued with: two hundred renders would cost two hundred times one.
    show.check(f"{label}: CPU time of the burst", spent < 8 * alone + 1.0, f"{spent:.2f} s; one alone: {alone:.2f} s")


if __name__ == "__main__":
    show = Show("stampede: 200 callers, one cold variant, one of everything")
    folder = scratch("stampede")
    photograph = photographs(folder)[0]
    with S3(folder / "s3", "originals", "variants") as store:
        with Server(**store.settings("originals", "variants")) as server:
            originals = store.folder / "originals"
            for name in ("warm.jpg", "alone.jpg"):
                (originals / name).write_bytes(photograph.read_bytes())
            server.get("/warm.jpg?w=640&f=webp")
            before = server.cpu_seconds()
            lone = server.get("/alone.jpg?w=640&f=webp")
            alone = server.cpu_seconds() - before
            show.equal("one caller alone", (lone.status, lone.cache), (200, "rendered"))
            # What the two of them left to be written must not be counted with what follows.
            until(lambda: [len(paths) for paths in store.puts("variants")] == [2, 2])
            stampede(show, "all stay", store, server, photograph, 0, alone)
            stampede(show, "first leaves", store, server, photograph, 1, alone)
            show.check("the process is alive", server.alive)
    show.end()
