"""What one request makes the provider do: it stands in the prompt, and the scripted provider reads it there.

So every call that the provider logs names the request of the load that it belongs to, and every request can have a
trouble of its own, whatever else runs at the same time.
"""

import json
import uuid
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field

from devstack.provider import Answer, Ending, Identity, Provider, Script, ToolCall, Usage, faults, scripts
from devstack.provider.http import Request, framed
from devstack.provider.payload import sse
from devstack.provider.script import Pause, Steps, Write

_MARK = "play "


def _endless(request: Request, identity: Identity) -> Steps:
    """A model that never stops talking; not streamed: one that never says anything."""
    if not request.is_streamed:
        yield Pause(3600)
        return
    yield Write(scripts.stream_head(identity))
    head = {"id": identity.completion_id(), "object": "chat.completion.chunk", "created": 1, "model": request.model}
    while True:
        choice = {"index": 0, "delta": {"content": " more"}, "finish_reason": None}
        yield Write(framed(sse({**head, "choices": [choice]})))
        yield Pause(0.05)


TROUBLES: Mapping[str, Script] = {
    "hang": faults.hang_before_headers(),
    "hang midway": faults.hang_midway(),
    "reset": faults.reset_before_headers(),
    "reset midway": faults.reset_midway(),
    "close midway": faults.close_midway(),
    "error in a 200": faults.error_with_ok(),
    "error midway": faults.error_in_stream(),
    "malformed": faults.invalid_json(),
    "endless": Script("endless", _endless),
    "no usage": faults.no_usage(),
    "negative usage": faults.negative_usage(),
    "absurd usage": faults.huge_usage(),
}


@dataclass(frozen=True, slots=True)
class Play:
    """One answer to come. `trouble` is a name of `TROUBLES`; with `only_first` the second provider answers well.

    `is_call`: the model answers with the call of a tool.
    """

    words: int = 4
    interval_seconds: float = 0.0
    input_tokens: int = 12
    output_tokens: int = 7
    trouble: str | None = None
    only_first: bool = False
    is_call: bool = False
    call: str = field(default_factory=lambda: uuid.uuid4().hex)

    @property
    def prompt(self) -> str:
        return _MARK + json.dumps(asdict(self))


def told(*, is_first: bool) -> Script:
    """The script of a provider that does what each prompt says."""

    def play(request: Request, identity: Identity) -> Steps:
        asked = asked_by(request)
        if asked is None:
            yield from scripts.answer().play(request, identity)
        elif asked.trouble is not None and (is_first or not asked.only_first):
            yield from TROUBLES[asked.trouble].play(request, identity)
        else:
            usage = Usage(asked.input_tokens, asked.output_tokens, asked.input_tokens + asked.output_tokens)
            words = " ".join(f"word{n}" for n in range(asked.words))
            content = Answer(text=words, usage=usage, tool_calls=(ToolCall("look"),) if asked.is_call else ())
            # A whole answer takes as long as its stream would.
            delay = 0.0 if request.is_streamed else asked.words * asked.interval_seconds
            script = scripts.answer(like=content, interval_seconds=asked.interval_seconds, delay_seconds=delay)
            yield from script.play(request, identity)

    return Script("told", play)


def asked_by(request: Request) -> Play | None:
    """What the prompt of a request says; None for requests that are not of the load."""
    messages = request.json.get("messages")
    last = messages[-1] if isinstance(messages, list) and messages else None
    content = last.get("content") if isinstance(last, dict) else None
    if not isinstance(content, str) or not content.startswith(_MARK):
        return None
    return Play(**json.loads(content.removeprefix(_MARK)))


@dataclass(frozen=True, slots=True)
class Served:
    """One line of the provider's log."""

    call: str
    ending: Ending


def log_of(*providers: Provider) -> list[Served]:
    """What all providers saw, by the calls of the load."""
    exchanges = (exchange for provider in providers for exchange in provider.exchanges)
    asked = ((asked_by(exchange.request), exchange.ending) for exchange in exchanges)
    return [Served(play.call, ending) for play, ending in asked if play is not None]
