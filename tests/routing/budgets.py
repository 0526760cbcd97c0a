"""Whether profiles keep to their strong budget (Q7): an hour of decisions without queues, through the real switchboard.

The shipped profiles with three light and two strong targets. Conversations of one to twelve turns with tool calls,
prompts whose difficulty drifts over the hour (and is unknown for one in ten), three replicas that each see a third of
the requests and hear of every answer, one of them restarted every ten minutes.
"""

import heapq
import random
from collections.abc import Mapping
from dataclasses import dataclass
from uuid import UUID

from contracts.gateway import AttemptFinished, AttemptsFinished, FirstByte
from contracts.router import Choose, Chosen, Features
from router.store import Configuration
from router.switchboard import Switchboard
from tests.routing.configuration import plan_of, shipped

SECONDS = 3600.0
PER_SECOND = 3.0
REPLICAS = 3
RESTART_SECONDS = 600.0
MOST_TURNS = 12
CHANCE_OF_TOOLS = 0.3
CHANCE_OF_UNKNOWN = 0.1


@dataclass(frozen=True, slots=True)
class Share:
    """What a profile spent on its strong tier, and what it was given."""

    alias: str
    strong: int
    decisions: int
    budget: float

    @property
    def points_off(self) -> float:
        """Percentage points from the budget, above it if positive."""
        return (self.strong / max(self.decisions, 1) - self.budget) * 100


@dataclass(slots=True)
class _Conversation:
    chance: random.Random
    key: str
    turns_left: int
    turn: int = 0
    is_in_tools: bool = False


def aliases() -> tuple[str, ...]:
    """The profiles that are held to their budget."""
    return tuple(shipped().profiles.profiles)


def hour(alias: str, *, seed: int | str, seconds: float = SECONDS) -> Share:
    """The share of one profile's decisions that went to its strong tier."""
    return _Hour(alias, shipped(), seed).run(seconds)


class _Hour:
    """The replicas, and the conversations whose next request is due, in the order of time."""

    def __init__(self, alias: str, configuration: Configuration, seed: int | str) -> None:
        self._alias = alias
        self._configuration = configuration
        self._chance = random.Random(f"hour {alias} {seed}")
        self._replicas = [Switchboard(configuration, instance=str(index)) for index in range(REPLICAS)]
        self._due: list[tuple[float, int, _Conversation]] = []
        self._count = 0

    def run(self, seconds: float) -> Share:
        tiers: Mapping[str, int] = {"light": 0, "strong": 0}
        counts = dict(tiers)
        restart_at, new_at = RESTART_SECONDS, 0.0
        # A conversation has 6.5 turns on average, and a turn 1.4 calls.
        pause = 6.5 * 1 / (1 - CHANCE_OF_TOOLS) / PER_SECOND
        while True:
            while not self._due or new_at <= self._due[0][0]:
                self._put(new_at, self._conversation())
                new_at += self._chance.expovariate(1 / pause)
            now, _, conversation = heapq.heappop(self._due)
            if now >= seconds:
                break
            if now >= restart_at:
                restart_at += RESTART_SECONDS
                self._restart(now)
            counts[self._ask(conversation, now, seconds)] += 1
        budget = self._configuration.profiles.profiles[self._alias].budget
        return Share(self._alias, counts["strong"], sum(counts.values()), budget)

    def _conversation(self) -> _Conversation:
        key = f"{self._chance.getrandbits(128):032x}"
        return _Conversation(self._chance, key, turns_left=self._chance.randint(1, MOST_TURNS))

    def _put(self, at: float, conversation: _Conversation) -> None:
        heapq.heappush(self._due, (at, self._count, conversation))
        self._count += 1

    def _ask(self, conversation: _Conversation, now: float, seconds: float) -> str:
        """One request with its answer, which all replicas hear of; the conversation goes on later."""
        chance = self._chance
        keys = (f"{conversation.key}-{conversation.turn}", conversation.key)
        ask = Choose(
            request_id=UUID(int=chance.getrandbits(128)),
            plan=plan_of(self._alias),
            alias=self._alias,
            affinity=keys,
            session=conversation.key,
            features=Features(difficulty=self._difficulty(now / seconds), input_tokens=chance.randint(20, 4000)),
            lock="model" if conversation.is_in_tools else "none",
        )
        reply = chance.choice(self._replicas).choose(ask, now=now)
        assert isinstance(reply, Chosen), reply
        assert reply.route is not None, "a decision of tiers"
        self._tell(reply.candidates[0].target, reply.bucket, keys, now)
        conversation.is_in_tools = chance.random() < CHANCE_OF_TOOLS
        if not conversation.is_in_tools:
            conversation.turn += 1
            conversation.turns_left -= 1
        if conversation.turns_left:
            self._put(now + chance.expovariate(1 / (2.0 if conversation.is_in_tools else 20.0)), conversation)
        return reply.route.tier

    def _difficulty(self, part: float) -> float | None:
        """Beta-distributed, harder towards the end of the hour."""
        if self._chance.random() < CHANCE_OF_UNKNOWN:
            return None
        return self._chance.betavariate(2.0 + 2.0 * part, 4.0)

    def _tell(self, target: str, bucket: int, affinity: tuple[str, ...], now: float) -> None:
        report = AttemptsFinished(
            gateway="0",
            attempts=(AttemptFinished(target=target, result="ok", affinity=affinity),),
            first_bytes=(FirstByte(target=target, bucket=bucket, seconds=self._chance.uniform(0.3, 1.0)),),
        )
        for replica in self._replicas:
            replica.hear(report, now=now)

    def _restart(self, now: float) -> None:
        index = self._chance.randrange(REPLICAS)
        fresh = Switchboard(self._configuration, instance=f"{index} again")
        fresh.take_over(self._replicas[index - 1].knowledge(now=now), now=now)
        self._replicas[index] = fresh
