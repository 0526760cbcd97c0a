"""What a script is: a name, and a function from a request to the steps that answer it.

Steps are plain values, so that scripts are ordinary generators without I/O, and a new misbehaviour is a few lines.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeAlias

from devstack.provider.http import Request
from devstack.provider.identity import Identity


@dataclass(frozen=True, slots=True)
class Write:
    """Send these bytes, and wait until the socket has taken them."""

    data: bytes


@dataclass(frozen=True, slots=True)
class Pause:
    """Send nothing for so long."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Hang:
    """Send nothing more, and keep the connection until the client leaves."""


@dataclass(frozen=True, slots=True)
class Close:
    """Close the connection in good order (FIN)."""


@dataclass(frozen=True, slots=True)
class Reset:
    """Drop the connection (RST)."""


Step: TypeAlias = Write | Pause | Hang | Close | Reset
Steps: TypeAlias = Iterator[Step]


@dataclass(frozen=True, slots=True)
class Script:
    """`play` is called once per request; what it yields is carried out in order."""

    name: str
    play: Callable[[Request, Identity], Steps]
