"""What the router answers and what it listens to. Decisions are the switchboard's; here they are logged and counted."""

import logging
import time
from collections.abc import Iterable

from opentelemetry.metrics import CallbackOptions, Observation

from chassis import attributes, telemetry
from contracts.decisions import Knowledge, TakeOver
from contracts.gateway import AttemptFinished, AttemptsFinished
from contracts.router import Choose, Chosen, Describe, Described, Unroutable
from router.fleet import Change
from router.switchboard import Switchboard

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
        reply = self._switchboard.choose(ask, now=time.monotonic())
        if isinstance(reply, Chosen):
            _chosen.add(1, {attributes.ALIAS_SERVED: reply.alias, attributes.ERROR_TYPE: "", **_labels(reply)})
        else:
            _chosen.add(1, {attributes.ALIAS_SERVED: "", attributes.ERROR_TYPE: reply.reason})
        return reply

    async def describe(self, ask: Describe) -> Described:
        return self._switchboard.describe(ask.alias)

    async def take_over(self, ask: TakeOver) -> Knowledge:
        return self._switchboard.knowledge(now=time.monotonic(), with_pins=ask.with_pins)

    def attempts_finished(self, heard: AttemptsFinished) -> None:
        known = self._switchboard.configuration.candidates
        for attempt in heard.attempts:
            # A name that is not ours would be a metric series that nobody can look up; being asked again is no attempt.
            if attempt.target in known and attempt.fault != "resubmitted":
                _attempts.add(1, {attributes.TARGET: attempt.target, attributes.ERROR_TYPE: _error_type(attempt)})
        for change, attempt in self._switchboard.hear(heard, now=time.monotonic()):
            _say(change, attempt)

    def observe_targets(self, _: CallbackOptions) -> Iterable[Observation]:
        """1 for a target that is set aside, 0 for one that is not."""
        for target, health in self._switchboard.health.items():
            yield Observation(int(health.is_set_aside), {attributes.TARGET: target})


def _labels(reply: Chosen) -> dict[str, str]:
    assert reply.route is not None, "every answer says why"
    return {attributes.ROUTE_TIER: reply.route.tier, attributes.ROUTE_RULE: reply.route.rule}


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
