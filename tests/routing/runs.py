"""Everything that is simulated, spread over two processes; the results by what they are of, and by seed."""

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass, field
from multiprocessing import get_context
from typing import TypeVar

from tests.routing import budgets, linkerd, sessions, sharing
from tests.routing.budgets import Share
from tests.routing.figures import Figures, together
from tests.routing.linkerd import Success
from tests.routing.scenarios import POLICIES, SCENARIOS, play
from tests.routing.sessions import Turns

PROCESSES = 2
PARTS = ("linkerd", *SCENARIOS, "sessions", "budgets", "sharing")

KeyT = TypeVar("KeyT")
ResultT = TypeVar("ResultT")


@dataclass(frozen=True, slots=True)
class Choices:
    """How much is simulated. `scale` shortens the runs of the scenarios, `rounds` limits those per seed."""

    seeds: int = 4
    only: tuple[str, ...] = PARTS
    scale: float = 1.0
    rounds: int = 100
    hour_seconds: float = budgets.SECONDS

    @property
    def scenarios(self) -> list[str]:
        return [name for name in SCENARIOS if name in self.only]


@dataclass(slots=True)
class Results:
    """What was found, a list with one entry for each seed."""

    choices: Choices
    linkerd: Mapping[str, Sequence[Success]] = field(default_factory=dict)
    scenarios: Mapping[tuple[str, str], Sequence[Figures]] = field(default_factory=dict)
    sharing: Mapping[str, Sequence[Figures]] = field(default_factory=dict)
    sessions: Mapping[str, Sequence[Turns]] = field(default_factory=dict)
    budgets: Mapping[str, Sequence[Share]] = field(default_factory=dict)
    seconds: float = 0.0


Futures = dict[KeyT, list[Future[ResultT]]]


def simulated(choices: Choices) -> Results:
    """All that was chosen. The same choices give the same results, whichever process makes them."""
    began, only = time.monotonic(), choices.only
    # Spawned, not forked: a worker knows nothing but its arguments.
    with ProcessPoolExecutor(PROCESSES, mp_context=get_context("spawn")) as pool:

        def each(
            part: str, keys: Iterable[KeyT], do: Callable[[KeyT, int, Choices], ResultT]
        ) -> Futures[KeyT, ResultT]:
            seeds = range(choices.seeds) if part in only else ()
            return {key: [pool.submit(do, key, seed, choices) for seed in seeds] for key in keys if seeds}

        gate = each("linkerd", linkerd.PUBLISHED, _gate)
        pairs = {name: each(name, [(name, policy) for policy in POLICIES], _scenario) for name in SCENARIOS}
        ways = each("sharing", sharing.WAYS, _sharing)
        faults = each("sessions", sessions.FAULTS, _sessions)
        profiles = each("budgets", budgets.aliases(), _budget)
        found = Results(
            choices,
            linkerd=_done(gate),
            scenarios={key: runs for futures in pairs.values() for key, runs in _done(futures).items()},
            sharing=_done(ways),
            sessions=_done(faults),
            budgets=_done(profiles),
        )
    found.seconds = time.monotonic() - began
    return found


def _done(futures: Futures[KeyT, ResultT]) -> dict[KeyT, list[ResultT]]:
    return {key: [future.result() for future in runs] for key, runs in futures.items()}


def _gate(policy: str, seed: int, choices: Choices) -> Success:
    return linkerd.success(policy, seed=seed, scale=choices.scale)


def _scenario(pair: tuple[str, str], seed: int, choices: Choices) -> Figures:
    name, policy = pair
    scenario = SCENARIOS[name]
    rounds = range(min(scenario.rounds, choices.rounds))
    return together(play(scenario, policy, seed=f"{seed}.{turn}", scale=choices.scale) for turn in rounds)


def _sharing(way: str, seed: int, choices: Choices) -> Figures:
    rounds = range(min(sharing.SCENARIO.rounds, choices.rounds))
    return together(sharing.shared(way, seed=f"{seed}.{turn}", scale=choices.scale) for turn in rounds)


def _sessions(fault: str, seed: int, choices: Choices) -> Turns:
    return sessions.agents(fault, seed=seed)


def _budget(alias: str, seed: int, choices: Choices) -> Share:
    return budgets.hour(alias, seed=seed, seconds=choices.hour_seconds)
