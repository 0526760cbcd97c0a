"""A workload that lacks something is noticed: each case breaks production in one place."""

from typing import Any

import pytest

from tests.deploy.k8s import asserted, workloads
from tests.deploy.k8s.broken import Assertion, Break, broken, container, pod_spec, without
from tests.deploy.k8s.rendering import Rendered

Case = tuple[str, str, Break, Assertion, str]


def _of_container(field: str, value: Any) -> Break:
    return lambda document: container(document).__setitem__(field, value)


def _security(field: str, value: Any) -> Break:
    return lambda document: container(document)["securityContext"].__setitem__(field, value)


def _less(field: str) -> Break:
    return lambda document: container(document).pop(field)


CASES: dict[str, Case] = {
    "an object without a namespace": (
        "ScaledObject",
        "gateway",
        lambda found: found["metadata"].pop("namespace"),
        workloads.identity,
        "is in namespace None",
    ),
    "a name that is no DNS label": (
        "Service",
        "quota",
        lambda found: found["metadata"].update(name="quota.v1"),
        workloads.identity,
        "no DNS label",
    ),
    "an image that is the newest, whichever that is": (
        "Deployment",
        "quota",
        _of_container("image", "smartroute/quota:latest"),
        workloads.images,
        "neither a release nor a digest",
    ),
    "an image without a tag": (
        "Deployment",
        "quota",
        _of_container("image", "smartroute/quota"),
        workloads.images,
        "neither a release nor a digest",
    ),
    "the image of another service": (
        "Deployment",
        "quota",
        _of_container("image", "smartroute/router:0.1.0"),
        workloads.images,
        "Deployment/quota: runs smartroute/router",
    ),
    "two releases of one image": (
        "Job",
        "migrate-quota-0-1-0",
        _of_container("image", "smartroute/quota:0.2.0"),
        workloads.images,
        "several images",
    ),
    "a Job of another release": (
        "Job",
        "migrate-quota-0-1-0",
        lambda found: found["metadata"].update(name="migrate-quota-0-0-9"),
        workloads.releases,
        "does not end with the release",
    ),
    "a pod that may be root": (
        "Deployment",
        "router",
        lambda found: pod_spec(found)["securityContext"].pop("runAsNonRoot"),
        workloads.security,
        "may run as root",
    ),
    "a pod without seccomp": (
        "Deployment",
        "router",
        lambda found: pod_spec(found)["securityContext"].pop("seccompProfile"),
        workloads.security,
        "no seccomp profile",
    ),
    "a pod with a token of Kubernetes": (
        "Deployment",
        "router",
        lambda found: pod_spec(found).pop("automountServiceAccountToken"),
        workloads.security,
        "has a token",
    ),
    "a pod on the network of its node": (
        "Deployment",
        "router",
        lambda found: pod_spec(found).update(hostNetwork=True),
        workloads.security,
        "shares something with its node",
    ),
    "a volume of the node": (
        "Deployment",
        "router",
        lambda found: pod_spec(found)["volumes"].append({"name": "host", "hostPath": {"path": "/"}}),
        workloads.security,
        "volume host is a hostPath",
    ),
    "a temporary folder without a limit": (
        "Deployment",
        "router",
        lambda found: pod_spec(found)["volumes"].append({"name": "more", "emptyDir": {}}),
        workloads.security,
        "volume more has no limit",
    ),
    "a container that can write to its image": (
        "StatefulSet",
        "nats",
        _security("readOnlyRootFilesystem", False),
        workloads.security,
        "readOnlyRootFilesystem is not true",
    ),
    "a container that may gain rights": (
        "StatefulSet",
        "nats",
        _security("allowPrivilegeEscalation", True),
        workloads.security,
        "allowPrivilegeEscalation is not false",
    ),
    "a container that keeps capabilities": (
        "Job",
        "provision-0-1-0",
        _security("capabilities", {"drop": ["NET_RAW"]}),
        workloads.security,
        "keeps capabilities",
    ),
    "a container without requests": (
        "Deployment",
        "billing",
        lambda found: container(found)["resources"].pop("requests"),
        workloads.resources,
        "does not request CPU and memory",
    ),
    "a container without a limit of memory": (
        "Deployment",
        "billing",
        lambda found: container(found)["resources"].pop("limits"),
        workloads.resources,
        "no limit of memory",
    ),
    "a container that is throttled": (
        "Deployment",
        "billing",
        lambda found: container(found)["resources"]["limits"].update(cpu="1"),
        workloads.resources,
        "has a limit of CPU",
    ),
    "a container that never says whether it is ready": (
        "Deployment",
        "quota",
        _less("readinessProbe"),
        workloads.probes,
        "has no readinessProbe",
    ),
    "a container that never says whether it lives": (
        "StatefulSet",
        "nats",
        _less("livenessProbe"),
        workloads.probes,
        "has no livenessProbe",
    ),
    "a service that gets no time to start": (
        "Deployment",
        "quota",
        _less("startupProbe"),
        workloads.probes,
        "has no startupProbe",
    ),
    "a service that is restarted when its database is away": (
        "Deployment",
        "quota",
        lambda found: container(found)["livenessProbe"]["httpGet"].update(path="/readyz"),
        workloads.probes,
        "livenessProbe does not ask /livez",
    ),
    "a port without a name": (
        "Deployment",
        "quota",
        lambda found: container(found)["ports"][0].pop("name"),
        workloads.ports,
        "has no name",
    ),
    "a Deployment that is not spread over zones": (
        "Deployment",
        "gateway",
        lambda found: pod_spec(found)["topologySpreadConstraints"].pop(0),
        workloads.company,
        "is not spread by topology.kubernetes.io/zone",
    ),
    "a Deployment that is spread by the pods of another one": (
        "Deployment",
        "gateway",
        lambda found: pod_spec(found)["topologySpreadConstraints"][1]["labelSelector"]["matchLabels"].update(
            {"app.kubernetes.io/name": "quota"}
        ),
        workloads.company,
        "is spread by the pods of others",
    ),
    "a rollout with a gap": (
        "Deployment",
        "gateway",
        lambda found: found["spec"]["strategy"]["rollingUpdate"].update(maxUnavailable=1),
        workloads.company,
        "takes old pods away before new ones are ready",
    ),
    "a budget that lets all pods go": (
        "PodDisruptionBudget",
        "gateway",
        lambda found: found["spec"].update(maxUnavailable="100%"),
        workloads.company,
        "lets other than one pod go",
    ),
    "a budget that keeps broken nodes": (
        "PodDisruptionBudget",
        "gateway",
        lambda found: found["spec"].pop("unhealthyPodEvictionPolicy"),
        workloads.company,
        "keeps nodes",
    ),
    "a field that a kind of others does not have": (
        "ScaledObject",
        "gateway",
        lambda found: found["spec"].update(maxReplicas=7),
        asserted.schemas,
        "maxReplicas",
    ),
    "a value that a kind of others does not take": (
        "Cluster",
        "postgres",
        lambda found: found["spec"].update(instances="three"),
        asserted.schemas,
        "Cluster/postgres: spec.instances",
    ),
    "a duration that is none": (
        "HTTPRoute",
        "api",
        lambda found: found["spec"]["rules"][0]["timeouts"].update(request="half a minute"),
        asserted.schemas,
        "HTTPRoute/api: spec.rules.0.timeouts.request",
    ),
    "a kind that nobody here knows": (
        "PodMonitor",
        "services",
        lambda found: found.update(kind="Probe"),
        asserted.schemas,
        "there is no schema of monitoring.coreos.com/v1 Probe",
    ),
}


@pytest.mark.parametrize("case", CASES.values(), ids=[title.replace(" ", "_") for title in CASES])
def test_it_is_noticed_that_there_is(case: Case, production: Rendered) -> None:
    kind, name, breaking, assertion, words = case
    assert list(assertion(production)) == []
    assert any(words in fault for fault in assertion(broken(production, kind, name, breaking)))


def test_it_is_noticed_that_a_deployment_has_no_budget(production: Rendered) -> None:
    found = list(workloads.company(without(production, "PodDisruptionBudget", "router")))
    assert found == ["Deployment/router: has 0 PodDisruptionBudgets"]


def test_it_is_noticed_that_an_object_is_there_twice(production: Rendered) -> None:
    doubled = Rendered([*production.all, production.all[1]])
    assert any("is there twice" in fault for fault in workloads.identity(doubled))


def test_it_is_noticed_that_a_service_is_missing(production: Rendered) -> None:
    found = list(workloads.images(without(production, "Deployment", "router")))
    assert "Deployment/router: is missing" in found
