"""What the stream of settlements tells: folded into reservations, windows, accounts and grants."""

import logging
from collections.abc import Callable, Sequence

from chassis import failpoints, telemetry
from chassis.bus import Delivery
from contracts.gateway import RequestSettled
from quota.domain import Conflict, Folded, Objection, Settlement
from quota.store import Store

log = logging.getLogger(__name__)

_settlements = telemetry.meter.create_counter(
    "smartroute.quota.settlements", description="Settlements folded, by what became of them"
)


class SettlementHandlers:
    """A batch of the stream, a transaction. `waiting` is called when it left reservations for the sweeper to end."""

    def __init__(self, store: Store, *, waiting: Callable[[], None]) -> None:
        self._store = store
        self._waiting = waiting

    async def settle(self, deliveries: Sequence[Delivery[RequestSettled]]) -> None:
        folded = await self._store.settle([_settlement(delivery) for delivery in deliveries])
        failpoints.reach("quota.folded")
        note(folded)
        if folded.waiting:
            self._waiting()


def note(folded: Folded) -> None:
    """Count what was folded, and say which settlements had no effect."""
    _settlements.add(len(folded.settled), {"result": "settled"})
    for conflict in folded.conflicts:
        _settlements.add(1, {"result": conflict.objection.value})
        if conflict.objection is not Objection.WAITING:
            _report(conflict)


def _report(conflict: Conflict) -> None:
    log.error(
        "settlement without effect, kept for staff",
        extra={
            "request_id": str(conflict.settlement.request_id),
            "sequence": conflict.settlement.sequence,
            "outcome": conflict.settlement.outcome,
            "reason": conflict.objection.value,
        },
    )


def _settlement(delivery: Delivery[RequestSettled]) -> Settlement:
    settled = delivery.payload
    return Settlement(
        account_id=settled.account_id,
        request_id=settled.request_id,
        sequence=delivery.sequence,
        outcome=settled.outcome.value,
        is_charged=settled.outcome.is_charged,
        ended_as=None if settled.ended_as is None else settled.ended_as.value,
    )
