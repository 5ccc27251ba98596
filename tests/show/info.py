"""`f=json` describes an original: what it says of every good file of the corpus is what Pillow
reads, nothing is decoded, and the original is read at most once however many pods are asked."""

import csv
import io
import json
import warnings

from PIL import Image, ImageCms

from harness import Show, corpus_or_skip, scratch, until
from processes import S3, Server, file_url

TITLE = "info: f=json says of an original what Pillow reads in it"
# Damaged metadata are the point of some of these files.
warnings.filterwarnings("ignore", module="PIL")
FORMATS = {"jpeg": "JPEG", "png": "PNG", "webp": "WEBP", "avif": "AVIF", "gif": "GIF", "mpo": "JPEG"}
FIELDS = {
    "version", "bytes", "format", "stored_size", "displayed_size", "orientation", "frames",
    "alpha", "mime", "gray", "depth", "progressive", "profile", "modified",
}


def good_files(corpus):
    """Rows of the index that must be served, of the formats Pillow reads as we do."""
    with (corpus / "INDEX.tsv").open(newline="") as index:
        for row in csv.DictReader(index, delimiter="\t"):
            if row["expected"] == "200" and row["ref_pillow13"] == "ok":
                yield row


def profile_name(image):
    data = image.info.get("icc_profile")
    if not data:
        return None
    try:
        return ImageCms.getProfileDescription(ImageCms.ImageCmsProfile(io.BytesIO(data))).strip()
    except (ImageCms.PyCMSError, OSError):
        return None


def bulk(show, corpus, server):
    wrong = {"answer": [], "format": [], "size": [], "displayed": [], "frames": [], "bytes": [], "modified": []}
    names = {"same": 0, "other": []}
    looked = progressive = 0
    for row in good_files(corpus):
        path = corpus / row["path"]
        answer = server.get("/" + row["path"].replace("%", "%25").replace("#", "%23") + "?f=json")
        if answer.status != 200 or answer["Content-Type"] != "application/json":
            wrong["answer"].append((row["path"], answer.status))
            continue
        looked += 1
        told = json.loads(answer.body)
        with Image.open(path) as image:
            found = FORMATS.get((image.format or "").lower(), image.format)
            frames = getattr(image, "n_frames", 1) if image.format != "MPO" else 1
            # Pillow counts the still picture in front of an animated PNG as a frame of it.
            frames = max(frames - bool(image.info.get("default_image")), 1)
            size, name = list(image.size), profile_name(image)
            if image.format == "JPEG":
                progressive += told["progressive"] == bool(image.info.get("progressive"))
                progressive -= told["progressive"] != bool(image.info.get("progressive"))
        if found is None or FORMATS.get(told["format"]) != found:
            wrong["format"].append((row["path"], told["format"], found))
        # A clean aperture is cut out before anything else, which Pillow does not do.
        cut = "crop" in row["path"]
        if told["stored_size"] != size and not cut:
            wrong["size"].append((row["path"], told["stored_size"], size))
        shown = f"{told['displayed_size'][0]}x{told['displayed_size'][1]}"
        if row["display_WxH"] not in ("", "-", shown) and not cut:
            wrong["displayed"].append((row["path"], shown, row["display_WxH"]))
        # Pillow believes a damaged control chunk, we count the frames that are there.
        damaged = any(part in row["path"] for part in ("chunk_", "num_frames"))
        if told["frames"] != frames and not damaged:
            wrong["frames"].append((row["path"], told["frames"], frames))
        stat = path.stat()
        if told["bytes"] != stat.st_size:
            wrong["bytes"].append(row["path"])
        if told["modified"] != int(stat.st_mtime):
            wrong["modified"].append((row["path"], told["modified"], stat.st_mtime))
        if told["profile"] == name:
            names["same"] += name is not None
        elif told["profile"] is not None and name is not None:
            names["other"].append((row["path"], told["profile"], name))
    show.check("files described", looked >= 300, looked)
    for what, files in wrong.items():
        show.check(f"all agree on {what}", not files, files[:5] or looked)
    show.check("profiles named as Pillow names them", names["same"] >= 20 and not names["other"], (names["same"], names["other"][:5]))
    show.check("JPEGs told progressive or not as Pillow tells", progressive >= 50, progressive)
    return looked


def answers(show, server):
    key = "/photos/lepton-iphone.jpg"
    first = server.get(f"{key}?f=json")
    show.equal("the fields", set(json.loads(first.body)), FIELDS)
    head = server.get(f"{key}?f=json", method="HEAD")
    show.equal("HEAD is GET without its body", (head.status, head["ETag"], head.body), (200, first["ETag"], b""))
    known = server.get(f"{key}?f=json", headers={"If-None-Match": first["ETag"]})
    show.equal("If-None-Match", (known.status, known.body), (304, b""))
    picture = server.get(f"{key}?w=100")
    show.check("a picture has another ETag", picture["ETag"] and picture["ETag"] != first["ETag"])
    versioned = server.get(f"{key}?f=json&v=7")
    show.check("with v for a year", "immutable" in versioned["Cache-Control"], versioned["Cache-Control"])
    for query, names in [("f=json&w=100&blur=2", ("w", "blur")), ("f=json&lossless", ("lossless",))]:
        refused = server.get(f"{key}?{query}")
        text = refused.body.decode()
        named = refused.status == 400 and all(name in text for name in names)
        show.check(f"?{query} is refused by name", named, text.strip())
    show.equal("no image", server.get("/README.txt?f=json").status, 415)
    show.equal("no such original", server.get("/nothing.jpg?f=json").status, 404)


def policy(show, corpus):
    folder = scratch("info-policy")
    presets = folder / "presets.toml"
    presets.write_text(
        '[thumb]\nparams = "w=200"\n[open]\nparams = "w=200"\nallow = ["f"]\n[about]\nparams = "f=json"\n'
    )
    settings = {"ORIGIN": file_url(corpus / "photos"), "UNSIGNED": "presets", "PRESETS_FILE": presets}
    with Server(**settings) as server:
        statuses = {
            query: server.get(f"/lepton-iphone.jpg?{query}").status
            for query in ("f=json", "preset=thumb&f=json", "preset=open&f=json", "preset=about", "preset=about&w=10")
        }
        expected = {
            "f=json": 403, "preset=thumb&f=json": 403, "preset=open&f=json": 200, "preset=about": 200,
            "preset=about&w=10": 400,
        }
        show.equal("only a preset gives leave where presets are closed", statuses, expected)


def once(show, corpus):
    """Three processes over one bucket: one GET of the original, then the record answers."""
    folder = scratch("info-s3")
    with S3(folder / "s3", "originals", "variants") as store:
        source = corpus / "photos" / "lepton-iphone.jpg"
        (store.folder / "originals/cat.jpg").write_bytes(source.read_bytes())
        settings = store.settings("originals", "variants")
        caches, bodies = [], set()
        for _ in range(3):
            with Server(**settings) as server:
                for _ in range(2):
                    answer = server.get("/cat.jpg?f=json")
                    caches.append(answer.cache)
                    bodies.add(answer.body)
                show.equal("nothing is rendered", server.metric("lenslet_transforms_total"), 0)
        show.equal("from", caches, ["rendered", "memory", "store", "memory", "store", "memory"])
        show.equal("GETs of the original", store.count("GET", "/originals/cat.jpg"), 1)
        show.equal("one document", len(bodies), 1)
        record = store.folder / "variants/v1/default/cat.jpg/~/source.json"
        if show.check("source.json lies in the store", until(record.exists)):
            kept, told = json.loads(record.read_text()), json.loads(bodies.pop())
            show.check("and holds the same", told.items() <= kept.items(), sorted(kept.keys() - told.keys()))
        # A record as earlier versions wrote it costs one look and is made whole.
        short = {name: kept[name] for name in kept.keys() - {"mime", "gray", "depth", "progressive", "profile", "modified", "recorded_at"}}
        record.write_text(json.dumps({**short, "rendered_at": 1}))
        with Server(**settings) as server:
            again = json.loads(server.get("/cat.jpg?f=json").body)
            show.equal("an earlier record is not taken for whole", again, told)
            show.check("and is replaced", until(lambda: "mime" in json.loads(record.read_text())))


if __name__ == "__main__":
    show = Show(TITLE)
    corpus = corpus_or_skip(TITLE)
    with Server(ORIGIN=file_url(corpus)) as server:
        bulk(show, corpus, server)
        answers(show, server)
        show.equal("renders for all of these", server.metric("lenslet_transforms_total", outcome="ok"), 1)
    policy(show, corpus)
    once(show, corpus)
    show.end()
