"""What quota answers and what it hears: decode, decide, store, reply."""

import logging
import time
from collections import Counter
from collections.abc import Sequence
from datetime import date, datetime
from uuid import UUID

from opentelemetry.trace import SpanContext

from chassis import attributes, telemetry
from chassis.bus import Delivery
from chassis.watched import Watched
from contracts.billing import SubscriptionChanged
from contracts.gateway import RequestSettled
from contracts.plans import Plan, PlanCatalogue
from contracts.quota import (
    BlockToken,
    BlockTokenReply,
    Denied,
    Granted,
    ReadUsage,
    Reserve,
    ReserveReply,
    TokenBlocked,
    Turn,
    Usage,
    UsageReply,
    Window,
)
from quota.domain import (
    Ask,
    Counts,
    Decision,
    Held,
    Limits,
    Settlement,
    Terms,
    Windows,
    day_resets_at,
    month_resets_at,
)
from quota.lane import GroupCommit
from quota.store import Reservations, Store

log = logging.getLogger(__name__)

_admissions = telemetry.meter.create_counter(
    "smartroute.quota.reservations", description="Reservations decided, by what was decided"
)
_batch_size = telemetry.meter.create_histogram(
    "smartroute.quota.batch.size",
    description="Asks that shared one commit",
    explicit_bucket_boundaries_advisory=[1, 2, 4, 8, 16, 32, 64, 128, 256, 512],
)
_commit_duration = telemetry.meter.create_histogram(
    "smartroute.quota.commit.duration", unit="s", description="Time to commit one batch of reservations"
)
_settlements = telemetry.meter.create_counter(
    "smartroute.quota.settlements", description="Settlements folded, by what became of them"
)


class Handlers:
    """The verbs of the service over its store and the plan catalogue in force."""

    def __init__(
        self,
        plans: Watched[PlanCatalogue],
        store: Store,
        reservations: Reservations,
        *,
        batch_limit: int,
        deadline_seconds: float,
    ) -> None:
        self._plans = plans
        self._store = store
        self._reservations = reservations
        self._terms: tuple[PlanCatalogue, Terms] | None = None
        self._unknown: set[tuple[int, str]] = set()
        self.lane = GroupCommit(self._commit, batch_limit=batch_limit, deadline_seconds=deadline_seconds)

    async def reserve(self, question: Reserve) -> ReserveReply:
        decision = await self.lane.submit(
            Ask(question.account_id, question.request_id, question.token_id, question.gateway)
        )
        plan = self._plan_in_force(decision.plan)
        daily, monthly = _both(decision.windows, plan)
        if isinstance(decision, Held):
            turn = Turn(turn_id=decision.turn_id, call=decision.call, calls=plan.turns.calls_per_turn)
            version = decision.plans_version
            return Granted(plan=decision.plan, plans_version=version, turn=turn, daily=daily, monthly=monthly)
        version = self._plans.value.version
        reason = decision.reason.value
        return Denied(reason=reason, plan=decision.plan, plans_version=version, daily=daily, monthly=monthly)

    async def read_usage(self, question: ReadUsage) -> UsageReply:
        assigned, windows = await self._store.usage(question.account_id)
        catalogue = self._plans.value
        if assigned is not None:
            self._note_unknown(assigned, question.account_id)
        plan = self._plan_in_force(assigned or catalogue.default_plan)
        daily, monthly = _both(windows, plan)
        return Usage(plan=plan.name, alias=plan.alias, plans_version=catalogue.version, daily=daily, monthly=monthly)

    async def block_token(self, question: BlockToken) -> BlockTokenReply:
        await self._store.block_token(question.token_id)
        return TokenBlocked(token_id=question.token_id)

    async def change_plan(self, change: SubscriptionChanged) -> None:
        await self._store.change_plan(change.account_id, change.plan, revision=change.revision)
        self._note_unknown(change.plan, change.account_id)

    async def settle(self, deliveries: Sequence[Delivery[RequestSettled]]) -> None:
        folded = await self._store.settle([_settlement(delivery) for delivery in deliveries])
        _settlements.add(len(folded.settled), {"result": "settled"})
        for conflict in folded.conflicts:
            _settlements.add(1, {"result": conflict.objection.value})
            log.error(
                "settlement without effect, kept for staff",
                extra={
                    "request_id": str(conflict.settlement.request_id),
                    "sequence": conflict.settlement.sequence,
                    "outcome": conflict.settlement.outcome,
                    "reason": conflict.objection.value,
                },
            )

    async def _commit(self, asks: Sequence[Ask], senders: Sequence[SpanContext]) -> list[Decision]:
        began = time.perf_counter()
        decisions = await self._reservations.reserve(asks, self._terms_in_force(), senders=senders)
        _commit_duration.record(time.perf_counter() - began)
        _batch_size.record(len(asks))
        # One record per batch: a counter costs more than all that is decided about an ask.
        for admission, number in Counter(map(_admission, decisions)).items():
            _admissions.add(number, {attributes.ADMISSION: admission})
        for ask, decision in zip(asks, decisions, strict=True):
            if decision.assigned_plan != decision.plan:
                self._note_unknown(decision.assigned_plan, ask.account_id)
        return decisions

    def _terms_in_force(self) -> Terms:
        catalogue = self._plans.value
        if self._terms is None or self._terms[0] is not catalogue:
            limits = {plan.name: Limits(plan.daily_prompts, plan.monthly_prompts) for plan in catalogue.plans}
            self._terms = (catalogue, Terms(catalogue.version, catalogue.default_plan, limits))
        return self._terms[1]

    def _plan_in_force(self, name: str) -> Plan:
        catalogue = self._plans.value
        plan = catalogue.plan(name) or catalogue.plan(catalogue.default_plan)
        assert plan is not None, "the catalogue is checked to have its default plan"
        return plan

    def _note_unknown(self, assigned: str, account_id: UUID) -> None:
        """Say once per plan and version of the catalogue that accounts have a plan which is not in it."""
        catalogue = self._plans.value
        if catalogue.plan(assigned) is not None or (catalogue.version, assigned) in self._unknown:
            return
        self._unknown.add((catalogue.version, assigned))
        log.error(
            "plan not in the catalogue, the default plan is in force",
            extra={"plan": assigned, "plans_version": catalogue.version, "account_id": str(account_id)},
        )


def _admission(decision: Decision) -> str:
    if isinstance(decision, Held):
        return "replayed" if decision.is_replay else "granted"
    return decision.reason.value


def _settlement(delivery: Delivery[RequestSettled]) -> Settlement:
    settled = delivery.payload
    return Settlement(
        account_id=settled.account_id,
        request_id=settled.request_id,
        sequence=delivery.sequence,
        outcome=settled.outcome.value,
        is_charged=settled.outcome.is_charged,
    )


def _both(windows: Windows, plan: Plan) -> tuple[Window, Window]:
    daily = _window(windows.daily, plan.daily_prompts, starts_on=windows.day, resets_at=day_resets_at(windows.day))
    month = windows.month
    return daily, _window(windows.monthly, plan.monthly_prompts, starts_on=month, resets_at=month_resets_at(month))


def _window(counts: Counts, limit: int | None, *, starts_on: date, resets_at: datetime) -> Window:
    return Window(
        limit=limit,
        used=counts.taken,
        reserved=counts.reserved,
        remaining=counts.remaining(limit),
        starts_on=starts_on,
        resets_at=resets_at,
    )
