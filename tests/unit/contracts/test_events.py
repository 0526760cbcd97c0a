"""Events in their envelope, outcomes and what they cost, subjects and their grammar."""

import json
import re
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

import pytest

from contracts import cloudevents, registry, streams
from contracts.gateway import ACCOUNT_OPENED, REQUEST_SETTLED, AccountOpened
from contracts.outcomes import Outcome

ASK = re.compile(r"[a-z]+\.v[1-9]\.[a-z_]+")
TELL = re.compile(r"[a-z]+\.v[1-9]\.[a-z]+_[a-z]+(ed|d)")
OPENED = AccountOpened(account_id=UUID(int=7), name="Ada", opened_at=datetime(2026, 11, 22, 9, tzinfo=UTC))


def wrapped(**options: str) -> bytes:
    return cloudevents.wrap(ACCOUNT_OPENED, OPENED, event_id="id", source="/smartroute/gateway/0", **options)


def test_an_event_comes_out_of_its_envelope_as_it_went_in() -> None:
    envelope, payload = cloudevents.unwrap(ACCOUNT_OPENED, wrapped(subject="s", traceparent="00-x"))
    assert payload == OPENED
    assert (envelope.id, envelope.subject, envelope.traceparent) == ("id", "s", "00-x")
    assert envelope.time.tzinfo is not None


def test_the_envelope_has_what_cloud_events_require_and_no_nulls() -> None:
    said = json.loads(wrapped())
    assert {"specversion", "id", "source", "type"} <= said.keys()
    assert (said["specversion"], said["type"]) == ("1.0", "gateway.v1.account_opened")
    assert "subject" not in said
    assert None not in [value for key, value in said.items() if key != "data"]


def test_the_payload_is_in_its_envelope_as_it_is_alone() -> None:
    said = wrapped(subject="s", traceparent="00-x")
    assert json.loads(said)["data"] == json.loads(OPENED.model_dump_json())
    assert said.endswith(b'"data":' + OPENED.model_dump_json().encode() + b"}")


def test_an_optional_value_of_the_payload_stays_in_it_as_null() -> None:
    assert json.loads(wrapped())["data"]["plan"] is None


def test_an_event_of_another_type_is_refused() -> None:
    with pytest.raises(ValueError, match=r"gateway\.v1\.request_settled"):
        cloudevents.unwrap(REQUEST_SETTLED, wrapped())


def test_only_what_was_delivered_is_charged() -> None:
    assert {outcome for outcome in Outcome if outcome.is_charged} == {Outcome.COMPLETED, Outcome.CLIENT_GONE_LATE}


def test_subjects_follow_the_grammar_and_are_unique() -> None:
    assert all(ASK.fullmatch(rpc.subject) for rpc in registry.RPCS)
    told = [one.subject for one in registry.EVENTS] + [one.subject for one in registry.SIGNALS]
    assert all(TELL.fullmatch(subject) for subject in told)
    subjects = [rpc.subject for rpc in registry.RPCS] + told
    assert len(set(subjects)) == len(subjects)


def test_every_event_is_in_its_stream_and_every_durable_reads_a_declared_subject() -> None:
    by_name = {stream.name: stream for stream in streams.STREAMS}
    for event in registry.EVENTS:
        assert event.subject in by_name[event.stream].subjects
    for durable in streams.DURABLES:
        assert durable.subject in by_name[durable.stream].subjects
        assert streams.dead_letter_subject(durable) == f"dead_letter.v1.{durable.name}"
    assert len({durable.name for durable in streams.DURABLES}) == len(streams.DURABLES)


def test_a_request_that_ended_well_costs_one_prompt_and_any_other_none() -> None:
    example = Path(__file__).parents[2] / "contract/examples/v0.1/RequestSettled.json"
    _, settled = cloudevents.unwrap(REQUEST_SETTLED, example.read_bytes())
    costs = {outcome: settled.model_copy(update={"outcome": outcome}).prompts for outcome in Outcome}
    assert costs == {outcome: int(outcome in ("completed", "client_gone_late")) for outcome in Outcome}
