"""Bodies in with a limit, JSON and errors out."""

import asyncio
import json
from collections.abc import Iterator, Sequence

import pytest
from starlette.types import Message

from gateway.errors import BodyTooLarge, ModelNotFound, RequestTimedOut, ServiceUnavailable
from gateway.http import ClientDisconnected, header, read_body, send_error, send_json


class Client:
    """The two ASGI callables of one request, with its body in the given pieces."""

    def __init__(self, *pieces: bytes, leaves: bool = False, stalls: bool = False) -> None:
        self._messages = self._say(pieces, leaves=leaves, stalls=stalls)
        self._stalls = stalls
        self.taken = 0
        self.sent: list[Message] = []

    def _say(self, pieces: Sequence[bytes], *, leaves: bool, stalls: bool) -> Iterator[Message]:
        for number, piece in enumerate(pieces, start=1):
            is_more = number < len(pieces) or leaves or stalls
            yield {"type": "http.request", "body": piece, "more_body": is_more}
        if leaves:
            yield {"type": "http.disconnect"}

    async def receive(self) -> Message:
        self.taken += 1
        message = next(self._messages, None)
        if message is None:
            await asyncio.sleep(60)
        assert message is not None
        return message

    async def send(self, message: Message) -> None:
        self.sent.append(message)


async def test_a_body_is_put_together_from_its_pieces() -> None:
    assert await read_body(Client(b"he", b"", b"llo").receive, 5) == b"hello"
    assert await read_body(Client(b"").receive, 5) == b""


async def test_a_body_over_the_limit_is_refused_before_the_rest_of_it_is_taken() -> None:
    client = Client(b"123", b"456", b"789")
    with pytest.raises(BodyTooLarge):
        await read_body(client.receive, 5)
    assert client.taken == 2


async def test_a_client_that_stops_in_the_middle_is_cut_with_408() -> None:
    with pytest.raises(RequestTimedOut) as refused:
        await read_body(Client(b"123", stalls=True).receive, 5, silence_seconds=0.05)
    assert refused.value.status == 408
    assert refused.value.headers["connection"] == "close"


async def test_a_client_that_leaves_in_the_middle_is_noticed() -> None:
    with pytest.raises(ClientDisconnected):
        await read_body(Client(b"123", leaves=True).receive, 5)


async def test_a_response_is_json_with_its_length() -> None:
    client = Client()
    await send_json(client.send, 201, b'{"a":1}', [(b"x-more", b"yes")])
    start, body = client.sent
    assert start["status"] == 201
    assert dict(start["headers"]) == {b"content-type": b"application/json", b"content-length": b"7", b"x-more": b"yes"}
    assert body["body"] == b'{"a":1}'
    assert not body.get("more_body")


async def test_an_error_carries_its_own_headers_and_those_of_the_response() -> None:
    client = Client()
    await send_error(client.send, ServiceUnavailable(retry_after_seconds=7), [(b"x-more", b"yes")])
    start, body = client.sent
    assert start["status"] == 503
    assert dict(start["headers"])[b"retry-after"] == b"7"
    assert dict(start["headers"])[b"x-more"] == b"yes"
    assert set(json.loads(body["body"])["error"]) == {"message", "type", "param", "code"}


async def test_an_error_can_name_what_is_not_ascii() -> None:
    client = Client()
    await send_error(client.send, ModelNotFound("mödel\ud800"[:5], ["a"]))
    assert "mödel" in json.loads(client.sent[1]["body"])["error"]["message"]


def test_the_first_header_of_a_name_counts() -> None:
    scope = {"headers": [(b"a", b"1"), (b"b", b"2"), (b"a", b"3")]}
    assert (header(scope, b"a"), header(scope, b"c")) == (b"1", None)
