"""All that is asserted of a whole overlay, in one list."""

from collections.abc import Callable, Iterator
from pathlib import Path

from tests.deploy.k8s import arithmetic, crds, graph, on_demand, references, routes, rules, scaling, told, workloads
from tests.deploy.k8s.place import REPOSITORY
from tests.deploy.k8s.rendering import Rendered, title

# What `make k8s-check` has the schemas of, from Kubernetes itself.
OF_KUBERNETES = frozenset({"v1", "apps/v1", "batch/v1", "policy/v1", "networking.k8s.io/v1", "autoscaling/v2"})
DASHBOARDS = REPOSITORY / "deploy/dashboards"

Assertion = Callable[[Rendered], Iterator[str]]

# Of anything that is rendered, components alone included.
OF_EVERYTHING: tuple[Assertion, ...] = (
    workloads.identity,
    workloads.security,
    workloads.resources,
    workloads.probes,
    workloads.ports,
    workloads.company,
    arithmetic.memory,
    arithmetic.stops,
    arithmetic.store,
    arithmetic.copies,
    references.of_selectors,
    references.of_names,
    references.of_listeners,
    references.of_routes,
    scaling.owners,
    scaling.triggers,
    routes.timeouts,
)
# Of what is meant to be applied as it is.
OF_OVERLAYS: tuple[Assertion, ...] = (
    workloads.images,
    workloads.releases,
    references.of_pods,
    references.of_clusters,
    references.of_policies,
    arithmetic.connections,
    told.settings,
    told.users,
)
# Of what customers reach.
OF_PRODUCTION: tuple[Assertion, ...] = (graph.faults,)
# Of an overlay with the pod of staff: one Job for every release, because it is gone before the next one.
WITH_STAFF: tuple[Assertion, ...] = (
    *OF_EVERYTHING,
    *(assertion for assertion in OF_OVERLAYS if assertion is not workloads.releases),
    on_demand.ends,
    on_demand.hides_passwords,
)


def schemas(rendered: Rendered) -> Iterator[str]:
    """Other people's kinds, by their schemas. A kind that is neither Kubernetes' own nor known here is a fault."""
    known = crds.kinds()
    for document in rendered.all:
        kind = (document["apiVersion"], document["kind"])
        if kind in known:
            yield from (f"{title(document)}: {fault}" for fault in crds.faults(known[kind], document))
        elif document["apiVersion"] not in OF_KUBERNETES:
            yield f"{title(document)}: there is no schema of {kind[0]} {kind[1]}"


def of_component(rendered: Rendered) -> Iterator[str]:
    for assertion in OF_EVERYTHING:
        yield from assertion(rendered)
    yield from schemas(rendered)


def of_overlay(rendered: Rendered, name: str, *, folder: Path) -> Iterator[str]:
    yield from of_component(rendered)
    for assertion in (*OF_OVERLAYS, *(OF_PRODUCTION if name == "production" else ())):
        yield from assertion(rendered)
    yield from told.files(rendered, folder)


def with_staff(rendered: Rendered, name: str) -> Iterator[str]:
    for assertion in (*WITH_STAFF, *(OF_PRODUCTION if name == "production" else ())):
        yield from assertion(rendered)


def of_files() -> Iterator[str]:
    """What is copied because kustomize cannot do without; and that no file of a folder is forgotten."""
    listed = (DASHBOARDS / "kustomization.yaml").read_text(encoding="utf-8")
    for file in sorted(DASHBOARDS.glob("*.json")):
        if f"[{file.name}]" not in listed:
            yield f"{file.name}: is in no ConfigMap"
    if rules.FILE.read_text(encoding="utf-8") != rules.text():
        yield f"{rules.FILE.name}: is not what deploy/alerts says: run `python -m tests.deploy.k8s.rules`"
