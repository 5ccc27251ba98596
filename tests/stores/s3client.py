"""A client of S3 in the few calls that the tests need, signed with SigV4 by the standard library
alone, so that what it sees is not what our own client would see."""

import datetime
import hashlib
import hmac
import re
import urllib.parse
import xml.etree.ElementTree as xml

from wire import request


class Client:
    """Calls at one address with one pair of keys; without keys, as the world sees it."""

    def __init__(self, address, key="", secret="", region="us-east-1"):
        self.address, self.key, self.secret, self.region = address, key, secret, region

    def call(self, method, path, query="", body=b"", headers=None):
        """`path` is /bucket/key, not encoded; `query` is sorted and encoded."""
        path = urllib.parse.quote(path, safe="/~")
        target = f"{path}?{query}" if query else path
        headers = {name.lower(): value for name, value in (headers or {}).items()}
        if self.key:
            headers |= self._signed(method, path, query, body, headers)
        if body or method in ("PUT", "POST"):
            headers["content-length"] = str(len(body))
        return request(self.address, target, method=method, headers=headers, body=body)

    def _signed(self, method, path, query, body, headers):
        now = datetime.datetime.now(datetime.timezone.utc).strftime("%Y%m%dT%H%M%SZ")
        digest = hashlib.sha256(body).hexdigest()
        headers = {**headers, "host": "%s:%d" % self.address, "x-amz-date": now, "x-amz-content-sha256": digest}
        names = sorted(headers)
        # A subresource such as ?policy is signed as ?policy=.
        query = "&".join(part if "=" in part else f"{part}=" for part in query.split("&") if part)
        canonical = "\n".join(
            [method, path, query, *(f"{name}:{headers[name].strip()}" for name in names), "", ";".join(names), digest]
        )
        scope = f"{now[:8]}/{self.region}/s3/aws4_request"
        text = "\n".join(["AWS4-HMAC-SHA256", now, scope, hashlib.sha256(canonical.encode()).hexdigest()])
        key = f"AWS4{self.secret}".encode()
        for part in scope.split("/"):
            key = hmac.new(key, part.encode(), hashlib.sha256).digest()
        signature = hmac.new(key, text.encode(), hashlib.sha256).hexdigest()
        del headers["host"]  # the connection sends it
        headers["authorization"] = f"AWS4-HMAC-SHA256 Credential={self.key}/{scope}, SignedHeaders={';'.join(names)}, Signature={signature}"
        return headers

    def make(self, bucket):
        """A bucket, and nothing said when it is there."""
        answer = self.call("PUT", f"/{bucket}")
        if answer.status not in (200, 409):
            raise SystemExit(f"the bucket {bucket}: {answer.told()}")

    def put(self, bucket, key, body, **headers):
        return self.call("PUT", f"/{bucket}/{key}", body=body, headers=headers)

    def get(self, bucket, key, **headers):
        return self.call("GET", f"/{bucket}/{key}", headers=headers)

    def head(self, bucket, key):
        return self.call("HEAD", f"/{bucket}/{key}")

    def delete(self, bucket, key):
        return self.call("DELETE", f"/{bucket}/{key}")

    def list(self, bucket, prefix="", after="", page=1000):
        """The keys of a bucket in order, page by page."""
        keys, token = [], ""
        while True:
            wanted = {"list-type": "2", "max-keys": page, "prefix": prefix, "start-after": after, "continuation-token": token}
            query = "&".join(f"{name}={urllib.parse.quote(str(value), safe='~')}" for name, value in sorted(wanted.items()) if value)
            answer = self.call("GET", f"/{bucket}", query)
            if answer.status != 200:
                raise SystemExit(f"listing {bucket}: {answer.told()}")
            tree = xml.fromstring(re.sub(rb' xmlns="[^"]*"', b"", answer.body))
            keys += [node.text for node in tree.findall("Contents/Key")]
            token = tree.findtext("NextContinuationToken") or ""
            if tree.findtext("IsTruncated") != "true":
                return keys
