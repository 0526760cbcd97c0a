"""The items of a prompt as messages that the strictest chat provider takes.

| item | what is written |
|---|---|
| instructions | under the target's role for them; all in one message before everything else if it merges them |
| an instruction with a picture | a user message: no target takes pictures elsewhere |
| text | a string, its parts joined by line breaks; a list of parts only with pictures or documents |
| a refusal | the assistant's text: only OpenAI has a field for it |
| thoughts | `reasoning_content` of the message with the calls they led to, for targets that want it; else left out |
| successive calls | one message with all of them and the words before them; one each where calls cannot be parallel |
| arguments that are no JSON object | an object around the text: providers that parse them refuse anything else |
| a call id that was used before | made unique, with its result |
| results | tool messages right after their calls, in the order of these, wherever they were |
| pictures and documents in results | a user message after all results of the group; never text |
| a call without a result | a tool message that says so |
| a result without a call | a user message: what the tool said is not lost, and no provider refuses it |
| an item that says nothing | left out, but for a user's message |
"""

from collections import defaultdict, deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import msgspec

from gateway.wire.canonical import File, Image, Item, Message, Part, Reasoning, Text, ToolCall, ToolResult
from gateway.wire.chat.instructions import INSTRUCTING, SEPARATOR
from gateway.wire.lane import Quirks, Sealer
from gateway.wire.tools import text_arguments

NO_RESULT = "The tool was not run."
IN_NEXT_MESSAGE = "The output is in the next message."
WITHOUT_CALL = "The output of an earlier tool call:\n"

# What `detail` may be in the Responses API only.
_DETAILS = {"original": "high"}

_Written = dict[str, object]

_read_object = msgspec.json.Decoder(dict[str, msgspec.Raw])


def to_chat_messages(items: Sequence[Item], quirks: Quirks, sealer: Sealer) -> list[_Written]:
    """The messages of a request."""
    writer = _Writer(quirks, sealer)
    if quirks.merges_system:
        told = [text for item in items if (text := _instruction(item))]
        items = [item for item in items if _instruction(item) is None]
        if told:
            writer.write(Message("system", (Text(SEPARATOR.join(told)),)))
    for item in _paired(items):
        writer.write(item)
    writer.close()
    return writer.messages


@dataclass(frozen=True, slots=True)
class _Call:
    """A call with its result, under an id that no other call of the conversation has."""

    call_id: str
    name: str
    arguments: str
    result: ToolResult | None


class _Answered:
    """The place of a result that is written with its call: what was called before it has been answered."""


def _paired(items: Sequence[Item]) -> Iterable[Message | Reasoning | ToolResult | _Call | _Answered]:
    """Calls with their results; what remains a `ToolResult` answers no call before it."""
    open_calls: defaultdict[str, deque[int]] = defaultdict(deque)
    results: dict[int, ToolResult] = {}
    answers: set[int] = set()
    for place, item in enumerate(items):
        if isinstance(item, ToolCall):
            open_calls[item.call_id].append(place)
        elif isinstance(item, ToolResult) and open_calls[item.call_id]:
            results[open_calls[item.call_id].popleft()] = item
            answers.add(place)
    used: set[str] = set()
    for place, item in enumerate(items):
        if isinstance(item, ToolCall):
            yield _Call(_unused(item.call_id, used), item.name, _arguments(item.arguments), results.get(place))
        else:
            yield _Answered() if place in answers else item


def _unused(wanted: str, used: set[str]) -> str:
    call_id, number = wanted, 2
    while call_id in used:
        call_id, number = f"{wanted}_{number}", number + 1
    used.add(call_id)
    return call_id


def _arguments(text: str) -> str:
    try:
        _read_object.decode(text or "{}")
    except (msgspec.MsgspecError, UnicodeEncodeError, RecursionError):
        return text_arguments(text)
    return text or "{}"


class _Writer:
    """Writes one item after the other. What the assistant says is kept until it is known whether calls follow."""

    def __init__(self, quirks: Quirks, sealer: Sealer) -> None:
        self.messages: list[_Written] = []
        self._quirks = quirks
        self._sealer = sealer
        self._thoughts: list[str] = []
        self._words = ""
        self._calls: list[_Call] = []

    def write(self, item: Message | Reasoning | ToolResult | _Call | _Answered) -> None:
        """Another item. Instructions come here only if they keep their place."""
        match item:
            case Reasoning():
                self._thoughts.append(self._thought(item))
            case _Call():
                self._calls.append(item)
            case Message(role="assistant"):
                self._write_said()
                self._words = _text(item.parts)
                self._show(_media(item.parts))
            case Message():
                self.close()
                self._tell(item)
            case ToolResult():
                self.close()
                self._add("user", _content((Text(WITHOUT_CALL + _text(item.parts)), *_media(item.parts))))
            case _Answered():
                self.close()

    def close(self) -> None:
        """The assistant has said all."""
        self._write_said()
        self._thoughts.clear()

    def _thought(self, item: Reasoning) -> str:
        state = self._sealer.unseal(item.sealed) if item.sealed is not None else None
        return item.text if state is None else state

    def _tell(self, message: Message) -> None:
        text = _instruction(message)
        if text is None:
            self._add("user", _content(message.parts))
        elif text:
            self._add(self._quirks.system_role, text)

    def _show(self, media: Sequence[Part]) -> None:
        """Pictures that the assistant made: only a user can show any."""
        if media:
            self._write_said()
            self._add("user", _content(media))

    def _write_said(self) -> None:
        if self._calls:
            groups = [self._calls] if self._quirks.takes_parallel_calls else [[call] for call in self._calls]
            for group in groups:
                self._write_calls(group)
            self._calls = []
            self._thoughts.clear()
        elif self._words:
            self._add("assistant", self._words)
        self._words = ""

    def _write_calls(self, calls: Sequence[_Call]) -> None:
        message: _Written = {"role": "assistant", "content": self._words or None}
        self._words = ""
        if self._quirks.replays_reasoning:
            # Those that want it refuse a message with calls that lacks the field; an empty one they take.
            message["reasoning_content"] = "\n".join(thought for thought in self._thoughts if thought)
        message["tool_calls"] = [
            {"id": call.call_id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
            for call in calls
        ]
        self.messages.append(message)
        shown: list[Part] = []
        for call in calls:
            media = _media(call.result.parts) if call.result is not None else ()
            self.messages.append({"role": "tool", "tool_call_id": call.call_id, "content": _result(call, media)})
            if media:
                shown += (Text(f"The output of `{call.name}` ({call.call_id}):"), *media)
        if shown:
            self._add("user", _content(shown))

    def _add(self, role: str, content: object) -> None:
        self.messages.append({"role": role, "content": content})


def _result(call: _Call, media: Sequence[Part]) -> str:
    if call.result is None:
        return NO_RESULT
    return _text(call.result.parts) or (IN_NEXT_MESSAGE if media else "")


def _instruction(item: Item) -> str | None:
    """The text of an instruction; None for anything else."""
    if not isinstance(item, Message) or item.role not in INSTRUCTING or _media(item.parts):
        return None
    return _text(item.parts)


def _text(parts: Sequence[Part]) -> str:
    return "\n".join(part.text for part in parts if isinstance(part, Text))


def _media(parts: Sequence[Part]) -> Sequence[Part]:
    return [part for part in parts if not isinstance(part, Text)]


def _content(parts: Sequence[Part]) -> object:
    return [_part(part) for part in parts] if _media(parts) else _text(parts)


def _part(part: Part) -> _Written:
    match part:
        case Text(text):
            return {"type": "text", "text": text}
        case Image(url, detail):
            image = {"url": url} if detail is None else {"url": url, "detail": _DETAILS.get(detail, detail)}
            return {"type": "image_url", "image_url": image}
        case File(data, name):
            return {
                "type": "file",
                "file": {"file_data": data} if name is None else {"filename": name, "file_data": data},
            }
