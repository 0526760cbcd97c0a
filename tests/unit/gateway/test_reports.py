"""Loads as they are told: what is open is told as it is, whatever happened in between, and nothing is told twice."""

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.gateway import AttemptFinished, AttemptsFinished
from gateway import reports
from gateway.reports import Reports

OK = AttemptFinished(target="a", result="ok", status=200)
STEPS = st.lists(st.tuples(st.sampled_from(["begin", "answer", "end", "give up", "tell"]), st.integers(0, 5)))


class Ear:
    """What is published, read again."""

    def __init__(self) -> None:
        self.heard: list[AttemptsFinished] = []
        self.instance = "gateway-1"
        self.is_connected = True
        self.client = SimpleNamespace(publish=self.publish)

    async def publish(self, subject: str, data: bytes) -> None:
        self.heard.append(AttemptsFinished.model_validate_json(data))

    @property
    def firsts(self) -> list[tuple[int, bool]]:
        return [(first.bucket, first.is_censored) for report in self.heard for first in report.first_bytes]


def made() -> tuple[Reports, Ear]:
    ear = Ear()
    bus: Any = ear
    return Reports(bus), ear


async def flushed(told: Reports) -> None:
    told.flush_now()
    await asyncio.sleep(0)


async def test_nothing_is_told_when_nothing_happens() -> None:
    told, ear = made()
    await flushed(told)
    await told.close()
    assert ear.heard == []


async def test_a_target_at_rest_is_told_once_more_and_then_no_longer() -> None:
    told, ear = made()
    call = told.begin("a", 0)
    call.answered()
    call.ended(OK)
    await flushed(told)
    other = told.begin("b", 0)
    await flushed(told)
    other.given_up()
    await told.close()
    loads = [{load.target: load.in_flight for load in report.loads or ()} for report in ear.heard]
    assert loads == [{"a": 0}, {"b": 1}, {"b": 0}]
    assert [load.started for report in ear.heard for load in report.loads or ()] == [1, 1, 0]


async def test_what_happens_without_a_connection_is_not_told_when_it_is_old() -> None:
    told, ear = made()
    ear.is_connected = False
    told.begin("a", 0).ended(OK)
    call = told.begin("b", 0)
    await flushed(told)
    ear.is_connected = True
    call.answered()
    await told.close()
    assert [[load.target for load in report.loads or ()] for report in ear.heard] == [["b"]]
    assert ear.heard[0].attempts == ()


async def test_a_call_that_is_ended_twice_counts_once() -> None:
    told, ear = made()
    call = told.begin("a", 0)
    call.answered()
    call.answered()
    call.ended(OK)
    call.ended(OK)
    call.given_up(has_lost=True)
    await told.close()
    assert [len(report.attempts) for report in ear.heard] == [1]
    assert ear.firsts == [(0, False)]


@pytest.mark.parametrize(
    ("end", "is_told"),
    [
        (lambda call: call.given_up(has_lost=True), True),
        (lambda call: call.given_up(), False),
        (lambda call: call.ended(AttemptFinished(target="a", result="timed_out")), True),
        (lambda call: call.ended(AttemptFinished(target="a", result="http_error", status=503)), False),
    ],
    ids=["lost", "left early", "timed out", "failed"],
)
async def test_silence_is_told_when_it_says_something_of_the_target(end: Any, is_told: bool) -> None:
    told, ear = made()
    end(told.begin("a", 4))
    await told.close()
    assert ear.firsts == ([(4, True)] if is_told else [])


async def test_changes_are_gathered_and_what_is_open_is_told_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reports, "DELAY_SECONDS", 0.02)
    monkeypatch.setattr(reports, "LONGEST_PAUSE_SECONDS", 0.1)
    told, ear = made()
    calls = [told.begin("a", 0) for _ in range(50)]
    await asyncio.sleep(0.35)
    assert 2 <= len(ear.heard) <= 5
    assert all(report.loads and report.loads[0].waiting == 50 for report in ear.heard)
    for call in calls:
        call.given_up()
    await asyncio.sleep(0.3)
    count = len(ear.heard)
    assert ear.heard[-1].loads is not None
    assert ear.heard[-1].loads[0].in_flight == 0
    await asyncio.sleep(0.3)
    assert len(ear.heard) == count, "nothing is open, and nothing more is told"
    await told.close()


async def test_very_many_ends_are_told_before_the_moment_is_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reports, "DELAY_SECONDS", 60.0)
    told, ear = made()
    for _ in range(reports.MAX_GATHERED):
        told.begin("a", 0).ended(OK)
    await asyncio.sleep(0)
    assert len(ear.heard) == 1
    await told.close()


@given(steps=STEPS)
async def test_every_load_is_what_is_open_then(steps: list[tuple[str, int]]) -> None:
    """However calls begin and end: counts never drift, and `started` adds up."""
    told, ear = made()
    calls: list[Any] = []
    begun = 0
    waiting: set[Any] = set()
    for kind, number in steps:
        if kind == "begin":
            calls.append(told.begin("a", number % 3))
            waiting.add(calls[-1])
            begun += 1
        elif kind == "tell":
            await flushed(told)
            loads = {load.target: load for load in (ear.heard[-1].loads or ())} if ear.heard else {}
            if calls:
                assert (loads["a"].in_flight, loads["a"].waiting) == (len(calls), len(waiting))
                assert set(loads["a"].oldest_seconds) == {call.bucket for call in waiting}
        elif calls:
            call = calls[number % len(calls)]
            if kind == "answer":
                call.answered()
            else:
                calls.remove(call)
                call.ended(OK) if kind == "end" else call.given_up()
            waiting.discard(call)
    for call in calls:
        call.given_up()
    await told.close()
    assert sum(load.started for report in ear.heard for load in report.loads or ()) == begun
    if begun:
        assert ear.heard[-1].loads is not None
        assert ear.heard[-1].loads[0].in_flight == 0
