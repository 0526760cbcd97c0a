"""Ports: free ones are found, preferred ones are kept, and the holder of a taken one is named."""

import os
import socket
import subprocess
import sys
from collections.abc import Iterator

import pytest

from devstack.ports import LOOPBACK, free_port, is_free, owner_of


@pytest.fixture
def taken() -> Iterator[int]:
    with socket.create_server((LOOPBACK, 0)) as server:
        yield server.getsockname()[1]


def test_a_listening_port_is_not_free(taken: int) -> None:
    assert not is_free(taken)


def test_a_taken_port_is_not_given_even_if_preferred(taken: int) -> None:
    found = free_port(prefer=taken)
    assert found != taken
    assert is_free(found)


def test_a_free_preferred_port_is_kept() -> None:
    port = free_port()
    assert free_port(prefer=port) == port


def test_the_holder_is_named(taken: int) -> None:
    assert f"(pid {os.getpid()})" in (owner_of(taken) or "")


def test_nobody_holds_a_free_port() -> None:
    assert owner_of(free_port()) is None


def test_a_port_that_was_given_is_not_given_to_another_process_before_it_is_used() -> None:
    given = {free_port() for _ in range(20)}
    program = "from devstack import ports; import sys; print([ports.claim(int(port)) for port in sys.argv[1:]])"
    other = subprocess.run(
        [sys.executable, "-c", program, *map(str, given)], capture_output=True, text=True, check=True
    )
    assert other.stdout.strip() == str([False] * len(given))
