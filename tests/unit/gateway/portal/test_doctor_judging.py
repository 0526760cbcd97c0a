"""What the doctor makes of answers: a finding of the closed catalogue for each."""

import string

import pytest

from gateway import tokens
from gateway.errors import catalogue, codes_of
from gateway.portal.doctor.answers import Answer, Heard, NoAnswer, ToolCall
from gateway.portal.doctor.chat import CHAT
from gateway.portal.doctor.findings import CATALOGUE, Check, Code, Verdict, found
from gateway.portal.doctor.judging import (
    judge_alias,
    judge_continuation,
    judge_models,
    judge_receipts,
    judge_stream,
    judge_token,
    judge_tool,
    judge_usage,
    listen,
)
from tests.unit.gateway.portal.doctor_answers import (
    ALIASES,
    CALL_ID,
    TURN,
    a_reply,
    a_stream,
    an_error,
    chat_call,
    chat_end,
    chat_words,
)

GOOD = tokens.mint()
AWAY = NoAnswer("unreachable")


def a_window(remaining: int | None, *, limit: int | None = 200) -> dict[str, object]:
    return {"limit": limit, "remaining": remaining, "used": 0, "resets_at": "2026-11-29T00:00:00Z"}


def a_usage(daily: int | None, monthly: int | None) -> Answer:
    return a_reply({"plan": "plus", "alias": "smart-route", "daily": a_window(daily), "monthly": a_window(monthly)})


def stream_code(answer: Answer | NoAnswer) -> Code:
    heard = listen(CHAT, answer) if isinstance(answer, Answer) else Heard()
    return judge_stream(Check.CHAT_STREAM, answer, heard, aliases="").code


def test_every_code_has_an_entry_and_every_trouble_a_remedy() -> None:
    assert set(CATALOGUE) == set(Code)
    troubles = [entry for entry in CATALOGUE.values() if entry.verdict in (Verdict.WARNING, Verdict.FAILURE)]
    assert all(entry.remedy for entry in troubles)
    assert all(entry.remedy is None for entry in CATALOGUE.values() if entry.verdict is Verdict.GOOD)


def test_no_entry_can_be_given_what_a_provider_or_a_model_said() -> None:
    told = {name for entry in CATALOGUE.values() for text in (entry.says, entry.remedy or "") for name in _fields(text)}
    assert told.isdisjoint({"token", "text", "message", "answer", "arguments", "body"})


def _fields(text: str) -> list[str]:
    return [name for _, name, _, _ in string.Formatter().parse(text) if name]


@pytest.mark.parametrize(
    ("token", "code"),
    [
        (GOOD, Code.TOKEN_WELL_FORMED),
        ("", Code.TOKEN_MISSING),
        ("sk-proj-abc", Code.TOKEN_FOREIGN),
        (GOOD[:-1], Code.TOKEN_MISTYPED),
        (GOOD[:-1] + ("0" if GOOD[-1] != "0" else "1"), Code.TOKEN_MISTYPED),
        (GOOD + "\r\nx-evil: 1", Code.TOKEN_MISTYPED),
        ("sr_live_ü", Code.TOKEN_MISTYPED),
    ],
    # The token is another one in each process that collects these tests.
    ids=["good", "missing", "foreign", "too short", "last changed", "with a header", "not ascii"],
)
def test_a_token_is_judged_by_its_look(token: str, code: Code) -> None:
    assert judge_token(token).code is code


def test_listed_models_give_the_aliases_and_what_is_known_of_their_tools() -> None:
    models = [{"id": "a", "capabilities": {"tools": False}}, {"id": "b", "capabilities": {"tools": None}}]
    finding, aliases = judge_models(a_reply({"object": "list", "data": models}))
    assert (finding.code, aliases) == (Code.MODELS_LISTED, {"a": False, "b": None})


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (an_error(401, "invalid_api_key"), Code.TOKEN_REFUSED),
        (an_error(403, "account_suspended"), Code.ACCOUNT_SUSPENDED),
        (an_error(503, "service_unavailable"), Code.SERVICE_AWAY),
        (an_error(500, "internal_error"), Code.SERVICE_FAILED),
        (an_error(405, "method_not_allowed"), Code.REQUEST_REFUSED),
        (Answer(502, {}, b"<h1>Bad gateway</h1>"), Code.NOT_OURS),
        (a_reply({"data": []}), Code.NOT_OURS),
        (a_reply({"data": ["gpt"]}), Code.NOT_OURS),
        (AWAY, Code.UNREACHABLE),
        (NoAnswer("too_slow", limit_seconds=5), Code.TOO_SLOW),
    ],
)
def test_a_refused_list_says_why(answer: Answer | NoAnswer, code: Code) -> None:
    assert judge_models(answer)[0].code is code


def test_every_error_of_the_catalogue_has_a_finding_with_its_facts() -> None:
    for kind in catalogue():
        for code in codes_of(kind):
            finding = judge_models(an_error(kind.status, code))[0]
            assert finding.verdict is Verdict.FAILURE, code
            assert finding.code is not Code.NOT_OURS, code


def test_ample_prompts_are_named_for_both_windows() -> None:
    finding = judge_usage(a_usage(148, 200), needed=2)
    assert finding.code is Code.USAGE_AMPLE
    assert "148 of 200 prompts are left today" in finding.says


@pytest.mark.parametrize(("daily", "monthly", "window"), [(0, 200, "day"), (200, 0, "month")])
def test_spent_prompts_name_the_window_and_its_reset(daily: int, monthly: int, window: str) -> None:
    finding = judge_usage(a_usage(daily, monthly), needed=2)
    assert finding.code is Code.USAGE_SPENT
    assert f"of the {window} are spent" in finding.says
    assert "00:00 UTC on 29 November" in finding.says


def test_fewer_prompts_than_a_check_needs_are_a_warning() -> None:
    assert judge_usage(a_usage(1, 200), needed=2).code is Code.USAGE_SHORT


def test_a_plan_without_limits_is_said_to_have_none() -> None:
    assert judge_usage(a_usage(None, None), needed=2).code is Code.USAGE_UNLIMITED


def test_usage_in_another_form_is_not_ours() -> None:
    assert judge_usage(a_reply({"plan": "plus", "used": 3}), needed=2).code is Code.NOT_OURS


def test_a_token_that_may_not_read_usage_is_only_warned() -> None:
    assert judge_usage(an_error(403, "insufficient_permissions"), needed=2).code is Code.USAGE_HIDDEN


@pytest.mark.parametrize(
    ("alias", "code"),
    [
        ("smart-route-mini", Code.ALIAS_SERVED),
        ("smart-route", Code.ALIAS_SERVED),
        ("smart-route-focus", Code.ALIAS_LOWERED),
        ("gpt-5", Code.ALIAS_UNKNOWN),
    ],
)
def test_the_lower_of_the_asked_alias_and_the_plans_own_is_served(alias: str, code: Code) -> None:
    finding = judge_alias(alias, ALIASES, a_usage(10, 10))
    assert finding.code is code
    if code is Code.ALIAS_LOWERED:
        assert "serves smart-route instead" in finding.says


def test_without_usage_an_alias_is_only_known_to_exist() -> None:
    assert judge_alias("smart-route", ALIASES, AWAY).code is Code.ALIAS_LISTED


def test_a_whole_stream_is_good_and_says_when_its_first_words_came() -> None:
    answer = a_stream(chat_words())
    finding = judge_stream(Check.CHAT_STREAM, answer, listen(CHAT, answer), aliases="")
    assert finding.code is Code.STREAMED
    assert "after 0.20 s" in finding.says
    assert "11 in, 5 out" in finding.says


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (a_stream(chat_words()[:-1]), Code.STREAM_BROKEN),
        (a_stream(chat_words()[:1], is_cut=True), Code.STREAM_BROKEN),
        (a_stream([chat_words()[0], {"error": {"code": "upstream_broken"}}]), Code.STREAM_BROKEN),
        (a_stream([chat_words()[0], {"error": {}}]), Code.STREAM_BROKEN),
        (a_stream(chat_end("stop")), Code.STREAM_EMPTY),
        (a_stream([*chat_words()[:-2], b"[DONE]"]), Code.STREAM_WITHOUT_USAGE),
        (a_stream([{"object": "chat.completion.chunk", "choices": [7]}]), Code.STREAM_MALFORMED),
        (a_reply({"object": "chat.completion"}), Code.NOT_STREAMED),
        (an_error(429, "insufficient_quota"), Code.QUOTA_SPENT),
        (an_error(429, "rate_limit_exceeded"), Code.SPEED_EXCEEDED),
        (an_error(502, "upstream_unavailable"), Code.MODEL_AWAY),
        (an_error(504, "upstream_timeout"), Code.MODEL_AWAY),
        (an_error(403, "insufficient_permissions"), Code.SCOPE_MISSING),
    ],
)
def test_a_stream_that_a_client_could_not_use_says_why(answer: Answer, code: Code) -> None:
    assert stream_code(answer) is code


def test_what_a_proxy_answers_is_not_shown() -> None:
    finding = judge_models(an_error(400, "<script>alert(1)</script>"))[0]
    assert "script" not in finding.says + (finding.remedy or "")


@pytest.mark.parametrize(
    ("call", "code"),
    [
        (ToolCall(CALL_ID, "read_thermometer", '{"room": "kitchen"}'), Code.TOOL_CALLED),
        (ToolCall(CALL_ID, "another", '{"room": "kitchen"}'), Code.TOOL_MALFORMED),
        (ToolCall("", "read_thermometer", '{"room": "kitchen"}'), Code.TOOL_MALFORMED),
        (ToolCall("x" * 41, "read_thermometer", '{"room": "kitchen"}'), Code.TOOL_MALFORMED),
        (ToolCall(CALL_ID, "read_thermometer", '{"room": '), Code.TOOL_MALFORMED),
        (ToolCall(CALL_ID, "read_thermometer", "{}"), Code.TOOL_MALFORMED),
    ],
)
def test_a_call_is_good_when_a_client_can_run_it(call: ToolCall, code: Code) -> None:
    assert judge_tool(Check.CHAT_TOOL, Heard(calls=(call,))).code is code


def test_a_model_that_calls_no_tool_is_a_warning() -> None:
    finding = judge_tool(Check.CHAT_TOOL, Heard(text="It is warm."))
    assert (finding.code, finding.verdict) == (Code.TOOL_IGNORED, Verdict.WARNING)
    assert "agents need one that does" in finding.says


def continuation(opener: Answer, answer: Answer) -> Code:
    return judge_continuation(Check.CHAT_CONTINUATION, opener, answer, listen(CHAT, answer), aliases="").code


def test_a_second_call_of_the_same_turn_is_free() -> None:
    assert continuation(a_stream(chat_call()), a_stream(chat_words(), call=2)) is Code.CONTINUATION_FREE


@pytest.mark.parametrize("answer", [a_stream(chat_words(), call=1), a_stream(chat_words(), call=2, turn="another")])
def test_a_result_that_opens_a_turn_of_its_own_is_a_failure(answer: Answer) -> None:
    assert continuation(a_stream(chat_call()), answer) is Code.CONTINUATION_CHARGED


def test_a_continuation_that_breaks_off_is_told_as_such() -> None:
    answer = a_stream(chat_words()[:1], call=2)
    assert continuation(a_stream(chat_call()), answer) is Code.STREAM_BROKEN


OPENER = (a_stream(chat_call()), a_reply({"outcome": "completed", "prompts": 1}))
CONTINUED = (a_stream(chat_words(), call=2), a_reply({"outcome": "continuation", "prompts": 0}))


def test_receipts_add_up_to_what_the_check_cost() -> None:
    finding = judge_receipts([OPENER, CONTINUED, OPENER])
    assert (finding.code, finding.says) == (
        Code.RECEIPTS_READ,
        "3 receipts were read. By them this check cost 2 prompts.",
    )


@pytest.mark.parametrize(
    ("receipt", "code"),
    [
        (a_reply({"outcome": "completed", "prompts": 1}), Code.RECEIPT_CONTRADICTS),
        (an_error(404, "receipt_not_found"), Code.RECEIPT_MISSING),
        (an_error(403, "insufficient_permissions"), Code.RECEIPTS_HIDDEN),
        (an_error(503, "service_unavailable"), Code.SERVICE_AWAY),
        (NoAnswer("too_slow"), Code.TOO_SLOW),
    ],
)
def test_a_receipt_that_does_not_fit_is_the_finding(receipt: Answer | NoAnswer, code: Code) -> None:
    assert judge_receipts([OPENER, (CONTINUED[0], receipt)]).code is code


def test_a_finding_has_the_facts_in_its_words() -> None:
    finding = found(Check.CHAT_CONTINUATION, Code.CONTINUATION_FREE, call=2, calls=50)
    assert "call 2 of at most 50" in finding.says
    assert TURN not in finding.says
