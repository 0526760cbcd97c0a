"""What was said as messages that the Messages API takes: user and assistant in turn, every call answered at once.

Clients order things more freely than the API does. Here

- neighbours of one role become one message; thoughts come first in it, then text, then calls;
- the results of all calls of a message open the next one, in the order of the calls, wherever the client put them;
- a call that nobody answered gets a result that says so, and a result of no call is told as text;
- ids are kept where the API takes them, unique ones of `[A-Za-z0-9_-]`;
- the conversation begins and ends with the user: newer models refuse a beginning of their own answer;
- empty text is left out, which the API refuses.
"""

import re
from collections import Counter, defaultdict, deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import msgspec

from gateway.wire.anthropic.models import ContentBlock, Thought
from gateway.wire.canonical import File, Image, Item, Message, Part, Reasoning, Text, ToolCall, ToolResult
from gateway.wire.lane import Sealer, Unservable

# Said in the user's place where the API wants the user to speak and the client did not.
UNSAID = "Continue."
UNANSWERED = "There is no result."
ORPHAN = "The result of a tool:"

_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
_DATA_URL = re.compile(r"data:([\w.+-]+/[\w.+-]+)(?:;[^,;]*)*;base64,(.*)", re.DOTALL)
_IMAGES = frozenset({"image/png", "image/jpeg", "image/gif", "image/webp"})
_PDF = "application/pdf"
_THOUGHTS = frozenset({"thinking", "redacted_thinking"})

_read_thoughts = msgspec.json.Decoder(list[Thought])


@dataclass(frozen=True, slots=True)
class Turn:
    """One message of the request."""

    role: Literal["user", "assistant"]
    content: list[ContentBlock]


@dataclass(frozen=True, slots=True)
class Conversation:
    """`system` is all instructions, which are no message. `called` are the names of all tools that were called."""

    system: str
    turns: Sequence[Turn]
    called: Sequence[str]

    @property
    def can_think(self) -> bool:
        """Thinking cannot begin between a call and its result: the message with the calls must begin with thoughts."""
        *_, answered, last = (Turn("user", []), *self.turns)
        is_continued = any(block["type"] == "tool_result" for block in last.content)
        return not is_continued or answered.content[0]["type"] in _THOUGHTS


def to_conversation(items: Iterable[Item], *, sealer: Sealer | None, takes_images: bool) -> Conversation:
    """`sealer` is None for a target that gets no thoughts back. Raises `Unservable`."""
    items = tuple(items)
    unanswered = Counter(item.call_id for item in items if isinstance(item, ToolCall))
    results: defaultdict[str, deque[ToolResult]] = defaultdict(deque)
    told: list[Item] = []
    for item in items:
        if not isinstance(item, ToolResult):
            told.append(item)
        elif unanswered[item.call_id] == 0:
            told.append(Message("user", (Text(ORPHAN), *item.parts)))
        else:
            unanswered[item.call_id] -= 1
            results[item.call_id].append(item)
            told.append(item)
    writer = _Writer(results, sealer=sealer, takes_images=takes_images)
    for item in told:
        writer.add(item)
    return writer.written()


class _Writer:
    """The messages so far. Assistant blocks wait until somebody else speaks, then they leave in the order wanted."""

    def __init__(self, results: Mapping[str, deque[ToolResult]], *, sealer: Sealer | None, takes_images: bool) -> None:
        self._sealer = sealer
        self._takes_images = takes_images
        self._results = results
        self._ids: set[str] = set()
        self._system: list[str] = []
        self._turns: list[Turn] = []
        self._said: list[ContentBlock] = []
        self._calls: list[tuple[str, ToolCall]] = []
        self._called: dict[str, None] = {}

    def add(self, item: Item) -> None:
        match item:
            case Message(role="system" | "developer", parts=parts):
                self._system += _plain(parts)
            case Message(role="assistant", parts=parts):
                self._said += _texts(_plain(parts))
            case Message(parts=parts):
                self._user(self._blocks(parts))
            case Reasoning(sealed=sealed):
                self._said += self._thoughts(sealed)
            case ToolCall():
                self._calls.append((self._id(item.call_id), item))
                self._called[item.name] = None
            case ToolResult():
                self._close()  # and there it has its place

    def written(self) -> Conversation:
        self._close()
        unsaid = Turn("user", _texts([UNSAID]))
        if not self._turns or self._turns[0].role == "assistant":
            self._turns.insert(0, unsaid)
        if self._turns[-1].role == "assistant":
            self._turns.append(unsaid)
        system = "\n\n".join(text for text in self._system if text.strip())
        return Conversation(system, self._turns, list(self._called))

    def _close(self) -> None:
        """The assistant has spoken: its message, and the results of its calls."""
        thoughts = [block for block in self._said if block["type"] in _THOUGHTS]
        texts = [block for block in self._said if block["type"] not in _THOUGHTS]
        calls, self._said, self._calls = self._calls, [], []
        uses = [_use(id, call) for id, call in calls]
        if texts or uses:  # thoughts alone are no message
            self._say("assistant", [*thoughts, *texts, *uses])
        if calls:
            self._say("user", [self._result(id, call) for id, call in calls])

    def _user(self, blocks: list[ContentBlock]) -> None:
        self._close()
        if blocks:
            self._say("user", blocks)

    def _say(self, role: Literal["user", "assistant"], blocks: list[ContentBlock]) -> None:
        if self._turns and self._turns[-1].role == role:
            self._turns[-1].content.extend(blocks)
        else:
            self._turns.append(Turn(role, blocks))

    def _result(self, id: str, call: ToolCall) -> ContentBlock:
        results = self._results.get(call.call_id)
        if not results:
            return {"type": "tool_result", "tool_use_id": id, "content": UNANSWERED, "is_error": True}
        content = self._blocks(results.popleft().parts)
        return {"type": "tool_result", "tool_use_id": id} | ({"content": content} if content else {})

    def _thoughts(self, sealed: str | None) -> list[ContentBlock]:
        state = self._sealer.unseal(sealed) if self._sealer is not None and sealed is not None else None
        if state is None:
            return []
        try:
            thoughts = _read_thoughts.decode(state)
        except msgspec.MsgspecError:
            return []
        return [msgspec.to_builtins(thought) for thought in thoughts]

    def _id(self, call_id: str) -> str:
        id, number = call_id if _ID.fullmatch(call_id) else "call", 2
        wanted = id
        while id in self._ids:
            id, number = f"{wanted[:56]}_{number}", number + 1
        self._ids.add(id)
        return id

    def _blocks(self, parts: Iterable[Part]) -> list[ContentBlock]:
        blocks: list[ContentBlock] = []
        for part in parts:
            if isinstance(part, Text):
                blocks += _texts([part.text])
            elif not self._takes_images:
                raise Unservable("messages")
            else:
                blocks.append(_image(part) if isinstance(part, Image) else _document(part))
        return blocks


def _plain(parts: Iterable[Part]) -> list[str]:
    """The texts of those who can say nothing else: instructions, and the assistant."""
    texts = []
    for part in parts:
        if not isinstance(part, Text):
            raise Unservable("messages")
        texts.append(part.text)
    return texts


def _texts(texts: Iterable[str]) -> list[ContentBlock]:
    return [{"type": "text", "text": text} for text in texts if text.strip()]


def _use(id: str, call: ToolCall) -> ContentBlock:
    return {"type": "tool_use", "id": id, "name": call.name, "input": _input(call.arguments)}


def _input(arguments: str) -> msgspec.Raw | dict[str, str]:
    """The API wants an object; what is none is told as text."""
    try:
        value = msgspec.json.decode(arguments or "{}")
    except (msgspec.MsgspecError, RecursionError):
        value = None
    return msgspec.Raw((arguments or "{}").encode()) if isinstance(value, dict) else {"input": arguments}


def _image(image: Image) -> ContentBlock:
    data = _DATA_URL.fullmatch(image.url)
    if data is not None and data.group(1).lower() in _IMAGES:
        source = {"type": "base64", "media_type": data.group(1).lower(), "data": data.group(2)}
    elif image.url.startswith(("https://", "http://")):
        source = {"type": "url", "url": image.url}
    else:
        raise Unservable("messages")
    return {"type": "image", "source": source}


def _document(file: File) -> ContentBlock:
    data = _DATA_URL.fullmatch(file.data)
    if data is None or data.group(1).lower() != _PDF:
        raise Unservable("messages")
    source = {"type": "base64", "media_type": _PDF, "data": data.group(2)}
    return {"type": "document", "source": source} | ({"title": file.name} if file.name else {})
