"""The product's own router in the simulation: one `Switchboard` for each replica, driven as its service drives it.

A request asks one replica; the replicas hear what all gateways tell. Permits for probes are won as in the service, one
for the fleet at a time, looked for every 0.2 s. `Sharing` takes some of that away, for the experiment that shows what
sharing is worth.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from contracts.gateway import AttemptsFinished, TargetLoad
from contracts.router import Choose, Chosen
from router.probing import LOOK_SECONDS, PERMIT_SECONDS
from router.store import Configuration
from router.switchboard import Switchboard
from tests.routing.configuration import ALIAS, PLAN, equals
from tests.routing.engine import Clock
from tests.routing.gateways import BATCH_SECONDS, Gateway
from tests.routing.upstreams import Attempt, Journey


@dataclass(frozen=True, slots=True)
class Sharing:
    """What replicas hear of requests that others placed: `all`, only `loads`, or `none`; reports are batched so long.

    Unless all is shared, a gateway asks the one replica that hears it.
    """

    what: str = "all"
    batch_seconds: float = BATCH_SECONDS


class Ours:
    """Our routing as a policy of the simulation."""

    def __init__(
        self,
        upstreams: int,
        replicas: int,
        *,
        may_hedge: bool = False,
        sharing: Sharing | None = None,
        configuration: Configuration | None = None,
    ) -> None:
        self.configuration = configuration or equals(upstreams, may_hedge=may_hedge)
        self.targets = tuple(self.configuration.candidates)
        self.switchboards = [Switchboard(self.configuration, instance=str(index)) for index in range(replicas)]
        self.gateways: list[Gateway] = []
        self._sharing = sharing or Sharing()
        self._index = {target: index for index, target in enumerate(self.targets)}
        self._plans: dict[int, Chosen] = {}
        self._permits: dict[str, float] = {}

    def begin(self, clock: Clock) -> None:
        self._clock = clock
        self.gateways = [
            Gateway(
                str(index),
                self.targets,
                clock=clock,
                deliver=self._deliver,
                affinity=self.affinity,
                batch_seconds=self._sharing.batch_seconds,
            )
            for index in range(len(self.switchboards))
        ]
        for replica in range(len(self.switchboards)):
            clock.at(LOOK_SECONDS * (1 + replica / len(self.switchboards)), self._look_for_probes, replica)

    def ask(self, journey: Journey) -> Choose:
        """What the gateway asks for this request."""
        return Choose(request_id=journey.request.id, plan=PLAN, alias=ALIAS)

    def affinity(self, attempt: Attempt) -> tuple[str, ...]:
        """What the gateway tells that an attempt belonged to."""
        return ()

    def choose(self, journey: Journey, now: float) -> int | None:
        number = journey.request.number
        if not journey.attempts:
            reply = self.switchboards[self._replica_of(journey)].choose(self.ask(journey), now=now)
            if not isinstance(reply, Chosen):
                return None
            self._plans[number] = reply
        plan, place = self._plans[number], len(journey.attempts)
        return self._index[plan.candidates[place].target] if place < len(plan.candidates) else None

    def first_byte_seconds(self, journey: Journey) -> float:
        plan = self._plans[journey.request.number]
        return plan.candidates[len(journey.attempts) - 1].timeouts.first_byte_seconds

    def patience_seconds(self, journey: Journey) -> float | None:
        """The router's deadline; the last one of a plan has its own time-out only."""
        plan, place = self._plans[journey.request.number], len(journey.attempts) - 1
        return plan.first_byte_seconds[place] if place + 1 < len(plan.candidates) else None

    def hedge_after_seconds(self, journey: Journey) -> float | None:
        return self._plans[journey.request.number].hedge_after_seconds

    def started(self, attempt: Attempt, now: float) -> None:
        self.gateways[attempt.journey.request.gateway].started(attempt, now)

    def began(self, attempt: Attempt, now: float) -> None:
        self.gateways[attempt.journey.request.gateway].began(attempt, now)

    def ended(self, attempt: Attempt, now: float, retry_after: float | None) -> None:
        self.gateways[attempt.journey.request.gateway].ended(attempt, now, retry_after)
        if attempt.result == "ok":
            self._plans.pop(attempt.journey.request.number, None)

    def _replica_of(self, journey: Journey) -> int:
        request = journey.request
        return request.replica if self._sharing.what == "all" else request.gateway

    def _deliver(self, report: AttemptsFinished) -> None:
        now, what = self._clock.now, self._sharing.what
        shared = report if what == "all" else _loads_alone(report)
        for index, switchboard in enumerate(self.switchboards):
            if what == "all" or index == int(report.gateway):
                switchboard.hear(report, now=now)
            elif what == "loads":
                switchboard.hear(shared, now=now)

    def _look_for_probes(self, replica: int) -> None:
        now, switchboard = self._clock.now, self.switchboards[replica]
        for target in switchboard.wanted_probes(now):
            # Without sharing there is no fleet that could agree on one probe.
            place = target if self._sharing.what == "all" else f"{target} {replica}"
            if self._permits.get(place, 0.0) <= now:
                self._permits[place] = now + PERMIT_SECONDS
                switchboard.permit(target, until=now + PERMIT_SECONDS)
        self._clock.at(now + LOOK_SECONDS, self._look_for_probes, replica)


def _loads_alone(report: AttemptsFinished) -> AttemptsFinished:
    """How many calls are open, and nothing of how they do."""
    loads: Sequence[TargetLoad] = report.loads or ()
    return AttemptsFinished(
        gateway=report.gateway,
        attempts=(),
        loads=tuple(load.model_copy(update={"waiting": 0, "oldest_seconds": {}}) for load in loads),
    )
