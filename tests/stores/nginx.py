"""Debian's nginx in front of Lenslet, with config/cdn/nginx.conf as it is committed."""

import edge
import install
from harness import Show, photographs, scratch
from parts import Nginx, version


def rate_limit(bench):
    """Hits count, too: nginx limits before it looks into its cache."""
    edge.hammering(bench, ["/cat.jpg?w=240&f=webp"] * 600)


if __name__ == "__main__":
    show = Show("nginx: in front of Lenslet")
    show.note(f"nginx {version([install.debian('nginx'), '-v'])}")
    photograph = photographs(scratch("photographs"))[0]
    with edge.Bench(show, "nginx", photograph, Nginx) as bench:
        for part in (edge.negotiation, edge.revalidation, edge.slowly, edge.collapsing, edge.outage, edge.closed, rate_limit):
            part(bench)
    show.end()
