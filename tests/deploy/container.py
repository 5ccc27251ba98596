"""The image built and run by a real Docker engine: what it is made of, as whom it runs, on a
read-only root, with its health check, within the limits it is given, until SIGTERM; and what differs
in the targets for Lambda and Cloud Run. Writes sizes and start time into k8s/capacity/measured.json.

    python3 tests/deploy/container.py              DOCKER names the client, BUILD_FLAGS adds to builds
    python3 tests/deploy/container.py --built      with images that were built before"""

import gzip
import http.client
import json
import os
import shlex
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "show"))

from harness import Show, until  # noqa: E402

DOCKER = shlex.split(os.environ.get("DOCKER", "docker"))
MEASURED = ROOT / "k8s" / "capacity" / "measured.json"
STARTS = 7


def docker(*arguments, check=True):
    done = subprocess.run([*DOCKER, *map(str, arguments)], capture_output=True, text=True)
    if check and done.returncode:
        sys.exit(f"docker {' '.join(map(str, arguments))}: {done.stderr.strip()}")
    return done.stdout.strip() if check else done


def inspect(what):
    return json.loads(docker("inspect", what))[0]


def free_port():
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


def get(port, path):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read(), {name.lower(): value for name, value in answer.getheaders()}
    except OSError:
        return 0, b"", {}
    finally:
        connection.close()


class Container:
    """A container of ours on the host's network, as hardened as the manifests have it."""

    def __init__(self, image, originals, variants, *options, **settings):
        self.port, self.admin = free_port(), free_port()
        told = {
            "LENSLET_LISTEN": f"127.0.0.1:{self.port}",
            "LENSLET_ADMIN_LISTEN": f"127.0.0.1:{self.admin}",
            "LENSLET_ORIGIN": "file:///originals",
            "LENSLET_VARIANTS": "file:///variants",
            "LENSLET_UNSIGNED": "allow",
            "LENSLET_LOG_FORMAT": "json",
            **settings,
        }
        environment = [part for name, value in told.items() if value is not None for part in ("--env", f"{name}={value}")]
        self.id = docker(
            "create", "--network", "host", "--read-only", "--cap-drop", "ALL", "--security-opt", "no-new-privileges",
            "--volume", f"{originals}:/originals:ro", "--volume", f"{variants}:/variants", *options, *environment, image,
        )  # fmt: skip

    def start(self):
        """Milliseconds from `docker start` to ready."""
        begun = time.monotonic()
        docker("start", self.id)
        if not until(lambda: get(self.admin, "/readyz")[0] == 200, 20, 0.002):
            sys.exit(f"the container does not become ready:\n{self.log()}")
        return (time.monotonic() - begun) * 1000

    def log(self):
        done = docker("logs", self.id, check=False)
        return done.stdout + done.stderr

    def told(self, message):
        """The fields of the first log line with that message."""
        lines = (json.loads(line) for line in self.log().splitlines() if line.startswith("{"))
        return next((line for line in lines if line.get("msg") == message), {})

    def __enter__(self):
        return self

    def __exit__(self, *_):
        docker("rm", "--force", self.id)


def image_is_right(show, image):
    about = inspect(image)
    config, labels = about["Config"], about["Config"]["Labels"]
    show.equal("runs as a user by number", config["User"], "65532:65532")
    show.equal("stops on SIGTERM", config["StopSignal"], "SIGTERM")
    show.equal("health check", config["Healthcheck"]["Test"], ["CMD", "/usr/local/bin/lenslet", "health"])
    show.equal("exposes pictures, not the admin port", sorted(config["ExposedPorts"]), ["8080/tcp"])
    named = {name.rsplit(".", 1)[1]: value for name, value in labels.items() if name.startswith("org.opencontainers.image.")}
    show.equal("licence in its labels", named.get("licenses"), "MIT OR Apache-2.0")
    show.check("version and revision in its labels", named.get("version") and len(named.get("revision", "")) >= 40, f"{named.get('version')} {named.get('revision')}")
    layers = [line.partition("\t")[::2] for line in docker("history", "--human=false", "--no-trunc", "--format", "{{.Size}}\t{{.CreatedBy}}", image).splitlines()]
    ours = sum(int(size) for size, by in layers if "COPY" in by)
    packed = subprocess.run([*DOCKER, "save", image], capture_output=True, check=True).stdout
    sizes = {"mb": about["Size"] / 1e6, "layers_mb": ours / 1e6, "packed_mb": len(gzip.compress(packed, 6)) / 1e6}
    show.check("below 60 MB", about["Size"] < 60e6, ", ".join(f"{name} {value:.1f}" for name, value in sizes.items()))
    with tempfile.TemporaryDirectory() as folder:
        container = docker("create", image)
        done = docker("cp", f"{container}:/usr/share/doc/lenslet", folder, check=False)
        docker("rm", container)
        found = sorted(path.name for path in Path(folder).rglob("*.*")) + sorted(path.name for path in Path(folder).rglob("LICENSE-*") if "." not in path.name)
        show.equal("licences and notices are in it", found, ["THIRD-PARTY.md", "LICENSE-APACHE", "LICENSE-MIT"] if not done.returncode else done.stderr)
    show.check("there is no shell in it", docker("run", "--rm", "--entrypoint", "/bin/sh", image, "-c", "true", check=False).returncode != 0)
    return {name: round(value, 1) for name, value in sizes.items()}


def runs(show, image, originals, variants):
    # The kubelet's and Docker's own interval would make this test a slow one.
    health = ("--health-interval", "500ms", "--health-start-period", "0s")
    with Container(image, originals, variants, "--memory", "512m", "--cpus", "1", *health, LENSLET_DRAIN_DELAY="2s") as container:
        container.start()
        state = inspect(container.id)
        pid = state["State"]["Pid"]
        status = dict(line.split(":\t", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines() if ":\t" in line)
        show.equal("it is nobody's root", status["Uid"].split()[0], "65532")
        show.equal("it has no capability", int(status["CapEff"], 16), 0)
        show.equal("its root is read-only", state["HostConfig"]["ReadonlyRootfs"], True)
        told = container.told("listening")
        show.equal("it knows its CPU and its memory", (told["renders"], told["memory_bytes"]), (1, 512 << 20))
        answers = [get(container.port, "/landscape.jpg?w=400&f=webp") for _ in range(2)]
        show.equal("it renders, then remembers", [(a[0], a[2].get("x-cache")) for a in answers], [(200, "rendered"), (200, "memory")])
        show.check("the variant is stored", until(lambda: any(path.is_file() for path in Path(variants).rglob("*")), 5))
        show.equal("Docker finds it healthy", until(lambda: inspect(container.id)["State"]["Health"]["Status"] == "healthy", 15), True)
        stopping = subprocess.Popen([*DOCKER, "stop", "--time", "30", container.id], stdout=subprocess.DEVNULL)
        show.check("SIGTERM: not ready at once", until(lambda: get(container.admin, "/readyz")[0] == 503, 5))
        show.equal("and still answering, while balancers look away", get(container.port, "/card.jpg?w=300")[0], 200)
        began = time.monotonic()
        stopping.wait(40)
        state = inspect(container.id)["State"]
        show.equal("it ends by itself, in order", (state["ExitCode"], bool(container.told("stopped"))), (0, True))
        show.check("well before it would be killed", time.monotonic() - began < 15)
    with Container(image, originals, variants, *health, LENSLET_ADMIN_LISTEN="127.0.0.1:1") as sick:
        docker("start", sick.id)
        sound = until(lambda: inspect(sick.id)["State"].get("Health", {}).get("Status") == "healthy", 4)
        show.check("one that cannot listen is not healthy, and says why", not sound and "127.0.0.1:1" in sick.log(), sick.log().strip()[-120:])


def starts(show, image, originals, variants):
    times = []
    for _ in range(STARTS):
        with Container(image, originals, variants) as container:
            times.append(container.start())
    median = round(statistics.median(times))
    show.check("`docker start` to ready below 2 s", median < 2000, f"{median} ms, of {' '.join(f'{t:.0f}' for t in times)}")
    return median


def serverless(show, images, originals, variants):
    image = images["lambda"]
    config = inspect(image)["Config"]
    environment = dict(entry.split("=", 1) for entry in config["Env"])
    show.equal("lambda: the adapter waits for /health", (environment.get("AWS_LWA_READINESS_CHECK_PATH"), environment.get("AWS_LWA_PORT")), ("/health", "8080"))
    layer = docker("create", image)
    with tempfile.TemporaryDirectory() as folder:
        copied = docker("cp", f"{layer}:/opt/extensions/lambda-adapter", folder, check=False)
        show.check("lambda: the adapter is an extension", copied.returncode == 0)
    docker("rm", layer)
    for name, platform in (("lambda", {"AWS_LAMBDA_FUNCTION_NAME": "images"}), ("cloudrun", {"K_SERVICE": "images"})):
        port = free_port()
        settings = {**platform, "LENSLET_WRITE_BACK": None}
        if name == "cloudrun":
            settings |= {"LENSLET_LISTEN": None, "PORT": str(port)}
        folder = Path(variants) / name
        folder.mkdir()
        folder.chmod(0o777)
        with Container(images[name], originals, folder, **settings) as container:
            container.start()
            port = port if name == "cloudrun" else container.port
            show.equal(f"{name}: listens where the platform says, and is healthy", get(port, "/health")[0], 200)
            first = get(port, "/landscape.jpg?w=500&f=webp")
            stored = sum(path.is_file() and path.name != "source.json" for path in folder.rglob("*"))
            show.equal(f"{name}: stored before it is answered", (first[0], stored), (200, 1))
            began = time.monotonic()
            docker("stop", "--time", "10", container.id)
            took = time.monotonic() - began
            show.check(f"{name}: gone at once on SIGTERM", inspect(container.id)["State"]["ExitCode"] == 0 and took < 5, f"{took:.1f} s")


def main():
    show = Show("container: the image, built and run")
    images = {"runtime": "lenslet:container-test", "lambda": "lenslet:container-test-lambda", "cloudrun": "lenslet:container-test-cloudrun"}
    if "--built" not in sys.argv:
        for target, image in images.items():
            began = time.monotonic()
            subprocess.run([ROOT / ".ci" / "image", image], env={**os.environ, "TARGET_STAGE": target}, check=True)
            show.note(f"{target} built in {time.monotonic() - began:.0f} s")
    with tempfile.TemporaryDirectory() as folder:
        originals, variants = Path(folder, "originals"), Path(folder, "variants")
        for path in (originals, variants):
            path.mkdir()
            path.chmod(0o777)
        Path(folder).chmod(0o755)
        docker("run", "--rm", "--volume", f"{originals}:/originals", images["runtime"], "samples", "/originals")
        sizes = image_is_right(show, images["runtime"])
        runs(show, images["runtime"], originals, variants)
        ready = starts(show, images["runtime"], originals, variants)
        serverless(show, images, originals, variants)
    measured = json.loads(MEASURED.read_text())
    measured["image"] = {**sizes, "start_to_ready_ms": ready}
    MEASURED.write_text(json.dumps(measured, indent=1) + "\n")
    show.end()


if __name__ == "__main__":
    main()
