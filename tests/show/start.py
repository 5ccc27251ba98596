"""From nothing to the first picture: the process starts, listens and answers a cold and a stored
picture in a blink, and idles in little memory."""

import statistics
import time

from harness import Show, photographs, scratch, until
from processes import Server, file_url
from wire import request

STARTS, SERIES, READY_MS, FIRST_MS, IDLE_MIB = 10, 3, 50, 150, 25
WISH = "/cat.jpg?w=400&h=300&fit=cover&f=webp"


def one_start(settings):
    """Milliseconds from spawning the process until it says that it is ready, and to the last byte of
    the first 200."""
    with Server(**settings) as server:
        while request(server.admin, "/readyz").status != 200:
            pass
        ready = (time.monotonic() - server.started) * 1000
        answer = server.get(WISH)
        took = (time.monotonic() - server.started) * 1000
        stopped = server.stop()
    return ready, took, answer, stopped


def starts(show, label, cache, settings_of):
    # Whoever else is on the machine makes a start slower and never quicker: a series over a bar is
    # taken again, all of it, and every series is printed.
    for series in range(SERIES):
        readies, times, answers, stops = [], [], [], []
        for number in range(STARTS):
            ready, took, answer, stopped = one_start(settings_of(series * STARTS + number))
            readies.append(ready)
            times.append(took)
            answers.append((answer.status, answer.cache))
            stops.append(stopped)
        show.note(f"{label}: ready " + " ".join(f"{took:.0f}" for took in readies) + " ms; first 200 " + " ".join(f"{took:.0f}" for took in times) + " ms")
        ready, first = statistics.median(readies), statistics.median(times)
        if ready <= READY_MS and first <= FIRST_MS:
            break
    show.equal(f"{label}: every first answer", set(answers), {(200, cache)})
    show.equal(f"{label}: every stop", set(stops), {0})
    show.check(f"{label}: start to ready, median of {STARTS}, at most {READY_MS} ms", ready <= READY_MS, f"{ready:.0f} ms")
    show.check(f"{label}: start to first 200, median of {STARTS}, at most {FIRST_MS} ms", first <= FIRST_MS, f"{first:.0f} ms")


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
        show.check(f"idle resident memory at most {IDLE_MIB} MiB", idle <= IDLE_MIB, f"{idle:.1f} MiB")
    show.end()
