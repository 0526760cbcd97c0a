"""Tool calls on their way out: our ids, one call after the other, whatever the provider does with its indexes."""

from collections.abc import Sequence

from gateway.wire.chat.models import CustomPart, FunctionPart, ToolCallOut, ToolCallPart
from gateway.wire.lane import Mint

MAX_TOOL_CALLS = 256


class TooManyToolCalls(Exception):
    """More calls in one answer than any client could carry out."""


class _Call:
    __slots__ = ("has_name", "id", "position")

    def __init__(self, position: int, id: str | None) -> None:
        self.position = position
        self.id = id
        self.has_name = False


class ToolCalls:
    """The calls of one answer. `mint` makes the id of the call at a position; it is asked once per call."""

    def __init__(self, mint: Mint) -> None:
        self._mint = mint
        self._calls: list[_Call] = []
        self._by_index: dict[int, _Call] = {}

    def pieces(self, parts: Sequence[ToolCallPart]) -> list[ToolCallOut]:
        """Pieces of a stream as we pass them on. Raises `TooManyToolCalls`."""
        return [self._piece(part) for part in parts]

    def whole(self, parts: Sequence[ToolCallPart]) -> list[ToolCallOut]:
        """Complete calls, without indexes. Raises `TooManyToolCalls`."""
        calls = []
        for part in parts:
            call = self._piece(ToolCallPart(len(self._calls), None, part.function, part.custom))
            call.index = None
            calls.append(call)
        return calls

    def _piece(self, part: ToolCallPart) -> ToolCallOut:
        call = self._find(part)
        is_new = call is None
        if call is None:
            call = self._open(part)
        out = ToolCallOut(index=call.position, function=part.function, custom=part.custom)
        named: FunctionPart | CustomPart | None = part.custom if part.custom is not None else part.function
        if is_new:
            out.id = self._mint(call.position)
            out.type = "custom" if part.custom is not None else "function"
            if named is None:
                out.function = named = FunctionPart()
            named.name = named.name or ""
            if isinstance(named, FunctionPart):
                named.arguments = named.arguments or ""
            else:
                named.input = named.input or ""
        elif named is not None and call.has_name:
            named.name = None  # some providers repeat it in every piece, and clients would join the copies
        call.has_name = call.has_name or bool(named and named.name)
        return out

    def _find(self, part: ToolCallPart) -> _Call | None:
        """The call that a piece belongs to, or None when it begins one."""
        if part.index is None:
            if part.id:
                return next((call for call in self._calls if call.id == part.id), None)
            return self._calls[-1] if self._calls else None
        call = self._by_index.get(part.index)
        if call is not None and part.id and call.id and part.id != call.id:
            return None  # every call at index 0, told apart by their ids
        return call

    def _open(self, part: ToolCallPart) -> _Call:
        if len(self._calls) >= MAX_TOOL_CALLS:
            raise TooManyToolCalls
        call = _Call(len(self._calls), part.id)
        self._calls.append(call)
        if part.index is not None:
            self._by_index[part.index] = call
        return call
