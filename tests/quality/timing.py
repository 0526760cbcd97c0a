"""What a score and a kind cost: CPU time of one thread, so that neighbours on the machine do not count."""

import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from scoring import Scorer, kind_of
from scoring.features import HALF

_PROMPTS = 3000
_LONG = 600


@dataclass(frozen=True, slots=True)
class Timing:
    """Milliseconds of CPU time."""

    what: str
    p50: float
    p99: float
    worst: float


def timings(prompts: Sequence[str]) -> list[Timing]:
    """For prompts as they are, and for texts beyond the cap made of them."""
    dice = random.Random(0)
    some = [dice.choice(prompts) for _ in range(_PROMPTS)]
    long = [_long(prompts, dice) for _ in range(_LONG)]
    scorer = Scorer.shipped()
    return [
        _timing("score, prompts as they are", scorer.score, some),
        _timing("score, at the cap of 3,000 characters", scorer.score, long),
        _timing("kind, prompts as they are", kind_of, some),
        _timing("kind, at the cap of 3,000 characters", kind_of, long),
    ]


def _long(prompts: Sequence[str], dice: random.Random) -> str:
    text = ""
    while len(text) <= 2 * HALF:
        text += dice.choice(prompts) + "\n"
    return text


def _timing(what: str, call: Callable[[str], object], texts: Sequence[str]) -> Timing:
    taken = []
    for text in texts:
        began = time.thread_time()
        call(text)
        taken.append((time.thread_time() - began) * 1000)
    taken.sort()
    return Timing(what, taken[len(taken) // 2], taken[len(taken) * 99 // 100], taken[-1])
