"""Shows that the rules bite: each line breaks one thing in a good rendering and names the rule that
has to object. A rule that no line here can make object is not a rule."""

import copy

from pods import named


def container(documents, kind="Deployment", name="lenslet"):
    return named(documents, kind, name)["spec"]["template"]["spec"]["containers"][0]


def pod(documents):
    return named(documents, "Deployment", "lenslet")["spec"]["template"]["spec"]


def spec(documents, kind, name="lenslet"):
    return named(documents, kind, name)["spec"]


def config(documents):
    name = container(documents)["envFrom"][0]["configMapRef"]["name"]
    return named(documents, "ConfigMap", name)["data"]


def without(mapping, key):
    del mapping[key]


def entry(documents, name):
    return next(variable for variable in container(documents)["env"] if variable["name"] == name)


def plain_token(documents):
    token = entry(documents, "LENSLET_ADMIN_TOKEN")
    del token["valueFrom"]
    token["value"] = "hunter2"


def nameless_job(documents):
    account = named(documents, "ServiceAccount", "lenslet")["metadata"]
    account.setdefault("annotations", {})["azure.workload.identity/client-id"] = "0"
    named(documents, "Deployment", "lenslet")["spec"]["template"]["metadata"]["labels"]["azure.workload.identity/use"] = "true"
    spec(documents, "Job", "lenslet-warm")["template"]["metadata"]["labels"].pop("azure.workload.identity/use")


def scaled_by_keda(documents):
    hpa = named(documents, "HorizontalPodAutoscaler", "lenslet")
    hpa["kind"] = "ScaledObject"
    hpa["spec"]["maxReplicaCount"] = 999
    del hpa["spec"]["maxReplicas"]


MUTATIONS = [
    ("valid", "a misspelt field", lambda d: container(d).update(imagePullPolicies="Always")),
    ("valid", "a probe with a word for a number", lambda d: container(d)["livenessProbe"].update(periodSeconds="10")),
    ("valid", "an unknown kind", lambda d: named(d, "Service", "lenslet").update(kind="Servce")),
    ("valid", "a route without a backend", lambda d: without(spec(d, "HTTPRoute")["rules"][0], "backendRefs")),
    ("valid", "a secret store of no kind", lambda d: spec(d, "ExternalSecret")["secretStoreRef"].update(kind="Vault")),
    ("variables", "a setting that does not exist", lambda d: config(d).update(LENSLET_WORKERS="4")),
    ("variables", "an option of a store that does not exist", lambda d: config(d).update(LENSLET_VARIANTS_COLOUR="red")),
    ("variables", "a variable of nobody's", lambda d: config(d).update(LENSLT_ORIGIN="s3://x")),
    ("variables", "a secret in clear", plain_token),
    ("variables", "settings from a map that is not there", lambda d: container(d)["envFrom"][0]["configMapRef"].update(name="other")),
    ("variables", "a file that no volume brings", lambda d: container(d)["volumeMounts"][0].update(mountPath="/etc/other")),
    ("variables", "a variable twice", lambda d: container(d)["env"].append(container(d)["env"][0])),
    ("images", "latest", lambda d: container(d).update(image="registry.example.com:5000/lenslet:latest")),
    ("images", "no tag", lambda d: container(d).update(image="registry.example.com:5000/lenslet")),
    ("images", "a job of another image", lambda d: container(d, "Job", "lenslet-warm").update(image="lenslet:0.1.0")),
    ("namespaces", "a route in no namespace", lambda d: named(d, "HTTPRoute", "lenslet")["metadata"].pop("namespace")),
    ("namespaces", "a monitor in another namespace", lambda d: named(d, "ServiceMonitor", "lenslet")["metadata"].update(namespace="other")),
    ("references", "a map by the name it had before its digest", lambda d: container(d, "Job", "lenslet-warm")["envFrom"][0]["configMapRef"].update(name="lenslet")),
    ("references", "a volume of a map that is not there", lambda d: pod(d)["volumes"][0]["configMap"].update(name="lenslet-presets")),
    ("references", "a Secret nobody tells of", lambda d: entry(d, "LENSLET_KEYS")["valueFrom"]["secretKeyRef"].update(name="keys")),
    ("references", "a certificate nobody tells of", lambda d: spec(d, "Ingress")["tls"][0].update(secretName="tls")),
    ("identities", "a job that Azure gives no token", nameless_job),
    ("restricted", "root", lambda d: pod(d)["securityContext"].update(runAsNonRoot=False)),
    ("restricted", "user 0", lambda d: pod(d)["securityContext"].update(runAsUser=0)),
    ("restricted", "no seccomp", lambda d: without(pod(d)["securityContext"], "seccompProfile")),
    ("restricted", "a capability", lambda d: container(d)["securityContext"]["capabilities"].update(add=["NET_ADMIN"])),
    ("restricted", "a writable root", lambda d: container(d)["securityContext"].update(readOnlyRootFilesystem=False)),
    ("restricted", "the host's network", lambda d: pod(d).update(hostNetwork=True)),
    ("restricted", "a folder of the host", lambda d: pod(d).update(volumes=[{"name": "x", "hostPath": {"path": "/"}}])),
    ("isolation", "service links", lambda d: without(pod(d), "enableServiceLinks")),
    ("isolation", "a token of the cluster", lambda d: pod(d).update(automountServiceAccountToken=True)),
    ("isolation", "the admin port open", lambda d: without(spec(d, "NetworkPolicy")["ingress"][1], "from")),
    ("isolation", "no policy for what goes out", lambda d: spec(d, "NetworkPolicy")["policyTypes"].remove("Egress")),
    ("budgets", "a CPU limit", lambda d: container(d)["resources"]["limits"].update(cpu="2")),
    ("budgets", "less memory requested than allowed", lambda d: container(d)["resources"]["requests"].update(memory="512Mi")),
    ("budgets", "a budget of another size", lambda d: container(d)["env"].append({"name": "LENSLET_CPU_BUDGET", "value": "8"})),
    ("selectors", "a Service that selects nothing", lambda d: spec(d, "Service")["selector"].update({"app.kubernetes.io/component": "servers"})),
    ("selectors", "a Service that selects jobs", lambda d: without(spec(d, "Service")["selector"], "app.kubernetes.io/component")),
    ("selectors", "a Deployment of other pods", lambda d: spec(d, "Deployment")["template"]["metadata"]["labels"].pop("app.kubernetes.io/component")),
    ("selectors", "a probe of no port", lambda d: container(d)["readinessProbe"]["httpGet"].update(port="health")),
    ("selectors", "a target that is not there", lambda d: spec(d, "HorizontalPodAutoscaler")["scaleTargetRef"].update(name="lens")),
    ("selectors", "two who decide", lambda d: spec(d, "Deployment").update(replicas=3)),
    ("backends", "a route to nowhere", lambda d: spec(d, "HTTPRoute")["rules"][0]["backendRefs"][0].update(port=8080)),
    ("backends", "an ingress to nowhere", lambda d: spec(d, "Ingress")["rules"][0]["http"]["paths"][0]["backend"]["service"].update(name="x")),
    ("backends", "a monitor of another port", lambda d: spec(d, "ServiceMonitor")["endpoints"][0].update(port="http")),
    ("backends", "peers at the wrong port", lambda d: entry(d, "LENSLET_PEERS").update(value="lenslet-peers:8080")),
    ("backends", "peers that are missed", lambda d: spec(d, "Service", "lenslet-peers").pop("publishNotReadyAddresses")),
    ("times", "a grace too short", lambda d: pod(d).update(terminationGracePeriodSeconds=30)),
    ("times", "no time to look away", lambda d: container(d).pop("lifecycle")),
    ("times", "requests as long as the route waits", lambda d: config(d).update(LENSLET_REQUEST_TIMEOUT="12s")),
    ("scaling", "shards that do not fit", lambda d: spec(d, "Job", "lenslet-warm").update(completions=9)),
    ("scaling", "a preset that is not there", lambda d: container(d, "Job", "lenslet-warm")["args"].__setitem__(2, "thumb,giant")),
    ("scaling", "more pods by KEDA than the balancer has room for", scaled_by_keda),
    ("scaling", "more pods than the balancer has room for", lambda d: spec(d, "HorizontalPodAutoscaler").update(maxReplicas=999)),
]


def survivors(documents, rules):
    """The mutations that the rule named beside them did not notice."""
    by_name = {rule.__name__: rule for rule in rules}
    for rule, what, mutate in MUTATIONS:
        broken = copy.deepcopy(documents)
        mutate(broken)
        if not list(by_name[rule](broken)):
            yield f"{rule} does not notice {what}"
    for rule in by_name.keys() - {rule for rule, _, _ in MUTATIONS}:
        yield f"{rule}: nothing here shows that it notices anything"
