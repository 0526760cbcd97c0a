"""Framing of events: the same bytes give the same events, however they come."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.wire.sse import ERROR_PAYLOAD, EventTooLarge, Splitter, to_event


def split(*reads: bytes, limit_bytes: int = 1000) -> list[bytes]:
    splitter = Splitter(limit_bytes=limit_bytes)
    return [payload for read in reads for payload in splitter.feed(read)] + splitter.close()


@pytest.mark.parametrize(
    ("stream", "payloads"),
    [
        (b"data: a\n\ndata: b\n\n", [b"a", b"b"]),
        (b"data: a\r\n\r\ndata: b\r\n\r\n", [b"a", b"b"]),
        (b"data: a\r\rdata: b\r\r", [b"a", b"b"]),
        (b"data:a\n\n", [b"a"]),
        (b"data: a\ndata: b\n\n", [b"a\nb"]),
        (b": comment\n\ndata: a\n\n: more\n\n", [b"a"]),
        (b"id: 1\nretry: 5\nevent: message\ndata: a\n\n", [b"a"]),
        (b"event: error\ndata: anything\n\n", [ERROR_PAYLOAD]),
        (b"\n\n\n\ndata: a\n\n\n\n", [b"a"]),
        (b"\xef\xbb\xbfdata: a\n\n", [b"a"]),
        (b"data: no empty line at the end", [b"no empty line at the end"]),
        (b"data: [DONE]\n", [b"[DONE]"]),
        (b"data: half of a line end\n\r", [b"half of a line end"]),
        (b"data\n\n", [b""]),
        (b"", []),
    ],
)
def test_events_come_out_whole_and_without_their_framing(stream: bytes, payloads: list[bytes]) -> None:
    assert split(stream) == payloads
    assert split(*(stream[place : place + 1] for place in range(len(stream)))) == payloads


lines = st.sampled_from(
    [b"data: {}", b"data: \xf0\x9f\x99\x82", b"data", b": c", b"event: error", b"event: x", b"", b"data:x", b"\xef\xbb"]
)
ends = st.sampled_from([b"\n", b"\r\n", b"\r"])


@given(st.lists(st.tuples(lines, ends), max_size=20), st.lists(st.integers(0, 200), max_size=20), st.booleans())
def test_any_split_of_the_same_bytes_gives_the_same_events(
    written: list[tuple[bytes, bytes]], cuts: list[int], has_mark: bool
) -> None:
    stream = (b"\xef\xbb\xbf" if has_mark else b"") + b"".join(line + end for line, end in written)
    places = sorted({0, *(min(cut, len(stream)) for cut in cuts), len(stream)})
    reads = [stream[begin:end] for begin, end in itertools.pairwise(places)]
    assert split(*reads) == split(stream)


def test_an_event_that_never_ends_is_refused_before_it_fills_the_memory() -> None:
    splitter = Splitter(limit_bytes=100)
    splitter.feed(b"data: " + b"x" * 90)
    with pytest.raises(EventTooLarge):
        splitter.feed(b"x" * 90)


def test_an_event_over_the_limit_is_refused_when_it_comes_at_once() -> None:
    with pytest.raises(EventTooLarge):
        Splitter(limit_bytes=100).feed(b"data: " + b"x" * 200 + b"\n\n")


def test_an_event_is_written_as_one_data_line() -> None:
    assert to_event(b"{}") == b"data: {}\n\n"


@pytest.mark.parametrize(
    ("event", "payload"),
    [
        (b'event: error\ndata: {"error": {"code": "x"}}\n\n', b'{"error": {"code": "x"}}'),
        (b'event: error\ndata: {"type":"error","code":"x"}\n\n', b'{"error":{"type":"error","code":"x"}}'),
        (b"event: error\ndata: overloaded\n\n", ERROR_PAYLOAD),
        (b"event: error\n\n", ERROR_PAYLOAD),
        (b'event: message\ndata: {"x": 1}\n\n', b'{"x": 1}'),
    ],
)
def test_an_event_named_error_has_an_error_in_its_data(event: bytes, payload: bytes) -> None:
    assert split(event) == [payload]
