"""Requests that no target can take: a clear refusal by the client's own names, and nothing charged."""

from pathlib import Path

import pytest

from contracts.outcomes import Outcome
from contracts.router import Unroutable
from devstack.pytest_plugin import FreshDatabase
from tests.service.gateway.chat_house import house
from tests.service.gateway.plan_house import router_saying


@pytest.mark.parametrize(
    ("lacks", "status", "code", "param"),
    [
        (("images", "schema"), 400, "unsupported_value", "messages"),
        (("context",), 400, "context_length_exceeded", "messages"),
        (("state",), 400, "conversation_lost", None),
        (("region",), 503, "service_unavailable", None),
        ((), 503, "service_unavailable", None),
    ],
    ids=lambda value: "-".join(value) or "nothing" if isinstance(value, tuple) else None,
)
async def test_what_no_target_can_do_is_said_and_costs_nothing(
    nats_url: str,
    fresh_database: FreshDatabase,
    tmp_path: Path,
    lacks: tuple[str, ...],
    status: int,
    code: str,
    param: str | None,
) -> None:
    reply = Unroutable.model_validate({"reason": "no_target", "lacks": lacks})
    async with (
        router_saying(nats_url, reply),
        house(nats_url, fresh_database, tmp_path, {}, without=("router",)) as home,
    ):
        answer = await home.ask(stream=True)
        settled = await home.settlement()
        assert await home.cost() == 0
    error = answer.json["error"]
    assert (answer.status, error["code"], error["param"]) == (status, code, param)
    assert "x-smartroute-route" not in answer.headers
    expected = Outcome.REJECTED_REQUEST if status == 400 else Outcome.UPSTREAM_UNAVAILABLE
    assert (settled.outcome, settled.attempts, settled.error_code, settled.route) == (expected, 0, code, None)
    assert (answer.headers.get("x-should-retry") == "false") == (code == "conversation_lost")
