"""`python -m chassis provision`, as a Job runs it."""

import asyncio

import pytest

from chassis.__main__ import main
from chassis.bus import connect
from contracts.streams import STREAMS
from devstack.nats import RunningNats


async def provisioned(*arguments: str) -> int:
    """It has an event loop of its own, so it needs a thread of its own."""
    return await asyncio.to_thread(main, list(arguments))


async def test_the_streams_are_there_afterwards_and_it_may_run_again(
    nats_server: RunningNats, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PROVISION_NATS_URL", nats_server.url)
    assert (await provisioned("provision"), await provisioned("provision")) == (0, 0)
    async with connect(nats_server.url, name="test", instance="test") as bus:
        for stream in STREAMS:
            assert (await bus.client.jsm().stream_info(stream.name)).config.num_replicas == 1


async def test_what_is_missing_or_wrong_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("PROVISION_NATS_URL", raising=False)
    monkeypatch.setenv("PROVISION_STREAM_COPIES", "9")
    assert await provisioned("provision") == 2
    said = capsys.readouterr().err
    assert "PROVISION_NATS_URL: Field required" in said
    assert "PROVISION_STREAM_COPIES: " in said


async def test_more_copies_than_there_are_nodes_are_refused_in_one_line(
    nats_server: RunningNats, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PROVISION_NATS_URL", nats_server.url)
    monkeypatch.setenv("PROVISION_STREAM_COPIES", "3")
    assert await provisioned("provision") == 1
    said = capsys.readouterr().err
    assert said.startswith("not provisioned: ")
    assert len(said.splitlines()) == 1


async def test_it_says_how_it_is_used(capsys: pytest.CaptureFixture[str]) -> None:
    assert await provisioned() == 2
    assert "PROVISION_NATS_URL" in capsys.readouterr().err
