"""Runs the rounds: in each, every scenario goes to the provider, the floor and the gateway, one after the other."""

import asyncio
import json
import os
import sys
import time
from collections import defaultdict
from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import asdict, dataclass, field
from pathlib import Path

from tests.bench import processes, profile, report, subjects
from tests.bench.load import Outcome, Plan
from tests.bench.subjects import Subject

# Settlements are folded into counters and ledger after the answer; their CPU time belongs to the run all the same.
_AFTERWORK_SECONDS = 0.4
_COUNT_SECONDS = 10.0
_IDLE_SECONDS = 3.0


@dataclass(frozen=True)
class Choices:
    """The options of the command line."""

    seconds: float
    rounds: int
    callers: int
    rate: float
    only: tuple[str, ...]
    has_gateway: bool
    has_profile: bool


@dataclass(frozen=True)
class Scenario:
    """One kind of load. `callers` 0 means as many as chosen; `is_open` means the chosen rate instead of callers.

    `client` is the format of the request, also to the provider alone and through the floor; `model` is what the gateway
    finds behind its alias (`subjects.ALIASES`), and so says which format the provider speaks to it.
    """

    title: str
    model: str
    is_streamed: bool = False
    callers: int = 0
    is_open: bool = False
    client: str = "chat"


SCENARIOS: Mapping[str, Scenario] = {
    "json": Scenario("JSON, closed loop", "burst"),
    "latency": Scenario("JSON, one caller", "burst", callers=1),
    "open": Scenario("JSON, open loop", "burst", is_open=True),
    "paced": Scenario("stream of 100 chunks, one each 2 ms", "paced", is_streamed=True, callers=16),
    "burst": Scenario("stream of 100 chunks, all at once", "burst", is_streamed=True, callers=16),
    "native": Scenario(
        "Responses in front of Responses, one chunk each 2 ms",
        "paced-responses",
        is_streamed=True,
        callers=16,
        client="responses",
    ),
    "native-burst": Scenario(
        "Responses in front of Responses, 100 chunks at once",
        "burst-responses",
        is_streamed=True,
        callers=16,
        client="responses",
    ),
    "crossing": Scenario(
        "Responses in front of chat, one chunk each 2 ms",
        "paced",
        is_streamed=True,
        callers=16,
        client="responses",
    ),
    "crossing-burst": Scenario(
        "Responses in front of chat, 100 chunks at once",
        "burst",
        is_streamed=True,
        callers=16,
        client="responses",
    ),
}
# The ways of a stream from the client's format to the provider's, with the paced scenario and the one at once.
LANES: Mapping[str, tuple[str, str]] = {
    "chat → chat": ("paced", "burst"),
    "responses → responses": ("native", "native-burst"),
    "responses → chat": ("crossing", "crossing-burst"),
}


@dataclass(frozen=True)
class Run:
    """One run of one scenario against one subject: what the caller saw, CPU milliseconds per request by group, and
    which share of all cores programs that are not ours used meanwhile."""

    outcome: Outcome
    cpu_milliseconds: Mapping[str, float]
    others_share: float


@dataclass
class Results:
    """Everything that was measured, for the report."""

    choices: Choices
    runs: dict[str, dict[str, list[Run]]] = field(default_factory=lambda: defaultdict(lambda: defaultdict(list)))
    memory: Mapping[str, float] = field(default_factory=dict)
    idle_milliseconds: Mapping[str, float] = field(default_factory=dict)
    prompts_sent: int = 0
    prompts_counted: int | None = None

    @property
    def failures(self) -> int:
        """Requests that did not end well, over all runs."""
        every = [run for by_subject in self.runs.values() for runs in by_subject.values() for run in runs]
        return sum(sum(run.outcome.errors.values()) for run in every)


async def run(choices: Choices) -> int:
    """Measure, print, and give the exit code."""
    report.say(report.preamble(choices.seconds, choices.rounds))
    results = Results(choices)
    async with AsyncExitStack() as stack:
        provider = await stack.enter_async_context(subjects.mock_provider())
        floor = await stack.enter_async_context(subjects.floor(provider))
        measured = [provider, floor]
        if choices.has_gateway:
            report.say("starting the product …")
            measured.append(await stack.enter_async_context(subjects.product(provider, profile_to=None)))
            results.idle_milliseconds = await _idle(measured[-1])
        await _rounds(results, measured)
        if choices.has_gateway:
            results.memory = processes.memory_megabytes(measured[-1].pids())
            await _compare_counts(results, measured[-1])
    report.say(report.tables(results))
    if choices.has_gateway and choices.has_profile:
        await _profile(choices)
    return 1 if results.failures else 0


async def _idle(gateway: Subject) -> dict[str, float]:
    """CPU milliseconds per second of each group while nobody asks for anything."""
    await asyncio.sleep(1)  # what starting left to do
    before = processes.cpu_seconds(gateway.pids())
    await asyncio.sleep(_IDLE_SECONDS)
    after = processes.cpu_seconds(gateway.pids())
    return {name: (after[name] - before[name]) * 1000 / _IDLE_SECONDS for name in after}


async def _rounds(results: Results, measured: list[Subject]) -> None:
    for number in range(1, results.choices.rounds + 1):
        for name in results.choices.only:
            report.say(f"round {number} of {results.choices.rounds}: {SCENARIOS[name].title}")
            for subject in measured:
                done = await _measure(results.choices, SCENARIOS[name], subject)
                results.runs[name][subject.name].append(done)
                if subject.name == "gateway":
                    results.prompts_sent += done.outcome.all_good


async def _measure(choices: Choices, scenario: Scenario, subject: Subject) -> Run:
    began, others = time.perf_counter(), _others_seconds()
    before = processes.cpu_seconds(subject.pids())
    outcome = await _load(_plan(choices, scenario, subject))
    await asyncio.sleep(_AFTERWORK_SECONDS if subject.name == "gateway" else 0)
    after = processes.cpu_seconds(subject.pids())
    requests = max(outcome.all_requests, 1)
    costs = {name: (after[name] - before.get(name, 0)) * 1000 / requests for name in after}
    cores_seconds = (time.perf_counter() - began) * (os.cpu_count() or 1)
    return Run(outcome, costs, max(_others_seconds() - others, 0.0) / cores_seconds)


def _others_seconds() -> float:
    """CPU seconds of every program that is not ours; all of ours are children of this process."""
    return processes.machine_busy_seconds() - processes.cpu_seconds({"ours": [os.getpid()]})["ours"]


def _plan(choices: Choices, scenario: Scenario, subject: Subject) -> Plan:
    return Plan(
        url=subject.url(scenario.client),
        token=subject.token,
        model=subject.models[scenario.model],
        is_streamed=scenario.is_streamed,
        callers=scenario.callers or choices.callers,
        seconds=choices.seconds,
        rate=choices.rate if scenario.is_open else None,
        client=scenario.client,
    )


async def _load(plan: Plan) -> Outcome:
    """Run the load generator as a process of its own."""
    command = (sys.executable, str(subjects.HERE / "load.py"), json.dumps(asdict(plan)))
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    assert process.stdout is not None
    printed = await process.stdout.read()
    if await process.wait() != 0:
        raise RuntimeError("the load generator failed")
    return Outcome(**json.loads(printed))


async def _compare_counts(results: Results, gateway: Subject) -> None:
    """Ask the product what it counted, until it agrees or has had time enough."""
    for _ in range(int(_COUNT_SECONDS / 0.5)):
        results.prompts_counted = await subjects.prompts_counted(gateway)
        if results.prompts_counted == results.prompts_sent:
            return
        await asyncio.sleep(0.5)


async def _profile(choices: Choices) -> None:
    """A run of its own with the sampler in the gateway: its cost must not be in the figures."""
    report.say("\nstarting the product again, with the sampler in the gateway …")
    with subjects.scratch_folder() as folder:
        path = Path(folder) / "profile.json"
        async with subjects.mock_provider() as provider, subjects.product(provider, profile_to=path) as gateway:
            for name in ("json", "burst", "native-burst", "crossing-burst"):
                plan = _plan(choices, SCENARIOS[name], gateway)
                subjects.toggle_profile(gateway.pids()["gateway"])
                outcome = await _load(plan)
                subjects.toggle_profile(gateway.pids()["gateway"])
                seen = await asyncio.to_thread(profile.read, path)
                report.say(profile.table(seen, f"{SCENARIOS[name].title} ({outcome.all_requests} requests)"))
