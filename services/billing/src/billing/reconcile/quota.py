"""Quota's books, asked over the bus, page by page."""

from collections.abc import AsyncGenerator
from datetime import date
from uuid import UUID

from billing.errors import NotComparable
from chassis import bus
from chassis.bus import Bus
from contracts.failures import Failure
from contracts.quota import READ_BOOKS, AccountBooks, ReadBooks

ANSWER_SECONDS = 15.0


async def books(
    connection: Bus, day: date, *, through: int, account_id: UUID | None
) -> AsyncGenerator[AccountBooks, None]:
    """The accounts that quota has books of for that day, in the order of their ids.

    Raises `NotComparable` when quota fails, and `BusError` when it is not there.
    """
    after: UUID | None = None
    while True:
        wanted = ReadBooks(day=day, through_sequence=through, account_id=account_id, after=after)
        page = await bus.ask(connection, READ_BOOKS, wanted, timeout_seconds=ANSWER_SECONDS)
        if isinstance(page, Failure):
            raise NotComparable(f"quota did not show its books: {page.code}: {page.message}")
        for account in page.accounts:
            yield account
        after = page.next
        if after is None:
            return
