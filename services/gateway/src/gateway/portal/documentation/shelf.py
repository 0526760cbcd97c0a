"""The library, made when somebody first reads in it.

That takes a third of a second of CPU, and what it imports as much again: a gateway that starts has better to do, and so
have the streams of one that runs. So it is made in a thread, once, and those who ask meanwhile wait for it.
"""

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gateway.portal.documentation.library import Library


class Shelf:
    """Made by `make`, which may take its time."""

    def __init__(self, make: "Callable[[], Library]") -> None:
        self._make = make
        self._making = asyncio.Lock()
        self._library: Library | None = None

    async def library(self) -> "Library":
        async with self._making:
            if self._library is None:
                self._library = await asyncio.to_thread(self._make)
            return self._library
