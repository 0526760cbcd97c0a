"""`dead-letters list|show|replay|discard`: messages that billing could not process."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import typer

from billing.app import receiving
from billing.settings import Settings
from chassis.bus import Bus, Receiver
from chassis.dead_letter_commands import dead_letters_app


def register(app: typer.Typer) -> None:
    app.add_typer(dead_letters_app(_receiving), name="dead-letters")


@asynccontextmanager
async def _receiving() -> AsyncIterator[tuple[Bus, Sequence[Receiver]]]:
    async with receiving(Settings()) as opened:
        yield opened
