"""A name that leads nowhere is noticed: each case breaks production in one place."""

import pytest

from tests.deploy.k8s import references
from tests.deploy.k8s.broken import Assertion, Break, broken, config_map_of, container, pod_spec, without
from tests.deploy.k8s.rendering import Rendered

CASES: dict[str, tuple[str, str, Break, Assertion, str]] = {
    "a ServiceAccount": (
        "Deployment",
        "gateway",
        lambda found: pod_spec(found).update(serviceAccountName="gate"),
        references.of_pods,
        "there is no ServiceAccount gate",
    ),
    "the Secret of a volume": (
        "StatefulSet",
        "nats",
        lambda found: pod_spec(found)["volumes"][1]["secret"].update(secretName="nats-cert"),
        references.of_pods,
        "there is no secret nats-cert",
    ),
    "the ConfigMap in a projected volume": (
        "Deployment",
        "router",
        lambda found: pod_spec(found)["volumes"][0]["projected"]["sources"][1]["configMap"].update(name="profile"),
        references.of_pods,
        "there is no configMap profile",
    ),
    "the key of a Secret": (
        "Job",
        "migrate-quota-0-1-0",
        lambda found: container(found)["env"][0]["valueFrom"]["secretKeyRef"].update(key="URL"),
        references.of_pods,
        "secret migrate-quota has no URL",
    ),
    "the file of a volume": (
        "Deployment",
        "quota",
        lambda found: pod_spec(found)["volumes"][-1]["secret"]["items"][0].update(key="root.crt"),
        references.of_pods,
        "has no root.crt",
    ),
    "the volume of a mount": (
        "Deployment",
        "quota",
        lambda found: pod_spec(found)["volumes"].pop(0),
        references.of_pods,
        "volume config is not there",
    ),
    "the target of a Service": (
        "Service",
        "gateway",
        lambda found: found["spec"]["ports"][0].update(targetPort="web"),
        references.of_selectors,
        "Deployment/gateway has no port web",
    ),
    "the pods of a Service": (
        "Service",
        "gateway",
        lambda found: found["spec"].update(selector={"app": "gateway"}),
        references.of_selectors,
        "Service/gateway: selects nothing",
    ),
    "the pods of a budget": (
        "PodDisruptionBudget",
        "quota",
        lambda found: found["spec"].update(selector={"matchLabels": {"app": "quota"}}),
        references.of_selectors,
        "PodDisruptionBudget/quota: selects nothing",
    ),
    "the pods of a monitor": (
        "PodMonitor",
        "services",
        lambda found: found["spec"]["selector"]["matchExpressions"][0]["values"].append("portal"),
        references.of_names,
        "selects nothing of portal",
    ),
    "the port of a monitor": (
        "PodMonitor",
        "services",
        lambda found: found["spec"]["podMetricsEndpoints"][0].update(port="metrics"),
        references.of_names,
        "has no port metrics",
    ),
    "the port of an operator's pods": (
        "PodMonitor",
        "postgres",
        lambda found: found["spec"]["podMetricsEndpoints"][0].update(port="exporter"),
        references.of_names,
        "Cluster/postgres has no port exporter",
    ),
    "the Service of a StatefulSet": (
        "StatefulSet",
        "nats",
        lambda found: found["spec"].update(serviceName="nats-headless"),
        references.of_names,
        "there is no Service nats-headless",
    ),
    "the listener of a route": (
        "HTTPRoute",
        "answers",
        lambda found: found["spec"]["parentRefs"][0].update(sectionName="tls"),
        references.of_routes,
        "has no listener tls",
    ),
    "the port of a route": (
        "HTTPRoute",
        "answers",
        lambda found: found["spec"]["rules"][0]["backendRefs"][0].update(port=8080),
        references.of_routes,
        "Service gateway has no port 8080",
    ),
    "the certificate of a listener": (
        "Gateway",
        "public",
        lambda found: found["spec"]["listeners"][0]["tls"]["certificateRefs"][0].update(name="other"),
        references.of_listeners,
        "there is no Secret other",
    ),
    "the password of a role": (
        "Cluster",
        "postgres",
        lambda found: found["spec"]["managed"]["roles"][0]["passwordSecret"].update(name="postgres-gate"),
        references.of_clusters,
        "Secret postgres-gate has no username and password",
    ),
    "the script of a database": (
        "Cluster",
        "postgres",
        lambda found: found["spec"]["bootstrap"]["initdb"]["postInitApplicationSQLRefs"]["configMapRefs"][0].update(
            key="schemas.sql"
        ),
        references.of_clusters,
        "has no schemas.sql",
    ),
    "the cluster of a backup": (
        "ScheduledBackup",
        "postgres-nightly",
        lambda found: found["spec"]["cluster"].update(name="pg"),
        references.of_clusters,
        "there is no Cluster pg",
    ),
}


@pytest.mark.parametrize("case", CASES.values(), ids=[title.replace(" ", "_") for title in CASES])
def test_what_leads_nowhere_is_noticed(case: tuple[str, str, Break, Assertion, str], production: Rendered) -> None:
    kind, name, breaking, assertion, words = case
    assert list(assertion(production)) == []
    assert any(words in fault for fault in assertion(broken(production, kind, name, breaking)))


def test_settings_that_are_not_there_are_noticed(production: Rendered) -> None:
    name = config_map_of(production, "billing")
    found = list(references.of_pods(without(production, "ConfigMap", name)))
    assert found == [f"Deployment/billing: there is no configMap {name}"]


def test_a_secret_that_nobody_fetches_is_noticed(production: Rendered) -> None:
    found = list(references.of_pods(without(production, "ExternalSecret", "billing-close-key")))
    assert found == ["Deployment/billing: there is no secret billing-close-key"]


def test_what_a_pod_can_do_without_need_not_be_there(production: Rendered) -> None:
    assert list(references.of_pods(without(production, "ExternalSecret", "provider-keys"))) == []


def test_pods_without_a_policy_of_their_own_are_noticed(production: Rendered) -> None:
    found = list(references.of_policies(without(production, "NetworkPolicy", "router")))
    assert found == ["NetworkPolicy: none for the pods router"]


def test_it_is_noticed_that_nothing_is_denied(production: Rendered) -> None:
    found = list(references.of_policies(without(production, "NetworkPolicy", "deny-all")))
    assert found == ["NetworkPolicy: nothing denies what is not allowed"]
