"""Everything that an object names is there: ConfigMaps, Secrets and their keys, ports, targets, selectors."""

from collections.abc import Iterator
from typing import Any

from tests.deploy.k8s.pods import WORKLOADS, all_labels, containers, inherited, labels, pod, selects
from tests.deploy.k8s.rendering import Document, Rendered, name_of, title

# Made by somebody else, with these keys: the operator of Postgres, and whoever has the public host name.
_GIVEN: dict[str, set[str]] = {"public-tls": {"tls.crt", "tls.key"}}
# CloudNativePG, "Monitoring": the exporter is in the pods of the instances.
_PORTS_OF_CLUSTERS = {"postgresql", "metrics", "status"}
_BY_CLUSTER = {"ca": {"ca.crt", "ca.key"}, "server": {"tls.crt", "tls.key"}}


def secrets(rendered: Rendered) -> dict[str, set[str]]:
    """The keys of every Secret that there will be, by its name."""
    found = dict(_GIVEN)
    for cluster in rendered.of("Cluster"):
        found |= {f"{name_of(cluster)}-{suffix}": keys for suffix, keys in _BY_CLUSTER.items()}
    for secret in rendered.of("Secret"):
        found[name_of(secret)] = set(secret.get("data", {})) | set(secret.get("stringData", {}))
    for external in rendered.of("ExternalSecret"):
        target = external["spec"]["target"]
        made = target.get("template", {}).get("data")
        fetched = {entry["secretKey"] for entry in external["spec"]["data"]}
        found[target["name"]] = set(made) if made is not None else fetched
    return found


def config_maps(rendered: Rendered) -> dict[str, set[str]]:
    return {name_of(found): set(found.get("data", {})) for found in rendered.of("ConfigMap")}


def of_pods(rendered: Rendered) -> Iterator[str]:
    """What pods take: settings, volumes, accounts."""
    known = {"secret": secrets(rendered), "configMap": config_maps(rendered)}
    for workload in rendered.of(*WORKLOADS):
        account = pod(workload).get("serviceAccountName")
        if account is None or rendered.find("ServiceAccount", account) is None:
            yield f"{title(workload)}: there is no ServiceAccount {account}"
        for kind, name, key, is_optional in _taken(workload):
            if is_optional:
                continue
            if name not in known[kind]:
                yield f"{title(workload)}: there is no {kind} {name}"
            elif key is not None and key not in known[kind][name]:
                yield f"{title(workload)}: {kind} {name} has no {key}"
        mounted = {mount["name"] for container in containers(workload) for mount in container.get("volumeMounts", [])}
        there = {volume["name"] for volume in pod(workload).get("volumes", [])}
        claimed = {claim["metadata"]["name"] for claim in workload["spec"].get("volumeClaimTemplates", [])}
        for name in mounted ^ (there | claimed):
            yield f"{title(workload)}: volume {name} is not {'there' if name in mounted else 'mounted'}"
        for volume in pod(workload).get("volumes", []):
            claim = volume.get("persistentVolumeClaim", {}).get("claimName")
            if claim is not None and rendered.find("PersistentVolumeClaim", claim) is None:
                yield f"{title(workload)}: there is no PersistentVolumeClaim {claim}"


def _taken(workload: Document) -> Iterator[tuple[str, str, str | None, bool]]:
    """Kind, name, key and whether it may be missing, of each ConfigMap and Secret that a pod takes something of."""
    for container in containers(workload):
        for source in container.get("envFrom", []):
            for field, kind in (("configMapRef", "configMap"), ("secretRef", "secret")):
                if field in source:
                    yield kind, source[field]["name"], None, source[field].get("optional", False)
        for variable in container.get("env", []):
            for field, kind in (("configMapKeyRef", "configMap"), ("secretKeyRef", "secret")):
                if found := variable.get("valueFrom", {}).get(field):
                    yield kind, found["name"], found["key"], found.get("optional", False)
    for volume in pod(workload).get("volumes", []):
        for source in volume.get("projected", {}).get("sources", [volume]):
            yield from _of_volume(source)
    yield from _of_paths(workload)


def _of_volume(source: dict[str, Any]) -> Iterator[tuple[str, str, str | None, bool]]:
    for kind, named in (
        ("configMap", "name"),
        ("secret", "secretName" if "secretName" in source.get("secret", {}) else "name"),
    ):
        if kind in source:
            found = source[kind]
            yield kind, found[named], None, found.get("optional", False)
            for item in found.get("items", []):
                yield kind, found[named], item["key"], found.get("optional", False)


def _of_paths(workload: Document) -> Iterator[tuple[str, str, str | None, bool]]:
    """A mount of one file of a volume names a key of it."""
    volumes = {volume["name"]: volume for volume in pod(workload).get("volumes", [])}
    for container in containers(workload):
        for mount in container.get("volumeMounts", []):
            for kind, name, _, is_optional in _of_volume(volumes.get(mount["name"], {})):
                if "subPath" in mount:
                    yield kind, name, mount["subPath"], is_optional


def of_selectors(rendered: Rendered) -> Iterator[str]:
    """Services and budgets select pods that there are, and ports that these have."""
    workloads = list(rendered.of(*WORKLOADS))
    for service in rendered.of("Service"):
        behind = [found for found in workloads if selects({"matchLabels": service["spec"]["selector"]}, labels(found))]
        if not behind:
            yield f"{title(service)}: selects nothing"
        for port in service["spec"]["ports"]:
            for workload in behind:
                if port["targetPort"] not in _port_names(workload):
                    yield f"{title(service)}: {title(workload)} has no port {port['targetPort']}"
    for budget in rendered.of("PodDisruptionBudget"):
        if not any(selects(budget["spec"]["selector"], labels(found)) for found in workloads):
            yield f"{title(budget)}: selects nothing"


def of_names(rendered: Rendered) -> Iterator[str]:
    """Monitors find pods with the ports that they ask, and StatefulSets the Service that names their pods."""
    workloads = list(rendered.of(*WORKLOADS))
    pods = [(title(found), labels(found), _port_names(found)) for found in workloads]
    pods += [(title(found), inherited(found), _PORTS_OF_CLUSTERS) for found in rendered.of("Cluster")]
    for monitor in rendered.of("PodMonitor"):
        yield from _of_monitor(monitor, pods)
    for stateful in rendered.of("StatefulSet"):
        if rendered.find("Service", stateful["spec"]["serviceName"]) is None:
            yield f"{title(stateful)}: there is no Service {stateful['spec']['serviceName']}"


def _of_monitor(monitor: Document, pods: list[tuple[str, dict[str, str], set[str]]]) -> Iterator[str]:
    """`pods`: whose they are, their labels, the names of their ports."""
    wanted = monitor["spec"]["selector"]
    selected = [found for found in pods if selects(wanted, found[1])]
    names = {name for rule in wanted.get("matchExpressions", []) for name in rule["values"]}
    missing = names - {of_pod.get("app.kubernetes.io/name", "") for _, of_pod, _ in selected}
    if not selected or missing:
        yield f"{title(monitor)}: selects nothing of {', '.join(sorted(missing)) or 'what there is'}"
    for endpoint in monitor["spec"]["podMetricsEndpoints"]:
        for whose, _, ports in selected:
            if endpoint["port"] not in ports:
                yield f"{title(monitor)}: {whose} has no port {endpoint['port']}"


def _port_names(workload: Document) -> set[str]:
    return {port["name"] for container in containers(workload) for port in container.get("ports", []) if "name" in port}


def of_policies(rendered: Rendered) -> Iterator[str]:
    """Where traffic is restricted, the pods of every workload have a policy of their own."""
    if not rendered.has("NetworkPolicy"):
        return
    everything = [policy["spec"] for policy in rendered.of("NetworkPolicy") if not policy["spec"]["podSelector"]]
    if not any(set(spec["policyTypes"]) == {"Ingress", "Egress"} and len(spec) == 2 for spec in everything):
        yield "NetworkPolicy: nothing denies what is not allowed"
    own = [policy["spec"] for policy in rendered.of("NetworkPolicy") if policy["spec"]["podSelector"]]
    for found in all_labels(rendered):
        if not any(selects(spec["podSelector"], found) for spec in own):
            yield f"NetworkPolicy: none for the pods {found.get('app.kubernetes.io/name', found)}"


def of_routes(rendered: Rendered) -> Iterator[str]:
    for route in rendered.of("HTTPRoute"):
        for parent in route["spec"]["parentRefs"]:
            found = rendered.find("Gateway", parent["name"])
            listeners = {listener["name"] for listener in found["spec"]["listeners"]} if found else set()
            if parent.get("sectionName") not in listeners:
                yield f"{title(route)}: Gateway {parent['name']} has no listener {parent.get('sectionName')}"
        for rule in route["spec"]["rules"]:
            for backend in rule.get("backendRefs", []):
                service = rendered.find("Service", backend["name"])
                there = {port["port"] for port in service["spec"]["ports"]} if service else set()
                if backend["port"] not in there:
                    yield f"{title(route)}: Service {backend['name']} has no port {backend['port']}"


def of_listeners(rendered: Rendered) -> Iterator[str]:
    known = secrets(rendered)
    for gateway in rendered.of("Gateway"):
        for listener in gateway["spec"]["listeners"]:
            for reference in listener.get("tls", {}).get("certificateRefs", []):
                if reference["name"] not in known:
                    yield f"{title(gateway)}: there is no Secret {reference['name']}"


def of_clusters(rendered: Rendered) -> Iterator[str]:
    known_secrets, known_maps = secrets(rendered), config_maps(rendered)
    for cluster in rendered.of("Cluster"):
        for role in cluster["spec"].get("managed", {}).get("roles", []):
            name = role["passwordSecret"]["name"]
            if known_secrets.get(name) != {"username", "password"}:
                yield f"{title(cluster)}: role {role['name']}: Secret {name} has no username and password"
        scripts = cluster["spec"]["bootstrap"]["initdb"].get("postInitApplicationSQLRefs", {})
        for reference in scripts.get("configMapRefs", []):
            if reference["key"] not in known_maps.get(reference["name"], set()):
                yield f"{title(cluster)}: ConfigMap {reference['name']} has no {reference['key']}"
    for backup in rendered.of("ScheduledBackup"):
        if rendered.find("Cluster", backup["spec"]["cluster"]["name"]) is None:
            yield f"{title(backup)}: there is no Cluster {backup['spec']['cluster']['name']}"
