"""Responses requests in: checked, held in the client's terms, and made into a prompt.

| field | what happens |
|---|---|
| `model` | an alias of ours; the target's model is sent instead |
| `input` | a string is one user message; for items see `conversation` |
| `instructions` | come first; those of an earlier response are not inherited |
| `previous_response_id` | the caller looks it up and puts its items before these (`with_history`) |
| `tools`, `tool_choice` | see `declared` |
| `parallel_tool_calls`, `max_output_tokens`, `temperature`, `top_p` | translated; so are `stop`, `seed` and the \
penalties, which some servers of this format know |
| `text` | format and verbosity, translated |
| `reasoning` | the known efforts are translated; `summary`: what can be read of the thoughts is shown anyway |
| `store`, `metadata`, `stream` | have their effect here; never sent to a provider |
| `prompt_cache_key` | keeps a session on one target; a key of ours is sent for it, where the target takes one |
| `include` | `reasoning.encrypted_content` has its effect here; the others are lost in a crossing |
| `truncation` | `disabled` is what happens; `auto` is lost in a crossing: nothing is cut out unseen |
| `top_logprobs`, `max_tool_calls`, `context_management` and the like | lost in a crossing |
| `background` | true is refused: there is nobody to come back to |
| `conversation`, `prompt` | refused: nothing of that kind is kept here |
| `stream_options` | obfuscation is ignored |
| `service_tier` | not passed on: what is bought of a provider is the operator's decision |
| `user`, `safety_identifier`, `client_metadata` | not passed on: they would tell who our customers' customers are |
| anything else | not passed on: an unknown field may steer a provider past the profile |

What has no effect is named in `ignored`; what only a target of this format may know, in `lost_in_crossing`. A refused
field is a 400 naming it. A `compaction_trigger` at the end of the input asks for a summary of the conversation, which
the prompt then asks for in words.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import msgspec

from gateway.wire.canonical import (
    Item,
    JsonSchema,
    Message,
    OutputFormat,
    Prompt,
    Sampling,
    Text,
    Tool,
    ToolCall,
    ToolResult,
)
from gateway.wire.depth import is_deeper_than
from gateway.wire.lane import UnusableRequest
from gateway.wire.responses import conversation, declared, effects, faults, history
from gateway.wire.responses.briefing import size_of
from gateway.wire.responses.echo import to_echo
from gateway.wire.responses.effects import lost_in_crossing
from gateway.wire.responses.models import AskedResponse, AskedText, JsonObjectFormat, JsonSchemaFormat
from gateway.wire.responses.request import ResponsesRequest
from gateway.wire.tools import ToolBox

__all__ = ["ResponsesRequest", "from_responses_request", "lost_in_crossing", "to_prompt", "with_history", "with_items"]

MAX_DEPTH = conversation.MAX_DEPTH
MAX_ITEMS = 5000
SUMMARY_HEADING = "A summary of the conversation so far:"
SUMMARY_REQUEST = (
    "The conversation has become too long and will go on from a summary of it. Write that summary now, for a model "
    "that knows nothing else: what the user wants, in the user's own words where they matter; what has been done and "
    "decided, with the names of files, commands and values; what was found out; what is left to do next. Write only "
    "the summary, call no tools."
)

_REFUSED = {
    "conversation": "Use `previous_response_id`, or send the whole input.",
    "prompt": "Send the text of the prompt in `instructions` or `input`.",
}
_read_body = msgspec.json.Decoder(dict[str, Any])

Unseal = Callable[[str], str | None]
"""The text of a sealed summary, or None for one that is not ours."""


def from_responses_request(body: bytes) -> ResponsesRequest:
    """Raises `UnusableRequest`."""
    fields = _parsed(body)
    for name, advice in _REFUSED.items():
        if name in fields:
            raise UnusableRequest(f"`{name}` is not supported. {advice}", code="unsupported_parameter", param=name)
    asked = faults.read(fields, AskedResponse)
    if asked.background:
        raise faults.unsupported("background", "must be false: a response is made while its client waits")
    own = _own_items(asked)
    request = ResponsesRequest(
        model=asked.model,
        is_stream=bool(asked.stream),
        ignored=effects.ignored(fields, asked),
        fields=frozenset(fields),
        answered_calls=history.answered_calls(own, has_history=asked.previous_response_id is not None),
        session_key=asked.prompt_cache_key or None,
        stores=asked.store is not False,
        previous_response_id=asked.previous_response_id,
        raw=fields,
        input_items=own,
        echo=to_echo(fields),
        wants_sealed=effects.SEALED_REASONING in (asked.include or ()),
        compacts=bool(own) and own[-1].get("type") == "compaction_trigger",
        references=history.references(own),
        size_bytes=len(body),
    )
    _check(request)
    return request


def with_history(
    request: ResponsesRequest, input_items: Sequence[Mapping[str, Any]], output_items: Sequence[Mapping[str, Any]]
) -> ResponsesRequest:
    """The request after the input and the output of the response that it goes on from. Raises `UnusableRequest`."""
    earlier = (*input_items, *output_items)
    whole = _counted((*earlier, *request.input_items))
    raw = {name: value for name, value in request.raw.items() if name != "previous_response_id"}
    return replace(
        request,
        raw={**raw, "input": list(whole)},
        input_items=whole,
        answered_calls=history.answered_calls(whole),
        references=history.references(whole),
        history_length=request.history_length + len(earlier),
        size_bytes=request.size_bytes + size_of(earlier),
    )


def with_items(request: ResponsesRequest, found: Mapping[str, Mapping[str, Any]]) -> ResponsesRequest:
    """The request with stored items, by their ids, in place of the references to them; others stay."""
    whole = tuple(
        found.get(str(item["id"]), item) if history.is_reference(item) else item for item in request.input_items
    )
    has_history = request.previous_response_id is not None and request.history_length == 0
    return replace(
        request,
        raw={**request.raw, "input": list(whole)},
        input_items=whole,
        answered_calls=history.answered_calls(whole, has_history=has_history),
        references=history.references(whole),
        size_bytes=request.size_bytes + size_of([found[name] for name in request.references if name in found]),
    )


def to_prompt(request: ResponsesRequest, *, unseal_compaction: Unseal | None = None) -> tuple[Prompt, ToolBox]:
    """The request in no format, and the tools by which calls find back. Raises `UnusableRequest` and `Unservable`.

    The input has to be complete: references resolved, history before it, every call answered.
    """
    asked = faults.read(request.raw, AskedResponse)
    tools, choice = declared.from_tool_choice(asked.tool_choice, _tools(request, asked))
    box = ToolBox.of(tools)
    said: list[Item] = [] if asked.instructions is None else [Message("system", (Text(asked.instructions),))]
    placed = list(_placed(request, box, unseal_compaction))
    _check_calls(placed)
    said += [item for _, item in placed]
    if request.compacts:
        said.append(Message("user", (Text(SUMMARY_REQUEST),)))
        choice = "none" if tools else None
    if not said:
        raise faults.invalid("input", "says nothing that could be answered")
    prompt = Prompt(
        items=tuple(said),
        tools=tools,
        tool_choice=choice,
        has_parallel_calls=asked.parallel_tool_calls if tools else None,
        max_output_tokens=asked.max_output_tokens,
        sampling=_sampling(asked),
        output="text" if request.compacts else _output(asked.text),
        verbosity=asked.text.verbosity if asked.text else None,
        reasoning_effort=_effort(asked),
    )
    return prompt, box


# --- reading


def _parsed(body: bytes) -> dict[str, Any]:
    """The fields of the body but for nulls, which are as good as absent."""
    try:
        body.decode()  # the parser does not look into strings
        fields = _read_body.decode(body)
        if is_deeper_than(MAX_DEPTH, body):
            raise RecursionError
    except msgspec.ValidationError as exc:
        said = str(exc).partition(" - at ")[0]
        raise UnusableRequest(f"The body must be a JSON object: {said}.", code="invalid_value") from None
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise UnusableRequest("The body is not valid JSON in UTF-8.", code="invalid_json") from None
    except RecursionError:
        raise UnusableRequest(f"The body is nested deeper than {MAX_DEPTH} levels.", code="invalid_json") from None
    return {name: value for name, value in fields.items() if value is not None}


def _own_items(asked: AskedResponse) -> tuple[Mapping[str, Any], ...]:
    if isinstance(asked.input, str):
        return ({"type": "message", "role": "user", "content": [{"type": "input_text", "text": asked.input}]},)
    if not asked.input and asked.previous_response_id is None:
        raise faults.absent("input") if asked.input is None else faults.invalid("input", "must hold an item")
    return _counted(tuple(asked.input or ()))


def _counted(whole: tuple[Mapping[str, Any], ...]) -> tuple[Mapping[str, Any], ...]:
    if len(whole) > MAX_ITEMS:
        raise faults.invalid("input", f"must hold at most {MAX_ITEMS} items, those of earlier responses included")
    return whole


def _tools(request: ResponsesRequest, asked: AskedResponse) -> tuple[Tool, ...]:
    found = list(declared.from_tools(asked.tools or (), at="tools").tools)
    for place, item in enumerate(request.input_items):
        found += conversation.tools_in(item, at=request.place_of(place)).tools
    return declared.unique(found)


def _placed(request: ResponsesRequest, box: ToolBox, unseal: Unseal | None) -> Iterator[tuple[str, Item]]:
    for place, item in enumerate(request.input_items):
        at = request.place_of(place)
        sealed = conversation.sealed_summary(item, at=at)
        if sealed is not None:
            summary = unseal(sealed) if unseal else None
            if summary is None:
                raise faults.invalid(f"{at}.encrypted_content", "cannot be read: it was not made here, or long ago")
            yield at, Message("user", (Text(f"{SUMMARY_HEADING}\n\n{summary}"),))
        for said in conversation.from_item(item, at=at, box=box):
            yield at, said


def _sampling(asked: AskedResponse) -> Sampling:
    stop = [asked.stop] if isinstance(asked.stop, str) else asked.stop or ()
    return Sampling(
        temperature=asked.temperature,
        top_p=asked.top_p,
        presence_penalty=asked.presence_penalty,
        frequency_penalty=asked.frequency_penalty,
        seed=asked.seed,
        stop=tuple(stop),
    )


def _output(text: AskedText | None) -> OutputFormat:
    match text.format if text else None:
        case JsonSchemaFormat() as asked:
            return JsonSchema(asked.name, asked.schema, asked.description, asked.strict)
        case JsonObjectFormat():
            return "json_object"
        case _:
            return "text"


def _effort(asked: AskedResponse) -> str | None:
    effort = asked.reasoning.effort if asked.reasoning else None
    return effort if effort in effects.EFFORTS else None


# --- checking


def _check(request: ResponsesRequest) -> None:
    """Every item and tool, as far as it can be done before history and seals are at hand. Raises `UnusableRequest`."""
    is_complete = request.previous_response_id is None and not request.references
    readable = []
    for place, item in enumerate(request.input_items):
        at = request.place_of(place)
        if item.get("type") == "compaction_trigger" and place != len(request.input_items) - 1:
            raise faults.invalid(at, "must be the last item")
        is_foreign = conversation.is_foreign(item, at=at)
        is_complete = is_complete and not is_foreign
        if not is_foreign and not history.is_reference(item):
            readable.append((at, item))
    if is_complete:
        to_prompt(request, unseal_compaction=str)
        return
    box = ToolBox.of(_tools(request, faults.read(request.raw, AskedResponse)))
    for at, item in readable:
        conversation.sealed_summary(item, at=at)
        conversation.from_item(item, at=at, box=box)


def _check_calls(placed: Sequence[tuple[str, Item]]) -> None:
    """Every result answers a call before it, every call has a result: providers take no other conversation."""
    is_open: Counter[str] = Counter()
    for at, item in placed:
        if isinstance(item, ToolCall):
            is_open[item.call_id] += 1
        elif isinstance(item, ToolResult):
            if not is_open[item.call_id]:
                raise faults.invalid(f"{at}.call_id", "answers no call before it")
            is_open[item.call_id] -= 1
    for at, item in placed:
        if isinstance(item, ToolCall) and is_open[item.call_id]:
            raise faults.invalid(at, "is a call without an output after it")
