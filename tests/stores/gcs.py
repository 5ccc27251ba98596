"""Lenslet on Google Cloud Storage, as fake-gcs-server speaks it: `gs://` originals and variants.

That server lacks one call of the XML API, PUT of an object, and no other server that can be had here has
it as Google describes it. `XmlPut` stands in front and makes the JSON API's upload of it, with its
preconditions and metadata; whether those hold is the server's to say. Every other call passes through."""

import http.server
import json
import threading
import urllib.parse

import install
from cloud import Cloud, mirror, versioned
from harness import Show, photographs, scratch
from parts import FakeGcs
from wire import request


class XmlPut:
    """https://cloud.google.com/storage/docs/xml-api/put-object-upload by way of
    https://cloud.google.com/storage/docs/json_api/v1/objects/insert."""

    def __init__(self, server):
        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def handle_one(self):
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                headers = {name: value for name, value in self.headers.items() if name.lower() not in ("host", "connection")}
                if self.command == "PUT":
                    return self.insert(body)
                # The server tells its XML API by the host it was told to listen for.
                self.answer(request(server, self.path, method=self.command, headers={"Host": "%s:%d" % server, **headers}, body=body))

            do_GET = do_HEAD = do_DELETE = do_POST = do_PUT = handle_one

            def insert(self, body):
                bucket, key = urllib.parse.unquote(self.path).lstrip("/").split("/", 1)
                about = {"name": key, "contentType": self.headers.get("Content-Type", "")}
                about["metadata"] = {name[12:].lower(): value for name, value in self.headers.items() if name.lower().startswith("x-goog-meta-")}
                if caching := self.headers.get("Cache-Control"):
                    about["cacheControl"] = caching
                parts = [b"Content-Type: application/json\r\n\r\n" + json.dumps(about).encode(), f"Content-Type: {about['contentType']}\r\n\r\n".encode() + body]
                text = b"".join(b"--part-of-an-upload\r\n" + part + b"\r\n" for part in parts) + b"--part-of-an-upload--\r\n"
                query = "uploadType=multipart"
                if (generation := self.headers.get("x-goog-if-generation-match")) is not None:
                    query += f"&ifGenerationMatch={generation}"
                headers = {"Content-Type": "multipart/related; boundary=part-of-an-upload", "Content-Length": str(len(text))}
                answer = request(server, f"/upload/storage/v1/b/{bucket}/o?{query}", method="POST", headers=headers, body=text)
                if answer.status == 200:
                    made = json.loads(answer.body)
                    answer.headers = {"etag": '"%s"' % made["etag"].strip('"'), "x-goog-generation": str(made["generation"])}
                    answer.body = b""
                self.answer(answer)

            def answer(self, answer):
                self.send_response_only(answer.status)
                for name, value in answer.headers.items():
                    if name not in ("connection", "content-length", "transfer-encoding"):
                        self.send_header(name, value)
                length = answer["Content-Length"] if self.command == "HEAD" else len(answer.body)
                self.send_header("Content-Length", str(length or 0))
                self.end_headers()
                self.wfile.write(answer.body)

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = self.server.server_address[:2]
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()


class Google(Cloud):
    """A client of the JSON API."""

    def __init__(self, store, xml):
        self.store, self.xml = store, xml

    def settings(self, origin, variants):
        settings = {"ORIGIN": f"gs://{origin}", "VARIANTS": f"gs://{variants}"}
        # Originals without anything between: what is read is the server's own.
        for name, address in (("ORIGIN_DEFAULT", self.store.address), ("VARIANTS", self.xml.address)):
            settings |= {f"{name}_ENDPOINT": "http://%s:%d" % address, f"{name}_ALLOW_HTTP": "on", f"{name}_ANONYMOUS": "on"}
        return settings

    def call(self, method, target, body=b"", kind="application/json"):
        headers = {"Content-Type": kind, "Content-Length": str(len(body))} if body else {}
        return request(self.store.address, target, method=method, headers=headers, body=body)

    def make(self, bucket):
        answer = self.call("POST", "/storage/v1/b?project=test", json.dumps({"name": bucket}).encode())
        if answer.status != 200:
            raise SystemExit(f"the bucket {bucket}: {answer.told()}")

    def put(self, bucket, key, body):
        name = urllib.parse.quote(key, safe="")
        answer = self.call("POST", f"/upload/storage/v1/b/{bucket}/o?uploadType=media&name={name}", body, "image/jpeg")
        if answer.status != 200:
            raise SystemExit(f"{key}: {answer.told()}")

    def get(self, bucket, key):
        target = f"/storage/v1/b/{bucket}/o/{urllib.parse.quote(key, safe='')}"
        told = self.call("GET", target)
        if told.status != 200:
            return None
        about = json.loads(told.body)
        body = self.call("GET", f"/download{target}?alt=media").body
        return body, about.get("contentType"), about.get("cacheControl"), about.get("metadata") or {}

    def list(self, bucket):
        answer = self.call("GET", f"/storage/v1/b/{bucket}/o")
        return [item["name"] for item in json.loads(answer.body).get("items", [])]


if __name__ == "__main__":
    show = Show("gcs: a server of Google Cloud Storage's APIs as originals and variants")
    show.note(f"fake-gcs-server {install.FAKE_GCS[1]}")
    folder = scratch("gcs")
    photograph = photographs(folder)
    with FakeGcs() as store, XmlPut(store.address) as xml:
        cloud = Google(store, xml)
        for bucket in ("originals", "variants", "site"):
            cloud.make(bucket)
        versioned(show, "gcs", cloud, dict(zip("AB", photograph)))
        mirror(show, "gcs", cloud, photograph[0])
    show.end()
