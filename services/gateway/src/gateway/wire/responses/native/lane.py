"""A Responses request on its way to a Responses target: the client's own body, with what is ours changed.

| what | what happens |
|---|---|
| fields of `_FORWARDED` | passed on, with tools and formats of any kind: the provider knows them |
| tools that work with the operator's account at the provider | withheld: see `hosted` |
| `model`, `store`, `stream` | the target's model; nothing is kept at a provider; as the client asked |
| `include` | what the client wants, and the state of the thoughts if there are to be any: a model that has none may \
refuse to be asked for it |
| `max_output_tokens` | lowered to the target's cap |
| `prompt_cache_key` | ours, if the target takes one |
| every other field | not passed on; the table in `decode` says why |
| items | passed on, history first, also those of unknown types |
| `id` of an item | left out: nothing is kept that has it; an approval's request keeps its own, the approval names it |
| `call_id` | passed on: the provider sees ours on the call and on its output alike |
| `internal_chat_message_metadata_passthrough` | left out: it tells who the user is |
| `encrypted_content` | unsealed; thoughts of another target are left out; any other item that cannot be read again \
would take the conversation with it: `Unservable` |
| instructions | under the target's role for them, as one message that comes first if it wants that |
| tools, pictures, a JSON schema, for a target that takes none | `Unservable` |

What the operator says of a target's fields is done last.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec

from gateway.wire.lane import Identity, Lane, Mint, Quirks, Sealer, Target, Unservable
from gateway.wire.responses.native.answer import NativeAnswer
from gateway.wire.responses.native.hosted import is_withheld, passed, withheld_names
from gateway.wire.responses.native.names import Names
from gateway.wire.responses.provider.dialect import ENCRYPTED, INSTRUCTING, PATH, SEPARATOR, adjust, cap_output
from gateway.wire.responses.request import ResponsesRequest

_PARALLEL = "parallel_tool_calls"
_FORWARDED = (
    "instructions",
    "tools",
    "tool_choice",
    _PARALLEL,
    "max_tool_calls",
    "temperature",
    "top_p",
    "top_logprobs",
    "text",
    "reasoning",
    "truncation",
    "stop",
    "seed",
    "presence_penalty",
    "frequency_penalty",
    "logit_bias",
    "top_k",
    "min_p",
    "top_a",
    "repetition_penalty",
    "thinking",
    "enable_thinking",
    "chat_template_kwargs",
)
_INTERNAL = "internal_chat_message_metadata_passthrough"
# Its id is what the answer to it names.
_KEEPS_ID = frozenset({"mcp_approval_request"})

_encoder = msgspec.json.Encoder()

Item = dict[str, Any]


def native_lane(request: ResponsesRequest, target: Target, identity: Identity, mint: Mint, sealer: Sealer) -> Lane:
    """The lane of a request to a target of the same format. Raises `Unservable`."""
    needs_state = request.stores or request.wants_sealed
    answer = NativeAnswer(
        identity,
        mint,
        names=Names(identity.request_id, sealer.seal if needs_state else None),
        echo=request.echo,
        stores=request.stores,
        wants_sealed=request.wants_sealed,
        clients_types=frozenset(_types(request)),
        evidence=request.brief.evidence(),
    )
    lost = [*target.drop, *(() if target.quirks.takes_parallel_calls else (_PARALLEL,))]
    ignored = (*(name for name in dict.fromkeys(lost) if request.raw.get(name)), *withheld_names(_tools(request)))
    body = to_native_request(request, target, sealer)
    return Lane(PATH, body, answer, ignored, completed=answer.completed)


def to_native_request(request: ResponsesRequest, target: Target, sealer: Sealer) -> bytes:
    """The body for one target. Raises `Unservable`."""
    raw, quirks = request.raw, target.quirks
    _check_taken(request, quirks)
    items = [item for item in (_passed(item, sealer) for item in request.input_items) if item is not None]
    fields: dict[str, Any] = {"model": target.model, "input": items}
    fields |= {name: raw[name] for name in _FORWARDED if name in raw}
    _withhold(fields)
    _fit_instructions(fields, quirks)
    if not quirks.takes_parallel_calls:
        fields.pop(_PARALLEL, None)
    fields |= {"stream": request.is_stream, "store": False}
    thinks = quirks.replays_reasoning or "reasoning" in raw
    if wanted := dict.fromkeys([*raw.get("include", ()), *([ENCRYPTED] if thinks else [])]):
        fields["include"] = list(wanted)
    cap_output(fields, raw.get("max_output_tokens"), target)
    fields |= target.cache_fields
    adjust(fields, target)
    return _encoder.encode(fields)


def _tools(request: ResponsesRequest) -> list[Any]:
    """All that are declared, the ones in the middle of the input as well."""
    found = list(request.raw.get("tools", ()))
    for item in request.input_items:
        if isinstance(brought := item.get("tools"), list):
            found += brought
    return found


def _withhold(fields: dict[str, Any]) -> None:
    """Take out the tools that are the operator's, and a choice of one of them."""
    for holder in (fields, *fields["input"]):
        if isinstance(tools := holder.get("tools"), list):
            holder["tools"] = passed(tools)
    choice = fields.get("tool_choice")
    if isinstance(choice, dict) and is_withheld(choice):
        fields["tool_choice"] = "auto"


def _types(request: ResponsesRequest) -> Iterator[str]:
    """The types of items that the client knows of because it said so itself."""
    for item in request.input_items:
        if isinstance(kind := item.get("type"), str):
            yield kind
    for tool in request.raw.get("tools", ()):
        if isinstance(kind := tool.get("type"), str):
            yield from (kind, f"{kind}_call", f"{kind}_call_output", f"{kind}_output")


def _passed(item: Mapping[str, Any], sealer: Sealer) -> Item | None:
    """An item as the provider gets it; None for thoughts that it cannot take up again."""
    kind = item.get("type")
    kept = {name: value for name, value in item.items() if name != _INTERNAL and (name != "id" or kind in _KEEPS_ID)}
    sealed = kept.get("encrypted_content")
    if isinstance(sealed, str) and sealed:
        state = sealer.unseal(sealed)
        if state is None and kind != "reasoning":
            raise Unservable("input")
        return None if state is None else {**kept, "encrypted_content": state}
    if kind == "reasoning":
        # Without a state there is only what can be read; a summary alone is not what the model thought.
        kept.pop("encrypted_content", None)
        return kept if kept.get("content") else None
    return kept


def _check_taken(request: ResponsesRequest, quirks: Quirks) -> None:
    if not quirks.takes_tools and (request.raw.get("tools") or any(map(_is_of_tool, request.input_items))):
        raise Unservable("tools")
    if not quirks.takes_images and any(map(_has_image, request.input_items)):
        raise Unservable("input")
    text = request.raw.get("text", {})
    if not quirks.takes_schema and (text.get("format") or {}).get("type") == "json_schema":
        raise Unservable("text")


def _is_of_tool(item: Mapping[str, Any]) -> bool:
    return str(item.get("type")).endswith(("_call", "_output", "_tools"))


def _has_image(item: Mapping[str, Any]) -> bool:
    parts = [part for field in (item.get("content"), item.get("output")) if isinstance(field, list) for part in field]
    return any(isinstance(part, dict) and part.get("type") == "input_image" for part in parts)


def _fit_instructions(fields: dict[str, Any], quirks: Quirks) -> None:
    """Give instructions the role, and the place, that the target has for them."""
    items: list[Item] = fields["input"]
    told = [item for item in items if _instructs(item)]
    if quirks.merges_system and len(told) + ("instructions" in fields) > 1:
        said = [_parts(item.get("content")) for item in told]
        if "instructions" in fields:
            said.insert(0, _parts(fields.pop("instructions")))
        merged = {"type": "message", "role": quirks.system_role, "content": _joined(said)}
        fields["input"] = [merged, *(item for item in items if not _instructs(item))]
        return
    if quirks.system_role != "developer":  # whoever has `developer` takes `system` as well
        fields["input"] = [{**item, "role": quirks.system_role} if _instructs(item) else item for item in items]


def _instructs(item: Mapping[str, Any]) -> bool:
    return item.get("role") in INSTRUCTING and item.get("type", "message") == "message"


def _parts(content: object) -> Sequence[Any]:
    return content if isinstance(content, list) else [{"type": "input_text", "text": content}]


def _joined(contents: Sequence[Sequence[Any]]) -> object:
    """One text where all is text; a target that takes one message only may take no list."""
    if all(isinstance(part, dict) and part.get("type") == "input_text" for parts in contents for part in parts):
        return SEPARATOR.join("".join(str(part.get("text", "")) for part in parts) for parts in contents)
    return [part for parts in contents for part in parts]
