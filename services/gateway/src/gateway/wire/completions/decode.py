"""Completion requests in: checked, and read as a prompt for targets of other formats.

| field | to a completions target | to others |
|---|---|---|
| `model` | the target's is sent instead | the same |
| `prompt` | a string, or a list of exactly one; several prompts and token ids are refused | one user message |
| `stream`, `stream_options` | ours are sent: usage is always asked for, and given to who asked | the same |
| `n`, `best_of` | 1 or absent: one prompt has one answer | the same |
| `echo` | passed on | we put the prompt before the text |
| `max_tokens` | passed on, lowered to the target's cap | the same; absent means the target's own default |
| `temperature`, `top_p`, penalties, `seed`, `stop` | passed on | translated |
| `suffix` | passed on | another target: nobody else fills in a middle |
| `logprobs`, `logit_bias` | passed on | without effect: they speak of a completion model's tokens |
| `top_k`, `min_p`, `top_a`, `repetition_penalty` | passed on | without effect |
| `user`, `safety_identifier` | not passed on: they would tell a provider who our customers' customers are | the same |
| anything else | not passed on: an unknown field may steer a provider past the profile | the same |

What has no effect is named in the response header `x-smartroute-ignored`. A refused field is a 400 naming it.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import msgspec

from gateway.wire.body import NOT_JSON, is_null, read_body, shown_in_header
from gateway.wire.briefing import Opening, cut
from gateway.wire.canonical import Message, Prompt, Sampling, Text
from gateway.wire.completions.models import AskedCompletion
from gateway.wire.lane import Brief, UnusableRequest

MAX_DEPTH = 64

_OURS = frozenset({"model", "prompt", "stream", "stream_options", "n", "best_of"})
# What only a completions target takes.
UNTRANSLATED = frozenset({"logprobs", "logit_bias", "top_k", "min_p", "top_a", "repetition_penalty"})
_FORWARDED = UNTRANSLATED | {
    "suffix",
    "echo",
    "max_tokens",
    "temperature",
    "top_p",
    "presence_penalty",
    "frequency_penalty",
    "seed",
    "stop",
}

_read_completion = msgspec.json.Decoder(AskedCompletion)
_read_text = msgspec.json.Decoder(str)


@dataclass(frozen=True)
class CompletionsRequest:
    """A checked request (a `lane.ClientRequest` but for its lane, see `lanes`).

    `forwarded` are the fields that go to a completions target beside the prompt, as they came. `echo` is the text that
    the client wants before the answer.
    """

    model: str
    is_stream: bool
    wants_usage: bool
    prompt: str
    suffix: str | None
    max_output_tokens: int | None
    sampling: Sampling
    forwarded: Mapping[str, msgspec.Raw]
    ignored: tuple[str, ...]
    echo: str = ""
    answered_calls: tuple[str, ...] = ()
    session_key: str | None = None

    @property
    def endpoint(self) -> str:
        return "completions"

    @property
    def fields(self) -> Collection[str]:
        return {"prompt", *self.forwarded}

    @cached_property
    def brief(self) -> Brief:
        """All that there is to a completion is the text before it."""
        opening = Opening()
        opening.add(self.prompt)
        text = self.prompt + (self.suffix or "")
        return Brief(
            user_text=cut(self.prompt).strip(),
            input_bytes=len(text.encode("utf-8", "surrogatepass")),
            opening=opening.digest(),
            output_tokens=self.max_output_tokens,
        )


def from_completions_request(body: bytes) -> CompletionsRequest:
    """Raises `UnusableRequest`."""
    asked, fields = read_body(body, _read_completion, max_depth=MAX_DEPTH)
    prompt = _only_prompt(asked.prompt)
    for name, count in (("n", asked.n), ("best_of", asked.best_of)):
        if count not in {None, 1}:
            raise _unsupported(f"`{name}` must be 1: one prompt has one answer.", name)
    return CompletionsRequest(
        model=asked.model,
        is_stream=bool(asked.stream),
        wants_usage=asked.stream_options is not None and bool(asked.stream_options.include_usage),
        prompt=prompt,
        suffix=asked.suffix or None,
        max_output_tokens=asked.max_tokens,
        sampling=_sampling(asked),
        forwarded={name: raw for name, raw in fields.items() if name in _FORWARDED and not is_null(raw)},
        ignored=shown_in_header(name for name in fields if name not in _FORWARDED and name not in _OURS),
        echo=prompt if asked.echo else "",
    )


def to_prompt(request: CompletionsRequest) -> Prompt:
    """The request for a target of another format, without what nobody else takes."""
    return Prompt(
        items=(Message("user", (Text(request.prompt),)),),
        max_output_tokens=request.max_output_tokens,
        sampling=request.sampling,
    )


def _only_prompt(prompt: str | Sequence[msgspec.Raw]) -> str:
    if isinstance(prompt, str):
        return prompt
    try:
        (only,) = prompt
        return _read_text.decode(only)
    except msgspec.ValidationError:
        raise _unsupported("`prompt` must be text: token ids belong to one model.", "prompt") from None
    except msgspec.DecodeError:
        raise UnusableRequest(NOT_JSON, code="invalid_json") from None
    except ValueError:
        raise _unsupported("`prompt` must be one string, or a list of exactly one.", "prompt") from None


def _unsupported(message: str, param: str) -> UnusableRequest:
    return UnusableRequest(message, code="unsupported_value", param=param)


def _sampling(asked: AskedCompletion) -> Sampling:
    stop = [asked.stop] if isinstance(asked.stop, str) else asked.stop or []
    return Sampling(
        temperature=asked.temperature,
        top_p=asked.top_p,
        presence_penalty=asked.presence_penalty,
        frequency_penalty=asked.frequency_penalty,
        seed=asked.seed,
        stop=tuple([text for text in stop if text]),
    )
