"""`Idempotency-Key`: a request that is sent again gets the stored answer of the first one, and is charged once.

The order that makes it so: the key is claimed before a prompt is held; the answer is stored before the settlement is
published; the settlement is published before the client sees the end. A gateway killed in between leaves a stored
answer without a charge, or a charge with a stored answer, never a charge whose answer is lost.
"""

import hashlib
from collections.abc import Awaitable, Callable
from dataclasses import replace

from opentelemetry import trace

from chassis import attributes, telemetry
from contracts.outcomes import Outcome
from gateway import measures
from gateway.claims import Claims
from gateway.domain import End
from gateway.endurance import to_the_end
from gateway.errors import GatewayError, IdempotencyConflict, IdempotencyKeyReused, RequestInvalid, ServiceUnavailable
from gateway.held import Asked, Held
from gateway.http import JSON_HEADER
from gateway.store import KnownKey, StoredAnswer, Wanted

HEADER = b"idempotency-key"
MAX_KEY_CHARACTERS = 255

# What describes the answer goes with it; what is left of the allowance does not: it is of another moment.
_KEPT_HEADERS = ("x-smartroute-turn", "x-smartroute-ignored")


def read_key(value: bytes | None) -> bytes | None:
    """The key of a request, if it has one. Raises `RequestInvalid` for what is none."""
    if value is None:
        return None
    if not 1 <= len(value) <= MAX_KEY_CHARACTERS or not all(0x20 <= byte <= 0x7E for byte in value):
        raise RequestInvalid(
            f"An Idempotency-Key has 1 to {MAX_KEY_CHARACTERS} printable ASCII characters.", param="Idempotency-Key"
        )
    return value


class Idempotency:
    """Answers requests that have a key, with the stored answer or by `answer`."""

    def __init__(self, claims: Claims, answer: Callable[[Asked], Awaitable[None]]) -> None:
        self._claims = claims
        self._answer = answer

    async def answer(self, asked: Asked, *, key: bytes, body: bytes) -> None:
        """Send the answer. Raises what `answer` raises, and `ServiceUnavailable` and the two errors on keys."""
        wanted = Wanted(
            account_id=asked.caller.account_id,
            key_digest=hashlib.sha256(key).digest(),
            # Both base paths are one endpoint, so its name is the path.
            body_digest=hashlib.sha256(asked.request.endpoint.encode() + b"\n" + body).digest(),
            request_id=asked.context.request_id,
        )
        try:
            claim = await self._claims.take(wanted)
            if isinstance(claim, KnownKey):
                await self._replay(asked, wanted, claim)
                return
        except GatewayError as error:
            measures.count_rejected(error, alias=asked.request.model, endpoint=asked.request.endpoint)
            raise
        try:
            await self._answer(replace(asked, claim=claim))
        finally:
            if claim.is_open:  # nothing was held: the key is free for another try
                await to_the_end(claim.release())

    async def _replay(self, asked: Asked, wanted: Wanted, known: KnownKey) -> None:
        if known.body_digest != wanted.body_digest:
            raise IdempotencyKeyReused
        if known.is_running:
            raise IdempotencyConflict.running()
        if known.answer is None:
            why = "The answer to this Idempotency-Key was " + ("streamed" if asked.request.is_stream else "too large")
            raise IdempotencyConflict.not_kept(known.request_id, why)
        await self._claims.note_replay(wanted, replay_of=known.request_id, trace_id=telemetry.trace_id())
        measures.count(Outcome.REPLAY, alias=asked.request.model, endpoint=asked.request.endpoint)
        trace.get_current_span().set_attributes(
            {attributes.ACCOUNT_ID: str(wanted.account_id), attributes.OUTCOME: Outcome.REPLAY}
        )
        await _send_again(asked, known.answer, first=str(known.request_id))


async def conclude(held: Held) -> None:
    """Store the answer of a request that is over, or free its key; the next thing is its settlement.

    What could not be stored must not be charged: the client would pay for the next try again. The request ends with
    an error then. Raises nothing.
    """
    claim = held.asked.claim
    if claim is None:
        return
    # A continuation costs nothing, and yet its answer was given: another try must not open a turn.
    if not (held.ended_as or held.outcome).is_charged:
        await to_the_end(claim.release())
    elif not await to_the_end(claim.conclude(_answer_of(held))):
        held.end, held.error = End.FAILED, ServiceUnavailable()


def _answer_of(held: Held) -> StoredAnswer | None:
    """What is kept of a charged request; None for a stream, which has left already."""
    if held.asked.request.is_stream:
        return None
    kept = {name: held.headers[name] for name in _KEPT_HEADERS if name in held.headers}
    return StoredAnswer(200, {"content-type": JSON_HEADER[1].decode(), **kept}, held.relay.finish())


async def _send_again(asked: Asked, answer: StoredAnswer, *, first: str) -> None:
    named = {
        **answer.headers,
        "content-length": str(len(answer.body)),
        "idempotent-replayed": "true",
        "x-smartroute-replay-of": first,
    }
    headers = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in named.items()]
    await asked.send({"type": "http.response.start", "status": answer.status, "headers": headers})
    await asked.send({"type": "http.response.body", "body": answer.body})
