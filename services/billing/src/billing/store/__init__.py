"""Everything that billing reads from and writes to Postgres, by intent. The only place with SQL.

The ledger rests on three things. Lines of an account are appended under the lock of its head, and heads are locked in
the order of their ids. The unique key of (request, revision) decides which line a request gets; nothing is looked up
before. And whoever appends holds the posting lock, shared, before the clock is read: the close of a day takes it alone
for a moment, and knows then that no line of that day can follow.
"""

from sqlalchemy.ext.asyncio import AsyncEngine
from sqlmodel import select

from billing.store.activity import Activity
from billing.store.closes import Closes
from billing.store.commits import Commits
from billing.store.ledger import Conflict, Ledger, LedgerFilter
from billing.store.payment_events import PaymentEvent, Payments
from billing.store.reconciliations import Reconciliations
from billing.store.session import SchemaNotReady, transaction
from billing.store.subscriptions import Outbox, Subscriptions
from billing.store.upgrades import Considered, Upgrades

__all__ = [
    "Activity",
    "Closes",
    "Commits",
    "Conflict",
    "Considered",
    "Ledger",
    "LedgerFilter",
    "Outbox",
    "PaymentEvent",
    "Payments",
    "Reconciliations",
    "SchemaNotReady",
    "Store",
    "Subscriptions",
    "Upgrades",
]


class Store:
    """The tables of schema `billing`. Every method of its parts is one transaction; all raise `StoreAway`."""

    def __init__(self, engine: AsyncEngine, url: str) -> None:
        self.engine = engine
        self.url = url
        self.ledger = Ledger(url)
        self.activity = Activity(url)
        self.closes = Closes(url)
        self.commits = Commits(url)
        self.subscriptions = Subscriptions(engine)
        self.upgrades = Upgrades(engine)
        self.payments = Payments(engine)
        self.reconciliations = Reconciliations(engine)

    async def close(self) -> None:
        await self.ledger.disconnect()
        await self.activity.disconnect()
        await self.closes.disconnect()
        await self.engine.dispose()

    async def is_there(self) -> bool:
        """Whether the database answers."""
        async with transaction(self.engine) as session:
            return bool((await session.exec(select(1))).one())
