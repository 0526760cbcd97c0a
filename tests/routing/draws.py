"""What chance decides, drawn before anything is simulated: so every policy meets the same requests and services.

A request has its arrival, the gateway and the router replica that it falls to, and for each upstream how long the
first byte would take there and whether that upstream would refuse it. How long the answer streams belongs to the
request: a long answer is long anywhere.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID


@dataclass(frozen=True, slots=True)
class Shape:
    """The world that requests come from. Times in seconds; TTFT and streams are lognormal by median and sigma."""

    medians: tuple[float, ...] = (0.3, 0.36, 0.42, 0.48, 0.54, 0.6)
    sigma: float = 0.5
    stream_median: float = 3.0
    stream_sigma: float = 0.8
    slots: int = 48
    replicas: int = 4

    @property
    def upstreams(self) -> int:
        return len(self.medians)


@dataclass(frozen=True, slots=True)
class Request:
    """One request and all its luck. `refusals` are uniform draws: below the share of errors, the upstream refuses."""

    number: int
    id: UUID
    at: float
    gateway: int
    replica: int
    first_byte: tuple[float, ...]
    stream_seconds: float
    refusals: tuple[float, ...]


def requests(shape: Shape, *, per_second: float, seconds: float, seed: int | str) -> list[Request]:
    """Poisson arrivals over `seconds`, in the order of time; the same for the same arguments."""
    chance = random.Random(f"requests {seed}")
    found: list[Request] = []
    at = chance.expovariate(per_second)
    while at < seconds:
        found.append(one(shape, chance, number=len(found), at=at))
        at += chance.expovariate(per_second)
    return found


def one(shape: Shape, chance: random.Random, *, number: int, at: float) -> Request:
    """One request at this time, with the luck of `chance`. Every request takes the same number of draws."""
    return Request(
        number=number,
        id=UUID(int=chance.getrandbits(128)),
        at=at,
        gateway=chance.randrange(shape.replicas),
        replica=chance.randrange(shape.replicas),
        first_byte=tuple(_lognormal(chance, median, shape.sigma) for median in shape.medians),
        stream_seconds=_lognormal(chance, shape.stream_median, shape.stream_sigma),
        refusals=_uniform(chance, shape.upstreams),
    )


def _lognormal(chance: random.Random, median: float, sigma: float) -> float:
    # A sigma of nothing is a constant: what is compared with theory or with a published constant.
    return float(median * 2.718281828459045 ** (sigma * chance.gauss(0.0, 1.0)))


def _uniform(chance: random.Random, count: int) -> tuple[float, ...]:
    return tuple(chance.random() for _ in range(count))


def spread(low: float, high: float, count: int) -> Sequence[float]:
    """`count` values from `low` to `high`, evenly."""
    return [low + (high - low) * place / max(count - 1, 1) for place in range(count)]
