"""What is inside a compaction item of ours: the conversation in brief, and where its turn goes on.

The model's summary stands for all that was said. A conversation that is compacted in the middle of an agent's turn has
no tool results left that could prove which turn it is; so the item carries an id like those of tool calls, minted for
the request that made the summary. It is sealed with the summary, for this account only, and good for one continuation.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass, replace

from gateway.wire.responses.conversation import COMPACTIONS
from gateway.wire.responses.request import ResponsesRequest

Unseal = Callable[[str], str | None]
"""The text of a seal, or None for one that is not ours."""


@dataclass(frozen=True, slots=True)
class Brief:
    """`call_id` is the id of a tool call that nobody made: whoever has the brief answers it by going on."""

    summary: str
    call_id: str


def to_text(brief: Brief) -> str:
    """What is sealed."""
    return json.dumps({"summary": brief.summary, "call_id": brief.call_id}, ensure_ascii=False)


def from_text(text: str) -> Brief | None:
    """None for what is no brief."""
    try:
        read = json.loads(text)
        return Brief(str(read["summary"]), str(read["call_id"]))
    except (ValueError, TypeError, KeyError):
        return None


def read(sealed: str, unseal: Unseal) -> Brief | None:
    """None for what is not ours."""
    text = unseal(sealed)
    return from_text(text) if text is not None else None


def going_on(request: ResponsesRequest, unseal: Unseal) -> ResponsesRequest:
    """The request as an answer to the brief that its input ends with, if it ends with one."""
    last = request.input_items[-1] if request.input_items else {}
    sealed = last.get("encrypted_content")
    if last.get("type") not in COMPACTIONS or not isinstance(sealed, str):
        return request
    brief = read(sealed, unseal)
    return request if brief is None else replace(request, answered_calls=(brief.call_id,))
