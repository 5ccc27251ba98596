"""An upload event makes what is made ahead, from one read of the original; an overwrite shows at
once on every pod; nothing we write ourselves is taken for an upload; an event that was accepted
survives a killed pod; what is no event is refused in a sentence."""

import base64
import json
import signal
import socket
import threading
import time
import urllib.parse

from harness import Show, photographs, scratch, until
from pictures import shows
from processes import S3, Server
from senders import ASKED, ON, TOKEN, Hook, entries, notes, post, presets, record, tell, works

def upload(show, photograph):
    folder, hook = scratch("events-upload"), Hook()
    with S3(folder / "s3", "originals", "variants") as store:
        original = store.folder / "originals/photos/red cat.jpg"
        original.parent.mkdir()
        original.write_bytes(photograph.read_bytes())
        settings = {**ON, **presets(folder), **store.settings("originals", "variants")}
        settings |= {"EVENTS_WEBHOOK": hook.url, "EVENTS_WEBHOOK_TOKEN": "webhook-token-0123"}
        with Server(**settings) as server:
            began = time.monotonic()
            answer = tell(server, "originals", "photos/red cat.jpg")
            show.equal("upload: the event is accepted", (answer.status, json.loads(answer.body)["accepted"]), (202, 1))
            made = until(lambda: len(entries(store, "variants", "photos/red cat.jpg")) == 3, 20)
            show.check("upload: three sizes in the store", made, f"after {time.monotonic() - began:.2f} s")
            kept = store.folder / "variants/v1/default/photos/red cat.jpg/~/source.json"
            show.check("upload: and source.json", until(kept.exists))
            show.check("upload: the note is gone", until(lambda: not notes(store, "variants")))
            show.equal("upload: GETs of the original", store.count("GET", "/originals/photos/"), 1)
            store.clear()
            answers = [server.get(f"/photos/red%20cat.jpg?{query}") for query in ASKED]
            show.check("upload: they show the photograph", all(shows(answer, photograph) for answer in answers[1:]))
            show.equal("upload: nobody waited for a render", {answer.cache for answer in answers} <= {"store", "memory"}, True)
            told = json.loads(server.get("/photos/red%20cat.jpg?f=json").body)
            show.check("upload: f=json is what source.json holds", told.items() <= json.loads(kept.read_text()).items())
            show.equal("upload: GETs of the original for all of that", store.count("GET", "/originals/photos/"), 0)
            show.check("upload: the webhook was told, though it refused at first", until(lambda: hook.letters) and hook.refused == 1)
            (authorization, letter), = hook.letters
            show.equal("upload: with its token", authorization, "Bearer webhook-token-0123")
            show.equal("upload: of the picture", (letter["type"], letter["key"], letter["image"]), ("image.processed", "photos/red cat.jpg", told))
            paths = sorted(str(path.relative_to(store.folder / "variants")) for path in entries(store, "variants", "photos/red cat.jpg"))
            show.equal("upload: and of where its variants lie", sorted(v["path"] for v in letter["variants"]), paths)
            repeated(show, store, server, original)
            server.stop()
            log = "\n".join(server.lines)
            leaked = [secret for secret in (TOKEN, "webhook-token-0123", "hunter2") if secret in log]
            show.equal("upload: secrets in the log", leaked, [])


def repeated(show, store, server, original):
    """Events twice, late and out of order: the store's present state decides."""
    key = "photos/red cat.jpg"
    store.clear()
    for name in ["ObjectCreated:Put", "ObjectRemoved:Delete"] * 5:
        tell(server, "originals", key, name=name)
    show.check("repeated: done with", until(lambda: not notes(store, "variants"), 20))
    show.equal("repeated: the three sizes are there", len(entries(store, "variants", key)), 3)
    show.equal("repeated: GETs of the original", store.count("GET", "/originals/photos/"), 0)
    written = [e["path"] for e in store.journal() if e["method"] == "PUT" and "/~/events/" not in e["path"]]
    show.equal("repeated: variants written again", written, [])
    original.unlink()
    tell(server, "originals", key, name="ObjectCreated:Put")
    show.check("late: an upload of what is gone by now is a deletion", until(lambda: not entries(store, "variants", key), 20))
    show.equal("late: and is answered so", server.get(f"/photos/red%20cat.jpg?{ASKED[0]}").status, 404)


def every_shape(show, photograph):
    folder = scratch("events-shapes")
    with S3(folder / "s3", "originals", "variants") as store:
        s3 = {"Records": [record("originals", "s3.jpg")]}
        topic = "arn:aws:sns:eu-central-1:123456789012:uploads"
        blob = {"url": "https://acct.blob.core.windows.net/originals/grid.jpg"}
        subject = "/blobServices/default/containers/originals/blobs/"
        ce = {"ce-specversion": "1.0", "ce-id": "1", "ce-type": "google.cloud.storage.object.v1.finalized", "ce-source": "//storage.googleapis.com/projects/_/buckets/originals"}
        minio = record("originals", "minio.jpg", "s3:ObjectCreated:Put")
        shapes = {
            "s3.jpg": (s3, {}),
            "sns.jpg": ({"Type": "Notification", "TopicArn": topic, "Message": json.dumps({"Records": [record("originals", "sns.jpg")]})}, {}),
            "raw.jpg": ({"Records": [record("originals", "raw.jpg")]}, {"x-amz-sns-topic-arn": topic}),
            "bridge.jpg": ({"source": "aws.s3", "detail-type": "Object Created", "detail": {"bucket": {"name": "originals"}, "object": {"key": "bridge.jpg"}}}, {}),
            "minio.jpg": ({"EventName": "s3:ObjectCreated:Put", "Key": "originals/minio.jpg", "Records": [minio]}, {}),
            "pubsub.jpg": ({"message": {"attributes": {"bucketId": "originals", "objectId": "pubsub.jpg", "eventType": "OBJECT_FINALIZE"}}}, {}),
            "grid.jpg": ([{"eventType": "Microsoft.Storage.BlobCreated", "subject": subject + "grid.jpg", "data": blob}], {}),
            "binary.jpg": ({"bucket": "originals", "name": "binary.jpg"}, ce),
            "structured.jpg": ({"specversion": "1.0", "type": "Microsoft.Storage.BlobCreated", "source": "x", "subject": subject + "structured.jpg", "data": {}}, {"Content-Type": "application/cloudevents+json"}),
        }
        for key in shapes:
            (store.folder / "originals" / key).write_bytes(photograph.read_bytes())
        settings = {**ON, **presets(folder), **store.settings("originals", "variants"), "EVENTS": "public", "EVENTS_TOPICS": topic, "BASE_PATH": "/img"}
        with Server(**settings) as server:
            public = "/img/_/events?token=" + urllib.parse.quote(TOKEN, safe="")
            basic = {"Authorization": "Basic " + base64.b64encode(f"any:{TOKEN}".encode()).decode()}
            verbatim = {"Authorization": TOKEN}
            for number, (key, (body, headers)) in enumerate(shapes.items()):
                door = [(server.admin, "/events", basic), (server.address, public, {}), (server.admin, "/events", verbatim)][number % 3]
                answer = post(door[0], body, path=door[1], token=None, headers={**door[2], **headers})
                show.equal(f"shapes: {key.split('.')[0]} is taken", answer.status, 202)
            for key in shapes:
                show.check(f"shapes: three sizes of {key}", until(lambda: len(entries(store, "variants", key)) == 3, 30))
            validation = [{"eventType": "Microsoft.EventGrid.SubscriptionValidationEvent", "subject": "", "data": {"validationCode": "code-1"}}]
            show.equal("shapes: Event Grid's handshake", json.loads(post(server.admin, validation).body), {"validationResponse": "code-1"})
            asked = post(server.address, b"", path=public, token=None, method="OPTIONS", headers={"WebHook-Request-Origin": "eventgrid.azure.net"})
            show.equal("shapes: the handshake of CloudEvents", (asked.status, asked["WebHook-Allowed-Origin"]), (200, "eventgrid.azure.net"))
            head = post(server.admin, b"", method="HEAD")
            show.equal("shapes: MinIO asks whether anybody is there", head.status, 200)
            elsewhere = tell(server, "somebody-elses", "cat.jpg")
            ignored = json.loads(elsewhere.body)
            show.equal("shapes: a bucket of no origin is passed over", (elsewhere.status, ignored["ignored"], ignored["unknown_bucket"]), (200, 1, 1))
            server.stop()
            show.equal("shapes: the token in the log", [line for line in server.lines if TOKEN in line or urllib.parse.quote(TOKEN, safe="") in line], [])


def one_bucket(show, photograph):
    """Originals and variants in one bucket, every write of it sent back as an event."""
    folder = scratch("events-loop")
    with S3(folder / "s3", "shared") as store:
        settings = {**ON, **presets(folder), **store.settings("shared", "shared"), "VARIANT_LAYOUT": "mirror", "ALLOWED_SIZES": "300x200,600x0,0x150"}
        (store.folder / "shared/cat.jpg").write_bytes(photograph.read_bytes())
        with Server(**settings) as server:
            pending, rounds, sent, seen = [("PUT", "cat.jpg")], 0, 0, 0
            while pending and rounds < 12:
                rounds += 1
                sent += len(pending)
                names = {"PUT": "ObjectCreated:Put", "DELETE": "ObjectRemoved:Delete"}
                body = {"Records": [record("shared", key, names[method]) for method, key in pending]}
                post(server.admin, body)
                until(lambda: server.metric("lenslet_event_queue_depth") == 0 and not notes(store, "shared"), 20)
                time.sleep(0.2)
                journal = [e for e in store.journal() if e["method"] in names and e["status"] < 300]
                pending = [(e["method"], e["path"].removeprefix("/shared/")) for e in journal[seen:]]
                seen = len(journal)
            show.check("one bucket: it comes to rest", not pending, f"{sent} events in {rounds} rounds")
            mirrored = [size for size in ("300x200", "600x0", "0x150") if (store.folder / "shared" / size / "cat.jpg").exists()]
            show.equal("one bucket: the sizes lie where their URLs say", mirrored, ["300x200", "600x0", "0x150"])
            show.equal("one bucket: and the presets", len(entries(store, "shared", "cat.jpg")), 3)
            show.equal("one bucket: renders", server.metric("lenslet_transforms_total", outcome="ok"), 6)
            show.equal("one bucket: GETs of the original", store.count("GET", "/shared/cat.jpg"), 1)
            puts = [e["path"] for e in store.journal() if e["method"] == "PUT" and "/~/events/" not in e["path"]]
            show.equal("one bucket: everything is written once", len(puts), len(set(puts)))
            nested = [path for path in store.folder.rglob("*") if path.is_file() and "x200/300x200" in str(path)]
            show.equal("one bucket: variants of variants", nested, [])
            show.check("one bucket: our own writes were told apart", server.metric("lenslet_events_total", outcome="ours") > 0 and works(server, "ours") == 3)


def free_port():
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


def replicas(show, pictures):
    folder = scratch("events-replicas")
    with S3(folder / "s3", "originals", "variants") as store:
        original = store.folder / "originals/cat.jpg"
        original.write_bytes(pictures["A"].read_bytes())
        ports = [free_port() for _ in range(3)]
        peers = ",".join(f"127.0.0.1:{port}" for port in ports)
        settings = {**ON, **presets(folder), **store.settings("originals", "variants"), "PEERS": peers, "ADMIN_TOKEN": "admin-token-0123456789"}
        servers = [Server(**settings, ADMIN_LISTEN=f"127.0.0.1:{port}") for port in ports]
        try:
            def whose():
                answers = [server.get("/cat.jpg?preset=card") for server in servers]
                return ["".join(name for name, path in pictures.items() if shows(answer, path)) for answer in answers]

            show.equal("replicas: at first", whose(), ["A"] * 3)
            original.write_bytes(pictures["B"].read_bytes())
            show.equal("replicas: overwritten, within the TTL of an hour", whose(), ["A"] * 3)
            began = time.monotonic()
            tell(servers[0], "originals", "cat.jpg")
            done = until(lambda: works(servers[0], "made") == 1, 20)
            took = time.monotonic() - began
            show.equal(f"replicas: {took:.2f} s after the event", (bool(done), whose()), (True, ["B"] * 3))
            show.equal("replicas: only variants of B lie in the store", len({path.parent.name for path in entries(store, "variants", "cat.jpg")}), 1)
        finally:
            for server in servers:
                server.stop()


def uploads(store, photograph):
    keys = [f"upload-{number}.jpg" for number in range(12)]
    for key in keys:
        (store.folder / "originals" / key).write_bytes(photograph.read_bytes())
    return keys


def killed(show, photograph):
    folder = scratch("events-killed")
    with S3(folder / "s3", "originals", "variants") as store:
        keys = uploads(store, photograph)
        settings = {**ON, **presets(folder), **store.settings("originals", "variants"), "EVENTS_LEASE": "2s"}
        server = Server(**settings)
        answer = tell(server, "originals", *keys)
        server.stop(signal.SIGKILL)
        left, done = len(notes(store, "variants")), sum(len(entries(store, "variants", key)) == 3 for key in keys)
        show.equal("killed: right after the 202", answer.status, 202)
        show.check("killed: work was left, and noted", left > 0 and done < len(keys), f"{left} notes, {done} of {len(keys)} done")
        began = time.monotonic()
        with Server(**settings) as server:
            complete = until(lambda: all(len(entries(store, "variants", key)) == 3 for key in keys), 60)
            show.check("killed: after a restart every one has its three sizes", complete, f"{time.monotonic() - began:.1f} s, lease 2 s")
            show.check("killed: and no note is left", until(lambda: not notes(store, "variants"), 20), len(notes(store, "variants")))
            show.check("killed: counted", server.metric("lenslet_event_markers_recovered_total") >= left)


def stopped(show, photograph):
    """SIGTERM: what runs is finished, what waits stays noted."""
    folder = scratch("events-stopped")
    with S3(folder / "s3", "originals", "variants") as store:
        keys = uploads(store, photograph)
        settings = {**ON, **presets(folder), **store.settings("originals", "variants"), "EVENTS_LEASE": "2s"}
        server = Server(**settings)
        tell(server, "originals", *keys)
        status = server.stop()
        partly = [key for key in keys if len(entries(store, "variants", key)) in (1, 2)]
        noted = len(notes(store, "variants"))
        done = sum(len(entries(store, "variants", key)) == 3 for key in keys)
        show.equal("stopped: exit and half-done originals", (status, partly), (0, []))
        show.check("stopped: done or noted", done + noted >= len(keys), f"{done} done, {noted} noted")


def full(show, photograph):
    folder = scratch("events-full")
    with S3(folder / "s3", "originals", "variants") as store:
        keys = [f"upload-{number}.jpg" for number in range(6)]
        for key in keys:
            (store.folder / "originals" / key).write_bytes(photograph.read_bytes())
        settings = {**ON, **presets(folder), **store.settings("originals", "variants"), "EVENTS_QUEUE": "1"}
        with Server(**settings) as server:
            first = tell(server, "originals", *keys[:5])
            second = tell(server, "originals", keys[5])
            text = second.body.decode().strip()
            show.equal("full: a body, and the next one", (first.status, second.status), (202, 503))
            show.check("full: says when to come again", second["Retry-After"].isdigit() and len(text) > 10, f"{second['Retry-After']} s: {text}")
            again = until(lambda: tell(server, "originals", keys[5]).status == 202, 30, 0.2)
            complete = until(lambda: all(len(entries(store, "variants", key)) == 3 for key in keys), 30)
            show.check("full: sent again it is taken, and nothing was lost", again and complete)


def without_a_store(show, photograph):
    folder = scratch("events-bare")
    with S3(folder / "s3", "originals") as store:
        (store.folder / "originals/cat.jpg").write_bytes(photograph.read_bytes())
        settings = {name: value for name, value in store.settings("originals", "none").items() if not name.startswith("VARIANTS")}
        with Server(**ON, **presets(folder), **settings) as server:
            answer = tell(server, "originals", "cat.jpg")
            show.equal("no store: answered when it is done", (answer.status, json.loads(answer.body)["done"]), (200, 1))
            show.equal("no store: the variants are in memory", [server.get(f"/cat.jpg?{query}").cache for query in ASKED], ["memory"] * 3)
        with Server(**ON, **presets(folder), **{**settings, "ORIGIN_DEFAULT_ENDPOINT": "http://127.0.0.1:9"}) as server:
            answer = tell(server, "originals", "cat.jpg")
            show.equal("no store, origin down: the sender is to try again", (answer.status, answer["Retry-After"] != ""), (503, True))


def origin_down(show, photograph):
    folder = scratch("events-down")
    with S3(folder / "s3", "originals", "variants") as store:
        settings = {**ON, **presets(folder), **store.settings("originals", "variants")}
        original = store.folder / "originals/cat.jpg"
        original.write_bytes(photograph.read_bytes())
        port = free_port()
        settings["ORIGIN_DEFAULT_ENDPOINT"] = f"http://127.0.0.1:{port}"
        with Server(**settings) as server:
            show.equal("origin down: taken", tell(server, "originals", "cat.jpg").status, 202)
            show.check("origin down: tried again", until(lambda: works(server, "retried") >= 2, 30), works(server, "retried"))
            relay = Relay(port, store.address)
            show.check("origin up again: three sizes", until(lambda: len(entries(store, "variants", "cat.jpg")) == 3, 60))
            show.check("origin up again: no note is left", until(lambda: not notes(store, "variants"), 10))
            relay.close()


class Relay:
    """Bytes from a port to an address: an origin that comes up later."""

    def __init__(self, port, to):
        self.listener = socket.create_server(("127.0.0.1", port))
        self.to = to
        threading.Thread(target=self.run, daemon=True).start()

    def run(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            upstream = socket.create_connection(self.to)
            for one, other in ((client, upstream), (upstream, client)):
                threading.Thread(target=self.pump, args=(one, other), daemon=True).start()

    @staticmethod
    def pump(one, other):
        try:
            while data := one.recv(65536):
                other.sendall(data)
            other.shutdown(socket.SHUT_WR)
        except OSError:
            pass

    def close(self):
        self.listener.close()


def refused(show):
    folder = scratch("events-refused")
    with S3(folder / "s3", "originals", "variants") as store:
        (store.folder / "originals/notes.txt").write_text("no picture at all")
        settings = {**ON, **presets(folder), **store.settings("originals", "variants")}
        with Server(**settings) as server:
            body = {"Records": [record("originals", "cat.jpg")]}
            confirm = {"Type": "SubscriptionConfirmation", "TopicArn": "arn:aws:sns:eu-west-1:1:x", "SubscribeURL": "http://127.0.0.1:1/", "Message": ""}
            cases = [
                ("without a token", 401, post(server.admin, body, token=None)),
                ("a wrong token", 401, post(server.admin, body, token=TOKEN[:-1])),
                ("a wrong token in the query", 401, post(server.admin, body, path="/events?token=x", token=None)),
                ("a probe without a token", 401, post(server.admin, b"", token=None, method="GET")),
                ("nothing", 400, post(server.admin, b"")),
                ("no JSON", 400, post(server.admin, b"hello")),
                ("JSON of nobody", 400, post(server.admin, {"hello": 1})),
                ("a record without an object", 400, post(server.admin, {"Records": [{"eventName": "ObjectCreated:Put"}]})),
                ("a version of tomorrow", 400, post(server.admin, {"Records": [{**record("originals", "a"), "eventVersion": "3.0"}]})),
                ("a topic that is not listed", 403, post(server.admin, {"Type": "Notification", "TopicArn": "arn:aws:sns:eu-west-1:1:x", "Message": json.dumps(body)})),
                ("a subscription of such a topic", 403, post(server.admin, confirm)),
                ("DELETE", 405, post(server.admin, b"", method="DELETE")),
                ("over 1 MiB", 413, post(server.admin, b" " * (1 << 20) + b"[]")),
            ]
            for what, status, answer in cases:
                text = answer.body.decode().strip()
                sentence = "\n" not in text and len(text) > 15 and TOKEN not in text
                show.check(f"refused: {what} → {status}", answer.status == status and sentence, f"{answer.status} {text[:90]}")
            wrong_door = post(server.address, b"", path="/_/events?token=" + urllib.parse.quote(TOKEN, safe=""), token=None, method="GET")
            show.equal("refused: admin means not on the public listener", wrong_door.status, 404)
            tell(server, "originals", "notes.txt")
            show.check("no picture: counted and not tried again", until(lambda: works(server, "no_image") == 1) and works(server, "retried") == 0)
            show.check("no picture: no note is left", until(lambda: not notes(store, "variants")))
            puts = [e["path"] for e in store.journal() if e["method"] == "PUT" and "/~/events/" not in e["path"]]
            show.equal("refused: nothing was written for all of that", puts, [])
            server.stop()
            quoted = urllib.parse.quote(TOKEN, safe="")
            show.equal("refused: the token in the log", [line for line in server.lines if TOKEN in line or quoted in line], [])


def rate(show, photograph):
    from PIL import Image

    folder = scratch("events-rate")
    with S3(folder / "s3", "originals", "variants") as store:
        keys = [f"{number}.jpg" for number in range(200)]
        small = Image.open(photograph)
        small.thumbnail((1600, 1600))
        for number, key in enumerate(keys):
            small.putpixel((0, 0), (number, 0, 0))
            small.save(store.folder / "originals" / key, "JPEG", quality=85)
        settings = {**ON, **presets(folder), **store.settings("originals", "variants"), "LOG_FORMAT": "json"}
        with Server(**settings) as server:
            for label, outcome in [("new originals, three sizes each", "made"), ("the same events again", "unchanged")]:
                before, began = server.cpu_seconds(), time.monotonic()
                had = works(server, outcome)
                for at in range(0, len(keys), 10):
                    tell(server, "originals", *keys[at : at + 10])
                done = until(lambda: works(server, outcome) - had == len(keys), 120, 0.02)
                took, cpu = time.monotonic() - began, server.cpu_seconds() - before
                show.check(f"rate: {label}", done, f"{len(keys) / took:.0f} events/s, {cpu / len(keys) * 1e3:.1f} ms of CPU each")


if __name__ == "__main__":
    show = Show("events: uploads, overwrites and deletions, told by the store")
    one, other = photographs(scratch("photographs"))
    upload(show, one)
    every_shape(show, one)
    one_bucket(show, one)
    replicas(show, {"A": one, "B": other})
    killed(show, one)
    stopped(show, one)
    full(show, one)
    without_a_store(show, one)
    origin_down(show, one)
    refused(show)
    rate(show, one)
    show.end()
