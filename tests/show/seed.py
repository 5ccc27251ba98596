"""Resize on 404, the whole way round: two clients ask a bucket's website for the same picture. The
first one's 404 becomes a 307 to the service, which renders, stores and answers; the second is served
by the bucket alone. Exactly one request reaches the service. The website is s3rver's, an S3 server with
redirection rules that is fetched from npm; without it the show is skipped."""

import sys

from harness import ROOT, Show, photographs, scratch

sys.path.append(str(ROOT / "tests/stores"))

import install  # noqa: E402
from roundtrip import on_s3rver  # noqa: E402


if __name__ == "__main__":
    show = Show("seed: bucket 404, 307, rendered and stored, served by the bucket alone")
    folder = scratch("seed")
    install.npm("s3rver")  # or the show is skipped
    on_s3rver(show, "seed", folder, photographs(folder)[0])
    show.end()
