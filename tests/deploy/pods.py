"""Finds what the rules speak of in rendered objects: pod templates, containers, the environment a
container ends up with. Judges nothing."""

from dataclasses import dataclass

from render import ROOT


@dataclass
class Template:
    """A pod template and the object it is in."""

    owner: dict
    labels: dict
    spec: dict

    @property
    def name(self):
        return f"{self.owner['kind']}/{self.owner['metadata']['name']}"

    @property
    def containers(self):
        return self.spec.get("initContainers", []) + self.spec["containers"]

    @property
    def runs_to_an_end(self):
        return self.owner["kind"] in ("Job", "CronJob")


def templates(documents):
    """Every pod template there is."""
    found = []
    for document in documents:
        spec = document.get("spec", {})
        if document["kind"] == "CronJob":
            spec = spec["jobTemplate"]["spec"]
        template = spec.get("template")
        if isinstance(template, dict) and "containers" in template.get("spec", {}):
            labels = template.get("metadata", {}).get("labels", {})
            found.append(Template(document, labels, template["spec"]))
    return found


def of_kind(documents, *kinds):
    return [document for document in documents if document["kind"] in kinds]


def named(documents, kind, name):
    """The object of that kind and name, or None."""
    return next((d for d in of_kind(documents, kind) if d["metadata"]["name"] == name), None)


def is_lenslet(container):
    """Whether a container runs our image, whatever registry it comes from."""
    return container["image"].rsplit("/", 1)[-1].split(":")[0] in ("lenslet", "lenslet-cloudrun")


def env_file(path):
    """NAME → value of a file of settings."""
    lines = (line for line in path.read_text().splitlines() if line and not line.startswith("#"))
    return dict(line.split("=", 1) for line in lines)


def defaults():
    """config/default.env."""
    return env_file(ROOT / "config" / "default.env")


RESOURCES = {"requests.cpu": ("requests", "cpu"), "limits.memory": ("limits", "memory")}


def environment(template, container, documents):
    """NAME → value as the kubelet would set it; a secret's value is None."""
    result = {}
    for source in container.get("envFrom", []):
        config = named(documents, "ConfigMap", source["configMapRef"]["name"])
        result |= (config or {}).get("data", {})
    for entry in container.get("env", []):
        source = entry.get("valueFrom", {})
        if "resourceFieldRef" in source:
            group, kind = RESOURCES[source["resourceFieldRef"]["resource"]]
            amount = quantity(container["resources"][group][kind])
            # The kubelet rounds up to whole units of the divisor, which is 1.
            result[entry["name"]] = str(int(-(-amount // 1)))
        elif source:
            result[entry["name"]] = None
        else:
            result[entry["name"]] = str(entry["value"])
    return result


def mounted(template, container, documents):
    """path → text of every file that a container gets from a ConfigMap."""
    files = {}
    maps = {v["name"]: v["configMap"]["name"] for v in template.spec.get("volumes", []) if "configMap" in v}
    for mount in container.get("volumeMounts", []):
        config = named(documents, "ConfigMap", maps.get(mount["name"]))
        for name, text in (config or {}).get("data", {}).items():
            files[f"{mount['mountPath']}/{name}"] = text
    return files


UNITS = {"m": 1e-3, "k": 1e3, "M": 1e6, "G": 1e9, "Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40}


def quantity(text):
    """A Kubernetes quantity as a number: 500m is 0.5, 1Gi is 1073741824."""
    text = str(text)
    for unit in sorted(UNITS, key=len, reverse=True):
        if text.endswith(unit):
            return float(text[: -len(unit)]) * UNITS[unit]
    return float(text)


SECONDS = {"ms": 1e-3, "s": 1, "m": 60, "h": 3600}


def seconds(text):
    """A duration of config/default.env, or of Kubernetes, in seconds: 15, 15s, 1500ms, 2m."""
    for unit in ("ms", "s", "m", "h"):
        if text.endswith(unit):
            return float(text[: -len(unit)]) * SECONDS[unit]
    return float(text)
