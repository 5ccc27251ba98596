"""Lenslet on the S3 gateway of Versity: a product with its own reading of S3, its own conditional writes,
metadata, listings, bucket policies and websites. What it was asked is read off its own access log."""

import base64
import hashlib
import json
import re
import time

import install
from harness import Show, photographs, scratch, until
from parts import POLICIES, Counter, VersityGw, version, wait
from pictures import shows
from processes import Server
from roundtrip import PATH, SETTINGS, described, round_trip, website
from s3client import Client

TTL = 2
USER, SECRET = "lenslet-alone", "secret-of-the-least-privileged"
WISH = "/pets/cat.jpg?w=300&f=webp"


class Log:
    """What the store was asked since the last `clear`, from its access log."""

    LINE = re.compile(r"\| vgw \| (\d+) \|.*?\| (\w+) \| (/.*?) \|")

    def __init__(self, store):
        self.store, self.start = store, 0

    def clear(self):
        self.start = len(self.store.lines)

    def count(self, method, path):
        found = (self.LINE.search(line) for line in self.store.lines[self.start :])
        return sum(1 for line in found if line and line[2] == method and line[3].startswith(path))


def product(show, store):
    """What Lenslet relies on, asked by a client of our own: a store that lacks it would be judged here
    and not through us."""
    client = store.client()
    client.make("facts")
    key, kept = "a/b c+.txt", {"x-amz-meta-lensletversion": "1", "Cache-Control": "max-age=9", "Content-Type": "image/jpeg"}
    written = [client.put("facts", key, body, **{"If-None-Match": "*"}, **kept).status for body in (b"one", b"two")]
    show.equal("product: of two writers with If-None-Match the first one wins", (written, client.get("facts", key).body), ([200, 412], b"one"))
    read = client.get("facts", key)
    show.equal("product: metadata come back", {name: read[name] for name in kept}, kept)
    etag = read["ETag"]
    show.equal("product: If-Match reads what it names and nothing else", [client.get("facts", key, **{"If-Match": tag}).status for tag in (etag, '"other"')], [200, 412])
    for number in range(5):
        client.put("facts", f"k/{number}", b"x")
    show.equal("product: lists in order, after a key, page by page", [client.list("facts", "k/", "k/2"), client.list("facts", "k/", page=2)], [["k/3", "k/4"], [f"k/{number}" for number in range(5)]])
    body = b"<Delete>" + b"".join(b"<Object><Key>k/%d</Key></Object>" % number for number in range(4)) + b"</Delete>"
    digest = base64.b64encode(hashlib.md5(body).digest()).decode()
    deleted = client.call("POST", "/facts", "delete=", body, {"Content-MD5": digest})
    show.equal("product: deletes many at once", (deleted.status, client.list("facts", "k/")), (200, ["k/4"]))
    show.equal("product: missing is 404, forbidden 403", (client.get("facts", "none").status, Client(store.address).get("facts", key).status), (404, 403))


def versioned(show, store, pictures):
    """Miss, stored, restart, stored hit, 304; a new original when the TTL is over."""
    client, log = store.client(), Log(store)
    for bucket in ("originals", "variants"):
        client.make(bucket)
    client.put("originals", "pets/cat.jpg", pictures["A"].read_bytes())
    settings = {**store.settings("originals", "variants"), "SOURCE_TTL": f"{TTL}s"}
    with Server(**settings) as server:
        made = server.get(WISH)
        show.equal("versioned: a miss is rendered", (made.status, described(made.body).split("x")[0], made.cache, shows_a(made, pictures)), (200, "WEBP 300", "rendered", "A"))
        kept = until(lambda: [key for key in client.list("variants", "v1/default/pets/cat.jpg/~/") if not key.endswith("source.json")])
        show.equal("versioned: one entry is stored beside the record of its source", (len(kept), len(client.list("variants"))), (1, 2))
        server.stop()
    log.clear()
    with Server(**settings) as server:
        again = server.get(WISH)
        show.equal("versioned: after a restart it comes from the store", (again.cache, again.body == made.body), ("store", True))
        show.equal("versioned: without reading the original", log.count("GET", "/originals/"), 0)
        log.clear()
        have = server.get(WISH, headers={"If-None-Match": made["ETag"]})
        show.equal("versioned: 304 asks the store for nothing but a version", (have.status, have.body, log.count("GET", "/")), (304, b"", 0))
        client.put("originals", "pets/cat.jpg", pictures["B"].read_bytes())
        wait(TTL, "the time the old version may be taken for the current one", show)
        late = server.get(WISH)
        show.equal("versioned: the overwritten original shows", (shows_a(late, pictures), late["ETag"] != made["ETag"]), ("B", True))
        log.clear()
        callers = [server.get(f"/pets/cat.jpg?w={200 + number}&f=webp").status for number in range(3)]
        show.equal("versioned: three sizes of one original", callers, [200] * 3)
        show.equal("versioned: what is missing is 404", server.get("/pets/dog.jpg?w=300").status, 404)
        show.equal("versioned: no trouble with the store", {name: value for name, value in server.metrics().items() if name.startswith(("lenslet_store_write_errors_total", "lenslet_store_read_forbidden_total", "lenslet_writeback_dropped_total")) and value}, {})


def shows_a(answer, pictures):
    """Which of the pictures an answer shows."""
    if answer.status != 200:
        return answer.told()
    return next((name for name, path in pictures.items() if shows(answer, path)), "neither")


def mirror(show, store, photograph):
    """The object under the path of the request, served by the product to everyone."""
    client = store.client()
    for bucket in ("originals", "my-site"):
        client.make(bucket)
    client.put("originals", "pets/cat.jpg", photograph.read_bytes())
    foreign = photograph.read_bytes()[:1000]
    client.put("my-site", "0x150/pets/cat.jpg", foreign, **{"Content-Type": "text/plain"})
    policy = (POLICIES / "aws-website-bucket.json").read_bytes()
    show.equal("mirror: the committed policy of a public bucket is taken", client.call("PUT", "/my-site", "policy=", policy).status in (200, 204), True)
    world = Client(store.address)
    with Server(**SETTINGS, **store.settings("originals", "my-site")) as server:
        made = server.get(PATH)
        show.equal("mirror: made", (made.status, made.cache), (200, "rendered"))
        bare = until(lambda: (found := world.get("my-site", PATH[1:])).status == 200 and found)
        if show.check("mirror: the world reads it from the bucket", bare):
            show.equal("mirror: as the picture it is", (described(bare.body), bare["Content-Type"], bare.body == made.body), ("JPEG 300x200", "image/jpeg", True))
            show.check("mirror: with a Cache-Control", "max-age" in bare["Cache-Control"], bare["Cache-Control"])
            marks = sorted(name for name in bare.headers if name.startswith("x-amz-meta-"))
            show.check("mirror: and our mark", marks, marks)
        show.equal("mirror: the world may not list", world.call("GET", "/my-site", "list-type=2").status, 403)
        show.equal("mirror: over an object that is not ours the picture is served", described(server.get("/0x150/pets/cat.jpg").body).split("x")[-1], "150")
        time.sleep(0.5)  # time for a write that must not be
        show.equal("mirror: and the object is left alone", client.get("my-site", "0x150/pets/cat.jpg").body == foreign, True)
        server.stop()
    with Server(**SETTINGS, **store.settings("originals", "my-site")) as server:
        show.equal("mirror: after a restart", server.get(PATH).cache, "store")


def granted(policy, bucket):
    """An identity's policy as the policy of one bucket, for our user."""
    statements = []
    for statement in json.loads((POLICIES / policy).read_text())["Statement"]:
        resources = statement["Resource"] if isinstance(statement["Resource"], list) else [statement["Resource"]]
        here = [name for name in resources if re.fullmatch(rf"arn:aws:s3:::{bucket}(/.*)?", name)]
        if here:
            statements.append({**statement, "Principal": {"AWS": [USER]}, "Resource": here})
    return json.dumps({"Version": "2012-10-17", "Statement": statements}).encode()


def privileges(show, store, photograph):
    """The committed policies give enough, and no more."""
    client, user = store.client(), store.user(USER, SECRET)
    keys = {f"{name}_{option}": value for name in ("ORIGIN_DEFAULT", "VARIANTS") for option, value in (("ACCESS_KEY_ID", USER), ("SECRET_ACCESS_KEY", SECRET))}
    for bucket, policy in (("my-originals", "aws-iam.json"), ("my-variants", "aws-iam.json"), ("my-media", "aws-iam-one-bucket.json")):
        client.make(bucket)
        taken = client.call("PUT", f"/{bucket}", "policy=", granted(policy, bucket))
        show.check(f"privileges: {policy} for {bucket} is taken", taken.status in (200, 204), taken.told())
    for bucket in ("my-originals", "my-media"):
        client.put(bucket, "pets/cat.jpg", photograph.read_bytes())
    with Server(**{**store.settings("my-originals", "my-variants"), **keys}) as server:
        show.equal("privileges: two buckets, served", server.get(WISH).status, 200)
        show.check("privileges: two buckets, stored", until(lambda: len(client.list("my-variants")) == 2), len(client.list("my-variants")))
        show.equal("privileges: two buckets, missing is missing", (server.get("/none.jpg?w=9").status, server.metric("lenslet_origin_errors_total", kind="forbidden")), (404, 0))
    show.equal("privileges: originals can be neither written nor deleted", [user.put("my-originals", "x", b"x").status, user.delete("my-originals", "pets/cat.jpg").status], [403, 403])
    show.equal("privileges: another bucket can be neither read nor listed", [user.get("originals", "pets/cat.jpg").status, user.call("GET", "/originals", "list-type=2").status], [403, 403])
    entry = client.list("my-variants")[0]
    show.equal("privileges: variants can be deleted, as purging needs", (user.delete("my-variants", entry).status, len(client.list("my-variants"))), (204, 1))
    settings = {**SETTINGS, **store.settings("my-media", "my-media"), **keys, "ALLOWED_SIZES": "300x200,600x0"}
    with Server(**settings) as server:
        show.equal("privileges: one bucket, served", server.get(PATH).status, 200)
        show.check("privileges: one bucket, stored", until(lambda: client.head("my-media", PATH[1:]).status == 200))
    show.equal("privileges: one bucket, originals are out of reach", [user.put("my-media", "pets/cat.jpg", b"x").status, user.delete("my-media", "pets/cat.jpg").status, user.put("my-media", "301x200/x.jpg", b"x").status], [403] * 3)


def redirection(show, photograph):
    """The round trip on this product's websites. It escapes the `?` that S3 leaves alone, so the rule
    is the committed one without its prefix: the client keeps its path."""
    with Counter() as counter, VersityGw(scratch("versity-website"), website="localhost") as store:
        client = store.client()
        for bucket in ("originals", "my-site"):
            client.make(bucket)
        client.put("originals", "pets/cat.jpg", photograph.read_bytes())
        client.call("PUT", "/my-site", "policy=", (POLICIES / "aws-website-bucket.json").read_bytes())
        xml = website(counter.address, keep_path=True)
        show.equal("website: the committed rules are taken", client.call("PUT", "/my-site", "website=", xml.encode()).status, 200)
        with Server(**SETTINGS, **store.settings("originals", "my-site")) as server:
            counter.lead_to(server.address)
            round_trip(show, "website", lambda path: store.visit("my-site", path), server, counter, lambda key: client.head("my-site", key).status == 200, PATH)


if __name__ == "__main__":
    show = Show("versity: the S3 gateway of Versity as originals and variants")
    show.note(f"versitygw {install.VERSITYGW[1]}, built with {version(['go', 'version'])}")
    folder = scratch("versity")
    photograph = photographs(folder)
    pictures = dict(zip("AB", photograph))
    with VersityGw(folder) as store:
        product(show, store)
        versioned(show, store, pictures)
        mirror(show, store, photograph[0])
        privileges(show, store, photograph[0])
    redirection(show, photograph[0])
    show.end()
