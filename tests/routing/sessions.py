"""Agents with sessions, turns and tool calls: whether they stay where they belong (A1, A2).

Three models at two endpoints each, one profile with session affinity. A session has ten turns; every answer may end in
tool calls, and then the turn goes on: the same model is due, or, where the answer carries a provider's state, the same
target. Each call reaches another gateway and another replica by chance. Gateways remember who served a turn, and
report an answer with tool calls at once. In the middle a replica is restarted and takes over from another one.
"""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from contracts.router import Choose, Lock
from router.switchboard import Switchboard
from tests.routing.configuration import ALIAS, PLAN, equals
from tests.routing.draws import Shape, one
from tests.routing.engine import Simulation
from tests.routing.figures import Figures, observed, together
from tests.routing.ours import Ours
from tests.routing.upstreams import Attempt, Fault, Journey, Upstream

SECONDS = 200.0
BEGIN, END = 100.0, 145.0
RESTART = 120.0
TURNS = 10
MOST_CALLS = 5
SESSIONS_PER_SECOND = 2.7
CHANCE_OF_TOOLS = 0.4
CHANCE_OF_STATE = 0.25
THINKING_SECONDS = 4.0
FAULTS: Mapping[str, tuple[Fault, ...]] = {
    "healthy": (),
    "silent": (Fault("silent", frozenset({0}), BEGIN, END),),
    "errors": (Fault("errors", frozenset({0}), BEGIN, END, share=0.5),),
    "limited": (Fault("limited", frozenset({0}), BEGIN, END),),
}
MODELS = 3


@dataclass(slots=True)
class Turns:
    """What became of the calls that were bound, and of the turns whose session was on a healthy target.

    `figures` are those of all requests that arrived during the fault.
    """

    bound: int = 0
    switches: int = 0
    refused: int = 0
    turns: int = 0
    faithful: int = 0
    figures: Figures = field(default_factory=Figures)

    @property
    def faithful_share(self) -> float:
        return self.faithful / max(self.turns, 1)


def all_turns(runs: Sequence[Turns]) -> Turns:
    """Several runs as if they were one."""
    return Turns(
        bound=sum(run.bound for run in runs),
        switches=sum(run.switches for run in runs),
        refused=sum(run.refused for run in runs),
        turns=sum(run.turns for run in runs),
        faithful=sum(run.faithful for run in runs),
        figures=together(run.figures for run in runs),
    )


@dataclass(slots=True)
class _Session:
    number: int
    chance: random.Random
    has_state: bool
    key: str
    turn: int = 0
    call: int = 0
    served_by: int | None = None

    @property
    def turn_key(self) -> str:
        return f"{self.key}-{self.turn}"


@dataclass(frozen=True, slots=True)
class _Call:
    """One request of a session. `due` is the upstream that served what it is bound to, or the turn before."""

    session: _Session
    turn_key: str
    lock: Lock
    due: int | None
    ends_in_tools: bool


class _Agents(Ours):
    """Ours with sessions: asks carry keys and locks, and reports of tool calls go out at once."""

    def __init__(self, replicas: int) -> None:
        configuration = equals(len(Shape().medians), affinity="session", models=MODELS)
        super().__init__(len(Shape().medians), replicas, configuration=configuration)
        self.calls: dict[int, _Call] = {}
        self._remembered: list[dict[str, str]] = [{} for _ in range(replicas)]

    def ask(self, journey: Journey) -> Choose:
        call = self.calls[journey.request.number]
        return Choose(
            request_id=journey.request.id,
            plan=PLAN,
            alias=ALIAS,
            affinity=(call.turn_key, call.session.key),
            session=call.session.key,
            lock=call.lock,
            served_by=self._remembered[journey.request.gateway].get(call.turn_key),
        )

    def affinity(self, attempt: Attempt) -> tuple[str, ...]:
        call = self.calls[attempt.journey.request.number]
        return (call.turn_key, call.session.key)

    def ended(self, attempt: Attempt, now: float, retry_after: float | None) -> None:
        super().ended(attempt, now, retry_after)
        request = attempt.journey.request
        call = self.calls[request.number]
        if attempt.result == "ok":
            self._remembered[request.gateway][call.turn_key] = self.targets[attempt.upstream]
            if call.ends_in_tools:
                self.gateways[request.gateway].flush()

    def restart(self, replica: int) -> None:
        """The replica's process is a new one: it knows what another one tells it."""
        now = self._clock.now
        fresh = Switchboard(self.configuration, instance=f"{replica} again")
        fresh.take_over(self.switchboards[replica - 1].knowledge(now=now), now=now)
        self.switchboards[replica] = fresh


@dataclass(slots=True)
class _World:
    """The sessions of one run: who calls when, and what is counted from the time of the fault on."""

    simulation: Simulation
    agents: _Agents
    shape: Shape
    found: Turns = field(default_factory=Turns)
    _numbers: int = 0

    def call(self, session: _Session, at: float, lock: Lock, due: int | None) -> None:
        """The session's next request is to arrive then."""
        number = self._numbers
        self._numbers += 1
        request = one(self.shape, session.chance, number=number, at=at)
        has_tools = session.chance.random() < CHANCE_OF_TOOLS and session.call < MOST_CALLS
        self.agents.calls[number] = _Call(session, session.turn_key, lock, due, has_tools)
        self.simulation.at(at, self.simulation.arrive, request)

    def on_end(self, journey: Journey) -> None:
        call = self.agents.calls.pop(journey.request.number)
        session = call.session
        self._count(journey, call)
        pause, thinking = session.chance.uniform(0.005, 1.0), session.chance.expovariate(1 / THINKING_SECONDS)
        if journey.answered_by is not None and call.ends_in_tools:
            session.call += 1
            lock: Lock = "target" if session.has_state else "model"
            self.call(session, self.simulation.now + pause, lock, journey.answered_by)
            return
        session.turn, session.call = session.turn + 1, 0
        session.served_by = journey.answered_by
        if session.turn < TURNS:
            self.call(session, self.simulation.now + thinking, "none", session.served_by)

    def _count(self, journey: Journey, call: _Call) -> None:
        if journey.request.at < BEGIN:
            return
        found, due = self.found, call.due
        if due is None:
            return
        if call.lock == "none":
            if self.simulation.upstreams[due].fault(journey.request.at) is None:
                found.turns += 1
                found.faithful += journey.answered_by == due
            return
        found.bound += 1
        found.refused += journey.is_failed
        found.switches += any(not _is_same(due, index, call.lock) for index in journey.tried)


def _is_same(due: int, index: int, lock: Lock) -> bool:
    return index == due if lock == "target" else index % MODELS == due % MODELS


def agents(fault: str, *, seed: int | str, seconds: float = SECONDS) -> Turns:
    """One run of sessions under a fault. It begins empty, and is counted from the beginning of the fault on."""
    shape = Shape()
    upstreams = [Upstream(index, shape.slots, FAULTS[fault]) for index in range(shape.upstreams)]
    policy = _Agents(shape.replicas)
    simulation = Simulation(upstreams, policy, gateways=shape.replicas)
    world = _World(simulation, policy, shape)
    simulation.on_end = world.on_end
    chance = random.Random(f"sessions {seed}")
    at, number = chance.expovariate(SESSIONS_PER_SECOND), 0
    while at < seconds:
        own = random.Random(f"session {seed} {number}")
        session = _Session(number, own, own.random() < CHANCE_OF_STATE, f"{own.getrandbits(128):032x}")
        world.call(session, at, "none", None)
        at, number = at + chance.expovariate(SESSIONS_PER_SECOND), number + 1
    simulation.at(RESTART, policy.restart, 1)
    simulation.run((), until=seconds)
    world.found.figures = observed(simulation.journeys, BEGIN, END)
    return world.found
