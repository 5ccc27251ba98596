"""Lenslet on Azure Blob Storage, as Azurite speaks it: `az://` originals and variants."""

import base64
import datetime
import hashlib
import hmac
import re
import urllib.parse

from cloud import Cloud, mirror, versioned
from harness import Show, photographs, scratch
from install import npm
from parts import Azurite, version
from wire import request


class Azure(Cloud):
    """A client of the REST API, signed with the account's key by the standard library alone."""

    def __init__(self, store):
        self.store = store

    def settings(self, origin, variants):
        settings = {"ORIGIN": f"az://{origin}", "VARIANTS": f"az://{variants}"}
        for name in ("ORIGIN_DEFAULT", "VARIANTS"):
            settings |= {
                f"{name}_ENDPOINT": "http://%s:%d/%s" % (*self.store.address, Azurite.ACCOUNT),
                f"{name}_ALLOW_HTTP": "on",
                f"{name}_ACCOUNT": Azurite.ACCOUNT,
                f"{name}_ACCOUNT_KEY": Azurite.KEY,
            }
        return settings

    def call(self, method, path, query=None, body=b"", headers=None):
        path = f"/{Azurite.ACCOUNT}/" + urllib.parse.quote(path, safe="/")
        now = datetime.datetime.now(datetime.timezone.utc).strftime("%a, %d %b %Y %H:%M:%S GMT")
        headers = {**(headers or {}), "x-ms-date": now, "x-ms-version": "2023-11-03"}
        if body or method == "PUT":
            headers["content-length"] = str(len(body))
        own = "".join(f"{name}:{headers[name]}\n" for name in sorted(headers) if name.startswith("x-ms-"))
        standard = [str(len(body)) if body else "", "", headers.get("content-type", ""), *[""] * 6]
        resource = f"/{Azurite.ACCOUNT}{path}" + "".join(f"\n{name}:{value}" for name, value in sorted((query or {}).items()))
        text = "\n".join([method, "", "", *standard]) + "\n" + own + resource
        signature = base64.b64encode(hmac.new(base64.b64decode(Azurite.KEY), text.encode(), hashlib.sha256).digest()).decode()
        headers["authorization"] = f"SharedKey {Azurite.ACCOUNT}:{signature}"
        target = f"{path}?{urllib.parse.urlencode(query)}" if query else path
        return request(self.store.address, target, method=method, headers=headers, body=body)

    def make(self, container):
        answer = self.call("PUT", container, {"restype": "container"})
        if answer.status != 201:
            raise SystemExit(f"the container {container}: {answer.told()}")

    def put(self, container, key, body):
        answer = self.call("PUT", f"{container}/{key}", body=body, headers={"x-ms-blob-type": "BlockBlob", "content-type": "image/jpeg"})
        if answer.status != 201:
            raise SystemExit(f"{key}: {answer.told()}")

    def get(self, container, key):
        answer = self.call("GET", f"{container}/{key}")
        marks = {name[10:]: value for name, value in answer.headers.items() if name.startswith("x-ms-meta-")}
        return (answer.body, answer["Content-Type"], answer["Cache-Control"], marks) if answer.status == 200 else None

    def list(self, container):
        answer = self.call("GET", container, {"restype": "container", "comp": "list"})
        return re.findall(r"<Name>(.*?)</Name>", answer.body.decode())


if __name__ == "__main__":
    show = Show("azure: Azurite as originals and variants")
    show.note(f"Azurite {version(['node', npm('azurite') / 'dist/src/blob/main.js', '--version'])}")
    folder = scratch("azure")
    photograph = photographs(folder)
    with Azurite(folder / "azurite") as store:
        cloud = Azure(store)
        for container in ("originals", "variants", "site"):
            cloud.make(container)
        versioned(show, "azure", cloud, dict(zip("AB", photograph)))
        mirror(show, "azure", cloud, photograph[0])
    show.end()
