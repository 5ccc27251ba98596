"""What lies under k8s/, as kustomize renders it: every overlay, and every component on top of the
production overlay in the way that k8s/README.md tells. Judges nothing."""

import itertools
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[2]
TARGET = Path(os.environ.get("CARGO_TARGET_DIR") or ROOT / "target").resolve()
K8S = ROOT / "k8s"


def kustomize():
    """The command that renders a folder: ours, else one that is installed, else kubectl's."""
    own = TARGET / "tools" / "bin" / "kustomize"
    commands = ([str(own), "build"], ["kustomize", "build"], ["kubectl", "kustomize"])
    return next((command for command in commands if shutil.which(command[0])), None)


def build(folder, command):
    """The objects of a kustomization; raises with kustomize's own words when it does not render."""
    done = subprocess.run([*command, str(folder)], capture_output=True, text=True)
    if done.returncode or done.stderr.strip():
        # A warning, such as one of a deprecated field, is an error to come.
        raise RuntimeError(done.stderr.strip())
    return [document for document in yaml.safe_load_all(done.stdout) if document]


def names(kind):
    """The folders of k8s/overlays or k8s/components that hold a kustomization."""
    return sorted(path.parent.name for path in (K8S / kind).glob("*/kustomization.yaml"))


# What a component stands on.
NEEDS = {"path-affinity": ["gateway-httproute"]}
# Either of them decides how many pods there are.
RIVALS = ["hpa-custom-metric", "keda"]
# Overlays that stand on production.
CLOUDS = ["aks", "eks", "gke"]


def snippet(head):
    """The lines of k8s/README.md that stand below that comment."""
    behind = (K8S / "README.md").read_text().split(f"    # {head}\n")[1]
    lines = itertools.takewhile(lambda line: line.startswith("    "), behind.splitlines())
    return yaml.safe_load("\n".join(lines))


def with_components(wanted, command, overlay="production", **more):
    """An overlay with components, word for word as the README has it but for which they are."""
    with tempfile.TemporaryDirectory(prefix="composed-", dir=K8S / "overlays") as folder:
        changed = {"resources": [f"../{overlay}"], "components": [f"../../components/{name}" for name in wanted]}
        text = snippet("an overlay of yours") | changed | more
        Path(folder, "kustomization.yaml").write_text(yaml.safe_dump(text))
        return build(folder, command)


def everything(command):
    """(what it is, its objects) for every overlay, every component, and all of them together."""
    rendered = [(f"overlays/{name}", build(K8S / "overlays" / name, command)) for name in names("overlays")]
    components = names("components")
    for name in components:
        wanted = NEEDS.get(name, []) + [name]
        rendered.append((f"components/{name}", with_components(wanted, command)))
    patches = snippet("in `patches` of an overlay of yours")
    rendered.append(("the patches of k8s/README.md", with_components([], command, patches=patches)))
    for rival in RIVALS:
        wanted = [name for name in components if name != rival]
        rendered.append((f"all components but {rival}", with_components(wanted, command)))
    for cloud in CLOUDS:
        wanted = [name for name in components if name != "keda"]
        rendered.append((f"all components but keda on {cloud}", with_components(wanted, command, cloud)))
    return rendered
