"""Where things are, and the processor clock of another process. Decides nothing."""

import os
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.append(str(ROOT / "tests" / "show"))

from harness import CORPUS, LENSLET, S3WIRE, SKIPPED, TARGET  # noqa: E402, F401

HERE = Path(__file__).resolve().parent
WORK = TARGET / "peers"
INPUTS = WORK / "inputs"
RESULTS = ROOT / "benches" / "RESULTS.md"


def clock(pid):
    """CPU seconds of a process so far, user and system, of every thread that is or was; nanoseconds,
    where /proc counts in hundredths of a second. The id is what clock_getcpuclockid(3) returns."""
    return time.clock_gettime((~pid << 3) | 2)


def at_rest(pid, quiet=0.03):
    """The same once the work behind the answers is over: less than 0.2 ms in that many seconds."""
    last = clock(pid)
    while True:
        time.sleep(quiet)
        now = clock(pid)
        if now - last < 0.0002:
            return now
        last = now


def pinned(cpu):
    """What a child calls before it becomes a peer: each has the same one core, and the client another."""
    cpus = sorted(os.sched_getaffinity(0))
    return lambda: os.sched_setaffinity(0, {cpus[cpu % len(cpus)]})
