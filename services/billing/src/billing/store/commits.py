"""Hearing of what was committed to the outbox at the moment of its commit, whoever committed it."""

from collections.abc import AsyncIterator
from contextlib import aclosing

import psycopg

from billing.store.plan_changes import OUTBOX_CHANNEL
from chassis import database


class Commits:
    """Listens over a connection of its own, which a pooler between must not share with others."""

    def __init__(self, url: str) -> None:
        self._url = url

    async def heard(self) -> AsyncIterator[None]:
        """Once when it begins to listen, for what was committed before, then for every commit.

        Raises `StoreAway` when the connection is lost.
        """
        connection = await database.connect(self._url)
        try:
            with database.store_errors():
                await connection.execute(f"LISTEN {OUTBOX_CHANNEL}".encode())
                yield
                async with aclosing(connection.notifies()) as notices:
                    async for _ in notices:
                        yield
        except psycopg.Error as exc:
            raise database.StoreAway(type(exc).__name__) from exc
        finally:
            await connection.close()
