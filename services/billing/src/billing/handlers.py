"""What billing does with what it hears: settlements become ledger lines, new accounts get their plan."""

import logging
from collections.abc import Awaitable, Callable, Sequence

from billing.domain import Settlement, Subscription, opening_plan
from billing.store import Store
from chassis import telemetry
from chassis.bus import Delivery
from chassis.watched import Watched
from contracts.gateway import AccountOpened, RequestSettled
from contracts.plans import PlanCatalogue

log = logging.getLogger(__name__)

ledger_lines = telemetry.meter.create_counter(
    "smartroute.billing.ledger.lines", unit="{line}", description="Lines written to the ledger"
)
conflicts = telemetry.meter.create_counter(
    "smartroute.billing.settlement.conflicts",
    unit="{settlement}",
    description="Settlements kept without effect, because their request has a line already",
)
freshness = telemetry.meter.create_histogram(
    "smartroute.billing.ledger.freshness", unit="s", description="From the end of a request to its ledger line"
)

RecordSettlements = Callable[[Sequence[Delivery[RequestSettled]]], Awaitable[None]]
OpenAccount = Callable[[AccountOpened], Awaitable[None]]


def record_settlements(store: Store) -> RecordSettlements:
    """Every winning settlement becomes one ledger line, charged or not, committed before the batch is acknowledged."""

    async def record(deliveries: Sequence[Delivery[RequestSettled]]) -> None:
        recorded = await store.record([Settlement(delivery.payload, delivery.sequence) for delivery in deliveries])
        ledger_lines.add(len(recorded.ages_seconds))
        conflicts.add(recorded.conflicts)
        for age_seconds in recorded.ages_seconds:
            freshness.record(max(age_seconds, 0.0))
        for request_id in recorded.late_firsts:
            # Redelivery after a crash can bring the first settlement of a request behind a later one.
            log.error("ledger line is not of the first settlement", extra={"request_id": str(request_id)})

    return record


def open_account(store: Store, catalogue: Watched[PlanCatalogue], *, opened: Callable[[], None]) -> OpenAccount:
    """A new account gets its first subscription; one that is known keeps what it has. `opened` is called after it."""

    async def open_(account: AccountOpened) -> None:
        plan = opening_plan(catalogue.value, account.plan)
        if account.plan is not None and plan != account.plan:
            log.warning("account opened for an unknown plan", extra={"wanted": account.plan, "plan": plan})
        subscription = Subscription(account.account_id, account.name, plan, 1, account.opened_at)
        if await store.open_subscription(subscription, actor="gateway.v1.account_opened"):
            opened()

    return open_
