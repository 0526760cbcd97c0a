"""Who may talk to whom: what is allowed beyond the call graph, and what is forgotten, is noticed."""

import pytest

from tests.deploy.k8s import graph
from tests.deploy.k8s.broken import broken, let_out, without
from tests.deploy.k8s.rendering import Document, Rendered

_ROUTER = {"podSelector": {"matchLabels": {"app.kubernetes.io/name": "router"}}}


def test_production_allows_the_call_graph_and_nothing_else(production: Rendered) -> None:
    assert list(graph.faults(production)) == []


def test_a_way_that_nothing_needs_is_noticed(production: Rendered) -> None:
    def open_postgres(found: Document) -> None:
        found["spec"]["egress"].append(
            {
                "to": [{"podSelector": {"matchLabels": {"app.kubernetes.io/name": "postgres"}}}],
                "ports": [{"port": 5432}],
            }
        )

    def let_in(found: Document) -> None:
        found["spec"]["ingress"].append({"from": [_ROUTER], "ports": [{"port": 5432}]})

    opened = broken(broken(production, "NetworkPolicy", "router", open_postgres), "NetworkPolicy", "postgres", let_in)
    assert list(graph.faults(opened)) == ["NetworkPolicy: router may talk to postgres on 5432, which nothing needs"]


def test_a_way_that_is_open_at_one_end_only_is_noticed(production: Rendered) -> None:
    def let_in(found: Document) -> None:
        found["spec"]["ingress"].append({"from": [_ROUTER], "ports": [{"port": 5432}]})

    opened = broken(production, "NetworkPolicy", "postgres", let_in)
    assert list(graph.faults(opened)) == ["NetworkPolicy: router to postgres on 5432 is allowed at one end only"]


def test_a_way_that_is_needed_and_closed_is_noticed(production: Rendered) -> None:
    closed = broken(production, "NetworkPolicy", "quota", lambda found: found["spec"]["egress"].pop(0))
    assert "NetworkPolicy: quota may not talk to nats on 4222" in list(graph.faults(closed))


def test_a_neighbour_that_may_come_in_unasked_is_noticed(production: Rendered) -> None:
    def let_in(found: Document) -> None:
        found["spec"]["ingress"].append({"from": [{"namespaceSelector": {"matchLabels": _NEIGHBOUR}}], "ports": _HTTP})

    opened = broken(production, "NetworkPolicy", "gateway", let_in)
    assert list(graph.faults(opened)) == ["NetworkPolicy: (staging) may talk to gateway on 8080, which nothing needs"]


_NEIGHBOUR = {"kubernetes.io/metadata.name": "staging"}
_HTTP = [{"port": 8080}]


def test_a_second_service_that_may_call_the_internet_is_noticed(production: Rendered) -> None:
    opened = let_out(production, "router")
    assert "NetworkPolicy: router may talk to internet on 443, which nothing needs" in list(graph.faults(opened))


@pytest.mark.parametrize("network", ["10.0.0.0/8", "169.254.0.0/16", "192.168.0.0/16", "172.16.0.0/12"])
def test_a_way_to_the_internet_that_leads_inwards_is_noticed(production: Rendered, network: str) -> None:
    def open_inwards(found: Document) -> None:
        found["spec"]["egress"][-1]["to"][0]["ipBlock"]["except"].remove(network)

    opened = broken(production, "NetworkPolicy", "gateway", open_inwards)
    assert list(graph.faults(opened)) == [f"NetworkPolicy/gateway: lets out to {network}"]


def test_a_policy_that_is_gone_is_noticed(production: Rendered) -> None:
    found = list(graph.faults(without(production, "NetworkPolicy", "nats")))
    assert any("gateway may not talk to nats" in fault or "allowed at one end only" in fault for fault in found)
