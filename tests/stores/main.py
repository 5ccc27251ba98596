"""Lenslet against real parts: stores and caches that other people wrote, each as a process of its
own on loopback. Runs one script after the other, each bounded in time, and ends with a table.

A part that cannot be had here is skipped, loudly; where CI is set, that is a failure.

    main.py               all of them
    main.py nginx azure   these
"""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
SHOW = HERE.parent / "show"
SKIPPED = 77
# Script → seconds it may take. The first one brings what the others need.
INSTALL = {"install": 600}
PARTS = {
    "snippets": 120,
    "versity": 120,
    "upkeep": 180,
    "website": 60,
    "azure": 120,
    "gcs": 120,
    "nginx": 180,
    "varnish": 180,
}


def run(part):
    """Exit status and seconds of one script, which leads a process group of its own."""
    started = time.monotonic()
    env = {**os.environ, "PYTHONPATH": f"{SHOW}{os.pathsep}{HERE}", "PYTHONDONTWRITEBYTECODE": "1"}
    child = subprocess.Popen([sys.executable, HERE / f"{part}.py"], env=env, start_new_session=True)
    try:
        status = child.wait((INSTALL | PARTS)[part])
    except subprocess.TimeoutExpired:
        print(f"  NO {part} was not done in time", flush=True)
        status = "time is up"
    except BaseException:
        end(child)
        raise
    end(child)
    return status, time.monotonic() - started


def end(child):
    """Whatever the script has left running, the script included."""
    try:
        os.killpg(child.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
    child.wait()


def main(wanted):
    unknown = [part for part in wanted if part not in PARTS]
    if unknown:
        sys.exit(f"no such part: {', '.join(unknown)}; there are {', '.join(PARTS)}")
    results = []
    # A few brought alone bring their own.
    for part in wanted or [*INSTALL, *PARTS]:
        print(f"\n===== test-stores: {part} =====", flush=True)
        results.append((part, *run(part)))
    strict = bool(os.environ.get("CI"))
    failed = [part for part, status, _ in results if status != 0 and (strict or status != SKIPPED)]
    print("\n===== test-stores =====")
    for part, status, seconds in results:
        verdict = {0: "passed", SKIPPED: "SKIPPED"}.get(status, f"FAILED ({status})")
        print(f"  {part:12} {seconds:6.1f} s  {verdict}")
    skipped = [part for part, status, _ in results if status == SKIPPED]
    print(f"  {'':12} {sum(seconds for *_, seconds in results):6.1f} s")
    if skipped:
        print(f"test-stores: SKIPPED: {' '.join(skipped)}{': a failure, for CI is set' if strict else ''}")
    print(f"test-stores: {'FAILED: ' + ' '.join(failed) if failed else 'all that ran passed'}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
