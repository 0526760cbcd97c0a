"""Stream, quota and ledger together, as they are when nobody has touched them; and what a superuser does to them."""

from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, date, timedelta
from uuid import UUID, uuid4

import psycopg

from billing.domain.chain import Head, append
from billing.domain.differences import Report
from billing.handlers import record_settlements
from billing.reconcile import Asked, compare
from billing.reconcile.comparison import Keys
from billing.reconcile.minutely import Minutely
from billing.store import Store
from billing.store.audit import audit
from billing.store.rows import LINE_COLUMNS, posted
from chassis import bus
from chassis.bus import Bus, connect
from chassis.database import create_engine
from contracts.gateway import REQUEST_SETTLED, RequestSettled, WindowAfter
from contracts.outcomes import Outcome
from contracts.quota import RESERVE, Continued, Granted, Reserve, Window
from contracts.streams import BILLING_REQUESTS, Durable
from devstack.database import Database
from tests.service.billing.billing_process import Billing, a_settlement, settle
from tests.service.quota.quota_process import quota_here, reserve


@dataclass(frozen=True, slots=True)
class Books:
    """Quota and billing in this process, on the test's own NATS and Postgres."""

    billing: Billing
    bus: Bus
    store: Store

    @property
    def url(self) -> str:
        return self.billing.database.url("billing")

    async def spend(self, account_id: UUID, *outcomes: Outcome) -> list[RequestSettled]:
        """As many requests of one account, one after the other; returned when their settlements are stored."""
        settled = [await self.held(account_id, outcome) for outcome in outcomes]
        await settle(self.bus, *settled)
        return settled

    async def held(self, account_id: UUID, outcome: Outcome = Outcome.COMPLETED) -> RequestSettled:
        """The settlement of a request whose prompt quota holds; nobody is told yet."""
        request_id = uuid4()
        granted = await reserve(self.bus, account_id, request_id=request_id)
        return self._settlement(granted, account_id, request_id, outcome)

    async def continued(
        self, account_id: UUID, turn_id: UUID, *, answers: int, ended_as: Outcome = Outcome.COMPLETED
    ) -> RequestSettled:
        """The settlement of a request that rides on the prompt of an earlier one; nobody is told yet."""
        question = Reserve(
            request_id=uuid4(),
            account_id=account_id,
            token_id=uuid4(),
            gateway="gateway-1",
            continues=Continued(turn_id=turn_id, answers=answers),
        )
        granted = await bus.ask(self.bus, RESERVE, question, timeout_seconds=10)
        settled = self._settlement(granted, account_id, question.request_id, Outcome.CONTINUATION)
        return settled.model_copy(update={"ended_as": ended_as})

    def _settlement(self, granted: object, account_id: UUID, request_id: UUID, outcome: Outcome) -> RequestSettled:
        assert isinstance(granted, Granted)
        return a_settlement(
            outcome,
            request_id=request_id,
            account_id=account_id,
            turn_id=granted.turn.turn_id,
            call=granted.turn.call,
            plan=granted.plan,
            day=granted.daily.starts_on,
            month=granted.monthly.starts_on,
            daily=_after(granted.daily),
            monthly=_after(granted.monthly),
            settled_by="gateway-1",
        )

    async def compare(
        self, *, day: date | None = None, account_id: UUID | None = None, keys: Keys | None = None
    ) -> Report:
        """A whole comparison, when all that was told is folded."""
        async with audit(self.url) as session:
            assert session is not None
            return await compare(session, self.bus, Asked("test", day=day, account_id=account_id), keys or {})

    def minutely(self, *, every_seconds: float = 60.0) -> Minutely:
        return Minutely(self.url, self.store.reconciliations, self.bus, dict, every_seconds=every_seconds)

    async def tamper(self, *statements: str) -> None:
        """What only a superuser can do. Each statement must change something."""
        async with await psycopg.AsyncConnection.connect(self.billing.database.admin_url) as connection:
            for statement in statements:
                assert (await connection.execute(statement.encode())).rowcount > 0, statement

    async def backdate(self, *, days: int) -> None:
        """All lines as if they had been written that many days earlier, with the chain that they would have then."""
        async with await psycopg.AsyncConnection.connect(self.billing.database.admin_url) as connection:
            found = await connection.execute(f"SELECT {LINE_COLUMNS} FROM billing.ledger ORDER BY id".encode())
            heads: dict[UUID, Head] = {}
            for line in [posted(row) for row in await found.fetchall()]:
                account_id = line.entry.account_id
                then = line.line.recorded_at.astimezone(UTC) - timedelta(days=days)
                (moved,), heads[account_id] = append(
                    heads.get(account_id, Head()), [line.entry], recorded_at=then, posted_on=then.date()
                )
                await connection.execute(
                    "UPDATE billing.ledger SET recorded_at = %s, posted_on = %s, previous_hash = %s, hash = %s"
                    " WHERE id = %s",
                    (then, then.date(), moved.line.previous_hash, moved.line.hash, line.id),
                )
            for account_id, head in heads.items():
                await connection.execute(
                    "UPDATE billing.ledger_heads SET hash = %s WHERE account_id = %s", (head.hash, account_id)
                )

    async def lines(self) -> list[dict[str, object]]:
        return await self.billing.rows("SELECT * FROM billing.ledger ORDER BY id")


@asynccontextmanager
async def books(database: Database, nats_url: str, *, durable: Durable = BILLING_REQUESTS) -> AsyncIterator[Books]:
    """Both services fold while the block runs. `database` is migrated for quota and billing."""
    store = Store(create_engine(database.url("billing")), database.url("billing"))
    async with AsyncExitStack() as stack:
        stack.push_async_callback(store.close)
        connection = await stack.enter_async_context(connect(nats_url, name="test", instance="test"))
        await stack.enter_async_context(quota_here(database, nats_url, deadline_seconds=9))
        record = record_settlements(store.ledger)
        await stack.enter_async_context(bus.consume(connection, REQUEST_SETTLED, durable, record))
        yield Books(Billing(database, nats_url), connection, store)


def named(report: Report) -> Sequence[str]:
    """The kinds of differences, each once, sorted."""
    return sorted({difference.kind.value for difference in report.differences})


def _after(window: Window) -> WindowAfter:
    return WindowAfter(limit=window.limit, used=window.used, remaining=window.remaining, resets_at=window.resets_at)
