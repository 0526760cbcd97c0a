"""Where a try comes from: nobody but a proxy of ours has a say in it."""

import pytest

from gateway.portal.identity.addresses import UNKNOWN, client_address, networks

PROXIES = networks("10.0.0.0/8, fd00::/8")


def _seen(peer: str | None, *forwarded: str) -> str:
    headers = [(b"x-forwarded-for", value.encode()) for value in forwarded]
    return client_address({"client": (peer, 1) if peer is not None else None, "headers": headers}, PROXIES)


@pytest.mark.parametrize(
    ("peer", "forwarded", "counted"),
    [
        ("203.0.113.7", (), "203.0.113.7"),
        ("203.0.113.7", ("198.51.100.1",), "203.0.113.7"),
        ("10.1.2.3", (), "10.1.2.3"),
        ("10.1.2.3", ("198.51.100.1",), "198.51.100.1"),
        ("10.1.2.3", ("1.1.1.1, 198.51.100.1",), "198.51.100.1"),
        ("10.1.2.3", ("1.1.1.1", "198.51.100.1, 10.9.9.9"), "198.51.100.1"),
        ("10.1.2.3", ("198.51.100.1:4711",), "198.51.100.1"),
        ("10.1.2.3", ("[2001:db8:1:2:3::4]:4711",), "2001:db8:1:2::/64"),
        ("10.1.2.3", ("198.51.100.1, garbage",), "10.1.2.3"),
        ("::ffff:10.1.2.3", ("198.51.100.1",), "198.51.100.1"),
        ("fd00::1", ("2001:db8:1:2:aaaa:bbbb:cccc:dddd",), "2001:db8:1:2::/64"),
        ("2001:db8:1:2:3:4:5:6", (), "2001:db8:1:2::/64"),
        (None, ("198.51.100.1",), UNKNOWN),
        ("/run/gateway.sock", ("198.51.100.1",), UNKNOWN),
    ],
)
def test_the_right_most_address_that_is_no_proxy_of_ours_counts(
    peer: str | None, forwarded: tuple[str, ...], counted: str
) -> None:
    assert _seen(peer, *forwarded) == counted


def test_without_proxies_nothing_that_a_client_writes_counts() -> None:
    scope = {"client": ("203.0.113.7", 1), "headers": [(b"x-forwarded-for", b"198.51.100.1")]}
    assert client_address(scope, networks("")) == "203.0.113.7"


def test_what_is_no_network_is_an_error_of_the_operator() -> None:
    with pytest.raises(ValueError, match="does not appear"):
        networks("10.0.0.0/8, proxy.example")
