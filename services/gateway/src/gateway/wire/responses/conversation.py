"""The items of a Responses input: what was said, thought, called and answered before.

| item | what happens |
|---|---|
| `message`, with or without `type` | read; `id`, `status`, `phase` and what clients add for themselves have no effect |
| `reasoning` | summary or thoughts, and the sealed state, which is for the target that it came from |
| `function_call`, `custom_tool_call`, `local_shell_call`, `shell_call`, `apply_patch_call`, `tool_search_call` | read |
| their `…_output` | read; an array keeps its pictures and files |
| `additional_tools`, `tool_search_output` | the tools that they bring are declared tools |
| `compaction` (older: `compaction_summary`, `context_compaction`) | ours: the summary comes back as a message; a \
foreign one is a 400, for it is the whole conversation |
| `compaction_trigger` | allowed at the end only; see `decode` |
| `item_reference` | a 400, unless it was resolved before (`decode.with_items`): contents are known only if stored |
| `web_search_call`, `image_generation_call`, `mcp_list_tools`, `ghost_snapshot` | ignored and named |
| anything else | ignored and named, but for items that carry content, which must not vanish: `Unservable` |

All of this is about targets of another format: one of the same gets the items as they are. An ignored item is named as
`input.<type>`. `input_audio`, `file_id` and `file_url` are refused: only what is in the
request itself, or behind a picture's URL, can be passed on.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any

import msgspec

from gateway.wire.canonical import File, Image, Item, Message, Part, Reasoning, Text, Tool, ToolCall, ToolResult
from gateway.wire.depth import is_deeper_than
from gateway.wire.lane import Unservable
from gateway.wire.responses import declared, faults
from gateway.wire.responses.models import (
    AdditionalToolsItem,
    ApplyPatchCallItem,
    ApplyPatchOutputItem,
    CallOutputItem,
    CompactionItem,
    Content,
    ContentPart,
    CustomCallItem,
    FunctionCallItem,
    InputFile,
    InputImage,
    LocalShellCallItem,
    LocalShellOutputItem,
    MessageItem,
    ReasoningItem,
    Refusal,
    ShellCallItem,
    ShellOutputItem,
    ToolSearchCallItem,
    ToolSearchOutputItem,
)
from gateway.wire.tools import ToolBox, text_arguments

MAX_DEPTH = 64

COMPACTIONS = frozenset({"compaction", "compaction_summary", "context_compaction"})
# They have an effect, but say nothing themselves.
_SILENT = frozenset({"additional_tools", "compaction_trigger"})
# Left out even with content: what a tool of somebody else did, and what a client notes for itself.
_IGNORED = frozenset({"web_search_call", "image_generation_call", "mcp_list_tools", "ghost_snapshot"})
_CONTENT_FIELDS = (
    "content",
    "text",
    "input",
    "output",
    "outputs",
    "result",
    "results",
    "arguments",
    "code",
    "action",
    "encrypted_content",
)


def item_type(item: Mapping[str, Any], *, at: str) -> str:
    """What an item is; messages and references may leave it out. Raises `UnusableRequest`."""
    kind = item.get("type")
    if isinstance(kind, str):
        return kind
    if kind is not None:
        raise faults.invalid(f"{at}.type", "must be a string")
    if "role" in item:
        return "message"
    if "id" in item:
        return "item_reference"
    raise faults.absent(f"{at}.type")


def is_ignored(item: Mapping[str, Any], *, at: str) -> bool:
    """Whether an item has no effect outside of its own format. Raises `UnusableRequest`."""
    return _is_unknown(item, at=at) and not is_foreign(item, at=at)


def is_foreign(item: Mapping[str, Any], *, at: str) -> bool:
    """Whether an item says something that only a target of its own format may understand. Raises `UnusableRequest`."""
    has_content = any(item.get(name) for name in _CONTENT_FIELDS)
    return _is_unknown(item, at=at) and has_content and item["type"] not in _IGNORED


def _is_unknown(item: Mapping[str, Any], *, at: str) -> bool:
    kind = item_type(item, at=at)
    if kind in COMPACTIONS:
        return not item.get("encrypted_content") and kind != "compaction"
    return kind not in _READERS and kind not in _SILENT and kind != "item_reference"


def tools_in(item: Mapping[str, Any], *, at: str) -> declared.Declared:
    """The tools that an item brings. Raises `UnusableRequest`."""
    match item.get("type"):
        case "additional_tools":
            return declared.from_tools(faults.read(item, AdditionalToolsItem, at=at).tools, at=f"{at}.tools")
        case "tool_search_output":
            return declared.from_tools(faults.read(item, ToolSearchOutputItem, at=at).tools, at=f"{at}.tools")
        case _:
            return declared.Declared()


def from_item(item: Mapping[str, Any], *, at: str, box: ToolBox) -> Sequence[Item]:
    """What one item says; nothing, if it is silent or ignored.

    Raises `UnusableRequest`, and `Unservable` for an item that only a target of its own format may understand.
    """
    if is_foreign(item, at=at):
        raise Unservable("input")
    kind = item_type(item, at=at)
    if kind == "item_reference":
        raise faults.unsupported(at, "refers to an item that is not stored here; send the item itself")
    reader = _READERS.get(kind)
    return () if reader is None else list(reader(item, at, box))


def sealed_summary(item: Mapping[str, Any], *, at: str) -> str | None:
    """The sealed text of a compaction item; None for any other item. Raises `UnusableRequest`."""
    if item_type(item, at=at) not in COMPACTIONS or _is_unknown(item, at=at):
        return None
    return faults.read(item, CompactionItem, at=at).encrypted_content


# --- what was said


def _from_message(item: Mapping[str, Any], at: str, _: ToolBox) -> Iterator[Item]:
    asked = faults.read(item, MessageItem, at=at)
    if isinstance(asked.content, str):
        yield Message(asked.role, (Text(asked.content),))
        return
    placed = enumerate(asked.content)
    for is_refusal, parts in groupby(placed, key=lambda one: isinstance(one[1], Refusal)):
        yield Message(asked.role, tuple(_parts(parts, at=f"{at}.content")), is_refusal=is_refusal)


def _from_reasoning(item: Mapping[str, Any], at: str, _: ToolBox) -> Iterator[Item]:
    asked = faults.read(item, ReasoningItem, at=at)
    text = "\n\n".join(part.text for part in asked.content or asked.summary or ())
    if text or asked.encrypted_content:
        yield Reasoning(text, asked.encrypted_content or None)


def from_content(content: Content, *, at: str) -> tuple[Part, ...]:
    """What is in a message or a tool's answer. Raises `UnusableRequest`."""
    return (Text(content),) if isinstance(content, str) else tuple(_parts(enumerate(content), at=at))


def _parts(parts: Iterable[tuple[int, ContentPart]], *, at: str) -> Iterator[Part]:
    for place, part in parts:
        match part:
            case InputImage():
                yield _from_image(part, at=f"{at}[{place}]")
            case InputFile():
                yield _from_file(part, at=f"{at}[{place}]")
            case Refusal(refusal):
                yield Text(refusal)
            case _:
                yield Text(part.text)


def _from_image(image: InputImage, *, at: str) -> Image:
    url = image.image_url
    if url is None:
        if image.file_id is not None:
            raise faults.unsupported(f"{at}.file_id", "has no file behind it here; send the picture in `image_url`")
        raise faults.absent(f"{at}.image_url")
    if not url[:8].lower().startswith(("data:", "https://")):
        raise faults.invalid(f"{at}.image_url", "must be a `data:` or an `https:` URL")
    return Image(url, image.detail)


def _from_file(file: InputFile, *, at: str) -> File:
    if file.file_data is None:
        for name, value in (("file_id", file.file_id), ("file_url", file.file_url)):
            if value is not None:
                raise faults.unsupported(f"{at}.{name}", "is not followed here; send the file in `file_data`")
        raise faults.absent(f"{at}.file_data")
    if not file.file_data[:5].lower().startswith("data:"):
        raise faults.invalid(f"{at}.file_data", "must be a `data:` URL")
    return File(file.file_data, file.filename)


# --- what was called


def _from_function_call(item: Mapping[str, Any], at: str, box: ToolBox) -> Iterator[Item]:
    asked = faults.read(item, FunctionCallItem, at=at)
    yield ToolCall(asked.call_id, box.name_of(asked.name, asked.namespace or None), _object(asked.arguments))


def _from_custom_call(item: Mapping[str, Any], at: str, box: ToolBox) -> Iterator[Item]:
    asked = faults.read(item, CustomCallItem, at=at)
    yield ToolCall(asked.call_id, box.name_of(asked.name, asked.namespace or None), text_arguments(asked.input))


def _from_local_shell_call(item: Mapping[str, Any], at: str, box: ToolBox) -> Iterator[Item]:
    asked = faults.read(item, LocalShellCallItem, at=at)
    call_id = _call_id(asked.call_id or asked.id, at=at)
    yield ToolCall(call_id, box.name_of("local_shell"), _text(asked.action))


def _from_shell_call(item: Mapping[str, Any], at: str, box: ToolBox) -> Iterator[Item]:
    asked = faults.read(item, ShellCallItem, at=at)
    yield ToolCall(asked.call_id, box.name_of("shell"), _text(asked.action))


def _from_patch_call(item: Mapping[str, Any], at: str, box: ToolBox) -> Iterator[Item]:
    asked = faults.read(item, ApplyPatchCallItem, at=at)
    yield ToolCall(asked.call_id, box.name_of("apply_patch"), _text(asked.operation))


def _from_search_call(item: Mapping[str, Any], at: str, box: ToolBox) -> Iterator[Item]:
    asked = faults.read(item, ToolSearchCallItem, at=at)
    if asked.call_id:
        sought = asked.arguments if isinstance(asked.arguments, str) else _text(asked.arguments)
        yield ToolCall(asked.call_id, box.name_of("tool_search"), _object(sought))


def _call_id(value: str | None, *, at: str) -> str:
    if not value:
        raise faults.absent(f"{at}.call_id")
    return value


def _text(value: object) -> str:
    return msgspec.json.encode(value).decode()


def _object(arguments: str) -> str:
    """Arguments that every provider takes: models write, and clients resend, what is no JSON object."""
    document = arguments.encode()
    try:
        value = msgspec.json.decode(document)
    except (msgspec.DecodeError, RecursionError):
        return text_arguments(arguments) if arguments.strip() else "{}"
    if value is None:
        return "{}"
    is_usable = isinstance(value, dict) and not is_deeper_than(MAX_DEPTH, document)
    return arguments if is_usable else text_arguments(arguments)


# --- what was answered


def _from_call_output(item: Mapping[str, Any], at: str, _: ToolBox) -> Iterator[Item]:
    asked = faults.read(item, CallOutputItem, at=at)
    yield ToolResult(asked.call_id, from_content(asked.output, at=f"{at}.output"))


def _from_local_shell_output(item: Mapping[str, Any], at: str, _: ToolBox) -> Iterator[Item]:
    asked = faults.read(item, LocalShellOutputItem, at=at)
    yield ToolResult(_call_id(asked.call_id or asked.id, at=at), (Text(asked.output),))


def _from_shell_output(item: Mapping[str, Any], at: str, _: ToolBox) -> Iterator[Item]:
    asked = faults.read(item, ShellOutputItem, at=at)
    yield ToolResult(asked.call_id, (Text(_text(asked.output)),))


def _from_patch_output(item: Mapping[str, Any], at: str, _: ToolBox) -> Iterator[Item]:
    asked = faults.read(item, ApplyPatchOutputItem, at=at)
    said = [text for text in (asked.status, asked.output) if text]
    yield ToolResult(asked.call_id, (Text("\n".join(said)),))


def _from_search_output(item: Mapping[str, Any], at: str, box: ToolBox) -> Iterator[Item]:
    asked = faults.read(item, ToolSearchOutputItem, at=at)
    if asked.call_id:
        found = tools_in(item, at=at).tools
        yield ToolResult(asked.call_id, (Text(_text({"tools": [_flat(tool, box) for tool in found]})),))


def _flat(tool: Tool, box: ToolBox) -> str:
    return box.name_of(tool.name, tool.namespace)


_READERS: Mapping[str, Callable[[Mapping[str, Any], str, ToolBox], Iterator[Item]]] = {
    "message": _from_message,
    "reasoning": _from_reasoning,
    "function_call": _from_function_call,
    "custom_tool_call": _from_custom_call,
    "local_shell_call": _from_local_shell_call,
    "shell_call": _from_shell_call,
    "apply_patch_call": _from_patch_call,
    "tool_search_call": _from_search_call,
    "function_call_output": _from_call_output,
    "custom_tool_call_output": _from_call_output,
    "local_shell_call_output": _from_local_shell_output,
    "shell_call_output": _from_shell_output,
    "apply_patch_call_output": _from_patch_output,
    "tool_search_output": _from_search_output,
}
