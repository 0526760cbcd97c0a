"""VERBOSE=1: what the processes write into their logs, on the screen as it comes."""

import asyncio
from collections.abc import Callable
from pathlib import Path

_EVERY_SECONDS = 0.2


async def follow(logs: Path, show: Callable[[str, str], None]) -> None:
    """Show `(name, line)` for every line from now on. Ends by cancellation."""
    follower = _Follower(logs, show)
    while True:
        follower.step()
        await asyncio.sleep(_EVERY_SECONDS)


class _Follower:
    """Remembers how far each log was shown."""

    def __init__(self, logs: Path, show: Callable[[str, str], None]) -> None:
        self._logs = logs
        self._show = show
        self._seen = {path: path.stat().st_size for path in logs.glob("*.log")}

    def step(self) -> None:
        for path in sorted(self._logs.glob("*.log")):
            start = self._seen.get(path, 0)
            if path.stat().st_size < start:
                # A shorter file is a new one: the old one grew too long and was put aside.
                start = 0
            text = _whole_lines(path, start)
            self._seen[path] = start + len(text)
            for line in text.decode(errors="replace").splitlines():
                self._show(path.stem, line)


def _whole_lines(path: Path, start: int) -> bytes:
    with path.open("rb") as file:
        file.seek(start)
        text = file.read()
    return text[: text.rfind(b"\n") + 1]
