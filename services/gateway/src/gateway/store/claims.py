"""Every query on claimed keys, stored answers and replays. Each method is one transaction.

Only the database's clock counts here: gateways on several machines decide by it who may take a claim over.
"""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from sqlalchemy import ColumnElement, and_, delete, func, or_, tuple_, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.sql.dml import ReturningInsert
from sqlmodel import col, select

from chassis.database import StoreAway, statement, transaction
from gateway.tables import IdempotencyClaim, Replay

TABLE = "gateway.idempotency"
RUNNING = "running"
DONE = "done"

# A claim that is in the way can be gone when it is looked at: then it is free to be taken.
_TRIES = 3


@dataclass(frozen=True, slots=True)
class Wanted:
    """A key that a request wants for itself. The digests are SHA-256."""

    account_id: UUID
    key_digest: bytes
    body_digest: bytes
    request_id: UUID


@dataclass(frozen=True, slots=True)
class StoredAnswer:
    """An answer as it is sent again. `headers` are those that describe the body."""

    status: int
    headers: dict[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class KnownKey:
    """What is known of a key that is another request's: it runs, or it is done, with or without a kept answer."""

    request_id: UUID
    body_digest: bytes
    is_running: bool
    answer: StoredAnswer | None


class ClaimStore:
    """The keys of `Idempotency-Key` and what was answered to them."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def claim(self, wanted: Wanted, *, hold: timedelta, keep: timedelta) -> KnownKey | None:
        """Take the key for this request, or say whose it is.

        A key whose time is over is free again, and so is a running one that nobody holds any longer, for the same body.
        """
        with statement("INSERT", TABLE):
            for _ in range(_TRIES):
                async with transaction(self._engine) as session:
                    taken = await session.exec(_claiming(wanted, hold=hold, keep=keep))
                    if taken.first() is not None:
                        return None
                    found = await session.get(IdempotencyClaim, (wanted.account_id, wanted.key_digest))
                    if found is not None:
                        return _known(found)
        raise StoreAway("the key changes hands all the time")

    async def conclude(self, wanted: Wanted, answer: StoredAnswer | None) -> bool:
        """Note that the request is done, with its answer if that is kept. Whether the claim was still its own."""
        own = and_(_is_key_of(wanted), col(IdempotencyClaim.request_id) == wanted.request_id)
        values: dict[str, object] = {"state": DONE}
        if answer is not None:
            values |= {"status": answer.status, "headers": answer.headers, "body": answer.body}
        with statement("UPDATE", TABLE):
            async with transaction(self._engine) as session:
                noted = update(IdempotencyClaim).where(own).values(values).returning(col(IdempotencyClaim.request_id))
                return (await session.exec(noted)).first() is not None

    async def release(self, wanted: Wanted) -> None:
        """Give the key back, as if it had never been used. What is done stays."""
        own = and_(
            _is_key_of(wanted),
            col(IdempotencyClaim.request_id) == wanted.request_id,
            col(IdempotencyClaim.state) == RUNNING,
        )
        with statement("DELETE", TABLE):
            async with transaction(self._engine) as session:
                await session.exec(delete(IdempotencyClaim).where(own))

    async def renew(self, request_ids: Collection[UUID], *, hold: timedelta) -> None:
        """Hold the claims of these requests for so long from now."""
        async with transaction(self._engine) as session:
            await session.exec(
                update(IdempotencyClaim)
                .where(
                    col(IdempotencyClaim.request_id).in_(sorted(request_ids)), col(IdempotencyClaim.state) == RUNNING
                )
                .values(held_until=func.now() + hold)
            )

    async def note_replay(self, wanted: Wanted, *, replay_of: UUID, trace_id: str | None) -> None:
        """Remember that this request was answered with the stored answer of another one."""
        with statement("INSERT", "gateway.replays"):
            async with transaction(self._engine) as session:
                await session.exec(
                    insert(Replay)
                    .values(
                        request_id=wanted.request_id,
                        account_id=wanted.account_id,
                        replay_of=replay_of,
                        replayed_at=func.now(),
                        trace_id=trace_id,
                    )
                    .on_conflict_do_nothing()
                )

    async def find_replay(self, account_id: UUID, request_id: UUID) -> Replay | None:
        """The replay that a request of this account was."""
        query = select(Replay).where(col(Replay.request_id) == request_id, col(Replay.account_id) == account_id)
        async with transaction(self._engine) as session:
            return (await session.exec(query)).one_or_none()

    async def purge_claims(self, *, limit: int) -> int:
        """Remove keys whose time is over; how many. At most `limit`, none that another gateway removes just now."""
        key = tuple_(col(IdempotencyClaim.account_id), col(IdempotencyClaim.key_digest))
        over = (
            select(IdempotencyClaim.account_id, IdempotencyClaim.key_digest)
            .where(_is_over())
            .order_by(col(IdempotencyClaim.expires_at))
            .limit(limit)
            .with_for_update(skip_locked=True)
        )
        async with transaction(self._engine) as session:
            gone = await session.exec(
                delete(IdempotencyClaim).where(key.in_(over)).returning(col(IdempotencyClaim.request_id))
            )
            return len(gone.all())

    async def purge_replays(self, *, keep: timedelta, limit: int) -> int:
        """Remove notes of replays that are older than `keep`; how many, at most `limit`."""
        old = (
            select(Replay.request_id)
            .where(col(Replay.replayed_at) < func.now() - keep)
            .order_by(col(Replay.replayed_at))
            .limit(limit)
        )
        async with transaction(self._engine) as session:
            gone = await session.exec(
                delete(Replay).where(col(Replay.request_id).in_(old)).returning(col(Replay.request_id))
            )
            return len(gone.all())


def _claiming(wanted: Wanted, *, hold: timedelta, keep: timedelta) -> ReturningInsert[tuple[UUID]]:
    """One statement: insert the claim, or take over one that is nobody's any longer. No row: it is somebody's."""
    fresh: dict[str, object] = {
        "body_digest": wanted.body_digest,
        "request_id": wanted.request_id,
        "state": RUNNING,
        "status": None,
        "headers": None,
        "body": None,
        "created_at": func.now(),
        "held_until": func.now() + hold,
        "expires_at": func.now() + keep,
    }
    is_left = and_(
        col(IdempotencyClaim.state) == RUNNING,
        col(IdempotencyClaim.held_until) < func.now(),
        # Left in the middle, it is still bound to its body: another one is a mistake of the client.
        col(IdempotencyClaim.body_digest) == wanted.body_digest,
    )
    key = {"account_id": wanted.account_id, "key_digest": wanted.key_digest}
    return (
        insert(IdempotencyClaim)
        .values(**key, **fresh)
        .on_conflict_do_update(index_elements=["account_id", "key_digest"], set_=fresh, where=or_(is_left, _is_over()))
        .returning(col(IdempotencyClaim.request_id))
    )


def _is_key_of(wanted: Wanted) -> ColumnElement[bool]:
    return and_(
        col(IdempotencyClaim.account_id) == wanted.account_id, col(IdempotencyClaim.key_digest) == wanted.key_digest
    )


def _is_over() -> ColumnElement[bool]:
    """Its time is over, and nobody is at it: an answer may take longer than keys are kept."""
    return and_(
        col(IdempotencyClaim.expires_at) < func.now(),
        or_(col(IdempotencyClaim.state) == DONE, col(IdempotencyClaim.held_until) < func.now()),
    )


def _known(found: IdempotencyClaim) -> KnownKey:
    answer = None
    if found.body is not None and found.status is not None:
        answer = StoredAnswer(found.status, found.headers or {}, found.body)
    return KnownKey(found.request_id, found.body_digest, found.state == RUNNING, answer)
