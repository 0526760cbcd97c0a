"""What every workload must have: identity, safety, probes, resources, and company when a node goes."""

import re
from collections.abc import Iterator

from tests.deploy.k8s.place import SERVICES
from tests.deploy.k8s.pods import LONG_LIVED, NAME, WORKLOADS, containers, labels, pod, selects
from tests.deploy.k8s.rendering import Document, Rendered, name_of, title

NAMESPACE = "smart-route"
_CLUSTER_WIDE = ("Namespace",)
_DNS_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
_ZONE, _HOST = "topology.kubernetes.io/zone", "kubernetes.io/hostname"
_RESTRICTED_VOLUMES = {
    "configMap",
    "downwardAPI",
    "emptyDir",
    "ephemeral",
    "persistentVolumeClaim",
    "projected",
    "secret",
}


def identity(rendered: Rendered) -> Iterator[str]:
    """Every object is in our namespace, has a name that is fit for a host, and is there once."""
    seen = set()
    for document in rendered.all:
        found = document["metadata"].get("namespace")
        if document["kind"] in _CLUSTER_WIDE:
            continue
        if found != NAMESPACE:
            yield f"{title(document)}: is in namespace {found}, not in {NAMESPACE}"
        if not _DNS_LABEL.fullmatch(name_of(document)):
            yield f"{title(document)}: the name is no DNS label"
        if title(document) in seen:
            yield f"{title(document)}: is there twice"
        seen.add(title(document))


def images(rendered: Rendered) -> Iterator[str]:
    """Ours are called `smartroute/<service>`, once per service; every image says which one it is."""
    ours: dict[str, set[str]] = {}
    for workload in rendered.of(*WORKLOADS):
        for container in containers(workload):
            image = str(container["image"])
            name, tag = _image(image)
            if not tag or tag == "latest":
                yield f"{title(workload)}: image {image} has neither a release nor a digest"
            if name.startswith("smartroute/") and name.removeprefix("smartroute/") not in SERVICES:
                yield f"{title(workload)}: image {image} is of no service"
            ours.setdefault(name, set()).add(image)
    for service in SERVICES:
        deployment = rendered.find("Deployment", service)
        if deployment is None:
            yield f"Deployment/{service}: is missing"
        elif _image(str(containers(deployment)[0]["image"]))[0].rpartition("/")[2] != service:
            yield f"Deployment/{service}: runs {containers(deployment)[0]['image']}"
    for name, found in ours.items():
        if len(found) > 1:
            yield f"{name}: several images: {', '.join(sorted(found))}"


def releases(rendered: Rendered) -> Iterator[str]:
    """A Job's name ends with the release of its image, so each release has Jobs of its own."""
    for job in rendered.of("Job"):
        image = str(containers(job)[0]["image"])
        tag = image.partition("@")[0].rpartition(":")[2].replace(".", "-")
        if "@" not in image and not name_of(job).endswith(f"-{tag}"):
            yield f"{title(job)}: its name does not end with the release of {image}"


def _image(image: str) -> tuple[str, str]:
    """Name, and tag or digest."""
    name, _, digest = image.partition("@")
    if digest:
        return name, digest
    folder, _, last = name.rpartition("/")
    short, _, tag = last.partition(":")
    return f"{folder}/{short}".lstrip("/"), tag


def security(rendered: Rendered) -> Iterator[str]:
    """PodSecurity `restricted`, and beyond it: nothing of the image can be written, no token of Kubernetes."""
    for workload in rendered.of(*WORKLOADS):
        spec = pod(workload)
        of_pod = spec.get("securityContext", {})
        if not of_pod.get("runAsNonRoot") or not of_pod.get("runAsUser"):
            yield f"{title(workload)}: may run as root"
        if of_pod.get("seccompProfile", {}).get("type") != "RuntimeDefault":
            yield f"{title(workload)}: has no seccomp profile"
        if spec.get("automountServiceAccountToken") is not False:
            yield f"{title(workload)}: has a token of Kubernetes"
        if any(spec.get(field) for field in ("hostNetwork", "hostPID", "hostIPC")):
            yield f"{title(workload)}: shares something with its node"
        for volume in spec.get("volumes", []):
            if unknown := set(volume) - _RESTRICTED_VOLUMES - {"name"}:
                yield f"{title(workload)}: volume {volume['name']} is a {', '.join(unknown)}"
            if "emptyDir" in volume and "sizeLimit" not in (volume["emptyDir"] or {}):
                yield f"{title(workload)}: volume {volume['name']} has no limit"
        for container in containers(workload):
            yield from _container_security(title(workload), container)


def _container_security(where: str, container: Document) -> Iterator[str]:
    found = container.get("securityContext", {})
    wanted = {"allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True}
    for field, value in wanted.items():
        if found.get(field) is not value:
            yield f"{where}: {container['name']}: {field} is not {str(value).lower()}"
    if found.get("capabilities") != {"drop": ["ALL"]}:
        yield f"{where}: {container['name']}: keeps capabilities"
    if found.get("privileged") or found.get("runAsUser") == 0:
        yield f"{where}: {container['name']}: is privileged"
    if any("hostPort" in port for port in container.get("ports", [])):
        yield f"{where}: {container['name']}: takes a port of its node"


def resources(rendered: Rendered) -> Iterator[str]:
    """Requests, a limit of memory, and none of CPU: throttling is what makes the slowest streams slow."""
    for workload in rendered.of(*WORKLOADS):
        for container in containers(workload):
            where, found = f"{title(workload)}: {container['name']}", container.get("resources", {})
            requests, limits = found.get("requests", {}), found.get("limits", {})
            if not {"cpu", "memory"} <= set(requests):
                yield f"{where}: does not request CPU and memory"
            if "memory" not in limits:
                yield f"{where}: has no limit of memory"
            if "cpu" in limits:
                yield f"{where}: has a limit of CPU"


def probes(rendered: Rendered) -> Iterator[str]:
    """What runs for long says whether it is ready and whether it lives; ours asks nobody for the second."""
    for workload in rendered.of(*LONG_LIVED):
        for container in containers(workload):
            where = f"{title(workload)}: {container['name']}"
            for probe in ("readinessProbe", "livenessProbe"):
                if probe not in container:
                    yield f"{where}: has no {probe}"
            if name_of(workload) not in SERVICES:
                continue
            if "startupProbe" not in container:
                yield f"{where}: has no startupProbe"
            for probe, path in (("readinessProbe", "/readyz"), ("livenessProbe", "/livez"), ("startupProbe", "/livez")):
                if container.get(probe, {}).get("httpGet", {}).get("path", path) != path:
                    yield f"{where}: {probe} does not ask {path}"


def ports(rendered: Rendered) -> Iterator[str]:
    for workload in rendered.of(*WORKLOADS):
        for container in containers(workload):
            for port in container.get("ports", []):
                if "name" not in port:
                    yield f"{title(workload)}: {container['name']}: port {port['containerPort']} has no name"
    for service in rendered.of("Service"):
        for port in service["spec"]["ports"]:
            if "name" not in port or not isinstance(port.get("targetPort"), str):
                yield f"{title(service)}: port {port['port']} or its target has no name"


def company(rendered: Rendered) -> Iterator[str]:
    """A Deployment has a budget of disruptions, spreads over zones and nodes, and rolls without a gap."""
    for deployment in rendered.of("Deployment"):
        budgets = [
            budget
            for budget in rendered.of("PodDisruptionBudget")
            if selects(budget["spec"]["selector"], labels(deployment))
        ]
        if len(budgets) != 1:
            yield f"{title(deployment)}: has {len(budgets)} PodDisruptionBudgets"
        for budget in budgets:
            if budget["spec"].get("maxUnavailable") != 1:
                yield f"{title(budget)}: lets other than one pod go at a time"
            if budget["spec"].get("unhealthyPodEvictionPolicy") != "AlwaysAllow":
                yield f"{title(budget)}: keeps nodes for pods that are not ready"
        yield from _spread(deployment)
        rolling = deployment["spec"].get("strategy", {}).get("rollingUpdate", {})
        if rolling != {"maxSurge": 1, "maxUnavailable": 0}:
            yield f"{title(deployment)}: takes old pods away before new ones are ready"


def _spread(deployment: Document) -> Iterator[str]:
    found = pod(deployment).get("topologySpreadConstraints", [])
    for key in (_ZONE, _HOST):
        matching = [constraint for constraint in found if constraint["topologyKey"] == key]
        if not matching:
            yield f"{title(deployment)}: is not spread by {key}"
        for constraint in matching:
            if constraint["labelSelector"].get("matchLabels", {}).get(NAME) != labels(deployment).get(NAME):
                yield f"{title(deployment)}: is spread by the pods of others"
