"""What providers are told of sessions: keys of ours, never those of clients, and no key too often."""

import json
from collections import Counter
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.cache_keys import MOST_PER_MINUTE, CacheKeys
from gateway.wire.lane import Identity, ProviderFormat, Quirks, Target
from gateway.wire.lanes import open_lane
from tests.golden.files import READERS, TransparentSealer

CLIENTS_KEY = "the client's own key"
BODIES: dict[Any, dict[str, Any]] = {
    "chat": {"messages": [{"role": "user", "content": "Hi"}]},
    "responses": {"input": "Hi"},
    "completions": {"prompt": "Hi"},
}


def sent(client: Any, target: Target) -> dict[str, Any]:
    body = {"model": "m", "prompt_cache_key": CLIENTS_KEY, **BODIES[client]}
    request = READERS[client](json.dumps(body).encode())
    seal = TransparentSealer()
    lane = open_lane(request, target, Identity(UUID(int=1), "m", 1), str, sealer=seal, summaries=seal)
    written: dict[str, Any] = json.loads(lane.body)
    return written


@pytest.mark.parametrize("client", BODIES)
@pytest.mark.parametrize("provider", ["chat", "responses", "completions", "anthropic"])
def test_a_target_gets_our_key_if_it_takes_one_and_never_the_clients(client: str, provider: ProviderFormat) -> None:
    told = provider in ("chat", "responses")
    takes = Target("theirs", provider, Quirks(takes_cache_key=True), cache_key="ours#0")
    assert sent(client, takes).get("prompt_cache_key") == ("ours#0" if told else None)
    for silent in (Target("theirs", provider, cache_key="ours#0"), Target("theirs", provider, takes.quirks)):
        assert "prompt_cache_key" not in sent(client, silent)
        assert CLIENTS_KEY not in json.dumps(sent(client, silent))


@pytest.mark.parametrize("client", ["chat", "responses"])
@pytest.mark.parametrize("provider", ["chat", "responses"])
def test_an_operator_can_rename_or_drop_the_key(client: str, provider: ProviderFormat) -> None:
    quirks = Quirks(takes_cache_key=True)
    renamed = Target("theirs", provider, quirks, rename={"prompt_cache_key": "session_id"}, cache_key="ours#0")
    assert sent(client, renamed)["session_id"] == "ours#0"
    dropped = Target("theirs", provider, quirks, drop=("prompt_cache_key",), cache_key="ours#0")
    assert "prompt_cache_key" not in sent(client, dropped)


@given(st.lists(st.floats(0, 600), max_size=200))
def test_no_key_is_given_too_often_in_a_minute(times: list[float]) -> None:
    keys = CacheKeys()
    given_out = Counter((keys.next("session", "north", now), now // 60) for now in sorted(times))
    assert all(count <= MOST_PER_MINUTE for count in given_out.values())


def test_a_session_that_is_not_busy_keeps_its_key() -> None:
    keys = CacheKeys()
    assert len({keys.next("session", "north", 6.0 * request) for request in range(100)}) == 1


def test_a_busy_session_gets_the_next_key_and_the_first_one_in_the_next_minute() -> None:
    keys = CacheKeys(most_per_minute=2)
    ends = [keys.next("session", "north", now).partition("#")[2] for now in (0, 1, 2, 3, 59, 60)]
    assert ends == ["0", "0", "1", "1", "2", "0"]


def test_sessions_and_targets_have_keys_of_their_own_that_tell_neither() -> None:
    keys = CacheKeys()
    found = [keys.next(session, target, 0.0) for session in ("a" * 32, "b" * 32) for target in ("north", "south")]
    assert len(set(found)) == 4
    assert not any(word in key for key in found for word in ("aaaa", "bbbb", "north", "south"))
    assert all(len(key) <= 64 for key in found)


def test_what_is_counted_is_bounded() -> None:
    keys = CacheKeys(most_per_minute=1, capacity=2)
    for session in ("a", "b", "a", "c"):
        keys.next(session, "north", 0.0)
    assert len(keys) == 2
    assert keys.next("a", "north", 0.0).endswith("#2")
    assert keys.next("b", "north", 0.0).endswith("#0")
