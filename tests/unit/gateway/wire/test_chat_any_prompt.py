"""Whatever a client sends, a chat provider gets a request in order, and nothing of it is lost."""

import json

from hypothesis import given
from hypothesis import strategies as st

from gateway.wire.canonical import (
    File,
    Image,
    Item,
    JsonSchema,
    Message,
    OneTool,
    Part,
    Prompt,
    Reasoning,
    Sampling,
    Text,
    Tool,
    ToolCall,
    ToolResult,
)
from gateway.wire.chat.decode import from_chat_request
from gateway.wire.chat.prompt import to_prompt
from gateway.wire.chat.provider import write_request
from gateway.wire.lane import Quirks, Target
from tests.unit.gateway.wire.chat_rules import check_strictly
from tests.unit.gateway.wire.chat_written import PDF, PNG, Seals, written

# --- whatever a client sends

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=6)
words = texts.filter(bool)
ids = st.sampled_from(["a", "b", "c", "a_2"])
parts: st.SearchStrategy[tuple[Part, ...]] = st.lists(
    st.one_of(texts.map(Text), st.just(Image(PNG)), st.just(File(PDF, "a.pdf"))), max_size=3
).map(tuple)
items: st.SearchStrategy[tuple[Item, ...]] = st.lists(
    st.one_of(
        st.builds(Message, st.sampled_from(["system", "developer", "user", "assistant"]), parts, st.booleans()),
        st.builds(Reasoning, texts, st.none() | texts),
        st.builds(ToolCall, ids, st.sampled_from(["f", "g"]), st.sampled_from(['{"x": 1}', "{}", "", "{", "7"])),
        st.builds(ToolResult, ids, parts),
    ),
    max_size=12,
).map(tuple)
quirks = st.builds(
    Quirks,
    system_role=st.sampled_from(["developer", "system", "user"]),
    merges_system=st.booleans(),
    takes_parallel_calls=st.booleans(),
    replays_reasoning=st.booleans(),
)


@given(items, quirks)
def test_no_conversation_makes_a_request_that_a_strict_provider_refuses(
    items: tuple[Item, ...], quirks: Quirks
) -> None:
    body = written(Prompt(items), Target("theirs", quirks=quirks))
    check_strictly(
        body["messages"],
        has_one_system=quirks.merges_system,
        takes_parallel_calls=quirks.takes_parallel_calls,
    )


@given(items, quirks)
def test_nothing_that_was_said_or_shown_is_lost(items: tuple[Item, ...], quirks: Quirks) -> None:
    sent = json.dumps(written(Prompt(items), Target("theirs", quirks=quirks))["messages"], ensure_ascii=False)
    spoken = [part for item in items if isinstance(item, Message | ToolResult) for part in item.parts]
    for part in spoken:
        if isinstance(part, Text):
            assert json.dumps(part.text, ensure_ascii=False)[1:-1] in sent
    assert sent.count(PNG) == spoken.count(Image(PNG))
    assert sent.count(PDF) == spoken.count(File(PDF, "a.pdf"))


# --- what has a place in both comes back as it was


@st.composite
def conversations(draw: st.DrawFn) -> tuple[Item, ...]:
    """Tidy ones: instructions first, every call with its result, text in one part."""
    said: list[Item] = []
    if draw(st.booleans()):
        said.append(Message("system", (Text(draw(words)),)))
    number = 0
    for turn in draw(st.lists(st.integers(0, 3), min_size=1, max_size=4)):
        said.append(Message("user", (Text(draw(texts)), *draw(st.sampled_from([(), (Image(PNG, "low"),)])))))
        calls = [ToolCall(f"call_{number + place}", "f", '{"x":1}') for place in range(turn)]
        number += turn
        if calls:
            said.append(Reasoning(draw(words)))
        said.append(Message("assistant", (Text(draw(words)),)))
        said += [*calls, *(ToolResult(call.call_id, (Text(draw(texts)),)) for call in calls)]
    return tuple(said)


@st.composite
def prompts(draw: st.DrawFn) -> Prompt:
    has_tools = draw(st.booleans())
    return Prompt(
        items=draw(conversations()),
        tools=(Tool("f", parameters={"type": "object"}, is_strict=draw(st.sampled_from([None, True]))),)
        if has_tools
        else (),
        tool_choice=draw(st.sampled_from(["auto", "none", "required", OneTool("f")])) if has_tools else None,
        has_parallel_calls=draw(st.sampled_from([None, True, False])) if has_tools else None,
        max_output_tokens=draw(st.none() | st.integers(1, 1000)),
        sampling=Sampling(
            temperature=draw(st.none() | st.floats(0, 2)),
            seed=draw(st.none() | st.integers(-9, 9)),
            stop=tuple(draw(st.lists(words, max_size=2))),
        ),
        output=draw(st.sampled_from(["text", "json_object", JsonSchema("x", {"a": 1}, "d", is_strict=False)])),
        verbosity=draw(st.sampled_from([None, "low"])),
        reasoning_effort=draw(st.sampled_from([None, "high"])),
    )


@given(prompts())
def test_a_prompt_that_is_written_and_read_again_is_the_same(prompt: Prompt) -> None:
    target = Target("theirs", quirks=Quirks(replays_reasoning=True))
    body = write_request(prompt, target, is_stream=True, sealer=Seals()).body
    assert to_prompt(from_chat_request(body)) == prompt
