"""Providers that answer like real ones, as slowly, and can be made to fail while they run.

What a provider says names it, so that a test sees through the product who answered: customers of a real one do not.
"""

import random
from collections.abc import Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Literal, Self

from devstack.provider import Plan, Provider, agent, scripts
from devstack.provider.http import Request
from devstack.provider.identity import Identity
from devstack.provider.script import Hang, Pause, Reset, Script, Step

Mode = Literal["healthy", "slow", "silent", "errors", "rate_limited", "breaks"]

SPREAD = 0.4
SLOW_FACTOR = 10.0
RETRY_AFTER_SECONDS = 5
ERROR_SHARE = 0.5
WORDS = 8
WORD_SECONDS = 0.03
TOOL_CALLS = 3


@dataclass(slots=True)
class Target:
    """One provider of the profile: its name, the model that it has in common with others, its usual first byte."""

    name: str
    family: str
    median_seconds: float
    mode: Mode = "healthy"
    draw: random.Random = field(default_factory=random.Random)
    provider: Provider = field(init=False)
    _agent: Script = field(init=False)
    _words: Script = field(init=False)

    def __post_init__(self) -> None:
        words = " ".join([self.name] * WORDS)
        calls = [agent.shell(f"echo {self.name}") for _ in range(TOOL_CALLS)]
        self._agent = Plan([*calls, agent.say(words)], interval_seconds=WORD_SECONDS).script()
        self._words = scripts.answer(words, interval_seconds=WORD_SECONDS)
        self.provider = Provider(default=Script(self.name, self._play))

    @property
    def calls(self) -> int:
        """How often it was called."""
        return len(self.provider.exchanges)

    def _play(self, request: Request, identity: Identity) -> Iterator[Step]:
        is_failing = self.draw.random() < ERROR_SHARE
        if self.mode == "silent":
            yield Hang()
        elif self.mode == "errors" and is_failing:
            yield from scripts.http_error(503).play(request, identity)
        elif self.mode == "rate_limited":
            yield from scripts.http_error(429, retry_after=RETRY_AFTER_SECONDS).play(request, identity)
        else:
            yield Pause(self._first_byte_seconds())
            for number, step in enumerate(self._answer(request).play(request, identity)):
                if self.mode == "breaks" and is_failing and number == WORDS:
                    yield Reset()
                    return
                yield step

    def _first_byte_seconds(self) -> float:
        usual = self.median_seconds * self.draw.lognormvariate(0.0, SPREAD)
        return usual * SLOW_FACTOR if self.mode == "slow" else usual

    def _answer(self, request: Request) -> Script:
        """Words, each with the provider's name; three tool calls first when the request offers tools."""
        return self._agent if request.json.get("tools") else self._words


class Targets:
    """All of them, running while the context is entered."""

    def __init__(self, *targets: Target) -> None:
        self.all = targets
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        for target in self.all:
            await self._stack.enter_async_context(target.provider)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    @property
    def calls(self) -> int:
        return sum(target.calls for target in self.all)

    def profiles(self) -> dict[str, object]:
        """A profiles file: two models with two endpoints each, one alias that hedges and one that does not."""
        names = [target.name for target in self.all]
        plain = {"light": names, "price_weight": 0}
        return {
            "version": 1,
            "targets": {
                target.name: {
                    "base_url": target.provider.base_url,
                    "model": target.name,
                    "model_family": target.family,
                    "timeouts": {"connect_seconds": 2, "first_byte_seconds": 15, "silence_seconds": 15},
                }
                for target in self.all
            },
            "profiles": {
                alias: plain | {"may_hedge": alias == "smart-route-turbo"}
                for alias in (
                    "smart-route-mini",
                    "smart-route",
                    "smart-route-focus",
                    "smart-route-deep",
                    "smart-route-ultra",
                    "smart-route-turbo",
                    "smart-route-infinite",
                )
            },
        }
