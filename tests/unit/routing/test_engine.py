"""The simulator's own parts: a goal that is met in a broken simulation says nothing."""

import math
import random
from collections.abc import Callable, Sequence

import pytest

from tests.routing.baselines import LeastBusy, LowestLatency, Oracle, PeakEwma, RoundRobin
from tests.routing.draws import Request, Shape, requests
from tests.routing.engine import Policy, Rules, Simulation
from tests.routing.upstreams import Attempt, Fault, Journey, Kind, Result, Upstream

SMALL = Shape(medians=(0.3, 0.4, 0.5), slots=4, replicas=2)


class Watched(RoundRobin):
    """Round robin that writes down what it is told, and what stood at the upstreams at every moment."""

    def __init__(self, upstreams: Sequence[Upstream], replicas: int) -> None:
        super().__init__(len(upstreams), replicas)
        self.all = upstreams
        self.begun: list[Attempt] = []
        self.ends: list[tuple[Attempt, Result | None]] = []
        self.most_busy = 0

    def began(self, attempt: Attempt, now: float) -> None:
        self.begun.append(attempt)
        self.most_busy = max(self.most_busy, *(upstream.busy for upstream in self.all))

    def ended(self, attempt: Attempt, now: float, retry_after: float | None) -> None:
        super().ended(attempt, now, retry_after)
        self.ends.append((attempt, attempt.result))


def simulated(
    policy: Callable[[list[Upstream]], Policy],
    *,
    shape: Shape = SMALL,
    faults: Sequence[Fault] = (),
    per_second: float = 2.0,
    seconds: float = 100.0,
    rules: Rules | None = None,
    seed: int = 1,
) -> Simulation:
    upstreams = [Upstream(index, shape.slots, faults) for index in range(shape.upstreams)]
    simulation = Simulation(upstreams, policy(upstreams), gateways=shape.replicas, rules=rules)
    simulation.run(requests(shape, per_second=per_second, seconds=seconds, seed=seed), until=math.inf)
    return simulation


def watched(upstreams: list[Upstream]) -> Watched:
    return Watched(upstreams, SMALL.replicas)


def fault(kind: Kind, *, share: float = 1.0) -> Fault:
    return Fault(kind, frozenset({0}), begin=20.0, end=60.0, share=share)


@pytest.mark.parametrize("kind", ["slow", "silent", "errors", "limited"])
def test_every_request_ends_once_and_nothing_stays_at_the_upstreams(kind: Kind) -> None:
    simulation = simulated(watched, faults=[fault(kind, share=0.5)])
    journeys = simulation.journeys
    assert len(journeys) == len(requests(SMALL, per_second=2.0, seconds=100.0, seed=1)) > 150
    assert all(journey.ended_at is not None for journey in journeys)
    assert all((journey.ttft is None) == journey.is_failed for journey in journeys)
    assert all(attempt.result is not None for journey in journeys for attempt in journey.attempts)
    assert [upstream.busy for upstream in simulation.upstreams] == [0, 0, 0]
    assert [upstream.waiting for upstream in simulation.upstreams] == [0, 0, 0]


def test_a_policy_is_told_of_the_end_of_every_attempt_once() -> None:
    told: list[Watched] = []

    def policy(upstreams: list[Upstream]) -> Watched:
        told.append(watched(upstreams))
        return told[0]

    simulation = simulated(policy, faults=[fault("silent")])
    attempts = [attempt for journey in simulation.journeys for attempt in journey.attempts]
    assert sorted(map(id, attempts)) == sorted(id(attempt) for attempt, _ in told[0].ends)
    assert all(result is attempt.result for attempt, result in told[0].ends)


def test_no_upstream_serves_more_calls_than_it_has_slots_and_all_slots_are_used() -> None:
    simulation = simulated(watched, per_second=4.0)
    assert [upstream.most_busy for upstream in simulation.upstreams] == [4, 4, 4]


def a_request(number: int, at: float, *, first_byte: float = 0.5, stream: float = 1.0) -> Request:
    drawn = requests(SMALL, per_second=1.0, seconds=50.0, seed=3)[number]
    return Request(number, drawn.id, at, 0, 0, (first_byte,) * 3, stream, (1.0,) * 3)


class Always:
    """Everything goes to the first upstream, then to the second; a hedge if so wished."""

    def __init__(
        self, *, first_byte_seconds: float = 60.0, patience: float | None = None, hedge_after: float | None = None
    ) -> None:
        self._first_byte_seconds = first_byte_seconds
        self._patience = patience
        self._hedge_after = hedge_after

    def begin(self, clock: object) -> None: ...

    def choose(self, journey: Journey, now: float) -> int | None:
        return len(journey.attempts) if len(journey.attempts) < 2 else None

    def first_byte_seconds(self, journey: Journey) -> float:
        return self._first_byte_seconds

    def patience_seconds(self, journey: Journey) -> float | None:
        return self._patience

    def hedge_after_seconds(self, journey: Journey) -> float | None:
        return self._hedge_after

    def started(self, attempt: Attempt, now: float) -> None: ...

    def began(self, attempt: Attempt, now: float) -> None: ...

    def ended(self, attempt: Attempt, now: float, retry_after: float | None) -> None: ...


def walked(
    policy: Policy, arrivals: Sequence[Request], *, slots: int = 1, faults: Sequence[Fault] = ()
) -> list[Journey]:
    simulation = Simulation([Upstream(index, slots, faults) for index in range(3)], policy, gateways=1)
    simulation.run(arrivals, until=math.inf)
    return simulation.journeys


def test_calls_wait_for_a_slot_in_the_order_in_which_they_came() -> None:
    arrivals = [a_request(number, at=0.1 * number) for number in range(5)]
    journeys = walked(Always(), arrivals)
    # A slot is held for 1.5 s: the first byte of the n-th comes half a second after n others are through.
    expected = [1.5 * number + 0.5 - 0.1 * number for number in range(5)]
    assert [journey.ttft for journey in journeys] == pytest.approx(expected)


def test_a_call_that_is_given_up_in_the_queue_is_passed_over_and_leaves_its_place() -> None:
    arrivals = [a_request(0, 0.0, stream=10.0), a_request(1, 0.1), a_request(2, 9.9)]
    journeys = walked(Always(first_byte_seconds=2.0), arrivals)
    assert [attempt.result for attempt in journeys[1].attempts] == ["timed_out", "ok"]
    assert journeys[1].ttft == pytest.approx(2.5)  # two seconds in vain, then the free second upstream
    assert journeys[2].ttft == pytest.approx(10.5 - 9.9 + 0.5)  # next in the queue, at once when the slot is free


def test_a_silent_upstream_takes_no_slot_and_the_next_one_answers_after_the_time_out() -> None:
    journeys = walked(
        Always(first_byte_seconds=3.0),
        [a_request(0, 21.0), a_request(1, 59.0), a_request(2, 61.0)],
        faults=[fault("silent")],
    )
    assert [journey.ttft for journey in journeys] == pytest.approx([3.5, 3.5, 0.5])


def test_patience_ends_only_when_another_one_can_be_asked() -> None:
    both = Fault("silent", frozenset({0, 1}), begin=20.0, end=60.0)
    policy = Always(first_byte_seconds=9.0, patience=2.0)
    assert walked(policy, [a_request(0, 21.0)], faults=[fault("silent")])[0].ttft == pytest.approx(2.5)
    journey = walked(policy, [a_request(0, 21.0)], faults=[both])[0]
    assert journey.is_failed
    assert journey.ended_at == pytest.approx(21.0 + 2.0 + 9.0)


def test_a_hedge_is_called_beside_the_silent_first_one_and_the_loser_is_given_up() -> None:
    silent = walked(Always(hedge_after=1.0), [a_request(0, 21.0)], faults=[fault("silent")])[0]
    assert silent.ttft == pytest.approx(1.5)
    assert [attempt.result for attempt in silent.attempts] == ["cancelled", "ok"]
    assert silent.hedges == 1
    quick = walked(Always(hedge_after=1.0), [a_request(0, 21.0)])[0]
    assert (len(quick.attempts), quick.hedges) == (1, 0)


def test_hedges_stop_when_their_budget_is_spent() -> None:
    arrivals = [a_request(number, 20.0 + number / 100) for number in range(40)]
    journeys = walked(Always(hedge_after=1.0), arrivals, slots=50, faults=[fault("silent")])
    # Twenty are saved up, and each hundred requests earn one.
    assert sum(journey.hedges for journey in journeys) == 20
    assert sum(journey.ttft is not None and journey.ttft < 2 for journey in journeys) == 20


def test_a_request_fails_when_its_attempts_are_used_up() -> None:
    everywhere = Fault("errors", frozenset({0, 1, 2}), begin=0.0, end=100.0)
    journeys = simulated(watched, faults=[everywhere], seconds=50.0).journeys
    assert {(journey.is_failed, len(journey.attempts)) for journey in journeys} == {(True, 3)}
    ended = [journey.ended_at for journey in journeys]
    assert ended == pytest.approx([journey.request.at + 3 * 0.05 for journey in journeys])


def test_a_slow_upstream_takes_its_factor_and_only_during_the_fault() -> None:
    journeys = walked(Always(), [a_request(0, 10.0), a_request(1, 30.0), a_request(2, 70.0)], faults=[fault("slow")])
    assert [journey.ttft for journey in journeys] == pytest.approx([0.5, 5.0, 0.5])


def test_a_flapping_fault_is_on_and_off_in_turns() -> None:
    flapping = Fault("silent", frozenset({0}), begin=30.0, end=75.0, period=5.0)
    upstream = Upstream(0, 1, [flapping])
    ons = [upstream.fault(at) is not None for at in (29.9, 30.0, 34.9, 35.1, 40.1, 45.1, 75.0)]
    assert ons == [False, True, True, False, True, False, False]


def test_all_policies_meet_the_same_requests_with_the_same_luck() -> None:
    policies: list[Callable[[list[Upstream]], Policy]] = [
        lambda upstreams: RoundRobin(3, 2),
        lambda upstreams: LeastBusy(3, 2),
        lambda upstreams: LowestLatency(3, 2),
        lambda upstreams: PeakEwma(3, 2),
        lambda upstreams: Oracle(upstreams, SMALL.medians, hold_seconds=4.0),
    ]
    met = [[journey.request for journey in simulated(policy).journeys] for policy in policies]
    assert all(requests == met[0] for requests in met)
    alone = [
        {journey.request.number: journey.ttft for journey in simulated(policy, per_second=0.05).journeys}
        for policy in policies
    ]
    # With nobody else there, an upstream takes as long as was drawn, whoever chose it.
    drawn = {request.number: request.first_byte for request in requests(SMALL, per_second=0.05, seconds=100.0, seed=1)}
    differences = [
        min(abs((ttft or 0.0) - seconds) for seconds in drawn[number])
        for times in alone
        for number, ttft in times.items()
    ]
    assert max(differences) < 1e-9


def test_a_run_is_the_same_for_the_same_seed_and_another_for_another() -> None:
    def times(seed: int) -> list[float | None]:
        return [journey.ttft for journey in simulated(lambda _: PeakEwma(3, 2, seed=seed), seed=seed).journeys]

    assert times(1) == times(1)
    assert times(1) != times(2)


@pytest.mark.parametrize(("servers", "load"), [(1, 0.5), (3, 0.7), (8, 0.8)])
def test_waits_are_those_of_queueing_theory(servers: int, load: float) -> None:
    """M/M/c: Poisson arrivals, exponential services; the mean wait is that of Erlang's C formula."""
    waits = [wait for seed in range(4) for wait in exponential_waits(servers, load, seed=seed)]
    mean = sum(waits) / len(waits)
    # A slot more or less would be off by a third at least; the mean of so many correlated waits by some percent.
    assert mean == pytest.approx(erlang_c(servers, load) / (servers * (1 - load)), rel=0.12)


def exponential_waits(servers: int, load: float, *, seed: int) -> list[float]:
    """What requests wait where services take one second on average."""
    shape = Shape(medians=(0.0,), sigma=0.0, slots=servers, replicas=1)
    chance = random.Random(f"services {seed}")
    arrivals = [
        Request(request.number, request.id, request.at, 0, 0, (0.0,), chance.expovariate(1.0), (1.0,))
        for request in requests(shape, per_second=servers * load, seconds=20_000.0 / servers, seed=seed)
    ]
    simulation = Simulation([Upstream(0, servers)], Patient(1, 1), gateways=1)
    simulation.run(arrivals, until=math.inf)
    return [journey.ttft for journey in simulation.journeys if journey.ttft is not None]


class Patient(RoundRobin):
    """Waits for ever."""

    def first_byte_seconds(self, journey: Journey) -> float:
        return math.inf


def erlang_c(servers: int, load: float) -> float:
    """The probability that a request has to wait."""
    offered = servers * load
    last = offered**servers / math.factorial(servers) / (1 - load)
    return last / (sum(offered**k / math.factorial(k) for k in range(servers)) + last)
