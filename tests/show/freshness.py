"""An original changes under its key: new bytes when the TTL is over, at once with a new `v`; and
an original that was cut off is refused and leaves nothing behind."""

import time

from harness import Show, photographs, scratch, until
from pictures import shows
from processes import S3, Server, file_url

TTL = 2.0


def whose(answer, pictures):
    """Which of the named pictures an answer shows."""
    if answer.status != 200:
        return answer.told()
    return next((name for name, path in pictures.items() if shows(answer, path)), "neither")


def overwritten(show, label, original, server, pictures):
    """`original` is the file behind /cat.jpg; it holds picture A."""
    wish = "/cat.jpg?w=300&f=webp"
    show.equal(f"{label}: at first", whose(server.get(wish), pictures), "A")
    # The version has just been learned: the TTL counts from about here.
    original.write_bytes(pictures["B"].read_bytes())
    written = time.monotonic()
    while time.monotonic() < written + TTL:
        early = server.get(wish)
        if early.status != 200:
            break
        time.sleep(0.1)
    show.equal(f"{label}: no error while the TTL runs", early.status, 200)
    late = server.get(wish)
    show.equal(f"{label}: {time.monotonic() - written:.2f} s after overwriting (TTL {TTL:.0f} s)", whose(late, pictures), "B")
    time.sleep(0.2)
    show.equal(f"{label}: and from then on", whose(server.get(wish), pictures), "B")

    original.write_bytes(pictures["A"].read_bytes())
    show.equal(f"{label}: overwritten again, at once with a new v", whose(server.get(f"{wish}&v=2"), pictures), "A")
    show.equal(f"{label}: and with the next", (original.write_bytes(pictures["B"].read_bytes()) > 0, whose(server.get(f"{wish}&v=3"), pictures)), (True, "B"))


def truncated(show, label, original, server, pictures, writes):
    data = pictures["A"].read_bytes()
    for share in (0.5, 0.9):
        time.sleep(TTL + 0.1)
        before = writes()
        original.write_bytes(data[: int(len(data) * share)])
        answer = server.get(f"/cat.jpg?w=310&f=webp&v=cut-{share}")
        show.equal(f"{label}: cut to {share:.0%}", answer.status, 422)
        show.check(f"{label}: that answer is not kept for long", "immutable" not in answer["Cache-Control"], answer["Cache-Control"])
        time.sleep(0.7)  # time for a write that should not be there
        show.equal(f"{label}: written meanwhile", sorted(writes() - before), [])
    original.write_bytes(data)
    mended = server.get("/cat.jpg?w=310&f=webp&v=mended")
    show.equal(f"{label}: mended, at once with a new v", whose(mended, pictures), "A")


def in_a_bucket(show, pictures):
    folder = scratch("freshness-s3")
    with S3(folder / "s3", "originals", "variants") as store:
        original = store.folder / "originals/cat.jpg"
        original.write_bytes(pictures["A"].read_bytes())
        settings = {**store.settings("originals", "variants"), "SOURCE_TTL": f"{TTL:.0f}s"}
        with Server(**settings) as server:
            overwritten(show, "s3", original, server, pictures)
            until(lambda: len(store.puts("variants")[0]) >= 2)
            truncated(show, "s3", original, server, pictures, lambda: set(store.puts("variants")[0]))
            show.check("s3: the process is alive", server.alive)


def in_a_folder(show, pictures):
    folder = scratch("freshness")
    original, variants = folder / "originals/cat.jpg", folder / "variants"
    original.parent.mkdir()
    variants.mkdir()
    original.write_bytes(pictures["A"].read_bytes())
    settings = {"ORIGIN": file_url(original.parent), "VARIANTS": file_url(variants), "SOURCE_TTL": f"{TTL:.0f}s"}

    def stored():
        return {str(path.relative_to(variants)) for path in variants.rglob("*") if path.is_file() and path.name != "source.json"}

    with Server(**settings) as server:
        overwritten(show, "file", original, server, pictures)
        truncated(show, "file", original, server, pictures, stored)
        show.check("file: the process is alive", server.alive)


if __name__ == "__main__":
    show = Show("freshness: an overwritten original, a truncated original")
    photograph = photographs(scratch("photographs"))
    pictures = dict(zip("AB", photograph))
    in_a_folder(show, pictures)
    in_a_bucket(show, pictures)
    show.end()
