"""How far a conversation has come: who said what, read from a request in any format, and the tool results of this turn.

A client that compacts its history throws results away. The summary that was asked of the model therefore says how many
there were (`progress_note`), and wherever the client puts it, the count goes on from there.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, TypeAlias

from devstack.provider.http import Request
from devstack.provider.payload import JsonObject, objects, text_at, words_of

Speaker: TypeAlias = Literal["user", "assistant", "tool"]
_SPEAKERS: dict[str, Speaker] = {"user": "user", "assistant": "assistant", "tool": "tool"}
_NOTE = re.compile(r"\((\d+) tool results so far\)")


@dataclass(frozen=True, slots=True)
class Said:
    """One thing that was said: a user's prompt, an assistant's words or call, or what a tool answered."""

    by: Speaker
    text: str = ""


def progress_note(results: int) -> str:
    """A short text with the count, which `results_so_far` finds again in a compacted conversation."""
    return f"Scripted summary ({results} tool results so far)."


def conversation(request: Request) -> list[Said]:
    """What was said, in order, instructions left out."""
    if request.format == "responses":
        return list(_in_items(request.json.get("input")))
    if request.format == "anthropic":
        return [said for message in objects(request.json.get("messages")) for said in _in_blocks(message)]
    if request.format == "completions":
        return [Said("user", words_of(request.json.get("prompt")))]
    return list(_in_messages(objects(request.json.get("messages"))))


def last_prompt(request: Request) -> str:
    """The last thing that a user said; empty when none has said anything."""
    return next((said.text for said in reversed(conversation(request)) if said.by == "user"), "")


def asks_for_compaction(request: Request) -> bool:
    """A Responses request that wants a compaction item and nothing else."""
    items = objects(request.json.get("input"))
    return bool(items) and items[-1].get("type") == "compaction_trigger"


def results_so_far(request: Request) -> int:
    """The tool results since the last real prompt of the user, those before a compaction included."""
    return _results(conversation(request))


def results_before_request(request: Request) -> int:
    """The same for a request that asks for a summary: the prompt that asks for it is not counted as one."""
    said = conversation(request)
    while said and said[-1].by == "user":
        said.pop()
    return _results(said)


def _results(said: list[Said]) -> int:
    start = max((place for place, one in enumerate(said) if one.by == "user"), default=0)
    results = sum(one.by == "tool" for one in said[start:])
    around = said[max(start - 1, 0) : start + 1]  # the summary is the prompt itself, or the answer just before it
    notes = [int(match[1]) for one in around if (match := _NOTE.search(one.text))]
    return results + (notes[-1] if notes else 0)


def _in_messages(messages: list[JsonObject]) -> Iterator[Said]:
    last: Said | None = None
    for message in messages:
        role, content = text_at(message, "role"), message.get("content")
        if role == "user" and last is not None and last.by == "tool" and _has_image(content):
            continue  # a picture after results belongs to them: a `tool` message has no room for it
        if role in _SPEAKERS:
            last = Said(_SPEAKERS[role], words_of(content))
            yield last


def _has_image(content: object) -> bool:
    return any("image" in text_at(part, "type") for part in objects(content))


def _in_items(value: object) -> Iterator[Said]:
    if isinstance(value, str):
        yield Said("user", value)
    for item in objects(value):
        kind = text_at(item, "type")
        if kind.endswith("_output"):
            yield Said("tool", words_of(item.get("output")))
        elif kind.endswith("_call") or item.get("role") == "assistant":
            yield Said("assistant", words_of(item.get("content")))
        elif item.get("role") == "user":
            yield Said("user", words_of(item.get("content")))
        elif kind == "compaction":
            yield Said("user", text_at(item, "encrypted_content"))


def _in_blocks(message: JsonObject) -> Iterator[Said]:
    content = message.get("content")
    results = [block for block in objects(content) if block.get("type") == "tool_result"]
    if results:
        yield from (Said("tool", words_of(block.get("content"))) for block in results)
    else:
        yield Said("assistant" if message.get("role") == "assistant" else "user", words_of(content))
