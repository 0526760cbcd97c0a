"""What a start tells: what begins, what is ready and after how long, what is worth a sentence."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol


class Report(Protocol):
    """Somebody who listens to a start."""

    def begins(self, what: str) -> None: ...

    def ready(self, what: str, seconds: float) -> None: ...

    def say(self, text: str) -> None: ...


class Silence:
    """Listens to nothing: for tests."""

    def begins(self, what: str) -> None:
        pass

    def ready(self, what: str, seconds: float) -> None:
        pass

    def say(self, text: str) -> None:
        pass


@contextmanager
def timed(report: Report, what: str) -> Iterator[None]:
    """Tell that `what` begins, and that it is ready unless an error came."""
    began = time.monotonic()
    report.begins(what)
    yield
    report.ready(what, time.monotonic() - began)
