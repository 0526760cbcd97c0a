"""A conversation in brief goes on with the turn in which it was made, once, and for its account only."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.wire.responses.brief import Brief, from_text, going_on, to_text
from gateway.wire.responses.decode import from_responses_request
from gateway.wire.responses.request import ResponsesRequest

USER = {"role": "user", "content": "Do it."}
CALL = {"type": "function_call", "call_id": "call_1", "name": "f", "arguments": "{}"}
RESULT = {"type": "function_call_output", "call_id": "call_1", "output": "done"}
ITEM = {"type": "compaction", "encrypted_content": "sealed"}


def request(*items: object) -> ResponsesRequest:
    return from_responses_request(json.dumps({"model": "smart-route", "input": list(items)}).encode())


def unseal(sealed: str) -> str | None:
    return to_text(Brief("All of it.", "call_of_the_brief")) if sealed == "sealed" else None


@given(st.text(), st.text())
def test_a_brief_is_read_as_it_was_written(summary: str, call_id: str) -> None:
    assert from_text(to_text(Brief(summary, call_id))) == Brief(summary, call_id)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"summary": "x"}', "null", '"x"'])
def test_what_is_no_brief_is_none(text: str) -> None:
    assert from_text(text) is None


def test_an_input_that_ends_with_a_brief_goes_on_from_it() -> None:
    assert going_on(request(USER, ITEM), unseal).answered_calls == ("call_of_the_brief",)


@pytest.mark.parametrize("items", [[ITEM, USER], [USER], [USER, {**ITEM, "encrypted_content": "foreign"}]])
def test_any_other_input_does_not(items: list[object]) -> None:
    assert going_on(request(*items), unseal).answered_calls == ()


def test_a_request_for_a_brief_after_the_results_of_tools_belongs_to_their_turn() -> None:
    trigger = {"type": "compaction_trigger"}
    assert request(USER, CALL, RESULT, trigger).answered_calls == ("call_1",)
    assert request(USER, CALL, RESULT, USER, trigger).answered_calls == ()
    assert request(USER, trigger).answered_calls == ()
