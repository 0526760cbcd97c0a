"""A stream cut anywhere: the same bytes in other pieces, as networks and proxies deliver them."""

import random
from collections.abc import Iterator
from dataclasses import dataclass, field

from devstack.provider.http import LAST_FRAME, Request, framed, take_frame
from devstack.provider.identity import Identity
from devstack.provider.script import Script, Steps, Write


def cut(script: Script, *, seed: int = 0, most_bytes: int = 64) -> Script:
    """The same answer in writes of 1 to `most_bytes` bytes of body, at places that `seed` and the request's number say.

    Pieces run across the events of a stream; what the script had written leaves before it pauses, hangs or breaks off.
    """

    def play(request: Request, identity: Identity) -> Steps:
        knife = _Knife(random.Random(f"{seed}/{identity.number}"), most_bytes)
        for step in script.play(request, identity):
            if isinstance(step, Write):
                knife.waiting += step.data
            else:
                yield from knife.writes()
                yield step
        yield from knife.writes()

    return Script(f"cut_{script.name}", play)


@dataclass(slots=True)
class _Knife:
    """Takes what a script writes, frames off, and gives it in other pieces. What is not chunked is cut as it is."""

    chance: random.Random
    most_bytes: int
    waiting: bytearray = field(default_factory=bytearray)
    is_chunked: bool = False

    def writes(self) -> Iterator[Write]:
        """All that waits."""
        head, separator, body = bytes(self.waiting).partition(b"\r\n\r\n")
        if not self.is_chunked and separator and b"transfer-encoding: chunked" in head.lower():
            self.is_chunked, self.waiting = True, bytearray(body)
            yield Write(head + separator)
        if not self.is_chunked:
            yield from (Write(piece) for piece in self._pieces(bytes(self.waiting)))
            self.waiting.clear()
            return
        data = bytearray()
        while (taken := take_frame(self.waiting)) is not None and taken:
            data += taken
        *pieces, last = self._pieces(bytes(data)) or [b""]
        yield from (Write(framed(piece)) for piece in pieces)
        rest = LAST_FRAME if taken == b"" else bytes(self.waiting)
        self.waiting.clear()
        yield Write((framed(last) if last else b"") + rest)

    def _pieces(self, data: bytes) -> list[bytes]:
        pieces, start = [], 0
        while start < len(data):
            end = start + self.chance.randint(1, self.most_bytes)
            pieces.append(data[start:end])
            start = end
        return pieces
