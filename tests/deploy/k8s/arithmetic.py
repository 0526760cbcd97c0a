"""The sums that are written beside the numbers: how long a stop may take, how many connections, how much room."""

import math
from collections.abc import Iterator

import billing.app
import gateway.app
import quota.app
from contracts import streams
from tests.deploy.k8s.pods import WORKLOADS, containers, pod
from tests.deploy.k8s.rendering import Document, Rendered, name_of, title
from tests.deploy.k8s.told import variables

# After the grace: settling what was cut off, keeping what NATS does not take (docs/operations.md, "Stopping").
GATEWAY_SETTLES_SECONDS = 20
# A statement, and the answers that NATS still takes (`chassis.bus.connection.DRAIN_SECONDS`).
OTHERS_STOP_SECONDS = 10 + 10
# Of one process, at most.
CONNECTIONS = {
    "gateway": gateway.app.CONNECTIONS,
    "quota": quota.app.CONNECTIONS,
    "billing": billing.app.CONNECTIONS,
}
# Commands of staff; two Jobs of two connections at once; what Postgres keeps for replication and its operator.
STAFF_CONNECTIONS = 8
OWNER_CONNECTIONS = 4
OTHER_CONNECTIONS = 20
_UNITS = {"Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40}


def quantity(value: str) -> int:
    """Bytes of a quantity of Kubernetes."""
    for unit, factor in _UNITS.items():
        if value.endswith(unit):
            return int(value.removesuffix(unit)) * factor
    return int(value)


def stops(rendered: Rendered) -> Iterator[str]:
    """No pod is killed while it still has something to do."""
    for deployment in rendered.of("Deployment"):
        (container, *_) = containers(deployment)
        given = pod(deployment).get("terminationGracePeriodSeconds", 30)
        slept = container.get("lifecycle", {}).get("preStop", {}).get("sleep", {}).get("seconds", 0)
        needed = slept + OTHERS_STOP_SECONDS
        if name_of(deployment) == "gateway":
            told = variables(rendered, container)
            grace = float(told.get("GATEWAY_GRACE_SECONDS", "30"))
            needed = slept + math.ceil(grace) + GATEWAY_SETTLES_SECONDS
            if not slept:
                yield f"{title(deployment)}: takes no new connections before proxies know"
            if grace < float(told.get("GATEWAY_ANSWER_LIMIT_SECONDS", "3600")):
                yield f"{title(deployment)}: a rollout cuts answers that are longer than {grace:g} s"
        if given < needed:
            yield f"{title(deployment)}: is killed after {given} s, and may need {needed} s to stop"


def connections(rendered: Rendered) -> Iterator[str]:
    """Every process of a service at its largest may have all its connections, and Postgres has room for all of them."""
    for service in CONNECTIONS:
        yield from _most_processes(rendered, service)
    for cluster in rendered.of("Cluster"):
        limits = {role["name"]: role.get("connectionLimit", -1) for role in cluster["spec"]["managed"]["roles"]}
        for service, each in CONNECTIONS.items():
            most = processes_at_most(rendered, service)
            if limits.get(service, -1) < each * most + STAFF_CONNECTIONS:
                yield (
                    f"{title(cluster)}: {service} has {limits.get(service)} connections"
                    f" of {most} x {each} + {STAFF_CONNECTIONS}"
                )
        if any(limits.get(f"{service}_owner", -1) < OWNER_CONNECTIONS for service in CONNECTIONS):
            yield f"{title(cluster)}: an owner has fewer than {OWNER_CONNECTIONS} connections"
        there = int(cluster["spec"]["postgresql"]["parameters"]["max_connections"])
        if there < sum(limits.values()) + OTHER_CONNECTIONS:
            yield f"{title(cluster)}: {there} connections; {sum(limits.values())} + {OTHER_CONNECTIONS} are given out"


def _most_processes(rendered: Rendered, service: str) -> Iterator[str]:
    """A service refuses to start where its pools do not fit: what it is told of their number has to be true."""
    deployment = rendered.find("Deployment", service)
    if deployment is None:
        return
    told = int(variables(rendered, containers(deployment)[0]).get(f"{service}_most_processes".upper(), "1"))
    most = processes_at_most(rendered, service)
    if told < most:
        yield f"{title(deployment)}: is told of {told} processes, and there may be {most}"


def processes_at_most(rendered: Rendered, service: str) -> int:
    """In a rollout: all replicas, a new one, and old ones that stop; old gateways go on as long as their answers."""
    replicas = _replicas_at_most(rendered, service)
    return replicas + 1 + (replicas if service == "gateway" else 1)


def _replicas_at_most(rendered: Rendered, service: str) -> int:
    scaled = rendered.find("ScaledObject", service)
    if scaled is not None:
        return int(scaled["spec"]["maxReplicaCount"])
    deployment = rendered.find("Deployment", service)
    return int(deployment["spec"].get("replicas", 1)) if deployment else 0


def store(rendered: Rendered) -> Iterator[str]:
    """The streams fit into the store of a NATS node, and the store into its volume."""
    needed = sum(stream.max_bytes for stream in streams.STREAMS) + sum(bucket.max_bytes for bucket in streams.BUCKETS)
    config = rendered.find("ConfigMap", _config_of_nats(rendered))
    stateful = rendered.find("StatefulSet", "nats")
    if config is None or stateful is None:
        return
    text = str(config["data"]["nats.conf"])
    if "sync_interval: always" not in text:
        yield "nats.conf: an acknowledged settlement is not on the disk"
    (size,) = (
        line.split(":")[1].strip() for line in text.splitlines() if "max_file_store:" in line and "#" not in line
    )
    has = int(size.removesuffix("GB")) * 2**30
    if has < needed:
        yield f"nats.conf: max_file_store is {size}, and streams and buckets may take {needed / 2**30:.1f} GiB"
    (claim,) = stateful["spec"]["volumeClaimTemplates"]
    volume = quantity(claim["spec"]["resources"]["requests"]["storage"])
    if volume <= has:
        yield f"{title(stateful)}: the volume is no larger than max_file_store"


def _config_of_nats(rendered: Rendered) -> str:
    stateful = rendered.find("StatefulSet", "nats")
    if stateful is None:
        return ""
    sources = [
        source for volume in pod(stateful)["volumes"] for source in volume.get("projected", {}).get("sources", [])
    ]
    return next((str(found["configMap"]["name"]) for found in sources if "users" not in found["configMap"]["name"]), "")


def copies(rendered: Rendered) -> Iterator[str]:
    """Streams have a copy on each node that there is."""
    stateful = rendered.find("StatefulSet", "nats")
    for job in rendered.of("Job"):
        if not name_of(job).startswith("provision") or stateful is None:
            continue
        nodes = stateful["spec"]["replicas"]
        found = int(variables(rendered, containers(job)[0]).get("PROVISION_STREAM_COPIES", "1"))
        if found != nodes:
            yield f"{title(job)}: streams have {found} copies, on {nodes} nodes"


def memory(rendered: Rendered) -> Iterator[str]:
    """A limit is at most four times of what is requested: room for peaks, and no promise that no node keeps."""
    for workload in rendered.of(*WORKLOADS):
        for container in containers(workload):
            found: Document = container["resources"]
            ratio = quantity(found["limits"]["memory"]) / quantity(found["requests"]["memory"])
            if not 1 <= ratio <= 4:
                yield f"{title(workload)}: {container['name']}: the limit of memory is {ratio:g} times the request"
