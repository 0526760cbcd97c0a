"""Who scales by what: one owner per Deployment, triggers that KEDA has, and streams and metrics that there are."""

import json
import re
from collections.abc import Iterator

from contracts import streams
from tests.deploy.k8s.place import REPOSITORY, SERVICES
from tests.deploy.k8s.rendering import Document, Rendered, title

TRIGGERS = REPOSITORY / "tests/deploy/k8s/triggers/keda.json"
_METRIC = re.compile(r"\b([a-z_]+)\{")
# What each service is scaled by, besides CPU.
SIGNALS = {
    "gateway": "http_server_active_requests",
    "quota": "messaging_process_duration_seconds_bucket",
    "router": "messaging_process_duration_seconds_sum",
    "billing": "smartroute_dead_letters",
}


def owners(rendered: Rendered) -> Iterator[str]:
    """Nobody scales one Deployment in two ways, or says its number beside."""
    targets = [
        found["spec"]["scaleTargetRef"]["name"] for found in rendered.of("ScaledObject", "HorizontalPodAutoscaler")
    ]
    for target in targets:
        deployment = rendered.find("Deployment", target)
        if deployment is None:
            yield f"ScaledObject: there is no Deployment {target}"
        elif "replicas" in deployment["spec"]:
            yield f"{title(deployment)}: says how many replicas, and is scaled"
        if targets.count(target) > 1:
            yield f"Deployment/{target}: is scaled by several"
    if targets:
        for service in SERVICES:
            if service not in targets:
                yield f"Deployment/{service}: is scaled by nothing"


def triggers(rendered: Rendered) -> Iterator[str]:
    known = json.loads(TRIGGERS.read_text(encoding="utf-8"))
    for scaled in rendered.of("ScaledObject"):
        used = set()
        for trigger in scaled["spec"]["triggers"]:
            parameters = known["triggers"].get(trigger["type"])
            if parameters is None:
                yield f"{title(scaled)}: KEDA has no trigger {trigger['type']} that is known here"
                continue
            yield from _metadata(title(scaled), trigger, parameters)
            used |= set(_METRIC.findall(trigger["metadata"].get("query", "")))
        signal = SIGNALS.get(scaled["spec"]["scaleTargetRef"]["name"])
        if signal not in used:
            yield f"{title(scaled)}: is not scaled by {signal}"
        if not 1 < scaled["spec"]["minReplicaCount"] <= scaled["spec"]["maxReplicaCount"]:
            yield f"{title(scaled)}: may be left with one pod"


def _metadata(where: str, trigger: Document, parameters: dict[str, list[str]]) -> Iterator[str]:
    metadata = trigger["metadata"]
    for name in metadata:
        if name not in parameters["required"] + parameters["optional"]:
            yield f"{where}: {trigger['type']} has no {name}"
    for name in parameters["required"]:
        if name not in metadata:
            yield f"{where}: {trigger['type']} needs {name}"
    if trigger["type"] == "nats-jetstream":
        yield from _of_stream(where, metadata)


def _of_stream(where: str, metadata: dict[str, str]) -> Iterator[str]:
    durables = {(durable.stream, durable.name): durable for durable in streams.DURABLES}
    durable = durables.get((metadata["stream"], metadata["consumer"]))
    if durable is None:
        yield f"{where}: no contract has consumer {metadata['consumer']} of stream {metadata['stream']}"
    elif int(metadata["lagThreshold"]) <= durable.max_ack_pending:
        yield f"{where}: {durable.max_ack_pending} messages may be in hand, which is no lag"
    host, _, port = metadata["natsServerMonitoringEndpoint"].partition(":")
    if not host.startswith("nats.") or port != "8222":
        yield f"{where}: {metadata['natsServerMonitoringEndpoint']} is not the headless service of NATS"
