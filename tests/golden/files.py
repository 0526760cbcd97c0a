"""The golden files of one client's format in front of one provider's, for one case, and how they are made.

| file | what is in it |
|---|---|
| `request.json` | what the client asks; a streamed request says `stream` besides, see `streamed` |
| `sent.json` | what the provider gets; a stream is asked for with `STREAM_FIELDS` besides |
| `provider.json`, `provider.sse` | what the scripted provider answers to that |
| `client.json`, `client.sse` | what leaves for the client |
| `ignored.txt` | the names of what has no effect, as they are told to the client |
| `unservable.txt` | instead of all but the request: the field that this target cannot take |

JSON is indented, to be reviewed; on the wire it is `compact`, and every byte of that is compared.
"""

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

from devstack.provider.http import Request
from devstack.provider.identity import Identity as ProviderIdentity
from devstack.provider.writing import body_of, events_of
from gateway.wire.chat.decode import from_chat_request
from gateway.wire.completions.decode import from_completions_request
from gateway.wire.lane import ClientRequest, Identity, Lane, ProviderFormat, Quirks, Target, Unservable
from gateway.wire.lanes import open_lane
from gateway.wire.responses.decode import from_responses_request
from tests.golden.cases import ALIAS, SEAL, Case, ClientFormat, Json

FOLDER = Path(__file__).resolve().parent
IDENTITY = Identity(UUID(int=1), ALIAS, 1_800_000_000)

READERS: Mapping[ClientFormat, Callable[[bytes], ClientRequest]] = {
    "chat": from_chat_request,
    "completions": from_completions_request,
    "responses": from_responses_request,
}
_OPENAI = Quirks(system_role="developer", merges_system=False, replays_reasoning=True)
# As docs/wire-formats.md advises for a server of open models, OpenAI, and Anthropic.
TARGETS: Mapping[ProviderFormat, Target] = {
    "chat": Target("upstream-model", "chat", Quirks(replays_reasoning=True)),
    "responses": Target("upstream-model", "responses", _OPENAI),
    "completions": Target("upstream-model", "completions"),
    "anthropic": Target(
        "upstream-model",
        "anthropic",
        Quirks(replays_reasoning=True, thinks_adaptively=True),
        max_output_tokens=32_000,
    ),
}
_USAGE: Json = {"stream": True, "stream_options": {"include_usage": True}}
STREAM_FIELDS: Mapping[ProviderFormat, Json] = {
    "chat": _USAGE,
    "completions": _USAGE,
    "responses": {"stream": True},
    "anthropic": {"stream": True},
}


@dataclass(frozen=True, slots=True)
class TransparentSealer:
    """Seals with a word before the state: what was sealed can be seen, and what was not does not open."""

    def seal(self, state: str) -> str:
        return SEAL + state

    def unseal(self, sealed: str) -> str | None:
        return sealed.removeprefix(SEAL) if sealed.startswith(SEAL) else None


def folder(client: ClientFormat, provider: ProviderFormat, case: Case) -> Path:
    """Where the files of a combination are."""
    return FOLDER / f"{client}-{provider}" / case.name


def compact(document: bytes) -> bytes:
    """A JSON file as it is on the wire."""
    return json.dumps(json.loads(document), ensure_ascii=False, separators=(",", ":")).encode()


def indented(body: bytes) -> bytes:
    """A JSON body as it is kept. `compact` gives the same bytes again, or this raises."""
    document = json.dumps(json.loads(body), ensure_ascii=False, indent=2).encode() + b"\n"
    if compact(document) != body:
        raise ValueError(f"not compact: {body.decode()}")
    return document


def streamed(client: ClientFormat, ask: Json) -> Json:
    """The same request for a stream; with usage, where the client has to ask for it."""
    usage: Json = {} if client == "responses" else {"stream_options": {"include_usage": True}}
    return {**ask, "stream": True, **usage}


def opened(client: ClientFormat, provider: ProviderFormat, ask: Json) -> tuple[ClientRequest, Lane]:
    """The lane of a request. Raises `Unservable`."""
    request = READERS[client](json.dumps(ask, ensure_ascii=False, separators=(",", ":")).encode())
    seal = TransparentSealer()
    lane = open_lane(
        request, TARGETS[provider], IDENTITY, lambda place: f"call_ours_{place}", sealer=seal, summaries=seal
    )
    return request, lane


def left(lane: Lane, reads: Iterable[bytes]) -> bytes:
    """What leaves for the client of a stream that comes in these reads."""
    answer, sent = lane.answer, b""
    for read in reads:
        sent += answer.feed(read)
    sent += b"" if answer.is_done else answer.end()
    if answer.failure is not None:
        raise ValueError(answer.failure)
    return sent + answer.finish()


def taken(lane: Lane, body: bytes) -> bytes:
    """What leaves for the client of a whole answer."""
    lane.answer.take(body)
    return lane.answer.finish()


def written(client: ClientFormat, provider: ProviderFormat, case: Case) -> dict[str, bytes]:
    """All files of a combination by name, made anew."""
    ask = case.ask(client, provider)
    files = {"request.json": indented(json.dumps(ask, ensure_ascii=False, separators=(",", ":")).encode())}
    try:
        request, lane = opened(client, provider, ask)
    except Unservable as cannot:
        return {**files, "unservable.txt": f"{cannot.param}\n".encode()}
    _, stream_lane = opened(client, provider, streamed(client, ask))
    body, events = recorded(case, lane), recorded(case, stream_lane)
    ignored = dict.fromkeys((*request.ignored, *lane.ignored))
    return {
        **files,
        "sent.json": indented(lane.body),
        "provider.json": indented(body),
        "provider.sse": events,
        "client.json": indented(taken(lane, body)),
        "client.sse": left(stream_lane, [events]),
        **({"ignored.txt": "".join(f"{name}\n" for name in ignored).encode()} if ignored else {}),
    }


def recorded(case: Case, lane: Lane) -> bytes:
    """What the scripted provider answers to the request of a lane: a body, or the events of a stream."""
    request = Request("POST", f"/v1{lane.path}", {}, lane.body)
    said, identity = case.said(request), ProviderIdentity(number=1)
    return b"".join(events_of(said, request, identity)) if request.is_streamed else body_of(said, request, identity)
