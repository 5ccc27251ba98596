"""Resize on 404: in the `mirror` layout the store holds, under the very path of the request, a
bare picture that anyone can serve. Once with folders, once with an S3 store."""

import io

from PIL import Image

from harness import Show, photographs, scratch, until
from pictures import distance, upright
from processes import S3, PlainFiles, Server, file_url
from wire import request

PATH = "300x200/cat.jpg"
MIRROR = {"VARIANT_LAYOUT": "mirror", "ALLOWED_SIZES": "300x200,0x150", "UNSIGNED": "sizes"}


def described(data):
    try:
        picture = Image.open(io.BytesIO(data))
        picture.load()
    except OSError as error:
        return str(error)
    return f"{picture.format} {picture.width}x{picture.height}"


def stored_like(show, label, address, answer, photograph, path):
    """What a plain file server makes of the stored object."""
    stored = until(lambda: (found := request(address, f"/{path}")).status == 200 and found, 10)
    if not show.check(f"{label}: a plain file server has {path}", stored):
        return
    show.equal(f"{label}: what it serves", (described(stored.body), stored["Content-Type"]), ("JPEG 300x200", "image/jpeg"))
    show.check(f"{label}: the very bytes of our answer", stored.body == answer.body, f"{len(stored.body)} bytes")
    difference = distance(stored.picture(), centred(photograph))
    show.check(f"{label}: it shows the photograph", difference < 6, f"mean difference {difference:.1f} of 255")


def centred(photograph):
    """The middle of a picture in 3:2."""
    image = upright(photograph)
    scale = min(image.width / 3, image.height / 2)
    width, height = int(3 * scale), int(2 * scale)
    left, top = (image.width - width) // 2, (image.height - height) // 2
    return image.crop((left, top, left + width, top + height))


def answers(show, label, server):
    answer = server.get(f"/{PATH}")
    show.equal(f"{label}: GET /{PATH}", (answer.status, described(answer.body), answer.cache), (200, "JPEG 300x200", "rendered"))
    show.equal(f"{label}: again", server.get(f"/{PATH}").cache, "memory")
    redirected = server.get(f"/?key={PATH}")
    show.equal(f"{label}: as a bucket's website redirects", (redirected.status, redirected.body == answer.body), (200, True))
    show.equal(f"{label}: a size that is not allowed", server.get("/301x200/cat.jpg").status, 403)
    show.equal(f"{label}: no such picture", server.get("/300x200/dog.jpg").status, 404)
    return answer


def folders(show):
    folder = scratch("mirror")
    photograph = photographs(folder)[0]
    originals, variants = folder / "originals", folder / "variants"
    originals.mkdir()
    variants.mkdir()
    (originals / "cat.jpg").write_bytes(photograph.read_bytes())
    settings = {**MIRROR, "ORIGIN": file_url(originals), "VARIANTS": file_url(variants)}
    with Server(**settings) as server:
        answer = answers(show, "file", server)
        with PlainFiles(variants) as plain:
            stored_like(show, "file", plain.address, answer, photograph, PATH)
        show.equal("file: nothing of the refused is stored", sorted(p.name for p in variants.glob("*/dog.jpg")) + sorted(p.name for p in variants.glob("301*")), [])
        server.stop()
    with Server(**settings) as server:
        restarted = server.get(f"/{PATH}")
        show.equal("file: after a restart", (restarted.cache, restarted.body == answer.body), ("store", True))


def bucket(show):
    folder = scratch("mirror-s3")
    photograph = photographs(folder)[0]
    with S3(folder / "s3", "originals", "variants") as store:
        (store.folder / "originals/cat.jpg").write_bytes(photograph.read_bytes())
        settings = {**MIRROR, **store.settings("originals", "variants")}
        with Server(**settings) as server:
            answer = answers(show, "s3", server)
            with PlainFiles(store.folder / "variants") as plain:
                stored_like(show, "s3", plain.address, answer, photograph, PATH)
            show.equal("s3: PUTs of the picture", store.count("PUT", f"/variants/{PATH}"), 1)
            kept = store.attributes("variants", PATH)
            show.equal("s3: its Content-Type", kept.get("content_type"), "image/jpeg")
            show.check("s3: its Cache-Control", "max-age" in (kept.get("cache_control") or ""), kept.get("cache_control"))
            names = sorted(kept.get("user_metadata") or {})
            plain_names = names and all(name.isalnum() and name == name.lower() for name in names)
            show.check("s3: its metadata have plain names and carry our mark", plain_names, names)
            server.stop()
        store.clear()
        with Server(**settings) as server:
            restarted = server.get(f"/{PATH}")
            show.equal("s3: after a restart", (restarted.cache, restarted.body == answer.body), ("store", True))
            show.equal("s3: GETs of the original then", store.count("GET", "/originals/cat.jpg"), 0)


if __name__ == "__main__":
    show = Show("mirror: the store holds the picture under the path of its request")
    folders(show)
    bucket(show)
    show.end()
