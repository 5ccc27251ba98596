"""What Lenslet does with any store of originals and variants: both layouts, restarts, 304, overwritten
originals, and that nothing which is not ours is overwritten. A store is given by how it is written to and
read from by a client of its own kind."""

import time

from harness import until
from parts import wait
from pictures import shows
from processes import Server
from roundtrip import PATH, SETTINGS, described

TTL = 2
WISH = "/pets/cat.jpg?w=300&f=webp"


class Cloud:
    """`settings(origin, variants)` of the service; `put(bucket, key, body)`, `get(bucket, key)` →
    (body, Content-Type, Cache-Control, metadata) or None, and `list(bucket)` of a store."""


def whose(answer, pictures):
    if answer.status != 200:
        return answer.told()
    return next((name for name, path in pictures.items() if shows(answer, path)), "neither")


def trouble(server):
    wanted = ("lenslet_store_write_errors_total", "lenslet_store_read_forbidden_total", "lenslet_writeback_dropped_total")
    return {name: value for name, value in server.metrics().items() if name.startswith(wanted) and value}


def versioned(show, label, cloud, pictures, metadata=True):
    cloud.put("originals", "pets/cat.jpg", pictures["A"].read_bytes())
    cloud.put("originals", "odd/a b+c é.jpg", pictures["B"].read_bytes())
    settings = {**cloud.settings("originals", "variants"), "SOURCE_TTL": f"{TTL}s"}
    with Server(**settings) as server:
        made = server.get(WISH)
        show.equal(f"{label}: a miss is rendered", (made.cache, whose(made, pictures)), ("rendered", "A"))
        odd = server.get("/odd/a%20b+c%20%C3%A9.jpg?w=310&f=webp")
        show.equal(f"{label}: a key with a space, a plus and an accent", whose(odd, pictures), "B")
        kept = until(lambda: len(keys := cloud.list("variants")) == 4 and keys)
        show.check(f"{label}: two entries and the records of their sources are stored", kept, cloud.list("variants"))
        show.equal(f"{label}: what is missing is 404", server.get("/pets/dog.jpg?w=300").status, 404)
        show.equal(f"{label}: no trouble with the store", trouble(server), {})
        server.stop()
    with Server(**settings) as server:
        again = server.get(WISH)
        show.equal(f"{label}: after a restart it comes from the store", (again.cache, again.body == made.body), ("store", True))
        have = server.get(WISH, headers={"If-None-Match": made["ETag"]})
        show.equal(f"{label}: what the client has already", (have.status, have.body), (304, b""))
        cloud.put("originals", "pets/cat.jpg", pictures["B"].read_bytes())
        wait(TTL, "the time the old version may be taken for the current one", show)
        late = server.get(WISH)
        show.equal(f"{label}: the overwritten original shows", (whose(late, pictures), late["ETag"] != made["ETag"]), ("B", True))
        show.check(f"{label}: its variant is stored, too", until(lambda: len(cloud.list("variants")) == 5), len(cloud.list("variants")))


def mirror(show, label, cloud, photograph):
    cloud.put("originals", "pets/cat.jpg", photograph.read_bytes())
    cloud.put("site", "0x150/pets/cat.jpg", b"not ours")
    settings = {**SETTINGS, **cloud.settings("originals", "site")}
    with Server(**settings) as server:
        made = server.get(PATH)
        show.equal(f"{label}: mirror, made", (made.status, made.cache, described(made.body)), (200, "rendered", "JPEG 300x200"))
        if show.check(f"{label}: mirror, the object is there under the path", until(lambda: cloud.get("site", PATH[1:]))):
            body, kind, caching, marks = cloud.get("site", PATH[1:])
            show.equal(f"{label}: mirror, the bare picture as it is served", (body == made.body, kind), (True, "image/jpeg"))
            show.check(f"{label}: mirror, its Cache-Control", "max-age" in (caching or ""), caching)
            show.check(f"{label}: mirror, our mark", marks, sorted(marks))
        show.equal(f"{label}: mirror, over an object that is not ours the picture is served", server.get("/0x150/pets/cat.jpg").status, 200)
        time.sleep(0.5)  # time for a write that must not be
        show.equal(f"{label}: mirror, and the object is left alone", cloud.get("site", "0x150/pets/cat.jpg")[0], b"not ours")
        server.stop()
    with Server(**settings) as server:
        show.equal(f"{label}: mirror, after a restart", server.get(PATH).cache, "store")
