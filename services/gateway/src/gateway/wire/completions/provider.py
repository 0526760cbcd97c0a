"""Completions as a provider's format, for clients that hold a conversation.

| of the prompt | what happens |
|---|---|
| instructions | the beginning of the text |
| messages | a plain transcript: `User:` and `Assistant:` in turn, ending with `Assistant:` |
| tools, calls, pictures, files, structured output | another target: text is all there is |
| `Reasoning` | left out: a model without thoughts of its own has no use for them |
| no cap on the answer | `max_tokens` is the target's cap, or `DEFAULT_MAX_TOKENS`: many providers would stop at 16 |
| `stop` | with the next `User:`, where the model would go on in the user's place; not beside `MAX_STOPS` others |
| the rest of the sampling | as it is |
| `reasoning_effort`, `verbosity` | without effect, named in `Written.ignored` |

Space around an answer belongs to the transcript and is taken off.
"""

from collections.abc import Sequence
from typing import Any

import msgspec

from gateway.wire.canonical import Counted, Delta, Finished, Message, Prompt, Reasoning, Text, TextDelta
from gateway.wire.chat.encode import word_of_error
from gateway.wire.completions.models import (
    FAILED_FINISHES,
    MAX_STOPS,
    ProviderAnswer,
    ProviderChoice,
    known_finish_reason,
)
from gateway.wire.crossing import Dialect, Written
from gateway.wire.lane import Sealer, Target, Unservable, UnusableAnswer
from gateway.wire.usage import from_wire_usage

DEFAULT_MAX_TOKENS = 1024
NEXT_TURN = "\nUser:"

_STREAM = {"stream": True, "stream_options": {"include_usage": True}}
_read_answer = msgspec.json.Decoder(ProviderAnswer)
_encoder = msgspec.json.Encoder()


def write_request(
    prompt: Prompt,
    target: Target,
    *,
    is_stream: bool,
    sealer: Sealer,  # noqa: ARG001  there is no state to unseal
) -> Written:
    """Raises `Unservable`."""
    if prompt.tools:
        raise Unservable("tools")
    if prompt.output != "text":
        raise Unservable("response_format")
    sampling = prompt.sampling
    stop = [*sampling.stop, NEXT_TURN] if len(sampling.stop) < MAX_STOPS else sampling.stop
    fields: dict[str, Any] = {
        "model": target.model,
        "prompt": to_transcript(prompt),
        "max_tokens": _max_tokens(prompt, target),
        "stop": stop,
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
        "presence_penalty": sampling.presence_penalty,
        "frequency_penalty": sampling.frequency_penalty,
        "seed": sampling.seed,
        **(_STREAM if is_stream else {}),
    }
    wished = {name: value for name, value in fields.items() if value is not None}
    sent = {target.rename.get(name, name): value for name, value in wished.items() if name not in target.drop}
    return Written(_encoder.encode(sent), _ignored(prompt, [name for name in target.drop if name in wished]))


def to_transcript(prompt: Prompt) -> str:
    """The conversation as text that the assistant goes on with. Raises `Unservable`."""
    instructions: list[str] = []
    turns: list[str] = []
    for item in prompt.items:
        match item:
            case Message(role="system" | "developer", parts=parts):
                instructions.append(_text(parts))
            case Message(role=role, parts=parts):
                turns.append(f"{'User' if role == 'user' else 'Assistant'}: {_text(parts)}")
            case Reasoning():
                pass
            case _:
                raise Unservable("messages")
    return "\n\n".join([*(text for text in instructions if text), *turns, "Assistant:"])


def _text(parts: Sequence[object]) -> str:
    texts = []
    for part in parts:
        if not isinstance(part, Text):
            raise Unservable("messages")
        texts.append(part.text)
    return "\n".join(texts)


def _max_tokens(prompt: Prompt, target: Target) -> int:
    asked, cap = prompt.max_output_tokens, target.max_output_tokens
    if asked is None:
        return cap if cap is not None else DEFAULT_MAX_TOKENS
    return min(asked, cap) if cap is not None else asked


def _ignored(prompt: Prompt, dropped: Sequence[str]) -> tuple[str, ...]:
    inexpressible = {
        "reasoning_effort": prompt.reasoning_effort not in {None, "none"},
        "verbosity": prompt.verbosity is not None,
    }
    return (*dropped, *(name for name, is_wished in inexpressible.items() if is_wished))


class CompletionsDecoder:
    """Reads one stream; a `crossing.Decoder`."""

    def __init__(self) -> None:
        self.failure: str | None = None
        self.is_done = False  # only `[DONE]` says so, which is no payload
        self.events = 0
        self._answer = _Answer()

    def feed(self, payload: bytes) -> Sequence[Delta]:
        """What one event's data says. Sets `failure` when the provider failed."""
        if self.failure is not None:
            return []
        try:
            chunk = _read_answer.decode(payload)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            self.failure = "malformed"
            return []
        choice = _first(chunk)
        if chunk.error is not None:
            self.failure = word_of_error(chunk.error, otherwise="error_event")
        elif choice is not None and choice.finish_reason in FAILED_FINISHES:
            self.failure = "failed_finish"
        else:
            self.events += 1
            return self._answer.told(choice, chunk)
        return []


def from_completion(body: bytes) -> Sequence[Delta]:
    """The deltas of a whole completion. Raises `UnusableAnswer`."""
    try:
        completion = _read_answer.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        raise UnusableAnswer("malformed") from None
    choice = _first(completion)
    if completion.error is not None:
        raise UnusableAnswer(word_of_error(completion.error, otherwise="error_body"))
    if choice is None:
        raise UnusableAnswer("no_choice")
    if choice.finish_reason in FAILED_FINISHES:
        raise UnusableAnswer("failed_finish")
    choice.finish_reason = choice.finish_reason or "stop"
    return _Answer().told(choice, completion)


class _Answer:
    """The text of one answer without the space around it; what may be such space waits."""

    def __init__(self) -> None:
        self._has_begun = False
        self._has_finished = False
        self._space = ""

    def told(self, choice: ProviderChoice | None, answer: ProviderAnswer) -> Sequence[Delta]:
        """What a chunk, or a whole answer, says."""
        deltas: list[Delta] = []
        if choice is not None and not self._has_finished:
            text = self._without_space(choice.text or "")
            deltas += [TextDelta(text)] if text else []
            if choice.finish_reason:
                self._has_finished = True
                deltas.append(Finished(known_finish_reason(choice.finish_reason)))
        if answer.usage is not None:
            deltas.append(Counted(from_wire_usage(answer.usage)))
        return deltas

    def _without_space(self, more: str) -> str:
        text = self._space + more if self._has_begun else more.lstrip()
        said = text.rstrip()
        self._space = text[len(said) :]
        self._has_begun = self._has_begun or bool(said)
        return said


def _first(answer: ProviderAnswer) -> ProviderChoice | None:
    return next((choice for choice in answer.choices or () if choice.index == 0), None)


DIALECT = Dialect(
    path="/completions",
    write_request=write_request,
    decoder=CompletionsDecoder,
    read_whole=from_completion,
)
