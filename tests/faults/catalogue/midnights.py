"""Midnight, the end of a month and a leap day, reached by Postgres and all services under load.

Each needs a world of its own whose clock is set when it starts. NATS stays in real time, as a server elsewhere might.
"""

import asyncio
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, date, datetime, timedelta

from devstack import clock
from tests.faults.fault import Fault, Scene, TooLate
from tests.faults.plays import Play
from tests.faults.truth import Truth
from tests.faults.world import Shape

# The load begins so long before midnight, and the world has to be ready some time before that.
LOAD_SECONDS = 6.0
LEAST_SECONDS = 2.0
# Some streams are open from half of it before midnight to half of it after.
CROSSING_SECONDS = 5.0
NAMES = ("postgres", *(name + more for name in ("gateway", "quota", "router", "billing") for more in ("", "-2")))

MOMENTS = {
    "midnight": ("a day ends under load", date(2027, 5, 13)),
    "month-end": ("a month and a year end under load", date(2027, 1, 1)),
    "leap-day": ("the 28th of February of a leap year ends under load", date(2028, 2, 29)),
    "after-leap-day": ("a leap day ends under load, and the month with it", date(2028, 3, 1)),
}


def _begin(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=UTC)


def _overrides(day: date) -> Callable[[float], Mapping[str, Mapping[str, str]]]:
    def made(start_seconds: float) -> Mapping[str, Mapping[str, str]]:
        faked = clock.showing(_begin(day) - timedelta(seconds=start_seconds))
        return dict.fromkeys(NAMES, faked)

    return made


def _fault(name: str, what: str, day: date) -> Fault:
    async def left(scene: Scene) -> float:
        ((now,),) = await scene.world.rows("SELECT quota.clock()")
        return float((_begin(day) - now).total_seconds())

    async def before(scene: Scene) -> None:
        seconds = await left(scene)
        if seconds < LOAD_SECONDS - LEAST_SECONDS:
            raise TooLate(f"the world was ready {seconds:.0f} s before its midnight")
        await asyncio.sleep(max(0.0, seconds - LOAD_SECONDS))

    async def inject(scene: Scene) -> None:
        await asyncio.sleep(max(0.0, await left(scene) - CROSSING_SECONDS / 2))
        for gateway in scene.world.stack.gateways * 2:
            crossing = Play(words=50, interval_seconds=CROSSING_SECONDS / 50)
            asking = scene.load.client.ask(scene.boundless, gateway, crossing, is_stream=True)
            scene.tasks.append(asyncio.create_task(asking))
        await asyncio.sleep(CROSSING_SECONDS)

    def expect(scene: Scene, truth: Truth) -> Iterable[str]:
        days = {held.day for held in truth.reservations}
        if days != {day - timedelta(days=1), day}:
            yield f"prompts were held in the days {sorted(map(str, days))}"
        wrong = [held for held in truth.reservations if held.day != held.reserved_at.astimezone(UTC).date()]
        yield from (f"{held.request_id} was held at {held.reserved_at} in the day {held.day}" for held in wrong)
        wrong = [held for held in truth.reservations if held.month != held.day.replace(day=1)]
        yield from (f"{held.request_id} of the day {held.day} is in the month {held.month}" for held in wrong)
        at_hold = {held.request_id: held.day for held in truth.reservations}
        moved = [line for line in truth.lines if line.day != at_hold.get(line.request_id)]
        yield from (f"{line.request_id} was held in another day than {line.day}, where it is charged" for line in moved)
        crossing = [seen for task in scene.tasks if (seen := task.result()).request_id is not None]
        if not any(at_hold.get(seen.request_id) == day - timedelta(days=1) for seen in crossing):
            yield "no stream was open across midnight"

    return Fault(name, what, inject, before=before, expect=expect, world=name)


FAULTS = tuple(_fault(name, what, day) for name, (what, day) in MOMENTS.items())
SHAPES = {name: Shape(name=name, overrides=_overrides(day)) for name, (_, day) in MOMENTS.items()}
