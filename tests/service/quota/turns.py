"""What the tests of agent turns have in common: terms with a turn, ends of continuations, decisions by their calls."""

from collections.abc import Sequence

from contracts.plans import Turns
from quota.domain import Ask, Decision, Held, Limits, Settlement, Terms
from quota.store import Reservations
from tests.service.quota.scene import settled

WINDOWS = "SELECT DISTINCT used, reserved, drawn FROM quota.windows"
TURNS = "SELECT calls, answered FROM quota.turns"
IN_FLIGHT = "SELECT in_flight FROM quota.accounts"


def terms(
    *,
    daily: int | None = 5,
    in_flight: int | None = None,
    rate: int | None = None,
    calls: int = 50,
    minutes: int = 60,
) -> Terms:
    turns = Turns(calls_per_turn=calls, open_for_minutes=minutes)
    return Terms(7, "free", {"free": Limits(daily, daily and 100, in_flight, rate, turns)})


def continued(ask: Ask, sequence: int, ended_as: str | None = "completed") -> Settlement:
    """The settlement of a continuation."""
    return settled(ask, sequence, "continuation", ended_as=ended_as)


def calls(decisions: Sequence[Decision]) -> list[int | str]:
    """The call of each that was admitted, the reason of each that was not."""
    return [decision.call if isinstance(decision, Held) else decision.reason.value for decision in decisions]


async def decide(reservations: Reservations, *asks: Ask, by: Terms | None = None) -> list[int | str]:
    return calls(await reservations.reserve(asks, by or terms()))
