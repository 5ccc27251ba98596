"""What every show stands on: where things are, the photographs, and the table of what held.

Never imports anything of the service: a show knows it by its binary, its environment variables
and its answers alone."""

import atexit
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TARGET = Path(os.environ.get("CARGO_TARGET_DIR") or ROOT / "target").resolve()
LENSLET = TARGET / "release" / "lenslet"
S3WIRE = TARGET / "checked" / "examples" / "s3wire"
SKIPPED = 77  # what the Makefile takes for "skipped", neither passed nor failed
CORPUS = Path(os.environ.get("LENSLET_CORPUS") or ROOT.parent / "shared" / "corpus")


class Show:
    """The requirements of one show: `check` them, then `end` the process with the verdict."""

    def __init__(self, title):
        self.title = title
        self.lines = []
        print(f"{title}", flush=True)

    def note(self, text):
        print(f"  .. {text}", flush=True)

    def check(self, requirement, held, found=""):
        """Records and prints one requirement; returns whether it held."""
        held = bool(held)
        self.lines.append((requirement, held, str(found)))
        print(f"  {'ok' if held else 'NO'} {requirement}{f': {found}' if found != '' else ''}", flush=True)
        return held

    def equal(self, requirement, found, expected):
        detail = repr(found) if found == expected else f"{found!r} instead of {expected!r}"
        return self.check(requirement, found == expected, detail)

    def end(self):
        """Prints the table and exits: 0 only when something was checked and everything held."""
        width = max((len(requirement) for requirement, _, _ in self.lines), default=0)
        print(f"\n{self.title}")
        for requirement, held, found in self.lines:
            print(f"  {'PASS' if held else 'FAIL'}  {requirement.ljust(width)}  {found}")
        passed = bool(self.lines) and all(held for _, held, _ in self.lines)
        print(f"{'PASS' if passed else 'FAIL'}  {self.title}", flush=True)
        sys.exit(0 if passed else 1)


def need(*binaries):
    """Ends the show when a binary it is about has not been built."""
    for binary in binaries:
        if not binary.exists():
            sys.exit(f"{binary} is missing: run this through `make show`")


def corpus_or_skip(title):
    """The corpus; without it the show is skipped, loudly, with an exit code of its own."""
    if not (CORPUS / "INDEX.tsv").exists():
        print(f"{'!' * 78}\nSKIPPED: {title}: no corpus at {CORPUS} (LENSLET_CORPUS says where)\n{'!' * 78}")
        sys.exit(SKIPPED)
    return CORPUS


def scratch(name):
    """A folder of its own for one run, removed at the end of the process."""
    path = Path(tempfile.mkdtemp(prefix=f"lenslet-{name}-"))
    atexit.register(shutil.rmtree, path, ignore_errors=True)
    return path


def photographs(folder):
    """Two real photographs as JPEG, or drawn ones where the corpus is not there."""
    names = ["lepton-iphone.jpg", "wuffs-harvesters.jpeg"]
    if all((CORPUS / "photos" / name).exists() for name in names):
        return [CORPUS / "photos" / name for name in names]
    print(f"  .. no corpus at {CORPUS}: drawn pictures stand in for photographs")
    need(LENSLET)
    subprocess.run([LENSLET, "samples", folder], check=True, stdout=subprocess.DEVNULL)
    return [folder / "landscape.jpg", folder / "card.jpg"]


def until(condition, seconds=10.0, pause=0.01):
    """Waits for a condition; returns its last value, true or not."""
    deadline = time.monotonic() + seconds
    while True:
        value = condition()
        if value or time.monotonic() > deadline:
            return value
        time.sleep(pause)
