"""The snippets of config/cdn and the policies of config/policies, by whatever can judge them without a
cloud: validators, the providers' lists of permissions, Node for what is JavaScript, and the service
itself for what an Accept header means."""

import json
import re
import subprocess
import time
import xml.etree.ElementTree as xml

import install
from accepts import BROWSERS, EVERY, VALUES
from harness import Show, photographs, scratch
from parts import CDN, POLICIES, Counter, copies, version
from processes import Server, file_url
from wire import request
from workerd import Worker, binary

TEMPLATES = {CDN / "cloudfront-origin-group.yaml": "eu-central-1", CDN / "cloudfront-rate-limit.yaml": "us-east-1", POLICIES / "aws-events.json": "eu-central-1"}

# https://cloud.google.com/storage/docs/access-control/iam-permissions (objects), and Azure's data
# operations of blobs, https://learn.microsoft.com/azure/role-based-access-control/permissions/storage.
GOOGLE = {f"storage.objects.{verb}" for verb in ("create", "delete", "get", "getIamPolicy", "list", "move", "overrideUnlockedRetention", "restore", "setIamPolicy", "setRetention", "update")}
AZURE = {f"Microsoft.Storage/storageAccounts/blobServices/containers/blobs/{verb}" for verb in ("read", "write", "delete", "add/action", "move/action", "tags/read", "tags/write", "filter/action")}


def values(tree, name):
    """Every value of a key, anywhere in a JSON document, lists taken apart."""
    if isinstance(tree, dict):
        for key, value in tree.items():
            if key == name:
                yield from value if isinstance(value, list) else [value]
            yield from values(value, name)
    elif isinstance(tree, list):
        for item in tree:
            yield from values(item, name)


def documents(show):
    found = {}
    for path in sorted([*POLICIES.glob("*.json"), *CDN.glob("*.json")]):
        try:
            found[path.name] = json.loads(path.read_text())
        except ValueError as error:
            show.check(f"{path.name} is JSON", False, error)
    show.check("every JSON document can be read", len(found) >= 15, len(found))
    readme = (POLICIES / "README.md").read_text() + (CDN / "README.md").read_text()
    shipped = {path.name for folder in (POLICIES, CDN) for path in folder.iterdir() if path.name != "README.md"}
    show.equal("files that the READMEs beside them do not name", sorted(name for name in shipped if name not in readme), [])
    return found


def actions(show, found):
    tool = install.python("cfn-lint")
    show.note(f"cfn-lint {version([tool, '--version'])}")
    for path, region in TEMPLATES.items():
        lint = subprocess.run([tool, "--regions", region, "--", path], capture_output=True, text=True, timeout=120)
        show.equal(f"cfn-lint on {path.name}", (lint.returncode, lint.stdout), (0, ""))
    listed = next(install.VENV.glob("lib/python3*/site-packages/cfnlint/data/AdditionalSpecs/Policies.json"))
    known = json.loads(listed.read_text())

    def real(action):
        service, _, name = action.partition(":")
        return name.lower() in known.get(service, {}).get("Actions", [])

    aws = {action for name, tree in found.items() if name.startswith("aws-") for action in values(tree, "Action")}
    show.equal(f"{len(aws)} AWS actions, those that do not exist", sorted(action for action in aws if not real(action)), [])
    show.check("no AWS policy has a wildcard for an action", not any("*" in action for action in aws))
    google = {action for tree in found.values() for action in values(tree, "includedPermissions")}
    show.equal(f"{len(google)} Google permissions, those that do not exist", sorted(google - GOOGLE), [])
    azure = {action for tree in found.values() for action in values(tree, "DataActions")}
    show.equal(f"{len(azure)} Azure data actions, those that do not exist", sorted(azure - AZURE), [])
    show.check("each provider has some", aws and google and azure)


def website(show, found):
    """The XML and the JSON of the website say the same."""
    text = (CDN / "s3-website-redirect.xml").read_text()
    tree = xml.fromstring(re.sub(r' xmlns="[^"]*"', "", text.split("?>", 1)[1]))
    rules = [{part.tag: {field.tag: field.text for field in part} for part in rule} for rule in tree.findall("RoutingRules/RoutingRule")]
    show.equal("the website's rules in XML are those in JSON", rules, found["s3-website-redirect.json"]["RoutingRules"])


def expressions(show):
    """nginx and Varnish are run; what Fastly gets are the same regular expressions."""
    nginx, varnish, fastly = (
        sorted(set(re.findall(r"\^\(\?!\.\*image.*?\(\?:,\|\$\)\)(?=['\"])", (CDN / name).read_text())))
        for name in ("nginx.conf", "varnish.vcl", "fastly.vcl")
    )
    show.equal("regular expressions on Accept in nginx.conf", len(nginx), 3)
    show.equal("varnish.vcl and fastly.vcl have the same ones", (varnish == nginx, fastly == nginx), (True, True))


def cloudfront(requests):
    program = install.HERE / "cloudfront.cjs"
    done = subprocess.run([install.node(), program, CDN / "cloudfront-function.js"], input=json.dumps(requests), capture_output=True, text=True, timeout=60, check=True)
    return json.loads(done.stdout)


def event(uri="/cat.jpg", query=None, accept=None):
    headers = {} if accept is None else {"accept": {"value": accept}}
    return {"method": "GET", "uri": uri, "querystring": {name: {"value": value} for name, value in (query or {}).items()}, "headers": headers, "cookies": {}}


def function(show):
    """Every value of the function, for every header, exactly as the service sees it."""
    text = (CDN / "cloudfront-function.js").read_text()
    show.check("the CloudFront Function is below its limit of 10 KB", len(text) < 10_000, f"{len(text)} bytes")
    auto = {"w": "300", "f": "auto"}
    sent = cloudfront([event(query=auto, accept=accept) for accept in EVERY])
    wrong = [(accept, got["headers"]["accept"]["value"]) for (accept, kind), got in zip(EVERY.items(), sent) if got["headers"]["accept"]["value"] != VALUES[kind]]
    show.equal(f"CloudFront Function: of {len(EVERY)} headers not given the value they must have", wrong, [])
    kinds = {got["headers"]["accept"]["value"] for got in cloudfront([event(query=auto, accept=accept) for accept, _ in BROWSERS.values()])}
    show.equal(f"CloudFront Function: values of {len(BROWSERS)} clients", len(kinds), 3)
    accept = BROWSERS["Chrome 120, img"][0]
    cases = {
        "no Accept at all": (event(query=auto), VALUES["-"]),
        "a sized URL": (event("/300x200/cat.jpg", accept=accept), VALUES["-"]),
        "a format by name": (event(query={"w": "300", "f": "webp"}, accept=accept), VALUES["-"]),
        "f=AUTO": (event(query={"f": "AUTO"}, accept=accept), VALUES["A"]),
        "a preset, which may hold f=auto": (event(query={"preset": "thumb"}, accept=accept), VALUES["A"]),
        "a signed URL": (event(query={"w": "300", "f": "auto", "s": "abc"}, accept=accept), VALUES["A"]),
    }
    for (what, (given, value)), got in zip(cases.items(), cloudfront([given for given, _ in cases.values()])):
        untouched = {name: given[name] for name in ("uri", "querystring")} == {name: got[name] for name in ("uri", "querystring")}
        show.equal(f"CloudFront Function: {what}", (got["headers"]["accept"]["value"], untouched), (value, True))
    twice = event(query=auto)
    twice["headers"]["accept"] = {"value": "image/webp", "multiValue": [{"value": "image/webp"}, {"value": "image/avif"}]}
    show.equal("CloudFront Function: a header sent twice", cloudfront([twice])[0]["headers"]["accept"]["value"], VALUES["A"])


def kind_of(servers, accept):
    """What the service makes of a header: by the format where AVIF is within its budget, and where not."""
    headers = {"Accept": accept}
    small, large = (request(server.address, "/cat.jpg?w=200&f=auto", headers=headers)["Content-Type"] for server in servers)
    return {("image/avif", "image/webp"): "A", ("image/webp", "image/webp"): "W", ("image/avif", "image/jpeg"): "a", ("image/jpeg", "image/jpeg"): "-"}.get((small, large), f"{small}, {large}")


def service(show, folder):
    """The table the others are held to, held to the service."""
    settings = {"ORIGIN": file_url(folder), "SOURCE_TTL": "immutable"}
    # The second one's budget for AVIF is below the picture that is asked for.
    with Server(**settings) as roomy, Server(**settings, MAX_AVIF_PIXELS=10_000) as tight:
        wrong = {accept: found for accept, kind in EVERY.items() if (found := kind_of((roomy, tight), accept)) != kind}
    show.equal(f"the service's own reading of {len(EVERY)} headers, where it differs", wrong, {})


def worker(show, folder):
    with Server(ORIGIN=file_url(folder)) as server, Counter(server.address) as counter, Worker(counter.address) as edge:
        wrong = []
        for number, (accept, kind) in enumerate(EVERY.items()):
            # One URL for each: the value that is sent on is what is asked for here.
            request(edge.address, f"/cat.jpg?w=20&f=auto&v={number}", headers={"Accept": accept})
            if (sent := counter.requests()[-1][2]) != VALUES[kind]:
                wrong.append((accept, sent))
        show.equal(f"Worker: of {len(EVERY)} headers not given the value they must have", wrong, [])
        counter.clear()
        types = {}
        for round in range(2):
            for name, (accept, kind) in BROWSERS.items():
                answer = request(edge.address, "/cat.jpg?w=200&f=auto", headers={"Accept": accept})
                # It is put into the cache behind the answer.
                time.sleep(0.1)
                types.setdefault((kind, answer["Content-Type"], answer.picture().format if answer.status == 200 else answer.told(), answer["Vary"]), []).append(name)
        show.equal("Worker: formats by class of client", sorted(types), sorted([("A", "image/avif", "AVIF", "Accept"), ("W", "image/webp", "WEBP", "Accept"), ("-", "image/jpeg", "JPEG", "Accept")]))
        show.equal(f"Worker: requests that reach the service of {2 * len(BROWSERS)}", len(counter.requests()), 3)
        answer = request(edge.address, "/cat.jpg?w=200&f=auto", headers={"Accept": "image/webp"})
        again = request(edge.address, "/cat.jpg?w=200&f=auto", headers={"Accept": "image/webp", "If-None-Match": answer["ETag"]})
        show.equal("Worker: what the client has already", (again.status, again.body, len(counter.requests())), (304, b"", 3))
        show.equal("Worker: an error is passed on", request(edge.address, "/none.jpg?w=200&f=auto").status, 404)
        show.equal("Worker: neither pages of our own nor other methods", [request(edge.address, "/_/x").status, request(edge.address, "/cat.jpg?w=9", method="POST").status], [404, 405])


if __name__ == "__main__":
    show = Show("snippets: policies, templates and edge code, by validators and by running them")
    folder = scratch("snippets")
    copies(photographs(folder)[0], folder / "originals", ["cat.jpg"])
    found = documents(show)
    website(show, found)
    expressions(show)
    service(show, folder / "originals")
    show.note(f"Node {version([install.node(), '--version'])}")
    function(show)
    actions(show, found)
    show.note(f"{version([binary(), '--version'], '.+')}, Cloudflare's runtime")
    worker(show, folder / "originals")
    show.end()
