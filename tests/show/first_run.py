"""A stranger's first minutes: a fresh clone, `make run`, and what the printed URLs answer; a
restart that keeps the variants; then the same restart with an S3 store that counts what is read."""

import atexit
import os
import re
import signal
import subprocess
import sys

from PIL import ImageOps

from harness import ROOT, TARGET, Show, photographs, scratch, until
from pictures import distance, upright
from processes import S3, Process, Server, environment, split_address
from wire import request

WISH = "w=400&h=300&fit=cover&f=webp"
# The same wish: other orders, other letter case in words, the size folded out of `dpr`, defaults
# spelled out, a parameter that is passed over, `rect` for `crop`.
SPELLINGS = [
    "f=webp&fit=cover&h=300&w=400",
    "w=400&h=300&fit=COVER&f=WebP",
    "w=200&h=150&dpr=2&fit=cover&f=webp",
    "w=400&h=300&fit=cover&f=webp&g=center&enlarge=0",
    "utm_source=mail&w=400&h=300&fit=cover&f=webp",
]


class Make:
    """`make run` in a folder, as a process group that is told to stop like a terminal does."""

    def __init__(self, folder, variants):
        env = environment(
            **{name: os.environ[name] for name in ("CARGO_HOME", "RUSTUP_HOME") if name in os.environ}
        )
        if not os.environ.get("SHOW_COLD_BUILD"):
            # The dependencies were built for this checkout already; the clone links its own binary.
            env["CARGO_TARGET_DIR"] = str(TARGET)
        command = ["make", "-C", str(folder), "run", "PORT=0", "DIR=", f"VARIANTS={variants}"]
        self.process = Process(command, env, new_group=True)
        # A show that ends early leaves no service behind.
        atexit.register(self.kill)
        url = self.process.find(lambda line: re.search(r"http://([\d.]+:\d+)/", line), seconds=3600)
        self.address = split_address(url[1])
        self.urls = until(lambda: len(self._urls()) >= 5 and self._urls()) or self._urls()

    def _urls(self):
        found = (re.match(r"\s+http://[^/]+(/\S+)$", line) for line in list(self.process.lines))
        return [match[1] for match in found if match]

    def get(self, target, **options):
        return request(self.address, target, **options)

    def kill(self):
        try:
            os.killpg(self.process.child.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass

    def stop(self):
        # make forwards nothing: a terminal's Ctrl-C reaches the whole group, and so does this.
        os.killpg(self.process.child.pid, signal.SIGTERM)
        self.process.child.wait(30)
        return until(lambda: refused(self.address), 20)


def refused(address):
    try:
        request(address, "/health", seconds=2)
    except ConnectionRefusedError:
        return True
    except OSError:
        pass
    return False


def is_webp(answer):
    if answer.status != 200:
        return answer.told()
    picture = answer.picture()
    return f"{picture.format} {picture.width}x{picture.height} as {answer['Content-Type']}"


def not_modified(show, label, get, key, etag):
    for value in (etag, f'W/{etag}, "other"'):
        answer = get(f"/{key}?{WISH}", headers={"If-None-Match": value})
        show.equal(f"{label}: If-None-Match: {value[:2]}… is 304 without a body", (answer.status, answer.body), (304, b""))
        show.equal(f"{label}: the 304 repeats the ETag", answer["ETag"], etag)


def fresh_clone(show):
    folder = scratch("clone")
    clone, variants = folder / "lenslet", folder / "variants"
    subprocess.run(["git", "clone", "--quiet", "--no-hardlinks", ROOT, clone], check=True)
    show.note(f"make run in a clone of {subprocess.check_output(['git', '-C', clone, 'log', '-1', '--format=%h %s'], text=True).strip()}")
    if subprocess.check_output(["git", "-C", ROOT, "status", "--porcelain"]):
        show.note("what is not committed here is not in the clone")
    made = Make(clone, variants)
    show.equal("make run prints five URLs once it listens", len(made.urls), 5)
    for url in made.urls:
        answer = made.get(url)
        works = answer.status == 200 and answer.picture()
        show.check(f"it answers {url}", works, f"{works.format} {works.width}x{works.height}" if works else answer.told())
    # One of the samples; the first printed URL asks the same of another one.
    key = "landscape.jpg"

    first = made.get(f"/{key}?{WISH}")
    show.equal("first answer", is_webp(first), "WEBP 400x300 as image/webp")
    show.equal("first answer's X-Cache", first.cache, "rendered")
    show.check("it has a strong ETag", re.fullmatch(r'"[^"]+"', first["ETag"]), first["ETag"])
    again = made.get(f"/{key}?{WISH}")
    show.equal("again", (again.cache, again.body == first.body), ("memory", True))
    for spelling in SPELLINGS:
        answer = made.get(f"/{key}?{spelling}")
        same = (answer.cache, answer["ETag"] == first["ETag"], answer.body == first.body)
        show.equal(f"same wish as {spelling}", same, ("memory", True, True))
    for spelling in (f"crop=0,0,400,400&{WISH}", f"rect=0,0,400,400&{WISH}"):
        answer = made.get(f"/{key}?{spelling}")
        show.equal(f"{spelling.split('=')[0]} spelled so", (answer.status, answer.cache), (200, "rendered" if spelling.startswith("crop") else "memory"))
    other = made.get(f"/{key}?w=401&h=300&fit=cover&f=webp")
    show.check("another wish is another entry", other["ETag"] not in ("", first["ETag"]), other.cache)
    not_modified(show, "before the restart", made.get, key, first["ETag"])
    show.check("variants lie in the folder", until(lambda: any(p.is_file() for p in variants.rglob("*")), 10))
    show.check("it stops on SIGTERM", made.stop())

    made = Make(clone, variants)
    answer = made.get(f"/{key}?{WISH}")
    show.equal("after the restart", (answer.cache, answer["ETag"] == first["ETag"], answer.body == first.body), ("store", True, True))
    not_modified(show, "after the restart", made.get, key, first["ETag"])
    made.stop()


def counted_restart(show):
    folder = scratch("first-run")
    photograph = photographs(folder)[0]
    with S3(folder / "s3", "originals", "variants") as store:
        (folder / "s3/originals/cat.jpg").write_bytes(photograph.read_bytes())
        target, original = f"/cat.jpg?{WISH}", "/originals/cat.jpg"
        with Server(**store.settings("originals", "variants")) as server:
            first = server.get(target)
            show.equal("s3: first answer", (is_webp(first), first.cache), ("WEBP 400x300 as image/webp", "rendered"))
            show.equal("s3: GETs of the original", store.count("GET", original), 1)
            cropped = distance(first.picture(), cover(photograph, 400, 300))
            show.check("s3: it shows the photograph", cropped < 6, f"mean difference {cropped:.1f} of 255")
            until(lambda: store.puts("variants")[0])
            show.equal("s3: stops on SIGTERM", server.stop(), 0)
        show.equal("s3: PUTs of the variant", len(store.puts("variants")[0]), 1)

        store.clear()
        with Server(**store.settings("originals", "variants")) as server:
            answer = server.get(target, headers={"If-None-Match": first["ETag"]})
            show.equal("s3: 304 right after a restart, no body", (answer.status, answer.body), (304, b""))
            show.equal("s3: GETs for that 304, of anything", store.count("GET", "/originals") + store.count("GET", "/variants"), 0)
            answer = server.get(target)
            show.equal("s3: after the restart", (answer.cache, answer.body == first.body), ("store", True))
            show.equal("s3: GETs of the original", store.count("GET", original), 0)
            show.check("s3: the variant was read from the store", store.count("GET", "/variants/") >= 1)
            show.equal("s3: and from memory then", server.get(target).cache, "memory")


def cover(path, width, height):
    return ImageOps.fit(upright(path), (width, height))


if __name__ == "__main__":
    show = Show("first run: two commands, one variant, one entry, restart, 304")
    if not (ROOT / ".git").exists():
        sys.exit("first-run clones this checkout, and it is not a git repository")
    counted_restart(show)
    fresh_clone(show)
    show.end()
