"""One call of a provider. The only module that knows aiohttp and its errors.

UpstreamError
├── AttemptFailed      the target is to blame: the next candidate may do better
└── RequestRefused     the provider answered 400, 413 or 422: no other candidate is asked
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Collection, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Literal, TypeAlias

import aiohttp
from yarl import URL

from contracts.router import Candidate, Timeouts
from gateway.keys import KeyMissing, ProviderKeys
from gateway.wire.chat.encode import from_provider_error
from gateway.wire.lane import Lane

ANSWER_LIMIT_BYTES = 32 * 1024 * 1024
ERROR_LIMIT_BYTES = 64 * 1024
ERROR_SECONDS = 5.0
MAX_RETRY_AFTER_SECONDS = 3600.0
KEEPALIVE_SECONDS = 15.0
MAX_KNOWN_URLS = 1000  # profiles change seldom; this is only so that nothing grows for ever
# A kept connection that the provider has closed meanwhile shows at once; a later end is an answer that was not given.
STALE_CONNECTION_SECONDS = 1.0

FailedResult: TypeAlias = Literal["connect_failed", "timed_out", "http_error", "rate_limited", "refused_key", "broken"]

_REFUSALS = frozenset({400, 413, 422})
_KEY_REFUSALS = frozenset({401, 402, 403})


class UpstreamError(Exception):
    """A call of a provider that gave no answer. Texts are ours, from a closed set."""


class AttemptFailed(UpstreamError):
    """`result` is the router's word for it, `reason` ours for operators; `status` is None without an HTTP answer."""

    def __init__(
        self,
        result: FailedResult,
        reason: str,
        *,
        status: int | None = None,
        retry_after_seconds: float | None = None,
    ) -> None:
        super().__init__(reason)
        self.result = result
        self.reason = reason
        self.status = status
        self.retry_after_seconds = retry_after_seconds


class RequestRefused(UpstreamError):
    """The provider says that the request is at fault."""

    def __init__(self, *, status: int, is_context_too_long: bool, param: str | None) -> None:
        super().__init__(f"status {status}")
        self.status = status
        self.is_context_too_long = is_context_too_long
        self.param = param


class _StaleConnection(Exception):
    """The connection was dead before the request could be taken: worth one more try on a fresh one."""


class Patience:
    """How long a target may take to its first byte, beside its own time-outs, when another one could be asked.

    `may_leave` is asked when the time is over: as long as there is nobody else, waiting on is better. Then what goes on
    at that moment (`leave`) is cut short. Has to be ended by `end`.
    """

    def __init__(self, seconds: float, may_leave: Callable[[], bool]) -> None:
        self.is_over = False
        self.leave: Callable[[], None] | None = None
        self._may_leave = may_leave
        self._timer = asyncio.get_running_loop().call_later(seconds, self._pass)

    def end(self) -> None:
        """The first byte is here, or will never be."""
        self.leave = None
        self._timer.cancel()

    def _pass(self) -> None:
        if self.leave is not None and self._may_leave():
            self.is_over = True
            self.leave()


class Reply:
    """A 200 of a provider, its body unread. Close it in every case: that is what cancels the provider's work.

    One timer bounds the silence for the whole reply: a time-out per read would cost more than the read.
    """

    def __init__(self, response: aiohttp.ClientResponse, timeouts: Timeouts) -> None:
        self.is_event_stream = response.content_type == "text/event-stream"
        self._response = response
        self._loop = asyncio.get_running_loop()
        self._is_silent = False
        self._silence_seconds = timeouts.silence_seconds
        # Some providers send the headers at once and think then.
        self._deadline = self._loop.time() + max(timeouts.first_byte_seconds, timeouts.silence_seconds)
        self._timer = self._loop.call_at(self._deadline, self._check)

    async def read(self) -> bytes:
        """What one socket read brought; empty at the end. Raises `AttemptFailed`."""
        try:
            return await self._response.content.readany()
        except aiohttp.ClientError as exc:
            if self._is_silent:
                raise AttemptFailed("timed_out", "silence", status=200) from exc
            raise _failed(exc) from exc

    async def read_whole(self) -> bytes:
        """The whole body. Raises `AttemptFailed`, also when it is larger than an answer can be."""
        parts = []
        size = 0
        while part := await self.read():
            self.heard()
            size += len(part)
            if size > ANSWER_LIMIT_BYTES:
                raise AttemptFailed("broken", "answer_too_large", status=200)
            parts.append(part)
        return b"".join(parts)

    def heard(self) -> None:
        """Something that counts has come: an event, part of a body. Comments alone do not keep a reply alive."""
        self._deadline = self._loop.time() + self._silence_seconds

    def expect_end_within(self, seconds: float) -> None:
        """From now on, what is still to come must come within this time."""
        self._deadline = min(self._deadline, self._loop.time() + seconds)
        self._timer.cancel()
        self._timer = self._loop.call_at(self._deadline, self._check)

    def cut(self) -> None:
        """Close the socket under whoever reads: that read raises `AttemptFailed`."""
        self._is_silent = True
        self._response.close()

    def close(self) -> None:
        """Keep the connection if the body was read to its end, else close the socket at once."""
        self._timer.cancel()
        if self._response.content.at_eof():
            self._response.release()
        else:
            self._response.close()

    def _check(self) -> None:
        if self._loop.time() < self._deadline:
            self._timer = self._loop.call_at(self._deadline, self._check)
            return
        self.cut()


class Upstream:
    """The connections to all providers. Made by `upstream`."""

    def __init__(self, session: aiohttp.ClientSession, keys: ProviderKeys) -> None:
        self._session = session
        self._keys = keys
        self._urls: dict[str, URL] = {}

    async def post(
        self,
        candidate: Candidate,
        lane: Lane,
        *,
        is_stream: bool,
        fields: Collection[str],
        patience: Patience | None = None,
    ) -> Reply:
        """The reply to the request of a lane, when its status is known to be 200.

        `fields` are the names of the client's own fields, the only ones that a refusal may name. Raises
        `AttemptFailed` and `RequestRefused`.
        """
        headers = self._headers(candidate, lane.headers, is_stream=is_stream)
        url = self._url(candidate.base_url + lane.path)
        try:
            async with asyncio.timeout(candidate.timeouts.first_byte_seconds) as limit:
                if patience is not None:
                    patience.leave = lambda: None if limit.expired() else limit.reschedule(0.0)
                try:
                    response = await self._post(url, candidate, lane.body, headers)
                except _StaleConnection:
                    response = await self._post(url, candidate, lane.body, headers)
        except _StaleConnection as exc:
            raise AttemptFailed("broken", "disconnected") from exc
        except TimeoutError as exc:
            raise AttemptFailed("timed_out", "first_byte") from exc
        if response.status == 200:
            reply = Reply(response, candidate.timeouts)
            if patience is not None:
                patience.leave = reply.cut
            return reply
        if patience is not None:
            patience.end()  # it has answered, in its way
        try:
            raise await _refusal(response, fields)
        finally:
            response.close()

    async def _post(
        self, url: URL, candidate: Candidate, body: bytes, headers: dict[str, str]
    ) -> aiohttp.ClientResponse:
        # `sock_read` would count before the headers, too, where another limit is in force.
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=candidate.timeouts.connect_seconds)
        began = time.perf_counter()
        try:
            return await self._session.post(url, data=body, headers=headers, timeout=timeout, allow_redirects=False)
        except (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError) as exc:
            is_connecting = isinstance(exc, aiohttp.ClientConnectorError)
            if not is_connecting and time.perf_counter() - began < STALE_CONNECTION_SECONDS:
                raise _StaleConnection from exc
            raise _failed(exc) from exc
        except aiohttp.ClientError as exc:
            raise _failed(exc) from exc

    def _headers(self, candidate: Candidate, more: Mapping[str, str], *, is_stream: bool) -> dict[str, str]:
        headers = {
            **more,
            "content-type": "application/json",
            "accept": "text/event-stream" if is_stream else "application/json",
            "accept-encoding": "identity",
            "user-agent": "smart-route",
        }
        if candidate.key is not None:
            try:
                key = self._keys.value(candidate.key)
            except KeyMissing as exc:
                raise AttemptFailed("refused_key", "key_missing") from exc
            name, value = ("x-api-key", key) if candidate.format == "anthropic" else ("authorization", f"Bearer {key}")
            headers[name] = value
        return headers

    def _url(self, text: str) -> URL:
        url = self._urls.get(text)
        if url is None:
            if len(self._urls) >= MAX_KNOWN_URLS:
                self._urls.clear()
            url = self._urls[text] = URL(text, encoded=True)
        return url


@asynccontextmanager
async def upstream(keys: ProviderKeys) -> AsyncIterator[Upstream]:
    """Open while the block runs. No cookies: one customer's would go out with another's request."""
    async with aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=KEEPALIVE_SECONDS),
        cookie_jar=aiohttp.DummyCookieJar(),
        timeout=aiohttp.ClientTimeout(total=None),
        trust_env=False,
        raise_for_status=False,
    ) as session:
        yield Upstream(session, keys)


def _failed(exc: aiohttp.ClientError) -> AttemptFailed:
    """aiohttp's errors in our words; the order matters, they are subclasses of each other."""
    if isinstance(exc, aiohttp.ConnectionTimeoutError):
        return AttemptFailed("timed_out", "connect")
    if isinstance(exc, aiohttp.ServerTimeoutError):
        return AttemptFailed("timed_out", "silence")
    if isinstance(exc, aiohttp.ClientConnectorError):
        return AttemptFailed("connect_failed", "connect")
    if isinstance(exc, aiohttp.ClientConnectionError):
        return AttemptFailed("broken", "disconnected")
    if isinstance(exc, aiohttp.ClientPayloadError):
        return AttemptFailed("broken", "body_cut_short")
    return AttemptFailed("broken", "not_http")


async def _refusal(response: aiohttp.ClientResponse, fields: Collection[str]) -> UpstreamError:
    """What a status other than 200 means."""
    status = response.status
    if status in _REFUSALS:
        body = await _error_body(response)
        refusal = from_provider_error(body, fields=fields)
        return RequestRefused(status=status, is_context_too_long=refusal.is_context_too_long, param=refusal.param)
    retry_after_seconds = _retry_after(response.headers.get("retry-after"))
    if status == 429:
        return AttemptFailed("rate_limited", "status", status=status, retry_after_seconds=retry_after_seconds)
    if status in _KEY_REFUSALS:
        return AttemptFailed("refused_key", "status", status=status)
    return AttemptFailed("http_error", "status", status=status, retry_after_seconds=retry_after_seconds)


async def _error_body(response: aiohttp.ClientResponse) -> bytes:
    """The beginning of an error's body; nothing when it does not come."""
    try:
        async with asyncio.timeout(ERROR_SECONDS):
            body = b""
            while len(body) < ERROR_LIMIT_BYTES and (part := await response.content.readany()):
                body += part
            return body
    except (TimeoutError, aiohttp.ClientError):
        return b""


def _retry_after(value: str | None) -> float | None:
    """Seconds of a `Retry-After` header in either of its forms (RFC 9110 §10.2.3)."""
    if value is None:
        return None
    try:
        seconds = float(value)
    except ValueError:
        try:
            seconds = (parsedate_to_datetime(value) - datetime.now(UTC)).total_seconds()
        except (ValueError, TypeError):
            return None
    return min(max(seconds, 0.0), MAX_RETRY_AFTER_SECONDS) if seconds == seconds else None
