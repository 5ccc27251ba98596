"""The redirect round trip on s3rver's websites, in both forms that the committed rules may take: the key
in a query, as they stand, and the path kept, for keys that mean something in a query."""

import install
from harness import Show, photographs, scratch
from parts import version
from roundtrip import on_s3rver


if __name__ == "__main__":
    show = Show("website: a bucket's website sends what it has not to Lenslet")
    show.note(f"s3rver {version([install.node(), install.npm('s3rver') / 'bin/s3rver.js', '--version'])}")
    photograph = photographs(scratch("photographs"))[0]
    on_s3rver(show, "by query", scratch("website-query"), photograph)
    on_s3rver(show, "by path", scratch("website-path"), photograph, keep_path=True)
    show.end()
