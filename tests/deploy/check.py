"""`make check-deploy`: everything under k8s/ and the Dockerfile against their validators and the
rules of our own. Prints one line for each thing checked; exits 1 when one does not hold."""

import re
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

import yaml

import affinity
import capacity
import hpa_examples
import mutations
import render
import rules
import schemas
from pods import defaults, environment, is_lenslet, mounted, named, of_kind, templates
from render import K8S, ROOT, TARGET

LENSLET = TARGET / "release" / "lenslet"
failed = []


def verdict(what, problems):
    problems = sorted(set(problems))
    print(f"{'NO' if problems else 'ok'} {what}", flush=True)
    for problem in problems:
        print(f"     {problem}", flush=True)
    if problems:
        failed.append(what)


def hadolint():
    command = [Path(sys.executable).parent / "hadolint", "--no-color", ROOT / "Dockerfile"]
    return subprocess.run(command, capture_output=True, text=True).stdout.splitlines()


def not_ignored():
    """What the Dockerfile copies from the context is not hidden by .dockerignore."""
    shown = set(re.findall(r"^!(\S+)$", (ROOT / ".dockerignore").read_text(), re.M))
    lines = re.findall(r"^COPY (?!--from)(.+)$", (ROOT / "Dockerfile").read_text(), re.M)
    copied = {name for line in lines for name in line.split()[:-1]}
    yield from (f"{name} is copied but not in .dockerignore's list" for name in copied - shown)
    yield from (f"{name} is in .dockerignore's list but not copied" for name in shown - copied)
    yield from (f"{name} is not there" for name in copied if not (ROOT / name).exists())


def made_up():
    """The empty crate of the Dockerfile has every source file that Cargo.toml names."""
    script = re.search(r"sed -n '(.+?)' Cargo.toml", (ROOT / "Dockerfile").read_text())[1]
    made = subprocess.run(["sed", "-n", script, ROOT / "Cargo.toml"], capture_output=True, text=True).stdout.split()

    def sources(value):
        if isinstance(value, dict):
            return [found for inner in value.values() for found in sources(inner)]
        if isinstance(value, list):
            return [found for inner in value for found in sources(inner)]
        return [value] if isinstance(value, str) and value.endswith(".rs") else []

    named = sources(tomllib.loads((ROOT / "Cargo.toml").read_text()))
    yield from (f"{path} is not made" for path in set(named) - set(made))


def versions():
    """One version everywhere: Cargo.toml, the image's label, the manifests."""
    version = re.search(r'^version = "(.+)"', (ROOT / "Cargo.toml").read_text(), re.M)[1]
    for path in [ROOT / "Dockerfile", *K8S.rglob("*.yaml")]:
        pattern = r"ARG VERSION=(\S+)|image: (?:\S+/)?lenslet:(\S+)|newTag: (\S+)"
        for found in re.findall(pattern, path.read_text()):
            if "".join(found) != version:
                yield f"{path.relative_to(ROOT)} says {''.join(found)}, Cargo.toml {version}"
    rust = re.search(r'^rust-version = "(.+)"', (ROOT / "Cargo.toml").read_text(), re.M)[1]
    if f"FROM rust:{rust}-" not in (ROOT / "Dockerfile").read_text():
        yield f"the Dockerfile does not build with Rust {rust}"


def alert_rules():
    """The PrometheusRule is config/alerts.yaml, word for word."""
    path = ROOT / "config" / "alerts.yaml"
    written = K8S / "components" / "prometheus-rules" / "prometheusrule.yaml"
    if not path.exists() or not written.exists():
        return [f"{path if written.exists() else written} is missing: `make rules` writes it"]
    wanted = yaml.safe_load(path.read_text())["groups"]
    same = yaml.safe_load(written.read_text())["spec"]["groups"] == wanted
    return [] if same else ["it is not that of config/alerts.yaml: `make rules` writes it anew"]


def presets():
    """The presets of base are those of config/presets.toml."""
    ours, shipped = (tomllib.loads(path.read_text()) for path in (K8S / "base/presets.toml", ROOT / "config/presets.toml"))
    return [] if ours == shipped else ["they differ"]


def metrics():
    """Every metric that a manifest names is one that the service has."""
    sources = "".join(path.read_text() for path in (ROOT / "src").rglob("*.rs"))
    for path in K8S.rglob("*.yaml"):
        if path.name == "prometheusrule.yaml":
            continue
        for name in set(re.findall(r"\blenslet_[a-z_]+\b", path.read_text())):
            if f'"{name.removeprefix("lenslet_")}"' not in sources and f'"{name}"' not in sources:
                yield f"{path.relative_to(ROOT)} names {name}"


def accepted(documents):
    """The settings of every container of ours, by the word of `lenslet check-config`."""
    for template in templates(documents):
        for container in filter(is_lenslet, template.spec["containers"]):
            told = environment(template, container, documents)
            # What the Secret would hold.
            told |= {name: "00" * 16 for name, value in told.items() if value is None}
            with tempfile.TemporaryDirectory() as folder:
                for path, text in mounted(template, container, documents).items():
                    here = Path(folder) / Path(path).name
                    here.write_text(text)
                    told = {name: str(here) if value == path else value for name, value in told.items()}
                done = subprocess.run([LENSLET, "check-config"], env=told, capture_output=True, text=True)
            if done.returncode:
                yield f"{template.name}: {done.stderr.strip()[:400]}"


def named_in_files():
    """What stands in the files, comments and prose too: renderings have no comments."""
    known = defaults()
    for path in [ROOT / "Dockerfile", *(p for p in K8S.rglob("*") if p.suffix in (".yaml", ".env", ".md", ".cfg", ".toml"))]:
        for name in set(re.findall(r"LENSLET_[A-Z0-9_]*[A-Z0-9]", path.read_text())):
            if not rules.settings(name, known):
                yield f"{path.relative_to(ROOT)}: {name} is not in config/default.env"


def autoscaler(rendered):
    """The autoscalers' numbers are those that CAPACITY.md says follow from the simulation."""
    chosen = capacity.chosen()
    for what, documents in rendered:
        hpa = named(documents, "HorizontalPodAutoscaler", "lenslet")
        scaled = named(documents, "ScaledObject", "lenslet")
        if hpa:
            target = hpa["spec"]["metrics"][0]["containerResource"]["target"]["averageUtilization"]
            found = capacity.numbers(hpa["spec"]["minReplicas"], hpa["spec"]["maxReplicas"], target, hpa["spec"]["behavior"])
        elif scaled:
            spec = scaled["spec"]
            cpu = next(t for t in spec["triggers"] if t["type"] == "cpu")
            behaviour = spec["advanced"]["horizontalPodAutoscalerConfig"]["behavior"]
            found = capacity.numbers(spec["minReplicaCount"], spec["maxReplicaCount"], int(cpu["metadata"]["value"]), behaviour)
        else:
            continue
        for name in chosen.keys() | found.keys():
            if chosen.get(name) != found.get(name):
                yield f"{what}: {name} is {found.get(name)}, CAPACITY.md has {chosen.get(name)}"
        requests = named(documents, "Deployment", "lenslet")["spec"]["template"]["spec"]["containers"][0]["resources"]["requests"]
        if requests != capacity.pod():
            yield f"{what}: a pod has {requests}, CAPACITY.md counts on {capacity.pod()}"


def haproxy(rendered):
    """HAProxy itself reads its configuration, where it is installed."""
    configs = {c["data"]["haproxy.cfg"] for _, d in rendered for c in of_kind(d, "ConfigMap") if "haproxy.cfg" in c.get("data", {})}
    for text in configs:
        done = subprocess.run(["haproxy", "-c", "-f", "/dev/stdin"], input=text, env={"PATH": "/usr/sbin:/usr/bin", "NAMESPACE": "lenslet"}, capture_output=True, text=True)
        if done.returncode:
            yield done.stderr


def main():
    command = render.kustomize()
    if not command:
        sys.exit("kustomize is missing: install it, or kubectl, or Go 1.22.7 or newer for `make check-deploy` to build it")
    verdict("Dockerfile: hadolint has no complaint", hadolint())
    verdict("Dockerfile: it copies what .dockerignore shows, and that is there", not_ignored())
    verdict("Dockerfile: its empty crate has every file that Cargo.toml names", made_up())
    verdict("Dockerfile and k8s/: every LENSLET_ variable named in a file exists in config/default.env", named_in_files())
    verdict("one version in Cargo.toml, Dockerfile and manifests", versions())
    rendered = []
    try:
        rendered = render.everything(command)
        verdict(f"{len(rendered)} renderings by {' '.join(command[-2:]).rsplit('/', 1)[-1]}", [])
    except RuntimeError as error:
        verdict("everything renders", [str(error)])
        sys.exit(1)
    for what, documents in rendered:
        verdict(f"{what}: {len(documents)} objects fit the schemas of Kubernetes {', '.join(schemas.VERSIONS)}", schemas.valid(documents))
    for rule in rules.RULES:
        verdict(rule.__doc__.strip().split("\n")[0], [f"{what}: {p}" for what, documents in rendered for p in rule(documents)])
    whole = next(documents for what, documents in rendered if what == "all components but keda")
    verdict(f"each rule notices what it is for ({len(mutations.MUTATIONS)} mutations)", mutations.survivors(whole, [schemas.valid, *rules.RULES]))
    verdict("autoscalers have the numbers of k8s/CAPACITY.md", autoscaler(rendered))
    verdict("every metric that a manifest names is in the sources", metrics())
    verdict("the PrometheusRule is config/alerts.yaml", alert_rules())
    verdict("the presets of k8s/base are those of config/presets.toml", presets())
    if LENSLET.exists():
        verdict("lenslet check-config accepts the settings of every pod", [f"{what}: {p}" for what, documents in rendered for p in accepted(documents)])
    else:
        print(f"-- SKIPPED: lenslet check-config over the settings of every pod: {LENSLET} is not built")
    try:
        verdict("haproxy reads the configuration of path-affinity-haproxy", haproxy(rendered))
        verdict("by it variants of one original meet at one pod, within the bound", affinity.problems())
    except FileNotFoundError:
        print("-- SKIPPED: haproxy is not installed (apt-get install haproxy)")
    verdict("the simulated autoscaler does what Kubernetes documents, case by case", hpa_examples.problems())
    verdict("k8s/CAPACITY.md and its plots are what `make capacity` draws", capacity.stale())
    print(f"\n{'FAIL' if failed else 'PASS'}  check-deploy" + (f": {len(failed)} do not hold" if failed else ""))
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
