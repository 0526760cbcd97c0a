"""What the router answers and what it listens to. Decisions are the switchboard's; here they are logged and counted."""

import logging
import time
from collections.abc import Iterable

from opentelemetry.metrics import CallbackOptions, Observation

from chassis import attributes, telemetry
from contracts.gateway import AttemptFinished, AttemptsFinished
from contracts.router import Choose, Chosen, Describe, Described, Unroutable
from router.switchboard import Change, Switchboard

log = logging.getLogger(__name__)

_chosen = telemetry.meter.create_counter(
    "smartroute.router.choices", unit="{choice}", description="Asks answered, by the alias served and by refusal"
)
_attempts = telemetry.meter.create_counter(
    "smartroute.router.attempts", unit="{attempt}", description="Upstream attempts heard of from all gateways"
)


class Handlers:
    """The switchboard on the bus."""

    def __init__(self, switchboard: Switchboard) -> None:
        self._switchboard = switchboard

    async def choose(self, ask: Choose) -> Chosen | Unroutable:
        reply = self._switchboard.choose(plan=ask.plan, asked=ask.alias, now=time.monotonic(), affinity=ask.affinity)
        if isinstance(reply, Chosen):
            _chosen.add(1, {attributes.ALIAS_SERVED: reply.alias, attributes.ERROR_TYPE: ""})
        else:
            _chosen.add(1, {attributes.ALIAS_SERVED: "", attributes.ERROR_TYPE: reply.reason})
        return reply

    async def describe(self, ask: Describe) -> Described:
        return self._switchboard.describe(ask.alias)

    def attempts_finished(self, heard: AttemptsFinished) -> None:
        now = time.monotonic()
        known = self._switchboard.health
        for attempt in heard.attempts:
            if attempt.target not in known:
                continue  # its name is not ours: it would be a metric series that nobody can look up
            _attempts.add(1, {attributes.TARGET: attempt.target, attributes.ERROR_TYPE: _error_type(attempt)})
            change = self._switchboard.fold(attempt, now=now)
            if change is not None:
                _say(change, attempt)

    def observe_targets(self, _: CallbackOptions) -> Iterable[Observation]:
        """1 for a target that is set aside, 0 for one that is not."""
        for target, health in self._switchboard.health.items():
            yield Observation(int(health.is_set_aside), {attributes.TARGET: target})


def _error_type(attempt: AttemptFinished) -> str:
    return "" if attempt.result == "ok" else attempt.result


def _say(change: Change, attempt: AttemptFinished) -> None:
    if change.seconds is None:
        log.info("target taken back", extra={"target": change.target})
        return
    facts = {"target": change.target, "result": attempt.result, "status": attempt.status, "seconds": change.seconds}
    if attempt.result == "refused_key":
        # An alert: time does not cure this, a person has to give the gateway another key.
        log.error("upstream refuses its key, target set aside", extra=facts)
    else:
        log.warning("target set aside", extra=facts)
