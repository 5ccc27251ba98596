"""Brings the parts that are not built here, each by its name and version from its own registry, into
the target folder; what is there already is left alone. A part that cannot be had skips the test,
loudly, with an exit code of its own, and the runner decides what that means."""

import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from harness import ROOT, SKIPPED, TARGET

HERE = ROOT / "tests/stores"
TOOLS, NPM, VENV = TARGET / "tools/bin", TARGET / "npm", TARGET / "stores-venv"
VERSITYGW = ("github.com/versity/versitygw/cmd/versitygw", "v1.8.0")
# gcp-storage-emulator from PyPI knows neither HEAD nor the listing of the XML API, which clients use.
FAKE_GCS = ("github.com/fsouza/fake-gcs-server", "v1.56.1")
SECONDS = 420  # for one installation


def missing(part, why):
    """Ends the test: the part it is about cannot be had here."""
    print(f"{'!' * 78}\nSKIPPED: no {part}: {why}\n{'!' * 78}", flush=True)
    sys.exit(SKIPPED)


def run(part, command, **options):
    print(f"  .. bringing {part}", flush=True)
    try:
        done = subprocess.run([str(c) for c in command], capture_output=True, text=True, timeout=SECONDS, **options)
    except (OSError, subprocess.TimeoutExpired) as error:
        missing(part, str(error))
    if done.returncode:
        missing(part, f"{' '.join(str(c) for c in command[:3])} failed:\n{(done.stdout + done.stderr)[-2000:]}")
    return done.stdout


def debian(name):
    """A program that .ci/setup servers brings."""
    found = shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin")
    return Path(found) if found else missing(name, "`.ci/setup servers` brings it on Debian and Ubuntu")


def go(module, version):
    """A Go program, built once; its binary is named after its version."""
    name = module.rsplit("/", 1)[1]
    binary = TOOLS / f"{name}-{version}"
    if not binary.exists():
        tool = shutil.which("go") or missing(name, "there is no go to build it")
        TOOLS.mkdir(parents=True, exist_ok=True)
        build = TARGET / "tools/go-bin"
        run(f"{name} {version}", [tool, "install", f"{module}@{version}"], env={**os.environ, "GOBIN": str(build)})
        os.replace(build / name, binary)
    return binary


def versitygw():
    return go(*VERSITYGW)


def npm(package):
    """The folder of an npm package of package-lock.json."""
    tool, node = shutil.which("npm"), shutil.which("node")
    if not tool or not node:
        missing(package, "there is no node with npm")
    lock = (HERE / "package-lock.json").read_bytes()
    mark = NPM / "installed"
    if not mark.exists() or mark.read_bytes() != lock:
        NPM.mkdir(parents=True, exist_ok=True)
        for name in ("package.json", "package-lock.json"):
            shutil.copyfile(HERE / name, NPM / name)
        # Nothing of these packages needs to be compiled or run to be installed.
        run("the npm packages", [tool, "ci", "--ignore-scripts", "--no-audit", "--no-fund"], cwd=NPM)
        mark.write_bytes(lock)
    return NPM / "node_modules" / package


def node():
    return Path(shutil.which("node") or missing("node", "`.ci/setup servers` brings it on Debian and Ubuntu"))


def python(command):
    """A command of the Python packages of requirements.txt."""
    wanted = (HERE / "requirements.txt").read_bytes()
    mark = VENV / "installed"
    if not mark.exists() or mark.read_bytes() != wanted:
        run("a venv", [sys.executable, "-m", "venv", "--clear", VENV])
        run("the Python packages", [VENV / "bin/python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--requirement", HERE / "requirements.txt"])
        mark.write_bytes(wanted)
    return VENV / "bin" / command


def everything():
    """All of it, side by side: one waits for the network while another compiles. What fails is told by
    the test that needs it."""

    def tried(bring, *names):
        try:
            for name in names:
                bring(*name)
        except SystemExit:
            pass

    with ThreadPoolExecutor(3) as pool:
        pool.submit(tried, npm, ["azurite"])
        pool.submit(tried, python, ["cfn-lint"])
        pool.submit(tried, go, VERSITYGW, FAKE_GCS)


if __name__ == "__main__":
    everything()
