"""The counters of tries to prove something: one row each, counted before the try is looked at.

Only the database's clock counts here, so that replicas agree; and since it is the row itself that says whether a try is
let through, any number of tries at once are let through one after another.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import ColumnElement, Float, Integer, and_, case, cast, delete, extract, func, or_, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.sql.dml import ReturningInsert
from sqlmodel import col, select
from sqlmodel.sql.expression import SelectOfScalar

from chassis.database import statement, transaction
from gateway.tables import SignInFailure

TABLE = "gateway.sign_in_failures"

# So many failures beyond the free ones are remembered: what goes on for days is forgotten as soon as anything else.
_STEPS = 9


@dataclass(frozen=True, slots=True)
class Pace:
    """`free` failures cost no wait, each one more doubles it from `first_seconds` up to `cap_seconds`.

    One failure is forgotten for every `decay_seconds` without a new one.
    """

    free: int
    first_seconds: float
    cap_seconds: float
    decay_seconds: float

    @property
    def ceiling(self) -> int:
        return self.free + _STEPS


@dataclass(frozen=True, slots=True)
class Counter:
    """What is counted, by its keyed digest, and how."""

    subject: bytes
    pace: Pace


class _Refused(Exception):
    """Rolls back what was counted of a try that is not let through."""

    def __init__(self, wait_seconds: float) -> None:
        super().__init__()
        self.wait_seconds = wait_seconds


class ThrottleStore:
    """Failed tries, by what they were for."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def count(self, counters: Sequence[Counter]) -> float | None:
        """Count one try as a failure on every counter, or nothing: the seconds it comes too early."""
        try:
            with statement("INSERT", TABLE, batch_size=len(counters)):
                async with transaction(self._engine) as session:
                    # In one order everywhere, so that two tries never wait for each other.
                    for counter in sorted(counters, key=lambda each: each.subject):
                        counted = await session.exec(_counting(counter))
                        if counted.first() is None:
                            raise _Refused((await session.exec(_waiting(counter))).one())
        except _Refused as refused:
            return refused.wait_seconds
        return None

    async def take_back(self, subjects: Sequence[bytes]) -> None:
        """The try that was counted was none: it went well. Earlier ones stay."""
        failures = col(SignInFailure.failures)
        async with transaction(self._engine) as session:
            await session.exec(
                update(SignInFailure)
                .where(col(SignInFailure.subject).in_(sorted(subjects)), failures > 0)
                .values(failures=failures - 1)
            )

    async def clear(self, subjects: Sequence[bytes]) -> None:
        async with transaction(self._engine) as session:
            await session.exec(delete(SignInFailure).where(col(SignInFailure.subject).in_(sorted(subjects))))

    async def purge(self, *, idle: timedelta, limit: int) -> int:
        """Remove counters that nothing was added to for so long; how many, at most `limit`."""
        over = (
            select(SignInFailure.subject)
            .where(col(SignInFailure.last_at) < func.now() - idle)
            .order_by(col(SignInFailure.last_at))
            .limit(limit)
            .with_for_update(skip_locked=True)
        )
        gone = delete(SignInFailure).where(col(SignInFailure.subject).in_(over)).returning(col(SignInFailure.subject))
        async with transaction(self._engine) as session:
            return len((await session.exec(gone)).all())


def _counting(counter: Counter) -> ReturningInsert[tuple[int]]:
    """One statement: no row comes back when the wait is not over. Read under the row's lock, hence no `now()`."""
    now = func.clock_timestamp()
    return (
        insert(SignInFailure)
        .values(subject=counter.subject, failures=1, last_at=now)
        .on_conflict_do_update(
            index_elements=["subject"],
            set_={"failures": func.least(counter.pace.ceiling, _remembered(counter.pace) + 1), "last_at": now},
            where=or_(_remembered(counter.pace) <= counter.pace.free, _elapsed() >= _wait(counter.pace)),
        )
        .returning(col(SignInFailure.failures))
    )


def _waiting(counter: Counter) -> SelectOfScalar[float]:
    left = _wait(counter.pace) - _elapsed()
    return select(func.greatest(left, 0.0)).where(col(SignInFailure.subject) == counter.subject)


def _elapsed() -> ColumnElement[float]:
    return cast(extract("epoch", func.clock_timestamp() - col(SignInFailure.last_at)), Float)


def _remembered(pace: Pace) -> ColumnElement[int]:
    """The failures that are not forgotten yet."""
    forgotten = cast(func.floor(_elapsed() / pace.decay_seconds), Integer)
    return func.greatest(0, col(SignInFailure.failures) - func.greatest(0, forgotten))


def _wait(pace: Pace) -> ColumnElement[float]:
    """The seconds between the last failure and the next try."""
    beyond = _remembered(pace) - pace.free
    doubled = pace.first_seconds * func.power(2.0, beyond - 1)
    return case((and_(beyond > 0), func.least(pace.cap_seconds, doubled)), else_=0.0)
