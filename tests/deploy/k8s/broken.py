"""Renderings that are broken on purpose, to see that it is noticed."""

import copy
from collections.abc import Callable, Iterator

from tests.deploy.k8s.pods import containers, pod
from tests.deploy.k8s.rendering import Document, Rendered

Break = Callable[[Document], object]
Assertion = Callable[[Rendered], Iterator[str]]


def broken(rendered: Rendered, kind: str, name: str, breaking: Break) -> Rendered:
    """A copy in which something was done to one object."""
    found = Rendered(copy.deepcopy(rendered.all))
    document = found.find(kind, name)
    assert document is not None, f"there is no {kind} {name} to break"
    breaking(document)
    return found


def without(rendered: Rendered, kind: str, name: str) -> Rendered:
    """A copy that lacks one object."""
    gone = rendered.find(kind, name)
    assert gone is not None, f"there is no {kind} {name} to leave out"
    return Rendered([document for document in copy.deepcopy(rendered.all) if document != gone])


def container(document: Document) -> Document:
    return containers(document)[0]


def config_map_of(rendered: Rendered, service: str) -> str:
    """The name of the ConfigMap that a service reads, hash included."""
    deployment = rendered.find("Deployment", service)
    assert deployment is not None
    sources = container(deployment)["envFrom"]
    return str(next(source["configMapRef"]["name"] for source in sources if "configMapRef" in source))


def pod_spec(document: Document) -> Document:
    return pod(document)


def let_out(rendered: Rendered, name: str) -> Rendered:
    """Another one with the gateway's way to the internet."""
    of_gateway = rendered.find("NetworkPolicy", "gateway")
    assert of_gateway is not None
    rule = of_gateway["spec"]["egress"][-1]
    return broken(rendered, "NetworkPolicy", name, lambda found: found["spec"]["egress"].append(rule))
