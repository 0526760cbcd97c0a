"""What of a provider's events gets through to a client that speaks the same format.

An event passes with the fields that the tables name, and with our ids. One that the tables do not name passes if it is
`response.<type of its item>.<word>` with a word that is known here, without fields of its own: any other name could
tell whose it is. Events that are about no item of the answer are left out.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from gateway.wire.responses.native.items import (
    ANNOTATION,
    LOGPROBS,
    PART,
    PICTURE_FORMAT,
    PICTURE_SIZE,
    SHELL_OUTPUT,
    STATUS,
    Shape,
    number,
    record,
    text,
)

CREATED = "response.created"
ALIVE = frozenset({"response.in_progress", "response.queued"})
ENDS = frozenset({"response.completed", "response.incomplete", "response.failed"})
ITEM_ADDED = "response.output_item.added"
ITEM_DONE = "response.output_item.done"
PART_ADDED = "response.content_part.added"
PART_DONE = "response.content_part.done"
SUMMARY_ADDED = "response.reasoning_summary_part.added"
SUMMARY_DONE = "response.reasoning_summary_part.done"
ARGUMENTS = "response.function_call_arguments.delta"
INPUT = "response.custom_tool_call_input.delta"
TEXT = "response.output_text.delta"
REFUSAL = "response.refusal.delta"
SUMMARY = "response.reasoning_summary_text.delta"
THOUGHT = "response.reasoning_text.delta"
PICTURE = "response.image_generation_call.partial_image"

# What can speak without having been announced, and how it begins.
SPEAKING: Mapping[str, Mapping[str, object]] = {
    "message": {"role": "assistant", "status": "in_progress", "content": []},
    "reasoning": {"status": "in_progress", "summary": []},
}


@dataclass(frozen=True, slots=True)
class Saying:
    """A kind of text that comes in deltas. `whole` is its name in the `.done` event, `kind` the item it belongs to.

    `part` is what it is part of, which has to be announced before it where there is an event for that, `announced`.
    """

    kind: str
    whole: str
    is_content: bool = True
    announced: str | None = None
    part: str = ""


SAYINGS: Mapping[str, Saying] = {
    TEXT: Saying("message", "text", announced=PART_ADDED, part="output_text"),
    REFUSAL: Saying("message", "refusal", announced=PART_ADDED, part="refusal"),
    THOUGHT: Saying("reasoning", "text", is_content=False, part="reasoning_text"),
    SUMMARY: Saying("reasoning", "text", is_content=False, announced=SUMMARY_ADDED, part="summary_text"),
    ARGUMENTS: Saying("function_call", "arguments"),
    INPUT: Saying("custom_tool_call", "input"),
    "response.mcp_call_arguments.delta": Saying("mcp_call", "arguments", is_content=False),
    "response.code_interpreter_call_code.delta": Saying("code_interpreter_call", "code", is_content=False),
}
DONES: Mapping[str, str] = {name.removesuffix("delta") + "done": name for name in SAYINGS}
# Where a text begins or ends.
BORDERS = frozenset({PART_ADDED, PART_DONE, SUMMARY_ADDED, SUMMARY_DONE, *DONES})


def place_field(name: str) -> str:
    """What an event of that name counts the parts of its item with."""
    return "summary_index" if name.startswith("response.reasoning_summary_") else "content_index"


_IN_PART = {"content_index": number}
_IN_SUMMARY = {"summary_index": number}
_COMMAND = record(command_index=number, command=text, delta=text)
_PRINTED = record(command_index=number, delta=record(stdout=text, stderr=text), output=SHELL_OUTPUT)
_EVENTS: Mapping[str, Shape] = {
    PART_ADDED: record(part=PART, **_IN_PART),
    PART_DONE: record(part=PART, **_IN_PART),
    SUMMARY_ADDED: record(part=PART, **_IN_SUMMARY),
    SUMMARY_DONE: record(part=PART, status=STATUS, **_IN_SUMMARY),
    "response.output_text.done": record(text=text, logprobs=LOGPROBS, **_IN_PART),
    "response.output_text.annotation.added": record(annotation=ANNOTATION, annotation_index=number, **_IN_PART),
    "response.refusal.done": record(refusal=text, **_IN_PART),
    "response.reasoning_text.done": record(text=text, **_IN_PART),
    "response.reasoning_summary_text.done": record(text=text, **_IN_SUMMARY),
    "response.function_call_arguments.done": record(arguments=text, name=text),
    "response.custom_tool_call_input.done": record(input=text),
    "response.mcp_call_arguments.done": record(arguments=text),
    "response.code_interpreter_call_code.done": record(code=text),
    PICTURE: record(
        partial_image_b64=text, partial_image_index=number, output_format=PICTURE_FORMAT, size=PICTURE_SIZE
    ),
    "response.shell_call_command.added": _COMMAND,
    "response.shell_call_command.delta": _COMMAND,
    "response.shell_call_command.done": _COMMAND,
    "response.shell_call_output_content.delta": _PRINTED,
    "response.shell_call_output_content.done": _PRINTED,
    "response.compaction.compacting": record(),
}
_PROGRESS = frozenset(
    {"in_progress", "completed", "failed", "incomplete", "queued", "searching", "generating", "interpreting", "calling"}
)
_NOTHING_MORE = record()


def event_shape(name: str, kind: str) -> Shape | None:
    """What passes of an event about an item of that kind; None: nothing."""
    known = _EVENTS.get(name)
    if known is None and name.startswith(f"response.{kind}.") and name.rpartition(".")[2] in _PROGRESS:
        return _NOTHING_MORE if name.count(".") == kind.count(".") + 2 else None
    return known
