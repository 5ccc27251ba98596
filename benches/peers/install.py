"""Brings what Lenslet is measured against, each by its name and version from its own registry, into the
target folder; what is there already is left alone. A peer that cannot be had is told loudly and in
the results, with what the registry or the compiler said, and the others are measured without it."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from common import HERE, TARGET, WORK

NPM, VENV, TOOLS = TARGET / "peers/npm", TARGET / "peers/venv", TARGET / "tools"
# Neither has a package of Debian's, and no container registry is asked: built from their modules, by
# cgo against Debian's libvips.
IMGPROXY = ("github.com/imgproxy/imgproxy/v3", "v3.30.1")
IMAGOR = ("github.com/cshum/imagor/cmd/imagor", "v1.5.14")
# The scorer: SSIMULACRA2 in Rust, BSD-2-Clause, without the part that reads videos.
SCORER = ("ssimulacra2_rs", "0.5.2")
SECONDS = 900  # for one installation


class Missing(Exception):
    """A peer that cannot be had here, and why."""


def told(error):
    """The line of an error that says why: of go and cargo it is the last one with something in it."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1][:300] if lines else "no word"


def run(part, command, **options):
    print(f"  .. bringing {part}", flush=True)
    try:
        done = subprocess.run([str(c) for c in command], capture_output=True, text=True, timeout=SECONDS, **options)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Missing(f"{part}: {error}") from error
    if done.returncode:
        raise Missing(f"{part}: {told(done.stderr or done.stdout)}")
    return done.stdout


def program(name):
    found = shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/local/go/bin:" + str(Path.home() / ".cargo/bin"))
    if not found:
        raise Missing(f"{name}: not installed; `.ci/setup peers` brings it on Debian and Ubuntu")
    return Path(found)


def as_written(mark, *files):
    """Whether an installation is of these files, to the byte."""
    wanted = b"".join(file.read_bytes() for file in files)
    return mark.exists() and mark.read_bytes() == wanted, wanted


def node_modules():
    """The folder of the npm packages of package-lock.json; the client checks each against its digest."""
    npm, files, mark = program("npm"), [HERE / "package.json", HERE / "package-lock.json"], NPM / "installed"
    done, wanted = as_written(mark, *files)
    if not done:
        NPM.mkdir(parents=True, exist_ok=True)
        for file in files:
            shutil.copyfile(file, NPM / file.name)
        run("sharp", [npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund"], cwd=NPM)
        mark.write_bytes(wanted)
    return NPM / "node_modules"


def thumbor():
    """thumbor's command, in a virtual environment of requirements.txt."""
    file, mark = HERE / "requirements.txt", VENV / "installed"
    done, wanted = as_written(mark, file)
    if not done:
        run("a venv", [sys.executable, "-m", "venv", "--clear", VENV])
        run("thumbor", [VENV / "bin/python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--requirement", file])
        mark.write_bytes(wanted)
    return VENV / "bin/thumbor"


def vipsthumbnail():
    return program("vipsthumbnail")


def go(module, version):
    """A Go program, built once, its binary named after its version; or one that is installed."""
    name = "imagor" if module.endswith("imagor") else "imgproxy"
    binary = TOOLS / "bin" / f"{name}-{version}"
    if not binary.exists():
        if installed := shutil.which(name):
            return Path(installed)
        build = TOOLS / "go-bin"
        env = {**os.environ, "GOBIN": str(build), "CGO_ENABLED": "1", "CGO_CFLAGS_ALLOW": "-Xpreprocessor"}
        run(f"{name} {version}", [program("go"), "install", f"{module}@{version}"], env=env)
        binary.parent.mkdir(parents=True, exist_ok=True)
        # A module whose path ends in its major version is built as a program of its last name.
        os.replace(next(path for path in build.iterdir() if path.name in (name, "v3")), binary)
    return binary


def scorer():
    """The command that scores two pictures; needed, not a peer."""
    crate, version = SCORER
    binary = TOOLS / "bin" / crate
    if not binary.exists():
        quickly = {"CARGO_PROFILE_RELEASE_LTO": "off", "CARGO_PROFILE_RELEASE_CODEGEN_UNITS": "16", "CARGO_TARGET_DIR": str(TOOLS / "build")}
        run(f"{crate} {version}", [program("cargo"), "install", crate, "--version", version, "--locked", "--no-default-features", "--root", TOOLS], env={**os.environ, **quickly})
        shutil.rmtree(TOOLS / "build", ignore_errors=True)
    return binary


PEERS = {"sharp": node_modules, "thumbor": thumbor, "vipsthumbnail": vipsthumbnail, "imgproxy": lambda: go(*IMGPROXY), "imagor": lambda: go(*IMAGOR)}


def everything():
    """What could be had, by name, and why the rest could not."""
    WORK.mkdir(parents=True, exist_ok=True)
    had, missing = {}, {}
    for name, bring in PEERS.items():
        try:
            had[name] = bring()
        except Missing as error:
            missing[name] = told(error)
            print(f"{'!' * 78}\nMISSING: {error}\n{'!' * 78}", flush=True)
    return had, missing


if __name__ == "__main__":
    print(*(f"{name}: {path}" for name, path in everything()[0].items()), f"scorer: {scorer()}", sep="\n")
