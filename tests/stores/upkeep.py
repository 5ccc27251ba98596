"""Keeping variants in step with their originals on the S3 gateway of Versity: purge, warming, and the
events that the gateway itself sends when something is uploaded, overwritten or deleted."""

import json
import re
import subprocess
import time

from harness import LENSLET, ROOT, Show, photographs, scratch, until
from parts import S3Access, VersityGw, free_port
from processes import Server, environment
from versity import Log
from wire import request

TOKEN = "token-of-the-upkeep-of-some-length"
PRESETS = {"PRESETS_FILE": ROOT / "config/presets.toml", "PREGENERATE": "thumb,card"}
# thumb and card have f=auto: one entry for each of AVIF, WebP and the rest.
MADE = 6


def order(server, scope, token=TOKEN):
    body = json.dumps(scope).encode()
    headers = {"Content-Type": "application/json", "Content-Length": str(len(body))}
    if token:
        headers["Authorization"] = f"Bearer {token}"
    return request(server.admin, "/purge", method="POST", headers=headers, body=body)


def variants(client, bucket, source):
    """The entries of one original, its record left out."""
    return [key for key in client.list(bucket, f"v1/default/{source}/~/") if not key.endswith("source.json")]


def purge(show, photograph):
    with VersityGw(scratch("upkeep-purge")) as store:
        client = store.client()
        for bucket in ("originals", "variants"):
            client.make(bucket)
        for key in ("pets/cat.jpg", "pets/dog.jpg", "birds/owl.jpg"):
            client.put("originals", key, photograph.read_bytes())
        client.put("variants", "notes/not-ours.txt", b"not ours")
        client.put("variants", "v1/default/pets/cat.jpg/readme.txt", b"not ours either")
        foreign = {"notes/not-ours.txt", "v1/default/pets/cat.jpg/readme.txt"}
        with Server(**store.settings("originals", "variants"), ADMIN_TOKEN=TOKEN) as server:
            for number in range(30):
                server.get(f"/pets/cat.jpg?w={100 + number}&f=webp")
            for key in ("pets/dog.jpg", "birds/owl.jpg"):
                server.get(f"/{key}?w=100&f=webp")
            show.check("purge: 30 variants of one original are stored", until(lambda: len(variants(client, "variants", "pets/cat.jpg")) == 30, 20))
            show.equal("purge: without the token", order(server, {"source": "pets/cat.jpg"}, "").status, 401)
            show.equal("purge: with a wrong one", order(server, {"source": "pets/cat.jpg"}, "wrong").status, 401)
            show.equal("purge: which removes nothing", len(variants(client, "variants", "pets/cat.jpg")), 30)
            answer = order(server, {"source": "pets/cat.jpg"})
            receipt = json.loads(answer.body)
            show.equal("purge: a source", (answer.status, receipt["complete"], receipt["store"]["failed"]), (200, True, 0))
            show.equal("purge: leaves nothing of it in the store", [key for key in client.list("variants", "v1/default/pets/cat.jpg/") if key not in foreign], [])
            show.equal("purge: nor in memory", server.get("/pets/cat.jpg?w=100&f=webp").cache, "rendered")
            show.equal("purge: and all of the others", [len(variants(client, "variants", key)) for key in ("pets/dog.jpg", "birds/owl.jpg")], [1, 1])
            show.equal("purge: a prefix", (order(server, {"prefix": "pets/"}).status, [len(variants(client, "variants", key)) for key in ("pets/dog.jpg", "birds/owl.jpg")]), (200, [0, 1]))
            show.equal("purge: everything", order(server, {"all": True}).status, 200)
            show.equal("purge: what is not ours is left, and so are the originals", (set(client.list("variants")) >= foreign, len(client.list("originals"))), (True, 3))
            show.equal("purge: nothing of ours is", [key for key in client.list("variants") if key not in foreign and not re.search(r"/~/(source\.json|events/)", key)], [])


def warm(show, photograph):
    """Everything below a prefix, page by page of the gateway's listing, in its order; what is there
    already is not made again."""
    keys = [f"shop/{number:03}/a b+c.jpg" for number in range(24)]
    with VersityGw(scratch("upkeep-warm")) as store:
        client, log = store.client(), Log(store)
        for bucket in ("originals", "variants"):
            client.make(bucket)
        for key in [*keys, "other/cat.jpg"]:
            client.put("originals", key, photograph.read_bytes())
        settings = {**store.settings("originals", "variants"), "PRESETS_FILE": PRESETS["PRESETS_FILE"], "UNSIGNED": "presets"}

        def run():
            log.clear()
            env = environment(**{f"LENSLET_{name}": value for name, value in settings.items()})
            done = subprocess.run([LENSLET, "warm", "--presets", "thumb", "--prefix", "shop/"], env=env, capture_output=True, text=True, timeout=120)
            return done.returncode, log.count("GET", "/originals/shop/"), done.stdout + done.stderr

        status, reads, output = run()
        show.equal("warm: over 24 originals", status, 0)
        if status:
            show.note(output[-1000:])
        show.equal("warm: each is read once", reads, len(keys))
        show.equal("warm: thumb of each is stored, in its three formats", [len(variants(client, "variants", key)) for key in keys], [3] * len(keys))
        show.equal("warm: and nothing of others", variants(client, "variants", "other/cat.jpg"), [])
        show.equal("warm: again, without reading an original", run()[:2], (0, 0))
        with Server(**settings) as server:
            answers = {server.get("/shop/007/a%20b+c.jpg?preset=thumb", headers={"Accept": accept}).cache for accept in ("image/avif,image/webp", "image/webp", "*/*")}
            show.equal("warm: what is asked for then comes from the store", answers, {"store"})


def tell(server, change):
    """Changes the bucket, and leaves the gateway alone until it has told the service: version 1.8 keeps
    the names of an event in the buffer of its request, which the next request may write over before the
    event is sent. One that arrived with a name of nowhere is lost, so the change is made again."""
    for _ in range(5):
        seen = server.metric("lenslet_events_total")
        lost = server.metric("lenslet_events_total", outcome="unknown_bucket")
        change()
        until(lambda: server.metric("lenslet_events_total") > seen, 5)
        if server.metric("lenslet_events_total", outcome="unknown_bucket") == lost:
            return


def at_rest(server):
    """Whether no work of an event ended within two seconds."""
    seen = server.metric("lenslet_event_works_total")
    time.sleep(2)
    return server.metric("lenslet_event_works_total") == seen


def events(show, label, pictures, origin, bucket, **more):
    """The gateway tells the service, which was told where the gateway will be."""
    access = S3Access(("127.0.0.1", free_port()))
    settings = {**access.settings(origin, bucket), **PRESETS, "EVENTS": "public", "EVENTS_TOKEN": TOKEN, **more}
    with Server(**settings) as server:
        webhook = "http://%s:%d/_/events?token=%s" % (*server.address, TOKEN)
        with VersityGw(scratch(f"upkeep-{label.replace(' ', '-')}"), webhook=webhook, address=access.address) as store:
            client, log = store.client(), Log(store)
            for name in {origin, bucket}:
                client.make(name)
            log.clear()
            source, typed = "pets/a cat.jpg", {"Content-Type": "image/jpeg"}
            tell(server, lambda: client.put(origin, source, pictures["A"].read_bytes(), **typed))
            made = until(lambda: len(found := variants(client, bucket, source)) == MADE and found, 20)
            show.check(f"{label}: an upload makes the presets, nobody having asked", made, len(variants(client, bucket, source)))
            record = client.get(bucket, f"v1/default/{source}/~/source.json")
            show.check(f"{label}: and the record of the source", record.status == 200 and b"cat.jpg" in record.body, record.status)
            show.equal(f"{label}: from one read of the original", log.count("GET", f"/{origin}/pets/"), 1)
            first = server.get("/pets/a%20cat.jpg?preset=thumb", headers={"Accept": "image/webp"})
            show.equal(f"{label}: what is asked for then comes from the store", (first.status, first.cache), (200, "store"))
            tell(server, lambda: client.put(origin, source, pictures["B"].read_bytes(), **typed))
            fresh = until(lambda: (found := set(variants(client, bucket, source))) and len(found) == MADE and not found & set(made or []), 20)
            show.check(f"{label}: an overwritten original has its variants replaced", fresh)
            second = server.get("/pets/a%20cat.jpg?preset=card", headers={"Accept": "image/webp"})
            show.check(f"{label}: and shows, long before its TTL", second.status == 200 and second.cache == "store" and second.body != first.body, f"{second.status} {second.cache}")
            show.check(f"{label}: our own writes start no work without end", until(lambda: at_rest(server), 20))
            tell(server, lambda: client.delete(origin, source))
            show.check(f"{label}: a deleted one is forgotten", until(lambda: not client.list(bucket, f"v1/default/{source}/~/") and server.get("/pets/a%20cat.jpg?preset=thumb").status == 404, 20), client.list(bucket))
            show.equal(f"{label}: nothing was given up", server.metric("lenslet_event_works_total", outcome="given_up"), 0)


if __name__ == "__main__":
    show = Show("upkeep: purge, warming and events on the S3 gateway of Versity")
    folder = scratch("upkeep")
    photograph = photographs(folder)
    pictures = dict(zip("AB", photograph))
    purge(show, photograph[0])
    warm(show, photograph[0])
    events(show, "two buckets", pictures, "originals", "variants")
    events(show, "one bucket", pictures, "media", "media")
    show.end()
