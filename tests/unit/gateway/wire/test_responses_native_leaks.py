"""A branded provider, in every place that it could write to, and nothing of it at the client."""

import itertools
import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.wire.responses.native.events import DONES, SAYINGS
from gateway.wire.responses.native.items import ITEMS
from tests.unit.gateway.wire.responses_provider_events import (
    BRAND,
    Event,
    added,
    call_events,
    completed,
    created,
    done,
    ended,
    new_answer,
    raw,
    reasoning_events,
    response,
    text_events,
)

SEALED = {"include": ["reasoning.encrypted_content"]}
# What the model says, and what the client's own tools do: these fields are content and may hold any word.
CONTENT = ("text", "delta", "refusal", "arguments", "input", "name", "namespace", "code", "output", "result", "diff")
FIELDS = [
    *CONTENT,
    *("id", "type", "status", "role", "phase", "content", "summary", "encrypted_content", "call_id", "action", "tools"),
    *(
        "item_id",
        "output_index",
        "content_index",
        "summary_index",
        "sequence_number",
        "annotations",
        "logprobs",
        "part",
    ),
    *("environment", "operation", "execution", "caller", "container_id", "file_id", "results", "outputs", "model"),
    *("error", "fingerprint", "created_by", "pending_safety_checks", "approval_request_id", "annotation", "item"),
    *("incomplete_details", "reason", "usage", "background", "quality", "size", "server_label", BRAND, f"{BRAND}_x"),
]
# Also content, but as lists or objects, or named by the client.
_CLIENTS = ("server_label", "tools")
NAMES = [
    *(f"response.{name}" for name in ("output_item.added", "output_item.done", "content_part.added", "queued", BRAND)),
    *("response.output_text.annotation.added", "response.image_generation_call.partial_image"),
    *(f"response.web_search_call.{word}" for word in ("searching", "completed", BRAND)),
    *(f"response.shell_call_output_content.{word}" for word in ("delta", "done")),
    *SAYINGS,
    *DONES,
]

brands = st.sampled_from([BRAND, f"{BRAND}-1", 0, 1, None, True, [], {}, [BRAND], {BRAND: BRAND}, {"type": BRAND}])
kinds = st.sampled_from([*ITEMS, BRAND, "output_text", "refusal", "summary_text", "url_citation", "search", "function"])


def _object(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Event]:
    """An object with all fields, content clean, everything else branded with one of a few values."""
    return st.builds(_branded, kinds, st.lists(inner, min_size=1, max_size=5), st.integers(0, 4))


def _branded(kind: str, values: list[Any], shift: int) -> Event:
    fields = {name: values[(place + shift) % len(values)] for place, name in enumerate(FIELDS)}
    return {**_clean(fields), "type": kind}


def _clean(fields: Event) -> Event:
    return {name: "said" if name in CONTENT or name in _CLIENTS else value for name, value in fields.items()}


objects = st.recursive(
    _object(brands), lambda inner: _object(st.one_of(brands, inner, st.lists(inner, max_size=2))), max_leaves=3
)


@st.composite
def fuzzed(draw: st.DrawFn) -> Event:
    name = draw(st.sampled_from(NAMES))
    where = {"item_id": draw(st.sampled_from([BRAND, f"{BRAND}2"])), "output_index": draw(st.integers(0, 2))}
    more = draw(objects)
    item, part = draw(objects), draw(objects)
    return {**more, **where, "item": {**item, "id": where["item_id"]}, "part": part, "error": None, "type": name}


@settings(max_examples=80, deadline=None)
@given(st.lists(fuzzed(), max_size=5), st.lists(objects, max_size=2), st.booleans())
def test_no_event_of_a_branded_provider_shows_its_brand(events: list[Event], output: list[Event], sealed: bool) -> None:
    answer = new_answer(**(SEALED if sealed else {}))
    ending = {**completed(*output, provider=BRAND), BRAND: BRAND}
    sent = answer.feed(raw([*created(), added({"type": "message", "id": BRAND}), *events, ending]))
    sent += answer.heartbeat() + answer.end()
    assert BRAND.encode() not in sent
    if answer.failure is None:
        assert BRAND not in json.dumps(answer.completed())
        sent = answer.finish()
    else:
        sent = answer.fail("server_error", "It broke.")
    assert sent
    assert BRAND.encode() not in sent


@settings(max_examples=80, deadline=None)
@given(st.lists(objects, max_size=3), objects)
def test_no_whole_answer_of_a_branded_provider_shows_its_brand(output: list[Event], more: Event) -> None:
    answer = new_answer(stream=False, **SEALED)
    answer.take(json.dumps({**more, **response(output), "error": None, "incomplete_details": BRAND}).encode())
    assert BRAND.encode() not in answer.finish()


def test_every_kind_of_item_with_a_brand_in_every_place_shows_none() -> None:
    nested = {BRAND: BRAND, "type": BRAND, "id": BRAND, "model": BRAND, "container_id": BRAND, "file_id": BRAND}
    content = {name: "said" for name in (*CONTENT, *_CLIENTS)}
    places = {name: BRAND for name in FIELDS if name not in content and name not in ("type", "id")}
    for kind, value in itertools.product(ITEMS, (nested, [nested], BRAND)):
        item = {**{name: value for name in places}, **content, "type": kind, "id": BRAND}
        answer = new_answer(**SEALED)
        sent = answer.feed(raw([*created(), added(item), done(item), completed(item)])) + answer.finish()
        assert f'"type":"{kind}"'.encode() in sent
        assert BRAND.encode() not in sent


def anything() -> st.SearchStrategy[Any]:
    plain = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), st.text(max_size=5))
    names = st.sampled_from([*FIELDS, "response"])
    return st.recursive(plain, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=4))


@settings(max_examples=80, deadline=None)
@given(st.lists(st.tuples(st.sampled_from([*NAMES, "response.completed", "error", ""]), anything()), max_size=6))
def test_no_event_whatever_is_in_it_raises(events: list[tuple[str, Any]]) -> None:
    answer = new_answer()
    for name, value in events:
        event = {**value, "type": name} if isinstance(value, dict) else value
        answer.feed(b"data: " + json.dumps(event).encode() + b"\n\n")
    answer.end()
    assert answer.completed()["status"] in ("completed", "incomplete")
    assert answer.finish()


def branded_stream() -> bytes:
    events = [*reasoning_events(["Grüße", " 🙂"]), *text_events(["Hel", "lo"], 1), *call_events(["{", "}"], 2)]
    return b": hello\n\n" + raw(ended(events)).replace(b"\n\n", b"\r\n\r\n", 3)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(0, len(branded_stream())), max_size=30))
def test_any_split_of_the_providers_bytes_gives_the_client_the_same_stream(cuts: list[int]) -> None:
    stream = branded_stream()
    expected = new_answer()
    whole = expected.feed(stream) + expected.finish()
    answer = new_answer()
    pieces = [answer.feed(stream[a:b]) for a, b in itertools.pairwise([0, *sorted(cuts), len(stream)])]
    assert b"".join(pieces) + answer.finish() == whole
    assert BRAND.encode() not in whole
