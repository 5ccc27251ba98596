"""From nothing to the first picture: the process starts, listens and answers a cold and a stored
picture in a blink, and idles in little memory."""

import statistics
import time

from harness import Show, photographs, scratch, until
from processes import Server, file_url

STARTS, LIMIT_MS, IDLE_MIB = 10, 150, 40
WISH = "/cat.jpg?w=400&h=300&fit=cover&f=webp"


def one_start(settings):
    """Milliseconds from spawning the process to the last byte of the first 200."""
    with Server(**settings) as server:
        answer = server.get(WISH)
        took = (time.monotonic() - server.started) * 1000
        stopped = server.stop()
    return took, answer, stopped


def starts(show, label, cache, settings_of):
    times, answers, stops = [], [], []
    for number in range(STARTS):
        took, answer, stopped = one_start(settings_of(number))
        times.append(took)
        answers.append((answer.status, answer.cache))
        stops.append(stopped)
    show.note(f"{label}: " + " ".join(f"{took:.0f}" for took in times) + " ms")
    show.equal(f"{label}: every first answer", set(answers), {(200, cache)})
    show.equal(f"{label}: every stop", set(stops), {0})
    median = statistics.median(times)
    show.check(f"{label}: start to first 200, median of {STARTS}, below {LIMIT_MS} ms", median < LIMIT_MS, f"{median:.0f} ms")


if __name__ == "__main__":
    show = Show("start: to the first picture, and idle")
    folder = scratch("start")
    # The second photograph: the first is for shows that want work.
    photograph = photographs(folder)[1]
    originals = folder / "originals"
    originals.mkdir()
    (originals / "cat.jpg").write_bytes(photograph.read_bytes())

    def settings(number):
        variants = folder / f"variants-{number}"
        variants.mkdir(exist_ok=True)
        return {"ORIGIN": file_url(originals), "VARIANTS": file_url(variants)}

    starts(show, "cold", "rendered", settings)
    until(lambda: any((folder / "variants-0").rglob("*")))
    starts(show, "stored", "store", lambda _: settings(0))

    with Server(**settings(0)) as server:
        time.sleep(2)
        idle = server.memory()
        show.check(f"idle resident memory below {IDLE_MIB} MiB", idle < IDLE_MIB, f"{idle:.1f} MiB")
    show.end()
