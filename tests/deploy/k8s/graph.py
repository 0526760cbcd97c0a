"""Who may talk to whom: what the policies of a rendering allow, against the call graph that is meant."""

import ipaddress
from collections.abc import Iterator
from typing import Any

from tests.deploy.k8s.pods import NAME, all_labels, selects
from tests.deploy.k8s.rendering import Document, Rendered

Edge = tuple[str, str, int]

_WITH_TABLES = ("gateway", "quota", "billing")
_ON_THE_BUS = ("gateway", "quota", "router", "billing")
_HEALTH = {"gateway": 9080, "quota": 9081, "router": 9082, "billing": 9083}

INTERNET, ANYWHERE = "internet", "anywhere"
# From, to, port. What is in brackets is a namespace.
MEANT: frozenset[Edge] = frozenset(
    [("(envoy-gateway-system)", "gateway", 8080)]
    + [("gateway", INTERNET, port) for port in (443, 465, 587)]
    + [(service, "nats", 4222) for service in (*_ON_THE_BUS, "provision", "staff")]
    + [("staff", "postgres", 5432)]
    + [(name, "postgres", 5432) for service in _WITH_TABLES for name in (service, f"migrate-{service}")]
    + [("(monitoring)", service, port) for service, port in _HEALTH.items()]
    + [("nats", "nats", 6222), ("(keda)", "nats", 8222)]
    + [("postgres", "postgres", 5432), ("postgres", "postgres", 8000), ("(monitoring)", "postgres", 9187)]
    + [("(cnpg-system)", "postgres", 5432), ("(cnpg-system)", "postgres", 8000)]
    + [("postgres", ANYWHERE, 443), ("postgres", ANYWHERE, 6443)]
)
# Only where there are collectors.
TRACES: frozenset[Edge] = frozenset(
    [(service, "otel-agent", 4318) for service in _ON_THE_BUS]
    + [
        ("otel-agent", "otel-sampler", 4317),
        ("otel-sampler", "(monitoring)", 4317),
        ("otel-sampler", "(monitoring)", 4318),
    ]
    + [("(monitoring)", "otel-agent", 8888), ("(monitoring)", "otel-sampler", 8888)]
)
_PRIVATE = ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "169.254.0.0/16", "100.64.0.0/10", "127.0.0.0/8")
_PRIVATE_6 = ("fc00::/7", "fe80::/10", "::1/128")


def faults(rendered: Rendered) -> Iterator[str]:
    """What is allowed and not meant, and what is meant and not allowed on both sides."""
    names = sorted({found[NAME] for found in all_labels(rendered) if NAME in found})
    meant = MEANT | (TRACES if "otel-agent" in names else frozenset())
    outgoing, incoming = _allowed(rendered, names, "egress"), _allowed(rendered, names, "ingress")
    # What both ends have to allow lies between two pods of ours; of others only one end is ours.
    allowed = {edge for edge in outgoing | incoming if _is_allowed(edge, outgoing, incoming, names)}
    for edge in sorted(allowed - meant):
        yield f"NetworkPolicy: {edge[0]} may talk to {edge[1]} on {edge[2]}, which nothing needs"
    for edge in sorted(meant - allowed):
        if _is_there(edge[0], names) and _is_there(edge[1], names):
            yield f"NetworkPolicy: {edge[0]} may not talk to {edge[1]} on {edge[2]}"
    for edge in sorted((outgoing ^ incoming) - allowed):
        if edge[0] in names and edge[1] in names:
            yield f"NetworkPolicy: {edge[0]} to {edge[1]} on {edge[2]} is allowed at one end only"
    yield from _ways_out(rendered)


def _is_allowed(edge: Edge, outgoing: set[Edge], incoming: set[Edge], names: list[str]) -> bool:
    ends = (edge[0] not in names or edge in outgoing, edge[1] not in names or edge in incoming)
    return all(ends)


def _is_there(end: str, names: list[str]) -> bool:
    return end in names or end in (INTERNET, ANYWHERE) or end.startswith("(")


def _allowed(rendered: Rendered, names: list[str], way: str) -> set[Edge]:
    edges = set()
    for policy in rendered.of("NetworkPolicy"):
        spec = policy["spec"]
        if not spec["podSelector"]:
            continue
        for name in names:
            if selects(spec["podSelector"], {NAME: name}):
                edges |= _edges(name, spec, way, names)
    return edges


def _edges(name: str, spec: Document, way: str, names: list[str]) -> set[Edge]:
    edges = set()
    for rule in spec.get(way, []):
        peers = rule.get("from" if way == "ingress" else "to")
        others = {ANYWHERE} if peers is None else {other for peer in peers for other in _others(peer, names)}
        for port in rule.get("ports", [{"port": 0}]):
            for other in others:
                edges.add((other, name, port["port"]) if way == "ingress" else (name, other, port["port"]))
    return edges


def _others(peer: dict[str, Any], names: list[str]) -> set[str]:
    if "ipBlock" in peer:
        network = ipaddress.ip_network(peer["ipBlock"]["cidr"])
        return {INTERNET if network.prefixlen == 0 else str(network)}
    if "namespaceSelector" in peer:
        return {f"({peer['namespaceSelector']['matchLabels']['kubernetes.io/metadata.name']})"}
    return {name for name in names if selects(peer["podSelector"], {NAME: name})}


def _ways_out(rendered: Rendered) -> Iterator[str]:
    """Whoever may call the internet may call nothing that is private: what a name resolves to cannot turn inwards."""
    for policy in rendered.of("NetworkPolicy"):
        for rule in policy["spec"].get("egress", []):
            for peer in rule.get("to", []):
                block = peer.get("ipBlock", {})
                if not str(block.get("cidr", "")).endswith("/0"):
                    continue
                closed = [ipaddress.ip_network(network) for network in block.get("except", [])]
                for network in _PRIVATE_6 if ":" in block["cidr"] else _PRIVATE:
                    if not any(_contains(found, network) for found in closed):
                        yield f"NetworkPolicy/{policy['metadata']['name']}: lets out to {network}"


def _contains(network: ipaddress.IPv4Network | ipaddress.IPv6Network, part: str) -> bool:
    inner = ipaddress.ip_network(part)
    if isinstance(network, ipaddress.IPv4Network):
        return isinstance(inner, ipaddress.IPv4Network) and inner.subnet_of(network)
    return isinstance(inner, ipaddress.IPv6Network) and inner.subnet_of(network)
