"""`lenslet warm` over 2,000 originals and three presets, killed in the middle with kill -9 and run
again: no finished work is repeated, each original is read once, decoded once for each scale, and
what was made is what its URL asks for."""

import collections
import json
import os
import random
import signal
import time

from PIL import Image, ImageOps

from harness import LENSLET, Show, corpus_or_skip, need, scratch, until
from pictures import shows
from processes import S3, Process, Server, environment, split_address
from wire import request

ORIGINALS, CONCURRENCY = 2_000, 8
# The first two begin with the same decode of these originals, the third with another.
PRESETS = {"thumb": "w=200&h=200&fit=cover&f=webp", "card": "w=280&f=webp", "hero": "w=1000&f=jpeg"}
SCALES = 2
PHOTOGRAPHS = ["lepton-iphone.jpg", "lepton-slrhills.jpg", "bimg-vertical.jpg", "sharp-2569067123_aca715a2ee_o.jpg", "wuffs-harvesters.jpeg"]


def photographs(folder):
    """Photographs of the corpus at 1.2 megapixels, all of one shape: so all have the same scales."""
    paths = []
    for name in PHOTOGRAPHS:
        path = folder / f"{len(paths)}.jpg"
        with Image.open(corpus / "photos" / name) as image:
            ImageOps.fit(image.convert("RGB"), (1280, 960), Image.Resampling.LANCZOS).save(path, quality=85)
        paths.append(path)
    return paths


def upload(store, paths):
    """Two thousand keys; as links, since nothing here writes to an original."""
    keys = {}
    for number in range(ORIGINALS):
        key, path = f"photos/{number % 40:02d}/{number:05d}.jpg", paths[number % len(paths)]
        target = store.folder / "originals" / key
        target.parent.mkdir(parents=True, exist_ok=True)
        os.link(path, target)
        keys[key] = path
    return keys


class Warm(Process):
    """One run of the command, its last look at its own metrics kept."""

    def __init__(self, settings, *arguments):
        need(LENSLET)
        settings = {"ADMIN_LISTEN": "127.0.0.1:0", "LOG_FORMAT": "json", **settings}
        self.started, self.scraped = time.monotonic(), {}
        super().__init__(
            [LENSLET, "warm", "--concurrency", CONCURRENCY, *arguments],
            environment(**{f"LENSLET_{name}": value for name, value in settings.items()}),
        )

    def admin(self):
        def listening(line):
            try:
                record = json.loads(line)
            except ValueError:
                return None
            return split_address(record["admin"]) if record.get("msg") == "warming" and "admin" in record else None

        return self.find(listening)

    def scrape(self, address):
        try:
            text = request(address, "/metrics", seconds=5).body.decode()
        except OSError:
            return
        lines = [line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#")]
        self.scraped = {name: float(value.split(" # ")[0]) for name, value in lines}

    def end(self):
        """To its end; returns status and seconds."""
        address = self.admin()
        while self.alive:
            self.scrape(address)
            time.sleep(0.1)
        status = self.child.wait()
        until(lambda: self.ended)
        return status, time.monotonic() - self.started


def entries(store):
    """Every variant in the bucket: original → how many."""
    root = store.folder / "variants" / "v1" / "default"
    found = collections.Counter()
    for folder, _, files in os.walk(root):
        if os.path.basename(os.path.dirname(folder)) == "~":
            key = os.path.relpath(os.path.dirname(os.path.dirname(folder)), root)
            found[key] += len(files)
    return found


def asked(journal):
    """From a journal: GETs of originals and PUTs of variants, each with how often, and the rest."""
    gets = collections.Counter(e["path"].removeprefix("/originals/") for e in journal if e["op"] == "GetObject" and e["path"].startswith("/originals/"))
    puts = collections.Counter(e["path"] for e in journal if e["op"] == "PutObject" and not e["path"].endswith(".json"))
    return gets, puts, collections.Counter(e["op"] for e in journal)


if __name__ == "__main__":
    show = Show(f"warm: {ORIGINALS} originals, {len(PRESETS)} presets, killed and run again")
    corpus = corpus_or_skip(show.title)
    folder = scratch("warm")
    paths = photographs(folder)
    presets = folder / "presets.toml"
    presets.write_text("".join(f'[{name}]\nparams = "{params}"\n' for name, params in PRESETS.items()))
    with S3(folder / "s3", "originals", "variants") as store:
        keys = upload(store, paths)
        settings = {**store.settings("originals", "variants"), "PRESETS_FILE": presets, "UNSIGNED": "presets"}
        command = ["--presets", ",".join(PRESETS), "--prefix", "photos/"]

        with Warm(settings, *command) as first:
            until(lambda: sum(entries(store).values()) > len(PRESETS) * ORIGINALS * 0.4, 120, 0.2)
            first.child.send_signal(signal.SIGKILL)
            first.child.wait()
        killed_after = time.monotonic() - first.started
        time.sleep(0.5)  # what the store had received is stored by now
        finished = {key for key, count in entries(store).items() if count == len(PRESETS)}
        gets, puts, _ = asked(store.journal())
        show.check("the first run was killed in the middle", ORIGINALS * 0.2 < len(finished) < ORIGINALS * 0.8, f"{len(finished)} originals finished in {killed_after:.1f} s")
        show.check("by then no original was read twice", max(gets.values()) == 1, f"{sum(gets.values())} GETs")

        store.clear()
        second = Warm(settings, *command)
        status, took = second.end()
        again, more, ops = asked(store.journal())
        show.equal("the second run ends well", status, 0)
        rest = ORIGINALS - len(finished)
        show.note(f"{rest} originals, {rest * len(PRESETS)} variants in {took:.1f} s: {rest / took:.0f} originals/s, {rest * len(PRESETS) / took:.0f} variants/s, store and command on the same processors")
        repeated = finished & set(again)
        show.check("nothing that was finished is read again", not repeated, f"{len(repeated)} of {len(finished)}")
        show.check("GETs of originals in both runs", sum(gets.values()) + sum(again.values()) <= ORIGINALS + CONCURRENCY, f"{sum(gets.values())} + {sum(again.values())}, at most {ORIGINALS} + {CONCURRENCY} under way at the kill")
        twice = sum((puts + more).values()) - len(puts + more)
        show.check("PUTs of variants, each once", len(puts + more) == ORIGINALS * len(PRESETS) and twice <= CONCURRENCY * len(PRESETS), f"{len(puts + more)} variants, {twice} of those under way twice")
        found = entries(store)
        show.check("every original has every variant", set(found) == set(keys) and set(found.values()) == {len(PRESETS)}, f"{sum(found.values())} variants of {len(found)} originals")
        records = sum(path.is_file() for path in (store.folder / "variants").rglob("source.json"))
        # A record follows the variants; a kill between the two leaves it to the next f=json.
        show.check("records beside them, but for those under way at the kill", ORIGINALS - CONCURRENCY <= records <= ORIGINALS, records)

        made, open_ = second.scraped.get('lenslet_warm_originals_total{outcome="made"}', 0), second.scraped.get("lenslet_warm_originals_under_way", 0)
        decodes = second.scraped.get('lenslet_stage_duration_seconds_count{stage="decode"}', 0)
        show.check(f"decodes, {SCALES} for the {len(PRESETS)} variants of an original", made > 0 and SCALES * made <= decodes <= SCALES * (made + open_ + 1), f"{decodes:.0f} for {made:.0f} originals and {open_:.0f} under way")
        memory = second.scraped.get("process_resident_memory_bytes", 0) / 2**20
        show.check("memory stays bounded", 0 < memory < 400, f"{memory:.0f} MiB")

        store.clear()
        third = Warm(settings, *command)
        status, took = third.end()
        gets, puts, ops = asked(store.journal())
        show.equal("with everything there: status, GETs of originals, PUTs of variants", (status, sum(gets.values()), sum(puts.values())), (0, 0, 0))
        questions = sum(count for op, count in ops.items() if op != "PutObject")
        show.check("questions to the stores for each original then", questions / ORIGINALS < 0.05, f"{questions / ORIGINALS:.4f}: {dict(ops)} in {took:.1f} s")

        with Server(**settings) as server:
            store.clear()
            sample = random.Random(5).sample(sorted(keys), 12)
            for name, wanted in (("thumb", "WEBP"), ("card", "WEBP"), ("hero", "JPEG")):
                good = 0
                for key in sample:
                    answer = server.get(f"/{key}?preset={name}")
                    picture = answer.picture() if answer.status == 200 else None
                    right = picture and picture.format == wanted and answer.cache == "store"
                    # A thumb is cut to a square: its size says enough.
                    good += bool(right and (picture.size == (200, 200) if name == "thumb" else shows(answer, keys[key])))
                show.equal(f"{name}: answers from the store that show their photograph", good, len(sample))
            show.equal("GETs of originals for them", store.count("GET", "/originals/"), 0)

        whole = paths[0].read_bytes()
        (store.folder / "originals" / "photos" / "broken.jpg").write_bytes(whole[: len(whole) // 2])
        broken = Warm(settings, *command)
        status, _ = broken.end()
        named = [line for line in broken.lines if line.startswith("failed: photos/broken.jpg")]
        show.equal("a broken original: exit status, named once", (status, len(named)), (1, 1))
    show.end()
