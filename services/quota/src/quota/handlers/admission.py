"""The ask of the hot path: hold a prompt, or ride on that of a turn."""

import time
from collections import Counter
from collections.abc import Sequence

from opentelemetry.trace import SpanContext

from chassis import attributes, failpoints, telemetry
from contracts.quota import Denied, Granted, Reserve, ReserveReply, Turn
from quota.domain import Ask, Continued, Decision, Held
from quota.handlers.catalogue import Catalogue
from quota.handlers.replies import both
from quota.lane import GroupCommit
from quota.store import Reservations

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


class AdmissionHandlers:
    """Reservations in shared commits, by the catalogue in force when each commit begins."""

    def __init__(
        self,
        catalogue: Catalogue,
        reservations: Reservations,
        *,
        batch_limit: int,
        deadline_seconds: float,
        lease_seconds: float,
    ) -> None:
        self._catalogue = catalogue
        self._reservations = reservations
        self._lease_seconds = lease_seconds
        self.lane = GroupCommit(self._commit, batch_limit=batch_limit, deadline_seconds=deadline_seconds)

    async def reserve(self, question: Reserve) -> ReserveReply:
        continues = question.continues
        decision = await self.lane.submit(
            Ask(
                question.account_id,
                question.request_id,
                question.token_id,
                question.gateway,
                question.alias,
                question.endpoint,
                question.is_stream,
                telemetry.trace_id(),
                None if continues is None else Continued(continues.turn_id, continues.answers, continues.waits),
            )
        )
        plan = self._catalogue.plan_in_force(decision.plan)
        daily, monthly = both(decision.windows, plan)
        if isinstance(decision, Held):
            return Granted(
                plan=decision.plan,
                plans_version=decision.plans_version,
                turn=Turn(turn_id=decision.turn_id, call=decision.call, calls=plan.turns.calls_per_turn),
                lease_seconds=self._lease_seconds,
                daily=daily,
                monthly=monthly,
            )
        return Denied(
            reason=decision.reason.value,
            plan=decision.plan,
            plans_version=self._catalogue.version,
            speed_limit=decision.speed_limit,
            retry_after_seconds=decision.retry_after_seconds,
            daily=daily,
            monthly=monthly,
        )

    async def _commit(self, asks: Sequence[Ask], senders: Sequence[SpanContext]) -> list[Decision]:
        began = time.perf_counter()
        decisions = await self._reservations.reserve(asks, self._catalogue.terms(), senders=senders)
        failpoints.reach("quota.reserved")
        _commit_duration.record(time.perf_counter() - began)
        _batch_size.record(len(asks))
        # One record per batch: a counter costs more than all that is decided about an ask.
        for admission, number in Counter(map(_admission, decisions)).items():
            _admissions.add(number, {attributes.ADMISSION: admission})
        for ask, decision in zip(asks, decisions, strict=True):
            if decision.assigned_plan != decision.plan:
                self._catalogue.note_unknown(decision.assigned_plan, ask.account_id)
        return decisions


def _admission(decision: Decision) -> str:
    if isinstance(decision, Held):
        if decision.is_replay:
            return "replayed"
        return "continued" if decision.is_continuation else "granted"
    return decision.reason.value
