"""Three replicas on one store: a purge takes everything made of an original from the store and
from all three, also while they render; nothing of anybody else's is touched; an overwritten
original is never shown past its TTL; what nobody asks for any more is swept."""

import http.client
import json
import os
import socket
import subprocess
import threading
import time

from PIL import Image

from harness import LENSLET, Show, need, photographs, scratch, until
from pictures import shows, upright
from processes import S3, Server, environment
from wire import request

TOKEN = "the-admin-token-of-the-show"
TTL = 2.0
VARIANTS = 500
REPLICAS = 3
DAY = 86_400


def free_ports(count):
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [sock.getsockname()[1] for sock in sockets]
    for sock in sockets:
        sock.close()
    return ports


class Replicas:
    """The service three times over, each told of the others."""

    def __init__(self, store):
        self.ports = free_ports(REPLICAS)
        self.settings = {
            **store.settings("originals", "variants"),
            "ADMIN_TOKEN": TOKEN,
            "PEERS": ",".join(f"127.0.0.1:{port}" for port in self.ports),
            "SOURCE_TTL": f"{TTL:.0f}s",
            "REQUEST_TIMEOUT": "4s",
            "FETCH_TIMEOUT": "3s",
            "STORE_TIMEOUT": "1s",
            # Every render reads, so that the purge meets reads under way and not a machine without a
            # moment to spare.
            "SOURCE_CACHE": "0",
            "DECODED_CACHE": "0",
        }
        self.all = [self.start(port) for port in self.ports]

    def start(self, port):
        return Server(**self.settings, ADMIN_LISTEN=f"127.0.0.1:{port}")

    def stop(self):
        for replica in self.all:
            replica.stop()

    def lenslet(self, *arguments):
        """A command beside the service, with its settings: exit code and everything it said."""
        env = environment(**{f"LENSLET_{name}": value for name, value in self.settings.items()})
        env["LENSLET_ADMIN_LISTEN"] = f"127.0.0.1:{self.ports[0]}"
        ended = subprocess.run([LENSLET, *arguments], env=env, capture_output=True, text=True, timeout=120)
        return ended.returncode, ended.stdout + ended.stderr


def order(address, scope, token=TOKEN, content_type="application/json"):
    """POST /purge; the answer's status and its receipt, or its text."""
    body = json.dumps(scope).encode()
    headers = {"Content-Type": content_type, "Content-Length": str(len(body))}
    if token:
        headers["Authorization"] = f"Bearer {token}"
    sock = socket.create_connection(address, timeout=60)
    head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    sock.sendall(f"POST /purge HTTP/1.1\r\nHost: admin\r\nConnection: close\r\n{head}\r\n".encode() + body)
    response = http.client.HTTPResponse(sock)
    response.begin()
    text = response.read().decode()
    sock.close()
    try:
        return response.status, json.loads(text), dict(response.getheaders())
    except ValueError:
        return response.status, text.strip(), dict(response.getheaders())


def in_parallel(work, items, threads=8):
    """Runs work(item) for every item; returns the results in order."""
    items, results, lock = list(items), {}, threading.Lock()
    queue = iter(enumerate(items))

    def run():
        while True:
            with lock:
                index, item = next(queue, (None, None))
            if index is None:
                return
            results[index] = work(item)

    workers = [threading.Thread(target=run) for _ in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    return [results.get(index) for index in range(len(items))]


def stored(store, part=""):
    """Every object of the bucket of variants whose key contains a text, with its bytes."""
    root = store.folder / "variants"
    files = [path for path in root.rglob("*") if path.is_file()]
    keys = {str(path.relative_to(root)): path for path in files}
    return {key: path for key, path in keys.items() if part in key}


def written_at(path):
    """Nanoseconds since 1970; the future for what has gone meanwhile."""
    try:
        return path.stat().st_mtime_ns
    except FileNotFoundError:
        return float("inf")


STRANGERS = {
    "variants": [
        "index.html",
        "photos/cat.jpg",
        "300x200/cat.jpg",
        "v1/readme.txt",
        "v1/default/cat.jpg/~/notes.txt",
        "v1/default/cat.jpg/~/source.json.bak",
        "v1/default/cat.jpg/~/0123456789abcdef01234567/thumbs.db",
        "v1/default/cat.jpg/0123456789abcdef01234567/0123456789abcdef0123456789abcdef",
        "v1/~/notes.txt",
        "v0/cat.jpg",
        "vacation/default/cat.jpg/~/source.json",
    ],
    "originals": ["notes.txt", "v1/default/cat.jpg/~/source.json"],
}


def put_strangers(store):
    """Objects of somebody else among ours."""
    put = {}
    for bucket, keys in STRANGERS.items():
        for key in keys:
            path = store.folder / bucket / key
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(f"not ours: {bucket} {key}\n".encode() + os.urandom(64))
            put[path] = path.read_bytes()
    return put


def untouched(strangers):
    return sum(path.exists() and path.read_bytes() == data for path, data in strangers.items())


def refusals(show, replicas):
    admin = replicas.all[0].admin
    status, text, headers = order(admin, {"all": True}, token=None)
    show.equal("no token", status, 401)
    show.check("it says what is missing", "Bearer" in text and "WWW-Authenticate".lower() in {name.lower() for name in headers}, text)
    show.equal("a wrong token", order(admin, {"all": True}, token="x" * 27)[0], 401)
    for scope, part in [({}, "exactly one"), ({"source": "/cat.jpg"}, "/cat.jpg"), ({"source": "@nobody/a"}, "nobody"), ({"prefix": ""}, "all"), ({"variant": "/cat.jpg?widht=4"}, "widht")]:
        status, text, _ = order(admin, scope)
        show.check(f"{json.dumps(scope)} is refused in a sentence", status == 400 and part in str(text), text)
    show.equal("another kind of body", order(admin, {"all": True}, content_type="text/plain")[0], 415)
    show.equal("a body too long", order(admin, {"source": "x" * 40_000})[0], 413)


def wish(width):
    return f"/cat.jpg?w={width}&f=jpeg"


def fill(show, replicas, store):
    """All variants in the store, and all of them in the memory of every replica."""
    first, *others = replicas.all
    made = in_parallel(first.get, map(wish, range(1, VARIANTS + 1)))
    show.equal(f"{VARIANTS} variants rendered by one replica", sum(a.cache == "rendered" for a in made), VARIANTS)
    entries = lambda: [key for key in stored(store, "/cat.jpg/~/") if len(key.rsplit("/", 1)[1]) == 32]
    until(lambda: len(entries()) >= VARIANTS, 30)
    show.equal("and stored", len(entries()), VARIANTS)
    for replica in others:
        read = in_parallel(replica.get, map(wish, range(1, VARIANTS + 1)))
        show.equal("read from the store by another", sum(a.cache == "store" for a in read), VARIANTS)
    for replica in replicas.all:
        held = in_parallel(replica.get, map(wish, range(1, VARIANTS + 1, 25)))
        show.equal("held in memory", {a.cache for a in held}, {"memory"})


def purge_under_load(show, replicas, store, strangers):
    """One source with all its variants, while all three replicas render more of it."""
    for replica in replicas.all:
        replica.get("/dog.jpg?w=50")
    others = {key: path.read_bytes() for key, path in stored(store, "/dog.jpg/").items()}
    # Originals and entries take a while, so that the purge meets reads and writes under way.
    for fault in ("path=/originals/cat.jpg&method=GET&delay_ms=150", "path=/variants/v1/default/cat.jpg&method=PUT&delay_ms=150"):
        request(store.journal_address, f"/fault?{fault}&act=pass", method="POST")
    stop, failures, widths = threading.Event(), [], iter(range(1_000, 9_000))
    lock = threading.Lock()

    def load(replica):
        while not stop.is_set():
            with lock:
                width = next(widths)
            answer = replica.get(f"/cat.jpg?w={width}&enlarge=1&q=1&f=jpeg" if width % 2 else wish(width % 20 + 1))
            if answer.status != 200:
                failures.append(answer.told())

    callers = [threading.Thread(target=load, args=(replica,)) for replica in replicas.all for _ in range(3)]
    for caller in callers:
        caller.start()
    time.sleep(1.0)
    store.clear()
    ordered = time.time_ns()
    status, receipt, _ = order(replicas.all[1].admin, {"source": "cat.jpg"})
    old = [key for key, path in stored(store, "/cat.jpg/~/").items() if path not in strangers and written_at(path) < ordered]
    show.equal("the purge, its receipt complete", (status, receipt.get("complete")), (200, True))
    show.note(json.dumps(receipt))
    deleted = receipt["store"]["deleted"]
    show.check(f"at least {VARIANTS} objects deleted, none failed", deleted >= VARIANTS and receipt["store"]["failed"] == 0, deleted)
    show.equal("of what lay in the store when it was ordered, left", len(old), 0)
    told = [peer for peer in receipt["peers"] if peer["status"] == "told"]
    show.equal("replicas told, and one was itself", (len(told), len(receipt["peers"])), (REPLICAS - 1, REPLICAS))
    show.check("each had the variants in memory", all(peer["memory"] >= VARIANTS for peer in told) and receipt["memory"] >= VARIANTS, [receipt["memory"]] + [peer["memory"] for peer in told])
    flights = receipt["flights"] + sum(peer["flights"] for peer in told)
    show.check("renders were in flight meanwhile", flights > 0, flights)
    bulk = [e for e in store.journal() if e["op"] == "DeleteObjects"]
    show.check("deleted in bulk", 0 < len(bulk) <= deleted / 20, f"{len(bulk)} requests")
    # Those that the load leaves alone: every replica is the first to ask for a third of them.
    for index, replica in enumerate(replicas.all):
        asked = [wish(width) for width in range(21 + index, VARIANTS + 1, 3)][:40]
        answers = in_parallel(replica.get, asked)
        show.equal(f"replica {index + 1}: neither memory nor store has what was purged", sorted({a.cache for a in answers}), ["rendered"])
    time.sleep(0.5)
    stop.set()
    for caller in callers:
        caller.join()
    show.equal("requests that failed meanwhile", failures, [])
    request(store.journal_address, "/fault", method="DELETE")
    again = receipt["second_pass"]["after_seconds"]
    show.check("a second pass after the deadline of every request", again >= 4, f"{again} s")
    ours = lambda: [key for key, path in stored(store, "/cat.jpg/~/").items() if path not in strangers]
    show.check("what was made in between lies there", ours(), len(ours()))
    until(lambda: time.time_ns() - ordered > again * 1e9 and not ours(), again + 15, 0.2)
    show.equal("after it, of that source in the store", len(ours()), 0)
    kept = {key: path.read_bytes() for key, path in stored(store, "/dog.jpg/").items()}
    show.check("other sources keep theirs", others and kept == others, f"{len(kept)} objects of {len(others)}")
    show.equal("objects of others untouched", untouched(strangers), len(strangers))
    for replica in replicas.all:
        show.equal("another source is still in memory", replica.get("/dog.jpg?w=50").cache, "memory")
    show.check("every replica is alive", all(replica.alive for replica in replicas.all))


def overwritten(show, replicas, store, pictures):
    """The TTL alone: nothing told anybody."""
    original = store.folder / "originals/moved.jpg"
    original.write_bytes(pictures[0].read_bytes())
    target = "/moved.jpg?w=200&f=jpeg"
    time.sleep(0.05)
    for replica in replicas.all:
        show.check("at first the old picture", shows(replica.get(target), pictures[0]))
    time.sleep(0.5)
    original.write_bytes(pictures[1].read_bytes())
    written, last_old, errors = time.monotonic(), [0.0] * REPLICAS, 0
    while time.monotonic() < written + TTL + 2:
        for index, replica in enumerate(replicas.all):
            asked = time.monotonic() - written
            answer = replica.get(target)
            errors += answer.status != 200
            if shows(answer, pictures[0]):
                last_old[index] = max(last_old[index], asked)
        time.sleep(0.05)
    show.equal("answers that were no picture", errors, 0)
    show.check(f"overwritten: old bytes last asked for within the TTL of {TTL:.0f} s, on all {REPLICAS}", max(last_old) < TTL, ", ".join(f"{at:.2f} s" for at in last_old))
    show.check("and the new picture from then on", all(shows(replica.get(target), pictures[1]) for replica in replicas.all))


def one_is_down(show, replicas):
    replicas.all[0].get("/dog.jpg?w=60")
    replicas.all[1].get("/dog.jpg?w=60")
    replicas.all[2].child.kill()
    replicas.all[2].child.wait()
    status, receipt, _ = order(replicas.all[0].admin, {"source": "dog.jpg"})
    failed = [peer["address"] for peer in receipt["peers"] if peer["status"] == "failed"]
    show.equal("one replica killed: the receipt says so", (status, receipt["complete"], failed), (502, False, [f"127.0.0.1:{replicas.ports[2]}"]))
    show.equal("it is counted", replicas.all[0].metric("lenslet_purge_peers_failed_total"), 1)
    show.equal("the other has forgotten", replicas.all[1].get("/dog.jpg?w=60").cache, "rendered")
    code, said = replicas.lenslet("purge", "--source", "dog.jpg")
    show.check("`lenslet purge` exits with 1 and says NOT COMPLETE", code == 1 and "NOT COMPLETE" in said, code)
    replicas.all[2] = replicas.start(replicas.ports[2])
    code, said = replicas.lenslet("purge", "--source", "dog.jpg")
    show.check("with it back, `lenslet purge` exits with 0", code == 0 and "purged" in said, said.splitlines()[0])
    show.equal("two scopes are a wrong command line", replicas.lenslet("purge", "--all", "--source", "a")[0], 64)


def backdate(store, days, part=""):
    for path in stored(store, part).values():
        at = time.time() - days * DAY
        os.utime(path, (at, at))


def sweeping(show, replicas, store, pictures, strangers):
    """Vanished, changed, of a dead epoch, old; beside the live service."""
    originals = store.folder / "originals"
    names = ["stays.jpg", "vanishes.jpg", "changes.jpg", "old.jpg"]
    for name in names:
        (originals / name).write_bytes(pictures[0].read_bytes())
        for width in (40, 60):
            replicas.all[0].get(f"/{name}?w={width}")
    for replica in replicas.all:
        replica.get("/stays.jpg?w=40")
    until(lambda: all(len(stored(store, f"/{name}/~/")) == 3 for name in names), 20)
    entry = next(key for key in stored(store, "/stays.jpg/~/") if not key.endswith(".json"))
    dead = store.folder / "variants" / entry.replace("v1/", "v0/", 1)
    dead.parent.mkdir(parents=True, exist_ok=True)
    dead.write_bytes(b"of another epoch")
    (originals / "vanishes.jpg").unlink()
    (originals / "changes.jpg").write_bytes(pictures[1].read_bytes())
    backdate(store, 1)
    backdate(store, 120, "/old.jpg/")
    counts = lambda: {name: len(stored(store, f"/{name}/~/")) for name in names} | {"v0": dead.exists()}
    before = counts()

    faults = [("status:500", "an origin that fails"), ("status:403", "one that refuses")]
    for act, label in faults:
        request(store.journal_address, f"/fault?path=/originals/&act={act}", method="POST")
        code, said = replicas.lenslet("sweep", "--dry-run")
        show.check(f"{label} makes nothing vanish or change", code == 1 and "that are gone" not in said and "older versions" not in said, said.splitlines()[0])
        request(store.journal_address, "/fault", method="DELETE")

    code, said = replicas.lenslet("sweep", "--dry-run", "--older-than", "90d")
    show.check("a dry run counts and deletes nothing", code == 0 and counts() == before, said.splitlines()[0])
    stop, failures = threading.Event(), []

    def load():
        while not stop.is_set():
            answer = replicas.all[1].get("/stays.jpg?w=60")
            if answer.status != 200:
                failures.append(answer.told())

    caller = threading.Thread(target=load)
    caller.start()
    code, said = replicas.lenslet("sweep", "--older-than", "90d")
    stop.set()
    caller.join()
    show.note(said.replace("\n", "\n     "))
    show.equal("sweep ends well", code, 0)
    # Of what changed, the record stays: it is the one of its newest render.
    show.equal("what is left", counts(), {"stays.jpg": 3, "vanishes.jpg": 0, "changes.jpg": 1, "old.jpg": 0, "v0": False})
    for part in ("of originals that are gone", "of older versions", "of dead epochs", "older than the limit"):
        show.check(f"the summary tells what went {part}", part in said)
    show.equal("requests that failed meanwhile", failures, [])
    show.equal("objects of others untouched", untouched(strangers), len(strangers))


def everything(show, replicas, store, strangers):
    replicas.all[2].get("/stays.jpg?w=70")
    code, said = replicas.lenslet("purge", "--all")
    show.check("`lenslet purge --all` ends well", code == 0, said.splitlines()[0])
    left = {path for path in stored(store).values()}
    theirs = {path for path in strangers if (store.folder / "variants") in path.parents}
    show.equal("all that is left in the bucket is not ours", len(left - theirs), 0)
    show.equal("and all of that, byte for byte", untouched(strangers), len(strangers))
    for replica in replicas.all:
        show.equal("made again from then on", replica.get(f"/stays.jpg?w={90 + replicas.all.index(replica)}").cache, "rendered")


if __name__ == "__main__":
    need(LENSLET)
    show = Show("purge: three replicas forget together, and nothing that is not ours is deleted")
    folder = scratch("purge")
    photograph = photographs(folder)
    pictures = []
    for index, path in enumerate(photograph):
        # Real photographs, small enough that five hundred renders of one take seconds.
        small = upright(path)
        small.thumbnail((800, 800), Image.Resampling.LANCZOS)
        pictures.append(folder / f"picture-{index}.jpg")
        small.save(pictures[-1], quality=85)
    with S3(folder / "s3", "originals", "variants") as store:
        for name, picture in [("cat.jpg", pictures[0]), ("dog.jpg", pictures[1])]:
            (store.folder / "originals" / name).write_bytes(picture.read_bytes())
        strangers = put_strangers(store)
        replicas = Replicas(store)
        try:
            refusals(show, replicas)
            fill(show, replicas, store)
            purge_under_load(show, replicas, store, strangers)
            overwritten(show, replicas, store, pictures)
            one_is_down(show, replicas)
            sweeping(show, replicas, store, pictures, strangers)
            everything(show, replicas, store, strangers)
        finally:
            replicas.stop()
    show.end()
