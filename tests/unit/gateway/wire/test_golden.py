"""Every client's format in front of every provider's, byte for byte as the reviewed files in tests/golden say.

When a difference is meant, `python tests/golden/write.py` makes the files anew, and the change to them is reviewed.
"""

import json
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from typing import Any

import pytest
from openai.types import Completion
from openai.types.chat import ChatCompletion, ChatCompletionChunk

from devstack.provider.http import Format, Request
from devstack.provider.strictness import Rules, complaints
from gateway.wire.lane import ProviderFormat, Unservable
from tests.golden.cases import CLIENTS, COMPACTED, COMPACTION, CUSTOM_TOOL, PROVIDERS, SEAL, Case, combinations
from tests.golden.files import FOLDER, STREAM_FIELDS, compact, folder, left, opened, recorded, streamed, taken
from tests.unit.gateway.wire import responses_rules as rules

ALL = combinations()
SERVABLE = [each for each in ALL if not (folder(*each) / "unservable.txt").exists()]
PASSED = [
    (client, case) for client, provider, case in ALL if client == provider and case not in (COMPACTION, COMPACTED)
]
# What is ours, or is told in other words: usage with all details, the role once, ids of items and calls, padding.
OURS = frozenset({"id", "model", "created", "system_fingerprint", "usage", "role", "sequence_number", "obfuscation"})
OUR_IDS = frozenset({"call_id", "item_id"})
# All of a response object that is the provider's.
PROVIDERS_OWN = ("object", "status", "error", "incomplete_details", "output")


def named(each: object) -> str | None:
    return each.name if isinstance(each, Case) else str(each)


def test_there_are_files_for_every_combination_and_no_others() -> None:
    pairs = [FOLDER / f"{client}-{provider}" for client in CLIENTS for provider in PROVIDERS]
    found = {place for pair in pairs for place in pair.iterdir()}
    assert found == {folder(*each) for each in ALL}
    assert {place for place in FOLDER.iterdir() if "-" in place.name} == set(pairs)


@pytest.mark.parametrize(("client", "provider", "case"), SERVABLE, ids=named)
def test_a_request_and_its_answer_are_as_reviewed(client: Format, provider: ProviderFormat, case: Case) -> None:
    place = folder(client, provider, case)
    request, lane = opened(client, provider, asked(place))
    assert lane.body == compact((place / "sent.json").read_bytes())
    assert told(place) == list(dict.fromkeys((*request.ignored, *lane.ignored)))
    body = compact((place / "provider.json").read_bytes())
    assert taken(lane, body) == compact((place / "client.json").read_bytes())


@pytest.mark.parametrize("size", [None, 7, 1], ids=["at once", "in sevens", "byte by byte"])
@pytest.mark.parametrize(("client", "provider", "case"), SERVABLE, ids=named)
def test_a_stream_is_as_reviewed_however_it_is_cut(
    client: Format, provider: ProviderFormat, case: Case, size: int | None
) -> None:
    place = folder(client, provider, case)
    _, lane = opened(client, provider, streamed(client, asked(place)))
    events = (place / "provider.sse").read_bytes()
    reads = [events] if size is None else [events[start : start + size] for start in range(0, len(events), size)]
    assert left(lane, reads) == (place / "client.sse").read_bytes()


@pytest.mark.parametrize(("client", "provider", "case"), SERVABLE, ids=named)
def test_a_stream_is_asked_for_in_the_same_words(client: Format, provider: ProviderFormat, case: Case) -> None:
    place = folder(client, provider, case)
    _, lane = opened(client, provider, streamed(client, asked(place)))
    assert json.loads(lane.body) == {**read(place / "sent.json"), **STREAM_FIELDS[provider]}


@pytest.mark.parametrize(("client", "provider", "case"), [each for each in ALL if each not in SERVABLE], ids=named)
def test_what_a_target_cannot_take_is_left_to_another(client: Format, provider: ProviderFormat, case: Case) -> None:
    place = folder(client, provider, case)
    for ask in (asked(place), streamed(client, asked(place))):
        with pytest.raises(Unservable) as cannot:
            opened(client, provider, ask)
        assert cannot.value.param == (place / "unservable.txt").read_text().strip()


@pytest.mark.parametrize(("client", "provider", "case"), ALL, ids=named)
def test_what_was_recorded_is_what_the_scripted_provider_says(
    client: Format, provider: ProviderFormat, case: Case
) -> None:
    place = folder(client, provider, case)
    assert asked(place) == case.ask(client, provider)
    if (client, provider, case) in SERVABLE:
        _, lane = opened(client, provider, asked(place))
        _, stream_lane = opened(client, provider, streamed(client, asked(place)))
        assert recorded(case, lane) == compact((place / "provider.json").read_bytes())
        assert recorded(case, stream_lane) == (place / "provider.sse").read_bytes()


@pytest.mark.parametrize(("wire", "case"), PASSED, ids=named)
def test_a_whole_answer_in_the_clients_format_is_the_providers_but_for_what_is_ours(wire: Format, case: Case) -> None:
    place = folder(wire, wire, case)
    assert theirs(read(place / "client.json")) == theirs(read(place / "provider.json"))


@pytest.mark.parametrize(("wire", "case"), PASSED, ids=named)
def test_the_events_in_the_clients_format_are_the_providers_but_for_what_is_ours(wire: Format, case: Case) -> None:
    place = folder(wire, wire, case)
    passed, said = told_events(place / "client.sse"), told_events(place / "provider.sse")
    assert by_item(passed) == by_item(said)
    if wire != "responses":
        assert passed == said


@pytest.mark.parametrize(("client", "provider", "case"), SERVABLE, ids=named)
def test_what_leaves_is_what_openai_documents(client: Format, provider: ProviderFormat, case: Case) -> None:
    place = folder(client, provider, case)
    whole, stream = compact((place / "client.json").read_bytes()), (place / "client.sse").read_bytes()
    if client == "responses":
        assert rules.response_violations(json.loads(whole)) == []
        assert rules.frame_violations(stream) == []
        assert rules.event_violations(rules.read_events(stream)) == []
        return
    (ChatCompletion if client == "chat" else Completion).model_validate_json(whole, strict=True)
    *chunks, last = stream.decode().removesuffix("\n\n").split("\n\n")
    assert last == "data: [DONE]"
    for chunk in chunks:
        said = chunk.removeprefix("data: ")
        if client == "completions":
            # The schema has no null here; the API sends it in all chunks but the last.
            Completion.model_validate_json(said.replace('"finish_reason":null', '"finish_reason":"stop"'), strict=True)
        elif case is not CUSTOM_TOOL:  # for pieces of custom calls there is no schema
            ChatCompletionChunk.model_validate_json(said, strict=True)


@pytest.mark.parametrize(("client", "provider", "case"), SERVABLE, ids=named)
def test_a_strict_provider_takes_what_is_sent(client: Format, provider: ProviderFormat, case: Case) -> None:
    place = folder(client, provider, case)
    _, lane = opened(client, provider, asked(place))
    issued = {"opaque-state-0", "signature-0"}
    request = Request("POST", f"/v1{lane.path}", dict(lane.headers), compact((place / "sent.json").read_bytes()))
    assert complaints(request, Rules(issued)) == []


def read(path: Path) -> Any:
    return json.loads(path.read_bytes())


def asked(place: Path) -> Any:
    return read(place / "request.json")


def told(place: Path) -> list[str]:
    path = place / "ignored.txt"
    return path.read_text().splitlines() if path.exists() else []


def told_events(path: Path) -> list[Any]:
    """The events without what is ours; those that say nothing then are left out (the empty delta with the role)."""
    lines = [line[6:] for line in path.read_text().split("\n") if line.startswith("data: ")]
    events = [theirs(json.loads(line)) if line != "[DONE]" else line for line in lines]
    return [event for event in events if not says_nothing(event)]


def theirs(value: Any) -> Any:
    """What the provider said, without ids and figures, and with its state as it is."""
    if isinstance(value, list):
        return [theirs(each) for each in value]
    if isinstance(value, str):
        return value.removeprefix(SEAL)
    if not isinstance(value, dict):
        return value
    if value.get("object") == "response":
        value = {name: value[name] for name in PROVIDERS_OWN}
    return {name: theirs(each) for name, each in value.items() if name not in OURS | OUR_IDS}


def says_nothing(event: Any) -> bool:
    if not isinstance(event, dict) or not event.get("choices"):
        return False
    (choice,) = event["choices"]
    return choice.get("delta") in ({"content": ""}, {"content": None}) and choice["finish_reason"] is None


def by_item(events: list[Any]) -> list[list[Any]]:
    """The events of each item in their order. Between items it may change: calls are done at the end."""

    def index(event: Any) -> int:
        return int(event.get("output_index", -1)) if isinstance(event, dict) else -1

    return list(groups(sorted(events, key=index), index))


def groups(events: list[Any], index: Any) -> Iterator[list[Any]]:
    for _, group in groupby(events, key=index):
        yield list(group)
