"""Requests as a gateway has them: held, renewed, settled; and what the stream and the tables say of them."""

from datetime import UTC, datetime
from uuid import UUID, uuid4

from chassis.bus import Bus, ask, publish
from contracts import cloudevents
from contracts.gateway import REQUEST_SETTLED, RequestSettled, Timings, TokenUsage
from contracts.outcomes import Outcome
from contracts.quota import RENEW, RESERVE, Continued, Granted, Lease, Renew, Renewed, Reserve
from devstack.database import Database
from devstack.probes import until
from tests.service.quota.scene import rows


def a_reserve(account_id: UUID, *, gateway: str = "gateway-1") -> Reserve:
    return Reserve(
        request_id=uuid4(),
        account_id=account_id,
        token_id=uuid4(),
        gateway=gateway,
        alias="smart-route-ultra",
        endpoint="chat/completions",
        is_stream=True,
    )


async def held(bus: Bus, account_id: UUID, *, gateway: str = "gateway-1") -> Reserve:
    question = a_reserve(account_id, gateway=gateway)
    reply = await ask(bus, RESERVE, question, timeout_seconds=5)
    assert isinstance(reply, Granted)
    return question


async def continued(bus: Bus, opener: Reserve, *, answers: int = 1) -> Reserve:
    """Another request, which rides on the prompt of `opener`."""
    continues = Continued(turn_id=opener.request_id, answers=answers)
    question = opener.model_copy(update={"request_id": uuid4(), "continues": continues})
    reply = await ask(bus, RESERVE, question, timeout_seconds=5)
    assert isinstance(reply, Granted)
    assert reply.turn.turn_id == opener.request_id
    return question


def lease(question: Reserve) -> Lease:
    return Lease(account_id=question.account_id, request_id=question.request_id)


async def renew(bus: Bus, *open_: Reserve, abandoned: tuple[Reserve, ...] = (), gateway: str = "gateway-1") -> Renewed:
    question = Renew(gateway=gateway, open=tuple(map(lease, open_)), abandoned=tuple(map(lease, abandoned)))
    reply = await ask(bus, RENEW, question, timeout_seconds=5)
    assert isinstance(reply, Renewed)
    return reply


def a_settlement(question: Reserve, outcome: Outcome = Outcome.COMPLETED) -> RequestSettled:
    now = datetime.now(UTC)
    return RequestSettled(
        request_id=question.request_id,
        account_id=question.account_id,
        token_id=question.token_id,
        turn_id=question.request_id,
        call=1,
        outcome=outcome,
        plan="free",
        plans_version=1,
        alias_asked=question.alias,
        alias_served="smart-route-mini",
        endpoint=question.endpoint,
        is_stream=question.is_stream,
        day=now.date(),
        month=now.date().replace(day=1),
        started_at=now,
        ended_at=now,
        timings=Timings(total_ms=1.0),
        tokens=TokenUsage(),
        target=None,
        attempts=1,
        error_code=None,
        trace_id=None,
    )


async def settle(bus: Bus, question: Reserve, outcome: Outcome = Outcome.COMPLETED, *, event_id: str = "") -> int:
    settled = a_settlement(question, outcome)
    return await publish(
        bus, REQUEST_SETTLED, settled, event_id=event_id or str(question.request_id), timeout_seconds=5
    )


async def told(bus: Bus) -> list[RequestSettled]:
    """Everything in REQUESTS, in order."""
    state = (await bus.client.jsm().stream_info("REQUESTS")).state
    found = []
    for sequence in range(1, state.last_seq + 1):
        message = await bus.client.jsm().get_msg("REQUESTS", sequence)
        found.append(cloudevents.unwrap(REQUEST_SETTLED, message.data or b"")[1])
    return found


async def becomes(database: Database, query: str, expected: list[tuple[object, ...]], *, within: float = 10) -> None:
    """Wait until the tables say so."""

    async def is_so() -> bool:
        return await rows(database, query) == expected

    if not await until(is_so, within_seconds=within):
        assert await rows(database, query) == expected
