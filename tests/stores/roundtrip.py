"""The round trip that Lenslet is named after: a bucket's website does not have a picture, sends the
client to Lenslet, which makes it, stores it in that bucket and answers; from then on the bucket
answers alone. The website is configured by the committed file, with nothing but its addresses changed."""

import io
import re
import urllib.parse

from PIL import Image

from harness import until
from parts import CDN, Counter, S3rver, exchanged
from processes import Server
from wire import request

PATH = "/300x200/pets/cat.jpg"
SETTINGS = {"VARIANT_LAYOUT": "mirror", "ALLOWED_SIZES": "300x200,0x150", "UNSIGNED": "sizes"}


def website(service, keep_path=False):
    """The XML of the website, with the address of the service in it. `keep_path` takes the line out
    that makes a query of the key."""
    text = (CDN / "s3-website-redirect.xml").read_text()
    text = re.sub(r"<!--.*?-->\n", "", text, flags=re.S)
    rules = text.split("<RoutingRule>")
    pairs = {"<Protocol>https<": "<Protocol>http<", ">img.example.com<": ">%s:%d<" % service}
    if keep_path:
        pairs["        <ReplaceKeyPrefixWith>?key=</ReplaceKeyPrefixWith>\n"] = ""
    return "<RoutingRule>".join([rules[0], *(exchanged(rule, pairs) for rule in rules[1:])])


def follow(answer):
    """The client goes where a redirect sends it."""
    there = urllib.parse.urlsplit(answer["Location"])
    target = f"{there.path}?{there.query}" if there.query else there.path
    return request((there.hostname, there.port), target)


def described(body):
    try:
        picture = Image.open(io.BytesIO(body))
        picture.load()
        return f"{picture.format} {picture.width}x{picture.height}"
    except OSError as error:
        return str(error)


def round_trip(show, label, visit, server, counter, stored, sent_to):
    """`visit(path)` asks the website, `stored(key)` whether the bucket has an object; `sent_to` is the
    target that the service is asked for."""
    before = server.metric("lenslet_http_requests_total")
    counter.clear()
    first = visit(PATH)
    if not show.equal(f"{label}: the first client is sent on", first.status, 307):
        show.note(first.told())
        return
    made = follow(first)
    show.equal(f"{label}: and gets the picture from Lenslet", (made.status, made["Content-Type"], described(made.body), made.cache), (200, "image/jpeg", "JPEG 300x200", "rendered"))
    show.check(f"{label}: which is in the bucket then", until(lambda: stored(PATH[1:]), 10))
    second = visit(PATH)
    show.equal(f"{label}: the second client gets it from the bucket", (second.status, second["Content-Type"], second["Location"]), (200, "image/jpeg", ""))
    show.equal(f"{label}: the very bytes", second.body == made.body, True)
    show.check(f"{label}: with a Cache-Control", "max-age" in second["Cache-Control"], second["Cache-Control"])
    show.equal(f"{label}: requests that reached Lenslet, on the wire", [entry[:2] for entry in counter.requests()], [("GET", sent_to)])
    # Through another connection, and after everything else: the service's own count.
    show.equal(f"{label}: and by its own count", server.metric("lenslet_http_requests_total") - before, 1)

    refused = follow(visit("/301x200/pets/cat.jpg"))
    show.equal(f"{label}: a size that is not allowed ends at Lenslet", (refused.status, refused["Location"]), (403, ""))
    absent = follow(visit("/300x200/pets/dog.jpg"))
    show.equal(f"{label}: so does a picture that is not there", (absent.status, absent["Location"]), (404, ""))
    show.equal(f"{label}: nothing is stored of either", [key for key in ("301x200/pets/cat.jpg", "300x200/pets/dog.jpg") if stored(key)], [])
    server.stop()
    show.equal(f"{label}: with Lenslet gone the bucket still answers", visit(PATH).status, 200)


def on_s3rver(show, label, folder, photograph, keep_path=False):
    """The round trip on a website of s3rver's."""
    # The website has to know where the service listens, and the service where the store does: the
    # counter between them is there first.
    with Counter() as counter, S3rver(folder, {"originals": "", "site": website(counter.address, keep_path)}) as store:
        client = store.client()
        client.put("originals", "pets/cat.jpg", photograph.read_bytes(), **{"Content-Type": "image/jpeg"})
        with Server(**SETTINGS, **store.settings("originals", "site")) as server:
            counter.lead_to(server.address)
            target = PATH if keep_path else f"/?key={PATH[1:]}"
            round_trip(show, label, lambda path: store.visit("site", path), server, counter, lambda key: client.head("site", key).status == 200, target)
