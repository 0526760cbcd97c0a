"""What the router is asked with: counts and kinds, what must not change, and keys that two accounts never share."""

import json
from typing import Any
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.quota import Continued
from contracts.router import RequestClass
from gateway import features
from gateway.domain import Caller
from gateway.features import LONG_CONTEXT_TOKENS, Reader, Reading, reader
from gateway.sealing import ANY_TARGET, Sealing
from gateway.wire.chat.decode import from_chat_request
from gateway.wire.lane import ClientRequest
from gateway.wire.responses.decode import from_responses_request

SEALING = Sealing(b"k" * 32)
ACCOUNT, OTHER = UUID(int=1), UUID(int=2)
TOOLS = [{"type": "function", "function": {"name": "f"}}]
PICTURE = {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}


class Counting:
    """Scores a text by its length, and notes what it was asked."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def score(self, text: str) -> float:
        self.asked.append(text)
        return len(text) / 100


def kind_of(text: str) -> RequestClass:
    return "maths" if "sum" in text else "chat"


def caller(account_id: UUID = ACCOUNT) -> Caller:
    return Caller(account_id, uuid4(), frozenset())


def chat(text: object = "Hi", **fields: Any) -> ClientRequest:
    body = {"model": "m", "messages": [{"role": "user", "content": text}], **fields}
    return from_chat_request(json.dumps(body).encode())


def responses(*items: dict[str, Any], **fields: Any) -> ClientRequest:
    user = {"role": "user", "content": "Hi"}
    return from_responses_request(json.dumps({"model": "m", "input": [user, *items], **fields}).encode())


def read(request: ClientRequest, *, account_id: UUID = ACCOUNT, continues: Continued | None = None) -> Reading:
    return Reader(Counting(), SEALING, kind_of=kind_of).read(caller(account_id), request, continues)


def thoughts(target: str, *, account_id: UUID = ACCOUNT) -> dict[str, Any]:
    return {"type": "reasoning", "summary": [], "encrypted_content": SEALING.of(account_id, target).seal("state")}


# --- features


@pytest.mark.parametrize(
    ("request_", "found"),
    [
        (chat("The sum", tools=TOOLS), "tools"),
        (chat([{"type": "text", "text": "The sum"}, PICTURE], tools=TOOLS), "tools"),
        (chat([{"type": "text", "text": "The sum" * 9000}, PICTURE]), "images"),
        (chat("The sum" * 9000), "long_context"),
        (chat("The sum"), "maths"),
        (chat("The sum", tools=TOOLS, tool_choice="none"), "maths"),
        (chat("Hello"), "chat"),
        (chat(""), "unknown"),
    ],
)
def test_the_class_is_the_first_that_holds(request_: ClientRequest, found: RequestClass) -> None:
    assert read(request_).features.request_class == found


def test_tokens_are_a_careful_estimate_and_the_border_of_a_long_context_is_by_it() -> None:
    frame = len('[{"role": "user", "content": ""}]')
    longest = "a" * (3 * LONG_CONTEXT_TOKENS - frame)
    found = read(chat(longest, max_tokens=70, reasoning_effort="high")).features
    assert (found.input_tokens, found.output_tokens) == (LONG_CONTEXT_TOKENS, 70)
    assert (found.request_class, found.is_reasoning, found.needs) == ("chat", True, ())
    longer = read(chat(longest + "a")).features
    assert (longer.input_tokens, longer.request_class) == (LONG_CONTEXT_TOKENS + 1, "long_context")


def test_the_estimate_is_of_what_the_user_said_last_and_of_nothing_else() -> None:
    scorer = Counting()
    messages = [{"role": "system", "content": "told"}, {"role": "user", "content": "first"}]
    messages += [{"role": "assistant", "content": "said"}, {"role": "user", "content": "last"}]
    reading = Reader(scorer, SEALING).read(caller(), chat(messages=messages), None)
    assert (reading.features.difficulty, scorer.asked) == (0.04, ["last"])


def test_a_text_is_scored_once_and_the_oldest_scores_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(features, "MOST_KNOWN", 2)
    scorer = Counting()
    reading = Reader(scorer, SEALING)
    scores = [
        reading.read(caller(), chat(text), None).features.difficulty for text in ("a", "bb", "a", "ccc", "a", "bb")
    ]
    assert scores == [0.01, 0.02, 0.01, 0.03, 0.01, 0.02]
    assert scorer.asked == ["a", "bb", "ccc", "bb"]


def test_without_words_there_is_no_estimate() -> None:
    assert read(chat("")).features.difficulty is None


def test_the_shipped_reader_tells_kinds_and_gives_estimates() -> None:
    shipped = reader(SEALING)
    sums = shipped.read(caller(), chat("Solve for x: 3x^2 + 2x = 7, and prove that the equation has two roots."), None)
    code = shipped.read(caller(), chat("Write a python function that parses this csv."), None)
    assert (sums.features.request_class, code.features.request_class) == ("maths", "code")
    assert sums.features.difficulty is not None
    assert 0 < sums.features.difficulty < 1


def test_the_readers_of_two_gateways_with_one_key_say_the_same() -> None:
    first, second = (reader(Sealing(b"k" * 32)).read(caller(), chat("What is 2 + 2?"), None) for _ in range(2))
    assert first == second


# --- what must not change


def test_results_at_the_end_lock_the_model() -> None:
    call = {"type": "function_call", "call_id": "call_1", "name": "f", "arguments": "{}"}
    output = {"type": "function_call_output", "call_id": "call_1", "output": "x"}
    assert read(responses()).lock == "none"
    assert (read(responses(call, output)).lock, read(responses(call, output)).served_by) == ("model", None)
    assert [read(responses(*items)).may_leave_state for items in ((), (call, output))] == [True, False]


def test_a_request_that_proves_its_turn_is_locked_however_it_ends() -> None:
    assert read(responses(), continues=Continued(turn_id=uuid4(), answers=1)).lock == "model"


def test_state_locks_its_target_and_the_newest_counts() -> None:
    reading = read(responses(thoughts("north"), thoughts("south"), thoughts(ANY_TARGET)))
    assert (reading.lock, reading.served_by) == ("target", "south")


def test_state_of_nobody_locks_nothing() -> None:
    foreign = [thoughts("north", account_id=OTHER), thoughts(ANY_TARGET)]
    foreign += [{"type": "reasoning", "summary": [], "encrypted_content": text} for text in ("sr1.AAAA", "sr2.A", "x")]
    reading = read(responses(*foreign))
    assert (reading.lock, reading.served_by) == ("none", None)


# --- sessions


def test_the_session_that_the_client_names_is_better_than_its_conversation() -> None:
    named = read(chat("one", prompt_cache_key="session")).session
    assert named == read(chat("two", prompt_cache_key="session")).session
    assert named != read(chat("one")).session
    assert read(chat("one")).session != read(chat("two")).session


def test_a_session_is_the_same_in_every_request_of_a_conversation() -> None:
    first = {"role": "user", "content": "one"}
    later = chat(messages=[first, {"role": "assistant", "content": "yes"}, {"role": "user", "content": "two"}])
    assert read(later).session == read(chat("one")).session


@given(st.text(max_size=20), st.none() | st.text(max_size=20), st.uuids(), st.uuids())
def test_two_accounts_never_share_a_session(text: str, key: str | None, one: UUID, other: UUID) -> None:
    request = chat(text, prompt_cache_key=key)
    sessions = [read(request, account_id=account_id).session for account_id in (one, other)]
    assert all(session is not None and len(session) == 32 and int(session, 16) >= 0 for session in sessions)
    assert (sessions[0] == sessions[1]) is (one == other)


def test_only_sessions_that_are_more_than_a_common_beginning_are_cached_as_such() -> None:
    for request in (chat("one", prompt_cache_key="session"), chat("one", tools=TOOLS)):
        assert read(request).cached_as == read(request).session
    assert read(chat("one")).cached_as is None


def test_a_key_cannot_pass_for_a_conversation() -> None:
    request = chat("one")
    opening = request.brief.opening.decode("latin-1")
    assert read(chat("two", prompt_cache_key=opening)).session != read(request).session


def test_nobody_without_the_key_can_try_out_what_a_session_stands_for() -> None:
    other = Reader(Counting(), Sealing(b"n" * 32)).read(caller(), chat("one", prompt_cache_key="session"), None)
    assert other.session != read(chat("one", prompt_cache_key="session")).session
