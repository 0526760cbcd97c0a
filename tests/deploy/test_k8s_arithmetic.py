"""A sum that does not come out is noticed: each case changes one number of production."""

import pytest

from tests.deploy.k8s import arithmetic, routes, scaling
from tests.deploy.k8s.broken import Assertion, Break, broken, config_map_of, container, pod_spec
from tests.deploy.k8s.rendering import Document, Rendered, name_of


def _trigger(number: int, field: str, value: str) -> Break:
    return lambda found: found["spec"]["triggers"][number]["metadata"].update({field: value})


CASES: dict[str, tuple[str, str, Break, Assertion, str]] = {
    "a gateway that is killed before its answers end": (
        "Deployment",
        "gateway",
        lambda found: pod_spec(found).update(terminationGracePeriodSeconds=600),
        arithmetic.stops,
        "is killed after 600 s, and may need 635 s",
    ),
    "a gateway that stops while proxies still send": (
        "Deployment",
        "gateway",
        lambda found: container(found).pop("lifecycle"),
        arithmetic.stops,
        "takes no new connections before proxies know",
    ),
    "a service that is killed in the middle of a statement": (
        "Deployment",
        "billing",
        lambda found: pod_spec(found).update(terminationGracePeriodSeconds=15),
        arithmetic.stops,
        "is killed after 15 s, and may need 20 s",
    ),
    "more replicas than Postgres has connections for": (
        "ScaledObject",
        "gateway",
        lambda found: found["spec"].update(maxReplicaCount=40),
        arithmetic.connections,
        "gateway has 208 connections of 81 x 8 + 8",
    ),
    "a role without a limit of connections": (
        "Cluster",
        "postgres",
        lambda found: found["spec"]["managed"]["roles"][2].pop("connectionLimit"),
        arithmetic.connections,
        "quota has -1 connections",
    ),
    "a Postgres with fewer connections than it gives out": (
        "Cluster",
        "postgres",
        lambda found: found["spec"]["postgresql"]["parameters"].update(max_connections="200"),
        arithmetic.connections,
        "200 connections; 330 + 20 are given out",
    ),
    "a volume that is full before the store is": (
        "StatefulSet",
        "nats",
        lambda found: found["spec"]["volumeClaimTemplates"][0]["spec"]["resources"]["requests"].update(storage="8Gi"),
        arithmetic.store,
        "the volume is no larger than max_file_store",
    ),
    "streams with fewer copies than nodes": (
        "Job",
        "provision-0-1-0",
        lambda found: container(found)["env"][-1].update(value="1"),
        arithmetic.copies,
        "streams have 1 copies, on 3 nodes",
    ),
    "a limit of memory that no node keeps": (
        "Deployment",
        "gateway",
        lambda found: container(found)["resources"]["limits"].update(memory="8Gi"),
        arithmetic.memory,
        "times the request",
    ),
    "a number of replicas beside what scales it": (
        "Deployment",
        "quota",
        lambda found: found["spec"].update(replicas=2),
        scaling.owners,
        "says how many replicas, and is scaled",
    ),
    "something to scale that is not there": (
        "ScaledObject",
        "quota",
        lambda found: found["spec"]["scaleTargetRef"].update(name="quotas"),
        scaling.owners,
        "there is no Deployment quotas",
    ),
    "a trigger that KEDA does not have": (
        "ScaledObject",
        "billing",
        lambda found: found["spec"]["triggers"][0].update(type="nats-streaming"),
        scaling.triggers,
        "KEDA has no trigger nats-streaming",
    ),
    "a field that a trigger does not have": (
        "ScaledObject",
        "billing",
        _trigger(0, "durable", "billing_requests"),
        scaling.triggers,
        "nats-jetstream has no durable",
    ),
    "a field that a trigger needs": (
        "ScaledObject",
        "billing",
        lambda found: found["spec"]["triggers"][1]["metadata"].pop("query"),
        scaling.triggers,
        "prometheus needs query",
    ),
    "a consumer that no contract has": (
        "ScaledObject",
        "billing",
        _trigger(0, "consumer", "billing"),
        scaling.triggers,
        "no contract has consumer billing of stream REQUESTS",
    ),
    "lag that is only what is in hand": (
        "ScaledObject",
        "billing",
        _trigger(0, "lagThreshold", "100"),
        scaling.triggers,
        "4096 messages may be in hand",
    ),
    "lag that is asked of any node": (
        "ScaledObject",
        "billing",
        _trigger(0, "natsServerMonitoringEndpoint", "nats-client:8222"),
        scaling.triggers,
        "is not the headless service",
    ),
    "a gateway that is scaled by CPU alone": (
        "ScaledObject",
        "gateway",
        lambda found: found["spec"]["triggers"].pop(0),
        scaling.triggers,
        "is not scaled by http_server_active_requests",
    ),
    "a service that may be left with one pod": (
        "ScaledObject",
        "router",
        lambda found: found["spec"].update(minReplicaCount=1),
        scaling.triggers,
        "may be left with one pod",
    ),
    "a proxy that ends answers": (
        "HTTPRoute",
        "answers",
        lambda found: found["spec"]["rules"][0]["timeouts"].update(request="30s"),
        routes.timeouts,
        "answers of /v1/responses are cut off",
    ),
    "a path of answers that was forgotten": (
        "HTTPRoute",
        "answers",
        lambda found: found["spec"]["rules"][0]["matches"].pop(),
        routes.timeouts,
        "answers of /api/smart-routing-ai-model/v1/responses are cut off",
    ),
    "pages that may take for ever": (
        "HTTPRoute",
        "portal",
        lambda found: found["spec"]["rules"][0]["timeouts"].update(request="0s"),
        routes.timeouts,
        "HTTPRoute: / may take for ever",
    ),
    "a route that leaves time to the proxy": (
        "HTTPRoute",
        "api",
        lambda found: found["spec"]["rules"][0].pop("timeouts"),
        routes.timeouts,
        "says nothing of time",
    ),
}


@pytest.mark.parametrize("case", CASES.values(), ids=[title.replace(" ", "_") for title in CASES])
def test_it_is_noticed_that_there_is(case: tuple[str, str, Break, Assertion, str], production: Rendered) -> None:
    kind, name, breaking, assertion, words = case
    assert list(assertion(production)) == []
    assert any(words in fault for fault in assertion(broken(production, kind, name, breaking)))


@pytest.mark.parametrize("service", ["gateway", "quota", "billing"])
def test_a_service_that_is_told_of_fewer_processes_than_there_may_be_is_noticed(
    production: Rendered, service: str
) -> None:
    name, variable = config_map_of(production, service), f"{service}_most_processes".upper()
    fewer = broken(production, "ConfigMap", name, lambda found: found["data"].update({variable: "3"}))
    (fault,) = arithmetic.connections(fewer)
    assert fault.startswith(f"Deployment/{service}: is told of 3 processes")


def test_answers_that_outlive_the_grace_are_noticed(production: Rendered) -> None:
    name = config_map_of(production, "gateway")
    longer = broken(
        production, "ConfigMap", name, lambda found: found["data"].update(GATEWAY_ANSWER_LIMIT_SECONDS="900")
    )
    assert list(arithmetic.stops(longer)) == ["Deployment/gateway: a rollout cuts answers that are longer than 600 s"]


def test_a_grace_that_is_longer_than_the_pod_has_is_noticed(production: Rendered) -> None:
    name = config_map_of(production, "gateway")
    longer = broken(production, "ConfigMap", name, lambda found: found["data"].update(GATEWAY_GRACE_SECONDS="900"))
    assert list(arithmetic.stops(longer)) == ["Deployment/gateway: is killed after 640 s, and may need 935 s to stop"]


def test_a_store_without_syncs_is_noticed(production: Rendered) -> None:
    (name,) = [name_of(found) for found in production.of("ConfigMap") if "nats.conf" in found["data"]]

    def lose(found: Document) -> None:
        found["data"]["nats.conf"] = found["data"]["nats.conf"].replace("sync_interval: always", "sync_interval: 2m")

    found = list(arithmetic.store(broken(production, "ConfigMap", name, lose)))
    assert found == ["nats.conf: an acknowledged settlement is not on the disk"]


def test_a_store_that_is_too_small_for_the_streams_is_noticed(production: Rendered) -> None:
    (name,) = [name_of(found) for found in production.of("ConfigMap") if "nats.conf" in found["data"]]

    def shrink(found: Document) -> None:
        found["data"]["nats.conf"] = found["data"]["nats.conf"].replace("max_file_store: 9GB", "max_file_store: 5GB")

    (fault,) = arithmetic.store(broken(production, "ConfigMap", name, shrink))
    assert fault.startswith("nats.conf: max_file_store is 5GB, and streams and buckets may take 6.")
