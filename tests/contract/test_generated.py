"""The committed AsyncAPI documents and JSON Schemas: up to date, well formed, and true to what is on the bus."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from contracts import asyncapi, generated, registry, streams
from contracts.__main__ import main
from contracts.endpoint import Event, Signal

CONTRACTS = generated.DEFAULT_FOLDER.parent
EXAMPLES = sorted((Path(__file__).parent / "examples").rglob("*.json"))
OPERATION = re.compile(r"(ask|answer|tell|hear|consume)_[a-z_]+")


def references(node: object) -> Iterator[str]:
    if isinstance(node, dict):
        for key, value in node.items():
            if key == "$ref":
                yield value
            yield from references(value)
    elif isinstance(node, list):
        for value in node:
            yield from references(value)


def resolve(document: dict[str, Any], reference: str) -> Any:
    node: Any = document
    for part in reference.removeprefix("#/").split("/"):
        node = node[part]
    return node


def operations(prefix: str) -> set[tuple[str, str]]:
    """(service, subject) of every operation of one kind, over all documents."""
    return {
        (service, operation["channel"]["$ref"].removeprefix("#/channels/"))
        for service, document in asyncapi.documents().items()
        for name, operation in document["operations"].items()
        if name.startswith(f"{prefix}_")
    }


def test_the_committed_files_are_those_of_today() -> None:
    stale = "\n".join(generated.differences(generated.DEFAULT_FOLDER))
    assert stale == "", "run `python -m contracts generate` and commit the result"


@pytest.mark.parametrize("service", asyncapi.SERVICES)
def test_every_reference_of_a_document_leads_somewhere_inside(service: str) -> None:
    document = json.loads((generated.DEFAULT_FOLDER / f"{service}.asyncapi.json").read_text())
    found = set(references(document))
    assert found
    for reference in found:
        assert isinstance(resolve(document, reference), dict), reference


@pytest.mark.parametrize("service", asyncapi.SERVICES)
def test_operations_are_named_by_role_and_use_messages_of_their_own_channel(service: str) -> None:
    document = asyncapi.documents()[service]
    for name, operation in document["operations"].items():
        assert OPERATION.fullmatch(name)
        assert operation["action"] == ("receive" if name.split("_")[0] in ("answer", "hear", "consume") else "send")
        channel = operation["channel"]["$ref"]
        assert all(message["$ref"].startswith(f"{channel}/messages/") for message in operation["messages"])
        assert ("reply" in operation) == name.startswith(("ask_", "answer_"))


@pytest.mark.parametrize("service", asyncapi.SERVICES)
def test_a_document_holds_no_channel_or_model_that_the_service_has_no_part_in(service: str) -> None:
    document = asyncapi.documents()[service]
    used = set(references(document["operations"]))
    replies = {
        operation["reply"]["channel"]["$ref"] for operation in document["operations"].values() if "reply" in operation
    }
    assert {f"#/channels/{name}" for name in document["channels"]} <= used | replies
    wanted = {reference.rpartition("/")[2] for reference in references(document)}
    assert set(document["components"]["schemas"]) <= wanted


def test_every_ask_is_answered_by_its_owner_and_asked_by_those_the_contract_names() -> None:
    assert operations("answer") == {(asyncapi.owner(rpc.subject), rpc.subject) for rpc in registry.RPCS}
    assert operations("ask") == {(service, rpc.subject) for rpc in registry.RPCS for service in rpc.asked_by}
    assert all(rpc.asked_by for rpc in registry.RPCS)


def test_every_event_and_signal_is_told_by_its_owner_and_received_by_someone() -> None:
    told: list[Event[Any] | Signal[Any]] = [*registry.EVENTS, *registry.SIGNALS]
    tellers = {(teller, event.subject) for event in registry.EVENTS for teller in asyncapi.tellers(event)}
    assert operations("tell") == tellers | {(asyncapi.owner(one.subject), one.subject) for one in registry.SIGNALS}
    assert operations("consume") == {(durable.service, durable.subject) for durable in streams.DURABLES}
    assert operations("hear") == {(service, one.subject) for one in registry.SIGNALS for service in one.heard_by}
    for_staff = {event.subject for event in registry.EVENTS if event.is_for_staff}
    assert {subject for _, subject in operations("consume") | operations("hear")} == {
        one.subject for one in told
    } - for_staff


@pytest.mark.parametrize("name", sorted(asyncapi.message_schemas()))
def test_a_message_schema_is_valid_and_complete_in_itself(name: str) -> None:
    schema = json.loads((generated.DEFAULT_FOLDER / f"messages/{name}.json").read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    for reference in references(schema):
        assert isinstance(resolve(schema, reference), dict)


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_examples_pass_the_committed_schemas_and_broken_ones_do_not(example: Path) -> None:
    schema = json.loads((generated.DEFAULT_FOLDER / f"messages/{example.name.partition('.')[0]}.json").read_text())
    check = jsonschema.Draft202012Validator(schema, format_checker=jsonschema.FormatChecker())
    said = json.loads(example.read_bytes())
    check.validate(said)
    body = said.get("data", said)
    for field in (
        "instance",
        "decisions",
        "token_id",
        "account_id",
        "request_id",
        "reason",
        "alias",
        "gateway",
        "code",
        "plan",
        "provider",
        "outcome",
    ):
        if field in body:
            body[field] = 42
            assert not check.is_valid(said)
            return
    pytest.fail("no field of this example was broken")


def test_stale_files_are_shown_as_a_diff_and_then_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = ["--folder", str(tmp_path)]
    assert main(["generate", *folder]) == 0
    assert main(["generate", "--check", *folder]) == 0
    capsys.readouterr()
    file = tmp_path / "messages/Choose.json"
    file.write_text(file.read_text().replace('"alias"', '"nickname"'))
    (tmp_path / "messages/Gone.json").write_text("{}\n")
    assert main(["generate", "--check", *folder]) == 1
    said = capsys.readouterr().out
    assert '-    "nickname": {' in said
    assert '+    "alias": {' in said
    assert "committed/messages/Gone.json" in said
    assert main(["generate", *folder]) == 0
    assert main(["generate", "--check", *folder]) == 0


def test_the_readme_lists_every_subject_with_its_speakers_every_stream_and_every_durable() -> None:
    rows = [line for line in (CONTRACTS / "README.md").read_text().splitlines() if line.startswith("| `")]
    by_name = {line.split("`")[1]: line for line in rows}
    for rpc in registry.RPCS:
        assert all(who in by_name[rpc.subject] for who in (asyncapi.owner(rpc.subject), *rpc.asked_by))
    for event in registry.EVENTS:
        row = by_name[event.subject]
        assert event.stream in row
        assert all(teller in row for teller in asyncapi.tellers(event))
        assert all(durable.service in row for durable in asyncapi.consumers(event))
        assert ("staff" in row) == event.is_for_staff
    for signal in registry.SIGNALS:
        assert all(who in by_name[signal.subject] for who in signal.heard_by)
    for stream in streams.STREAMS:
        assert all(subject in by_name[stream.name] for subject in stream.subjects)
    assert all(bucket.name in by_name for bucket in streams.BUCKETS)
    for durable in streams.DURABLES:
        assert durable.stream in by_name[durable.name]
        assert durable.service in by_name[durable.name]
