"""The rules of our own for Kubernetes objects, beside the schemas: each takes the objects of one
rendering and yields what is wrong, in a sentence. `mutations.py` shows that each of them bites."""

import re
import tomllib

from pods import defaults, environment, is_lenslet, mounted, named, of_kind, quantity, seconds, templates
from render import ROOT

# What a container may be told beside our own settings.
FOREIGN = re.compile(r"^(AWS|AZURE|GOOGLE|OTEL)_[A-Z0-9_]+$|^(RUST_LOG|NO_COLOR|PORT|NAMESPACE)$")
SECRET = re.compile(r"(KEYS|TOKEN|SECRET|PASSWORD|ACCESS_KEY)")


def matches(selector, labels):
    return bool(selector) and all(labels.get(name) == value for name, value in selector.items())


def settings(name, known):
    """Whether config/default.env knows a variable: by name, as NAME_FILE, or as a store's option."""
    if name in known or name.removesuffix("_FILE") in known:
        return True
    behind = re.match(r"LENSLET_(?:ORIGIN_[A-Z0-9_]+?|VARIANTS)_([A-Z_]+)$", name)
    told = re.findall(r"^#\s+([A-Z][A-Z_, ]+[A-Z])\s{2,}", (ROOT / "config/default.env").read_text(), re.M)
    options = {word for line in told for word in line.replace(" ", "").split(",")}
    return bool(behind) and any(behind[1] == option or behind[1].endswith("_" + option) for option in options)


def variables(documents):
    """Every LENSLET_ variable exists in config/default.env; secrets come by reference."""
    known = defaults()
    named_anywhere = re.findall(r"LENSLET_[A-Z0-9_]*[A-Z0-9]", str(documents))
    for name in sorted(set(named_anywhere)):
        if not settings(name, known):
            yield f"{name} is not in config/default.env"
    for template in templates(documents):
        for container in template.containers:
            at = f"{template.name}: container {container['name']}"
            for source in container.get("envFrom", []):
                if not named(documents, "ConfigMap", source["configMapRef"]["name"]):
                    yield f"{at}: there is no ConfigMap {source['configMapRef']['name']}"
            entries = [entry["name"] for entry in container.get("env", [])]
            for name in {name for name in entries if entries.count(name) > 1}:
                yield f"{at}: {name} is set twice"
            files = mounted(template, container, documents)
            for name, value in environment(template, container, documents).items():
                if name.startswith("LENSLET_") and name.endswith("_FILE") and value not in files:
                    yield f"{at}: {name} is {value}, which no volume brings"
                if not name.startswith("LENSLET_") and not FOREIGN.match(name):
                    yield f"{at}: {name} is neither a setting nor known to the clouds"
                if SECRET.search(name) and value is not None and not name.endswith("_FILE"):
                    yield f"{at}: the secret {name} stands in clear"


def images(documents):
    """An image is named with a version, which is not `latest`; all containers of ours have the same."""
    ours = {c["image"] for template in templates(documents) for c in template.containers if is_lenslet(c)}
    if len(ours) > 1:
        yield f"containers of ours differ in their image: {', '.join(sorted(ours))}"
    for template in templates(documents):
        for container in template.containers:
            tag = container["image"].rsplit("/", 1)[-1].partition(":")[2]
            if not tag or tag == "latest":
                yield f"{template.name}: {container['image']} names no version"


def namespaces(documents):
    """Every object is in the one namespace of its rendering."""
    inside = [document for document in documents if document["kind"] != "Namespace"]
    spaces = {document["metadata"]["name"] for document in of_kind(documents, "Namespace")}
    for document in inside:
        space = document["metadata"].get("namespace")
        if space is None or (spaces and space not in spaces):
            yield f"{document['kind']}/{document['metadata']['name']}: its namespace is {space}"


def references(documents):
    """Every ConfigMap and Secret that is named is there, or k8s/README.md says who makes it."""
    told = (ROOT / "k8s/README.md").read_text()

    def missing(kind, reference):
        made = named(documents, kind, reference["name"])
        return not made and (kind != "Secret" or f"Secret `{reference['name']}`" not in told)

    for template in templates(documents):
        found = []
        for container in template.containers:
            for entry in container.get("envFrom", []):
                found += [("ConfigMap" if "configMapRef" in entry else "Secret", next(iter(entry.values())))]
            for source in (entry.get("valueFrom", {}) for entry in container.get("env", [])):
                found += [("ConfigMap", source[key]) for key in source if key == "configMapKeyRef"]
                found += [("Secret", source[key]) for key in source if key == "secretKeyRef"]
        for volume in template.spec.get("volumes", []):
            if "configMap" in volume:
                found.append(("ConfigMap", volume["configMap"]))
            if "secret" in volume:
                found.append(("Secret", {"name": volume["secret"]["secretName"]}))
        for kind, reference in found:
            if missing(kind, reference):
                yield f"{template.name}: there is no {kind} {reference['name']}"
            if kind == "Secret" and "key" in reference and f"`{reference['key']}`" not in told:
                yield f"{template.name}: k8s/README.md does not tell of {reference['key']} in the Secret"
    for ingress in of_kind(documents, "Ingress"):
        for entry in ingress["spec"].get("tls", []):
            if missing("Secret", {"name": entry["secretName"]}):
                yield f"Ingress: nobody makes the Secret {entry['secretName']}"


def identities(documents):
    """Where Azure's webhook hands out tokens, every pod of that service account asks for one."""
    for account in of_kind(documents, "ServiceAccount"):
        if "azure.workload.identity/client-id" not in account["metadata"].get("annotations", {}):
            continue
        for template in templates(documents):
            ours = template.spec.get("serviceAccountName") == account["metadata"]["name"]
            if ours and template.labels.get("azure.workload.identity/use") != "true":
                yield f"{template.name}: without the label azure.workload.identity/use it gets no token"


def restricted(documents):
    """The Pod Security Standard "restricted", and a root file system nobody writes to."""
    for template in templates(documents):
        pod = template.spec.get("securityContext", {})
        for forbidden in ("hostNetwork", "hostPID", "hostIPC"):
            if template.spec.get(forbidden):
                yield f"{template.name}: {forbidden}"
        for volume in template.spec.get("volumes", []):
            kind = next(key for key in volume if key != "name")
            if kind not in ("configMap", "secret", "emptyDir", "projected", "downwardAPI", "persistentVolumeClaim"):
                yield f"{template.name}: volume {volume['name']} is a {kind}"
        for container in template.containers:
            own = container.get("securityContext", {})
            both = pod | own
            wanted = {
                "runAsNonRoot": both.get("runAsNonRoot") is True,
                "runAsUser not 0": both.get("runAsUser", 65532) != 0,
                "seccompProfile": both.get("seccompProfile", {}).get("type") in ("RuntimeDefault", "Localhost"),
                "allowPrivilegeEscalation: false": own.get("allowPrivilegeEscalation") is False,
                "capabilities dropped": own.get("capabilities") == {"drop": ["ALL"]},
                "readOnlyRootFilesystem": own.get("readOnlyRootFilesystem") is True,
                "not privileged": not own.get("privileged"),
                "no host ports": not any("hostPort" in port for port in container.get("ports", [])),
            }
            for what in (what for what, held in wanted.items() if not held):
                yield f"{template.name}: container {container['name']}: {what} does not hold"


def isolation(documents):
    """Pods get no service links, no token they do not use; a NetworkPolicy holds for each."""
    policies = [p["spec"] for p in of_kind(documents, "NetworkPolicy")]
    for template in templates(documents):
        if template.spec.get("enableServiceLinks") is not False:
            yield f"{template.name}: a Service called lenslet would set LENSLET_PORT: enableServiceLinks: false"
        if template.spec.get("automountServiceAccountToken") is not False:
            yield f"{template.name}: automountServiceAccountToken is not false"
        fenced = [p for p in policies if matches(p["podSelector"].get("matchLabels"), template.labels)]
        kinds = {kind for policy in fenced for kind in policy["policyTypes"]}
        if policies and kinds != {"Ingress", "Egress"}:
            yield f"{template.name}: no NetworkPolicy for both directions selects it"
    for policy in of_kind(documents, "NetworkPolicy"):
        for rule in policy["spec"].get("ingress", []):
            if "from" not in rule and any(port["port"] in ("admin", 8081) for port in rule.get("ports", [{"port": 8081}])):
                yield f"NetworkPolicy/{policy['metadata']['name']}: the admin port is open to everyone"


def budgets(documents):
    """A container knows what it was given: CPU by its request, memory by its limit."""
    for template in templates(documents):
        for container in template.containers:
            at = f"{template.name}: container {container['name']}"
            given = container.get("resources", {})
            requests, limits = given.get("requests", {}), given.get("limits", {})
            if not requests.get("cpu") or requests.get("memory") != limits.get("memory"):
                yield f"{at}: a CPU request, and as much memory requested as is its limit"
                continue
            knative = template.owner["apiVersion"].startswith("serving.knative.dev/")
            if "cpu" in limits and not knative:
                yield f"{at}: a CPU limit throttles answers that cost nothing"
            if not is_lenslet(container) or container in template.spec.get("initContainers", []):
                continue
            told = environment(template, container, documents)
            slots = -(-quantity(requests["cpu"]) // 1)
            if told.get("LENSLET_CPU_BUDGET") != str(int(slots)):
                yield f"{at}: LENSLET_CPU_BUDGET is {told.get('LENSLET_CPU_BUDGET')}, the request rounds up to {slots:.0f}"
            memory = told.get("LENSLET_MEMORY_LIMIT") or "0"
            if quantity(memory.removesuffix("B")) != quantity(limits["memory"]):
                yield f"{at}: LENSLET_MEMORY_LIMIT is {memory}, the limit {limits['memory']}"


def selectors(documents):
    """What selects finds what it means, and nothing else."""
    pods = templates(documents)
    for template in pods:
        selector = template.owner["spec"].get("selector", {}).get("matchLabels")
        if template.owner["kind"] == "Deployment" and not matches(selector, template.labels):
            yield f"{template.name}: its selector does not match its own pods"
        for spread in template.spec.get("topologySpreadConstraints", []):
            if not matches(spread["labelSelector"]["matchLabels"], template.labels):
                yield f"{template.name}: a topology spread counts other pods"
        account = template.spec.get("serviceAccountName")
        if account and not named(documents, "ServiceAccount", account):
            yield f"{template.name}: there is no ServiceAccount {account}"
        for container in template.containers:
            ports = {port["name"] for port in container.get("ports", [])}
            for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
                port = container.get(probe, {}).get("httpGet", {}).get("port")
                if port is not None and port not in ports:
                    yield f"{template.name}: {probe} asks port {port}, which is not there"
            volumes = {volume["name"] for volume in template.spec.get("volumes", [])}
            for mount in container.get("volumeMounts", []):
                if mount["name"] not in volumes:
                    yield f"{template.name}: there is no volume {mount['name']}"
    for service in (s for s in of_kind(documents, "Service") if s["apiVersion"] == "v1"):
        at = f"Service/{service['metadata']['name']}"
        chosen = [t for t in pods if matches(service["spec"]["selector"], t.labels)]
        if not chosen:
            yield f"{at}: selects nothing"
        for template in chosen:
            if template.runs_to_an_end:
                yield f"{at}: selects pods of {template.name}, which serve nobody"
            offered = {port["name"] for c in template.spec["containers"] for port in c.get("ports", [])}
            for port in service["spec"]["ports"]:
                if port["targetPort"] not in offered:
                    yield f"{at}: {template.name} has no port {port['targetPort']}"
    for kind in ("PodDisruptionBudget", "NetworkPolicy"):
        for document in of_kind(documents, kind):
            at = f"{kind}/{document['metadata']['name']}"
            selector = document["spec"].get("selector", document["spec"].get("podSelector"))["matchLabels"]
            chosen = [t for t in pods if matches(selector, t.labels)]
            if not chosen:
                yield f"{at}: selects nothing"
            if kind == "PodDisruptionBudget" and any(t.runs_to_an_end for t in chosen):
                yield f"{at}: counts pods of a job"
    for document in of_kind(documents, "HorizontalPodAutoscaler", "ScaledObject"):
        target = document["spec"]["scaleTargetRef"]
        if not named(documents, target["kind"], target["name"]):
            yield f"{document['kind']}: there is no {target['kind']}/{target['name']} to scale"
    scaled = of_kind(documents, "HorizontalPodAutoscaler", "ScaledObject")
    targets = [document["spec"]["scaleTargetRef"]["name"] for document in scaled]
    for deployment in of_kind(documents, "Deployment"):
        name = deployment["metadata"]["name"]
        if targets.count(name) > 1 or (name in targets and "replicas" in deployment["spec"]):
            yield f"Deployment/{name}: more than one decides how many pods there are"


def backends(documents):
    """Routes, monitors and peers point at Services and ports that are there."""
    def port_of(name, port):
        service = named(documents, "Service", name)
        ports = (service or {}).get("spec", {}).get("ports", [])
        return any(port in (entry["port"], entry["name"]) for entry in ports)

    for route in of_kind(documents, "HTTPRoute"):
        for backend in (b for rule in route["spec"]["rules"] for b in rule["backendRefs"]):
            if not port_of(backend["name"], backend["port"]):
                yield f"HTTPRoute: there is no Service {backend['name']} with port {backend['port']}"
    for ingress in of_kind(documents, "Ingress"):
        for path in (p for rule in ingress["spec"]["rules"] for p in rule["http"]["paths"]):
            service = path["backend"]["service"]
            if not port_of(service["name"], next(iter(service["port"].values()))):
                yield f"Ingress: there is no Service {service['name']} with port {service['port']}"
    for policy in of_kind(documents, "BackendTrafficPolicy"):
        for target in policy["spec"]["targetRefs"]:
            if not named(documents, target["kind"], target["name"]):
                yield f"BackendTrafficPolicy: there is no {target['kind']}/{target['name']}"
    for monitor in of_kind(documents, "ServiceMonitor"):
        wanted = monitor["spec"]["selector"]["matchLabels"]
        chosen = [s for s in of_kind(documents, "Service") if matches(wanted, s["metadata"]["labels"])]
        if len(chosen) != 1:
            yield f"ServiceMonitor: selects {len(chosen)} Services instead of one"
        for endpoint in monitor["spec"]["endpoints"]:
            if not all(port_of(service["metadata"]["name"], endpoint["port"]) for service in chosen):
                yield f"ServiceMonitor: its Service has no port {endpoint['port']}"
    for template in templates(documents):
        for container in filter(is_lenslet, template.spec["containers"]):
            peers = environment(template, container, documents).get("LENSLET_PEERS")
            if not peers:
                continue
            host, _, port = peers.rpartition(":")
            service = named(documents, "Service", host) or {"spec": {}}
            if service["spec"].get("clusterIP") != "None" or not port_of(host, int(port)):
                yield f"{template.name}: LENSLET_PEERS={peers} is no headless Service with that port"
            if not service["spec"].get("publishNotReadyAddresses"):
                yield f"{template.name}: a purge would miss pods of {host} that are not ready"


def times(documents):
    """Everything a pod has to do at its end fits its grace; whoever waits for it waits longer."""
    known = defaults()
    longest = seconds(known["LENSLET_REQUEST_TIMEOUT"])
    for template in templates(documents):
        for container in template.spec["containers"]:
            told = known | environment(template, container, documents)
            grace = template.spec.get("terminationGracePeriodSeconds", 30)
            sleep = container.get("lifecycle", {}).get("preStop", {}).get("sleep", {}).get("seconds", 0)
            if not is_lenslet(container) or template.runs_to_an_end:
                continue
            request = seconds(told["LENSLET_REQUEST_TIMEOUT"])
            longest = max(longest, request)
            if template.owner["apiVersion"].startswith("serving.knative.dev/"):
                if template.spec["timeoutSeconds"] <= request:
                    yield f"{template.name}: timeoutSeconds is not above LENSLET_REQUEST_TIMEOUT"
                continue
            # After the drain delay requests under way, then accepted writes, have that time each.
            needed = sleep + seconds(told["LENSLET_DRAIN_DELAY"]) + 2 * request
            if needed + 5 > grace:
                yield f"{template.name}: {needed:.0f} s to stop in order, and 5 to spare, are more than {grace} s"
            if sleep + seconds(told["LENSLET_DRAIN_DELAY"]) < 8:
                yield f"{template.name}: load balancers get less than 8 s to look away"
    for route in of_kind(documents, "HTTPRoute"):
        for limits in (rule["timeouts"] for rule in route["spec"]["rules"]):
            if not longest < seconds(limits["backendRequest"]) <= seconds(limits["request"]):
                yield "HTTPRoute: its timeouts are not above LENSLET_REQUEST_TIMEOUT"


def scaling(documents):
    """Autoscalers agree: KEDA's numbers are the plain one's, the balancer has room for all."""
    for job in of_kind(documents, "Job"):
        spec, container = job["spec"], job["spec"]["template"]["spec"]["containers"][0]
        shards = re.search(r"auto/(\d+)", " ".join(container["args"]))
        if spec.get("completionMode") != "Indexed" or not shards or int(shards[1]) != spec["completions"]:
            yield f"Job/{job['metadata']['name']}: {spec['completions']} completions do not fit {' '.join(container['args'])}"
        if spec["parallelism"] > spec["completions"]:
            yield f"Job/{job['metadata']['name']}: more at a time than there are"
        template = next(t for t in templates(documents) if t.owner is job)
        file = environment(template, container, documents).get("LENSLET_PRESETS_FILE")
        presets = tomllib.loads(mounted(template, container, documents).get(file, ""))
        asked = dict(zip(container["args"], container["args"][1:])).get("--presets", "")
        for preset in filter(None, asked.split(",")):
            if preset not in presets:
                yield f"Job/{job['metadata']['name']}: there is no preset {preset} in {file}"
    plain = [h["spec"]["maxReplicas"] for h in of_kind(documents, "HorizontalPodAutoscaler")]
    keda = [s["spec"]["maxReplicaCount"] for s in of_kind(documents, "ScaledObject")]
    most = max(plain + keda, default=0)
    for config in of_kind(documents, "ConfigMap"):
        text = config.get("data", {}).get("haproxy.cfg", "")
        room = re.search(r"server-template \S+ (\d+) ", text)
        if text and (not room or int(room[1]) < most):
            yield f"ConfigMap/{config['metadata']['name']}: HAProxy has less room than {most} pods"


RULES = [variables, images, namespaces, references, identities, restricted, isolation, budgets, selectors, backends, times, scaling]
