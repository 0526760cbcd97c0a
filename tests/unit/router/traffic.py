"""Decisions of a real switchboard under load, faults, sessions, locks and probes, as the stream keeps them."""

import random
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from contracts import cloudevents
from contracts.decisions import REQUESTS_ROUTED, Decision, RequestsRouted
from contracts.gateway import AttemptFinished, AttemptsFinished, FirstByte, TargetLoad
from contracts.router import Choose, Features
from router.domain.outcomes import Count
from router.recording import decision_of
from router.store import Configuration
from router.switchboard import Decided, Switchboard
from tests.unit.router.configurations import configured

BEGAN = datetime(2026, 3, 1, 12, tzinfo=UTC)
CLASSES = ("tools", "code", "maths", "chat", "unknown")
RESULTS = ("ok", "ok", "ok", "ok", "timed_out", "http_error", "rate_limited", "broken")


def a_file(**changes: Any) -> dict[str, Any]:
    """Six targets of two tiers, one of them without images, two of one model; the profiles are `changes` of these."""
    prices = {"currency": "USD", "input_per_million": "0.1", "output_per_million": "0.4"}
    dear = {"currency": "USD", "input_per_million": "2.5", "output_per_million": "10"}
    targets: dict[str, Any] = {
        "l1": {"model": "small", "prices": prices, "context_window": 32_000},
        "l2": {"model": "small", "prices": {**prices, "input_per_million": "0.2"}, "capacity": 8},
        "l3": {"model": "mini", "prices": prices, "dialect": {"takes_images": False}, "requests_per_minute": 40},
        "s1": {"model": "large", "prices": dear, "context_window": 200_000},
        "s2": {"model": "large", "prices": {**dear, "output_per_million": "15"}},
        "s3": {"model": "huge", "is_reasoning": True},
    }
    profiles: dict[str, Any] = {
        "alias-free": {"light": ["l1", "l2", "l3"], "strong": ["s1", "s2"], "strong_budget": 0.3},
        "alias-pro": {"targets": ["s1", "s3", "l1", "l2"]},
    }
    for name, target in targets.items():
        target["base_url"] = f"https://{name}.example.com/v1"
    return {"version": 4, "targets": targets, "profiles": profiles | changes}


class Traffic:
    """One replica, its gateway, and their dice."""

    def __init__(self, configuration: Configuration, *, seed: int, instance: str = "replica") -> None:
        self.dice = random.Random(seed)
        self.instance = instance
        self.now = 100.0
        self.decided: list[tuple[Decided, datetime]] = []
        self.switchboard = Switchboard(configuration, instance=instance, on_decision=self._keep)
        self.targets = list(configuration.candidates)
        self.switchboard.learn(("code", "l1"), Count(200, 200, 0))
        self.switchboard.learn(("code", "s1"), Count(180, 20, 0))

    def _keep(self, decided: Decided) -> None:
        self.decided.append((decided, BEGAN + timedelta(seconds=self.now)))

    def run(self, asks: int) -> None:
        """So many requests, with reports, failures and probes between them."""
        for _ in range(asks):
            self.now += self.dice.expovariate(8.0)
            if self.dice.random() < 0.01:
                self.now += 700.0
            for target in self.switchboard.wanted_probes(self.now):
                self.switchboard.permit(target, until=self.now + 10.0)
            self.switchboard.choose(self._ask(), now=self.now)
            if self.dice.random() < 0.7:
                self.switchboard.hear(self._report(), now=self.now)

    def _ask(self) -> Choose:
        dice = self.dice
        session = f"session-{dice.randrange(12)}" if dice.random() < 0.6 else None
        turn = f"turn-{dice.randrange(30)}" if dice.random() < 0.4 else None
        return Choose(
            request_id=UUID(int=dice.getrandbits(128)),
            plan=dice.choice(("free", "pro")),
            alias=dice.choice(("alias-free", "alias-pro")),
            affinity=tuple(key for key in (turn, session) if key is not None),
            session=session,
            features=Features(
                request_class=dice.choice(CLASSES),
                difficulty=dice.random() if dice.random() < 0.8 else None,
                input_tokens=int(dice.expovariate(1 / 9_000)),
                output_tokens=dice.choice((None, 100, 4_000)),
                needs=("images",) if dice.random() < 0.1 else (),
                is_reasoning=dice.random() < 0.1,
            ),
            lock=dice.choice(("none", "none", "none", "model", "target")),
            served_by=dice.choice((*self.targets, "gone")) if dice.random() < 0.2 else None,
        )

    def _report(self) -> AttemptsFinished:
        dice = self.dice
        attempts = tuple(self._attempt(dice.choice(self.targets)) for _ in range(dice.randrange(4)))
        loads = tuple(
            TargetLoad(
                target=target,
                in_flight=dice.randrange(40),
                waiting=dice.randrange(5),
                oldest_seconds={dice.randrange(8): dice.expovariate(0.5)},
                started=dice.randrange(4),
            )
            for target in self.targets
        )
        first_bytes = (
            FirstByte(target=dice.choice(self.targets), bucket=dice.randrange(8), seconds=dice.random() * 3),
        )
        return AttemptsFinished(gateway="g", attempts=attempts, first_bytes=first_bytes, loads=loads)

    def _attempt(self, target: str) -> AttemptFinished:
        keys = (f"session-{self.dice.randrange(12)}", f"turn-{self.dice.randrange(30)}")
        result = self.dice.choice(RESULTS if target in ("l1", "s1", "s3") else ("ok",))
        return AttemptFinished(target=target, result=result, affinity=keys)

    def recorded(self) -> Sequence[Decision]:
        """The decisions, through the bytes that the stream keeps."""
        decisions = tuple(decision_of(one, at, instance=self.instance) for one, at in self.decided)
        raw = cloudevents.wrap(REQUESTS_ROUTED, RequestsRouted(decisions=decisions), event_id="1", source="/test")
        _, payload = cloudevents.unwrap(REQUESTS_ROUTED, raw)
        return payload.decisions


def traffic(seed: int, *, asks: int = 300, file: dict[str, Any] | None = None, instance: str = "replica") -> Traffic:
    """What a replica decided."""
    made = Traffic(configured(a_file() if file is None else file), seed=seed, instance=instance)
    made.run(asks)
    return made
