"""The address that a try comes from, as it is counted: the peer's, or what a proxy that we trust says of it."""

import ipaddress
from collections.abc import Iterable, Sequence

from starlette.types import Scope

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Address = ipaddress.IPv4Address | ipaddress.IPv6Address

UNKNOWN = "unknown"

_FORWARDED = b"x-forwarded-for"
# One customer of a provider has a /64 at least: whoever has one has them all.
_V6_PREFIX = 64


def networks(text: str) -> tuple[Network, ...]:
    """Networks in CIDR notation with commas between. Raises `ValueError`."""
    return tuple(ipaddress.ip_network(part.strip()) for part in text.split(",") if part.strip())


def client_address(scope: Scope, trusted: Sequence[Network]) -> str:
    """The right-most address that is no proxy of ours. What stands left of it anybody can have written."""
    client = scope.get("client")
    peer = _address(client[0]) if client else None
    if peer is None:
        return UNKNOWN
    for text in reversed(_forwarded(scope)):
        if not _is_among(peer, trusted):
            break
        before = _address(text)
        if before is None:
            break
        peer = before
    return _counted(peer)


def _forwarded(scope: Scope) -> list[str]:
    """All headers of that name are one list (RFC 9110, 5.3)."""
    values = [value.decode("latin-1") for name, value in scope["headers"] if name == _FORWARDED]
    return [part.strip() for part in ",".join(values).split(",") if part.strip()]


def _address(text: str) -> Address | None:
    """Without the port that some proxies write, and IPv4 as IPv4."""
    host = text
    if text.startswith("["):
        host = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        host = text.partition(":")[0]
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return None
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address


def _is_among(address: Address, trusted: Iterable[Network]) -> bool:
    return any(address in network for network in trusted)


def _counted(address: Address) -> str:
    if isinstance(address, ipaddress.IPv6Address):
        return str(ipaddress.IPv6Network((address, _V6_PREFIX), strict=False))
    return str(address)
