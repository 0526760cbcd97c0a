"""The shape of profiles.yaml: upstream targets, and the public aliases that are served by them.

The file names keys, it does not hold them: `env:NAME` or `file:/path` is resolved by the gateway, in its own
environment. Everything here is checked when the file is loaded, so that a request never meets a mistake in it.
"""

from collections.abc import Mapping
from decimal import Decimal
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from contracts.plans import Name
from contracts.router import Candidate, Dialect, Format, ParameterPolicy, Prices, Timeouts

MAX_TARGETS = 16

# The gateway needs these in every request; a target that cannot take them is none.
_INDISPENSABLE = frozenset({"model", "messages", "input", "prompt", "stream"})


def _checked_base_url(value: str) -> str:
    if any(character.isspace() or not character.isprintable() for character in value):
        raise ValueError("spaces and control characters do not belong in a URL")
    parts = urlsplit(value)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("needs to be http:// or https:// with a host")
    if parts.username is not None or parts.password is not None:
        raise ValueError("must not carry credentials: name them in `key`")
    if parts.query or parts.fragment:
        raise ValueError("must end with its path: no query, no fragment")
    if parts.port == 0:  # the property itself refuses a port that is no number
        raise ValueError("port 0 is no port")
    return value.rstrip("/")


BaseUrl = Annotated[
    str,
    AfterValidator(_checked_base_url),
    Field(description="Where `/chat/completions` (`/responses`, …) is appended, as in https://api.example.com/v1"),
]
KeyReference = Annotated[
    str,
    Field(
        pattern=r"^(env:[A-Za-z_][A-Za-z0-9_]*|file:/[^\s]+)$",
        description="Where the gateway finds the provider's key: env:NAME or file:/absolute/path",
    ),
]
FieldName = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]
Seconds = Annotated[float, Field(gt=0, le=3600)]


Price = Annotated[Decimal, Field(ge=0, le=1_000_000, max_digits=16, decimal_places=8)]


class _Section(BaseModel):
    # A misspelt key must fail the load, not silently mean the default.
    model_config = ConfigDict(frozen=True, extra="forbid")


class TargetParameters(_Section):
    """What the target cannot take: top-level request fields to drop and to rename, by the names of its format, and the
    most tokens that it writes."""

    drop: tuple[FieldName, ...] = ()
    rename: dict[FieldName, FieldName] = Field(default_factory=dict)
    max_output_tokens: Annotated[int, Field(ge=1)] | None = None

    @model_validator(mode="after")
    def _keeps_the_indispensable(self) -> Self:
        touched = _INDISPENSABLE & {*self.drop, *self.rename, *self.rename.values()}
        if touched:
            raise ValueError(f"cannot drop or rename {', '.join(sorted(touched))}")
        return self


class TargetDialect(_Section):
    """What the target's model or server lacks or wants, beside its format.

    The defaults suit most servers of open models. OpenAI's own API: `system_role: developer`, `merges_system: false`,
    `output_cap_field: max_completion_tokens`.
    """

    system_role: Annotated[
        Literal["developer", "system", "user"],
        Field(description="What instructions are called; `user` for templates that know no other role"),
    ] = "system"
    merges_system: Annotated[
        bool, Field(description="Only one system message, and that first: all are joined into one")
    ] = True
    takes_tools: Annotated[bool, Field(description="False: requests with tools go to other targets")] = True
    takes_parallel_calls: Annotated[bool, Field(description="False: one tool call at a time")] = True
    output_cap_field: Annotated[
        Literal["max_tokens", "max_completion_tokens"], Field(description="The cap's name in chat requests")
    ] = "max_tokens"
    replays_reasoning: Annotated[
        bool, Field(description="Thoughts have to be sent back with the tool calls that they led to")
    ] = False
    takes_images: Annotated[bool, Field(description="False: requests with images go to other targets")] = True
    takes_schema: Annotated[bool, Field(description="False: structured output goes to other targets")] = True
    thinks_adaptively: Annotated[
        bool, Field(description="Anthropic's newer models: they decide themselves how long they think")
    ] = False


class TargetTimeouts(_Section):
    """Seconds: to open a connection, to the first byte of the answer, and of silence between bytes."""

    connect_seconds: Seconds = Timeouts().connect_seconds
    first_byte_seconds: Seconds = Timeouts().first_byte_seconds
    silence_seconds: Seconds = Timeouts().silence_seconds


class TargetPrices(_Section):
    """What the provider charges per million tokens: for the ledger's cost, which only staff see.

    Without a price for cached input it costs as much as other input. Output includes reasoning.
    """

    currency: Annotated[str, Field(pattern=r"^[A-Z]{3}$", description="ISO 4217")]
    input_per_million: Price
    cached_input_per_million: Price | None = None
    output_per_million: Price


class Target(_Section):
    """One upstream provider and model. Never shown to a customer."""

    base_url: BaseUrl
    model: Annotated[str, Field(min_length=1, max_length=256)]
    key: KeyReference | None = None
    format: Annotated[
        Format,
        Field(description="What it speaks: OpenAI's chat completions, Responses or completions, Anthropic's Messages"),
    ] = "chat"
    dialect: TargetDialect = TargetDialect()
    context_window: Annotated[int, Field(ge=1, description="Tokens of input and output together")] | None = None
    parameters: TargetParameters = TargetParameters()
    timeouts: TargetTimeouts = TargetTimeouts()
    prices: TargetPrices | None = None

    def candidate(self, name: str) -> Candidate:
        """The target as the gateway is told of it."""
        return Candidate(
            target=name,
            base_url=self.base_url,
            model=self.model,
            key=self.key,
            format=self.format,
            dialect=Dialect(**self.dialect.model_dump()),
            context_window=self.context_window,
            parameters=ParameterPolicy(**self.parameters.model_dump()),
            timeouts=Timeouts(**self.timeouts.model_dump()),
            prices=Prices(**self.prices.model_dump()) if self.prices is not None else None,
        )


class Profile(_Section):
    """What serves one public alias: targets in the order to try them, best first."""

    targets: Annotated[tuple[Name, ...], Field(min_length=1, max_length=MAX_TARGETS)]


class Profiles(_Section):
    """The whole file. `version` is printed in every answer that was decided with it; raise it with every change."""

    version: Annotated[int, Field(ge=1)]
    targets: Annotated[Mapping[Name, Target], Field(min_length=1)]
    profiles: Annotated[Mapping[Name, Profile], Field(min_length=1)]

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        faults: list[str] = []
        for alias, profile in self.profiles.items():
            faults += [
                f"profile `{alias}` names `{target}`, which is no target of this file"
                for target in profile.targets
                if target not in self.targets
            ]
            if len(set(profile.targets)) != len(profile.targets):
                faults.append(f"profile `{alias}` names a target twice")
        if faults:
            raise ValueError("; ".join(faults))
        return self
