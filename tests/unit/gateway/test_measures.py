"""Which broken answers count against us."""

from types import SimpleNamespace
from typing import cast

import pytest

from gateway import measures
from gateway.domain import End
from gateway.errors import GatewayError, GatewayStopping, NotRecorded, UpstreamBroken
from gateway.held import Held


def ended(error: GatewayError | None, *, has_begun: bool) -> Held:
    context = SimpleNamespace(started=0.0, body_seconds=0.0)
    relay = SimpleNamespace(has_begun=has_begun)
    held = SimpleNamespace(asked=SimpleNamespace(context=context), relay=relay, error=error, end=End.FAILED)
    held.answered_at = held.admitted_at = 0.0
    return cast(Held, held)


@pytest.mark.parametrize(
    ("error", "has_begun", "counted"),
    [
        (GatewayStopping(), True, ["gateway_stopping"]),
        (NotRecorded(), True, ["not_recorded"]),
        (NotRecorded(), False, []),
        (UpstreamBroken(), True, []),
        (None, True, []),
    ],
    ids=["stopped", "not recorded", "not begun, a 5xx", "broken by its provider", "whole"],
)
def test_an_answer_is_cut_when_it_had_begun_and_the_error_is_ours(
    monkeypatch: pytest.MonkeyPatch, error: GatewayError | None, has_begun: bool, counted: list[str]
) -> None:
    seen: list[str] = []
    monkeypatch.setattr(measures.cut_answers, "add", lambda _, labels: seen.append(labels["error.type"]), raising=False)
    measures.record_our_part(ended(error, has_begun=has_begun), now=0.0)
    assert seen == counted
