"""Objects against schemas: those of several Kubernetes versions, strict, and our own small ones for
kinds that come with an operator. A kind that has neither is refused, so nothing goes unlooked at."""

import json
from pathlib import Path

import jsonschema
import kubernetes_validate

# The oldest with a native preStop sleep, two between, the newest there are schemas for.
VERSIONS = ["1.30", "1.32", "1.34", "1.37"]
OWN = {
    tuple(path.stem.split(".", 1)): json.loads(path.read_text())
    for path in (Path(__file__).parent / "schemas").glob("*.json")
}


def group(document):
    return document["apiVersion"].rpartition("/")[0]


def where(error):
    return "/".join(str(part) for part in error.absolute_path) or "the object"


def problems(document):
    """What is wrong with one object, by whichever schema is its own."""
    at = f"{document['kind']}/{document['metadata']['name']}"
    schema = OWN.get((document["kind"], group(document)))
    if schema:
        validator = jsonschema.Draft202012Validator(schema)
        for error in validator.iter_errors(document):
            yield f"{at}: {where(error)}: {error.message[:200]}"
        if group(document) == "serving.knative.dev":
            yield from problems(as_pod(document))
        return
    for version in VERSIONS:
        try:
            kubernetes_validate.validate(document, version, strict=True)
        except kubernetes_validate.ValidationError as error:
            yield f"{at}: Kubernetes {version}: {'/'.join(map(str, error.path))}: {error.message[:200]}"
        except kubernetes_validate.SchemaNotFoundError:
            yield f"{at}: no schema for {document['apiVersion']} in Kubernetes {version} nor in schemas/"


def as_pod(service):
    """A Knative revision as the pod it becomes."""
    template = service["spec"]["template"]
    ours = ("containerConcurrency", "timeoutSeconds")
    spec = {name: value for name, value in template["spec"].items() if name not in ours}
    for container in spec["containers"]:
        for probe in ("readinessProbe", "livenessProbe"):
            # Knative fills in the port of the container.
            if "httpGet" in container.get(probe, {}):
                container = container | {probe: container[probe] | {"httpGet": {"port": 8080} | container[probe]["httpGet"]}}
        spec = spec | {"containers": [container]}
    metadata = {"name": service["metadata"]["name"], "labels": template["metadata"]["labels"]}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}


def valid(documents):
    """Every object fits its schema."""
    for document in documents:
        yield from problems(document)
