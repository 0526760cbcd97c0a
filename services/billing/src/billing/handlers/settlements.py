"""What billing does with what it hears: settlements become ledger lines, new accounts get their plan."""

import logging
from collections.abc import Awaitable, Callable, Sequence

from billing.domain.lines import Settlement
from billing.domain.subscriptions import Subscription, opening_plan
from billing.store import Ledger, Subscriptions
from chassis import failpoints, telemetry
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
    description="Settlements kept without effect, because another one of their request was first",
)
freshness = telemetry.meter.create_histogram(
    "smartroute.billing.ledger.freshness", unit="s", description="From the end of a request to its ledger line"
)

late_firsts = telemetry.meter.create_counter(
    "smartroute.billing.settlement.late_firsts",
    unit="{request}",
    description="Requests whose first settlement came behind a later one, and whose line was put right",
)

RecordSettlements = Callable[[Sequence[Delivery[RequestSettled]]], Awaitable[None]]
OpenAccount = Callable[[AccountOpened], Awaitable[None]]


def record_settlements(ledger: Ledger) -> RecordSettlements:
    """Every winning settlement becomes one ledger line, charged or not, committed before the batch is acknowledged."""

    async def record(deliveries: Sequence[Delivery[RequestSettled]]) -> None:
        recorded = await ledger.record([Settlement(delivery.payload, delivery.sequence) for delivery in deliveries])
        failpoints.reach("billing.recorded")
        ledger_lines.add(recorded.lines)
        conflicts.add(recorded.conflicts)
        late_firsts.add(len(recorded.late_firsts))
        for age_seconds in recorded.ages_seconds:
            freshness.record(max(age_seconds, 0.0))
        for request_id in recorded.late_firsts:
            # Redelivery after a crash can bring the first settlement of a request behind a later one.
            log.warning("ledger line reversed for an earlier settlement", extra={"request_id": str(request_id)})

    return record


def open_account(
    subscriptions: Subscriptions, catalogue: Watched[PlanCatalogue], *, opened: Callable[[], None]
) -> OpenAccount:
    """A new account gets its first subscription; one that is known keeps what it has. `opened` is called after it."""

    async def open_(account: AccountOpened) -> None:
        plan = opening_plan(catalogue.value, account.plan)
        if account.plan is not None and plan != account.plan:
            log.warning("account opened for an unknown plan", extra={"wanted": account.plan, "plan": plan})
        subscription = Subscription(account.account_id, account.name, plan, 1, account.opened_at)
        if await subscriptions.open(subscription, actor="gateway.v1.account_opened"):
            opened()

    return open_
