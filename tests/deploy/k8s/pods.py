"""Workloads, their pods, and who selects whom by labels."""

from collections.abc import Iterator, Mapping
from typing import Any

from tests.deploy.k8s.rendering import Document, Rendered

LONG_LIVED = ("Deployment", "StatefulSet", "DaemonSet")
WORKLOADS = (*LONG_LIVED, "Job")
NAME = "app.kubernetes.io/name"


def template(workload: Document) -> Document:
    found: Document = workload["spec"]["template"]
    return found


def pod(workload: Document) -> Document:
    found: Document = template(workload)["spec"]
    return found


def labels(workload: Document) -> dict[str, str]:
    return dict(template(workload)["metadata"].get("labels", {}))


def containers(workload: Document) -> list[Document]:
    """All of them, those that run before the others included."""
    spec = pod(workload)
    return [*spec.get("initContainers", []), *spec["containers"]]


def all_labels(rendered: Rendered) -> Iterator[dict[str, str]]:
    """The labels of every pod that there will be, those that an operator makes included."""
    for workload in rendered.of(*WORKLOADS):
        yield labels(workload)
    for cluster in rendered.of("Cluster"):
        yield inherited(cluster)


def inherited(cluster: Document) -> dict[str, str]:
    """The labels that the operator of Postgres gives the pods of a cluster."""
    return dict(cluster["spec"].get("inheritedMetadata", {}).get("labels", {}))


def selects(selector: Mapping[str, Any], found: Mapping[str, str]) -> bool:
    """A label selector as Kubernetes reads it; an empty one selects everything."""
    if any(found.get(key) != value for key, value in selector.get("matchLabels", {}).items()):
        return False
    return all(_meets(rule, found) for rule in selector.get("matchExpressions", []))


def _meets(rule: Mapping[str, Any], found: Mapping[str, str]) -> bool:
    value, operator = found.get(rule["key"]), str(rule["operator"])
    values: list[str] = rule.get("values", [])
    if operator == "In":
        return value in values
    if operator == "NotIn":
        return value not in values
    return (value is not None) == (operator == "Exists")
