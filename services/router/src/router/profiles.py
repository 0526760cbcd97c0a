"""The shape of profiles.yaml: upstream targets, and the public aliases that are served by them.

Seven aliases are seven vectors, not seven algorithms: how much of its requests a profile may send to its strong
targets, what a price weighs against time, whether a second target may be called beside a silent first one.

The file names keys, it does not hold them: `env:NAME` or `file:/path` is resolved by the gateway, in its own
environment. Everything here is checked when the file is loaded, so that a request never meets a mistake in it.
"""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from functools import cached_property
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from contracts.plans import Name
from contracts.router import Candidate, Dialect, Format, ParameterPolicy, Prices, Tier, Timeouts

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
    takes_cache_key: Annotated[
        bool,
        Field(description="It is sent `prompt_cache_key`, of our own making, so that sessions find their prompt cache"),
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
    model_family: Annotated[
        str | None,
        Field(
            min_length=1,
            max_length=256,
            description="Targets of one family are the same model at several providers: an agent's turn may go on at "
            "another one of them. Default: the model's name",
        ),
    ] = None
    is_reasoning: Annotated[bool, Field(description="It always thinks first: it gets a minute to its first byte")] = (
        False
    )
    region: Annotated[Name | None, Field(description="Where it processes data; see `regions` of a profile")] = None
    capacity: Annotated[
        int | None, Field(ge=1, description="Requests at once that it takes without queueing; 64 if not known")
    ] = None
    requests_per_minute: Annotated[
        int | None, Field(ge=1, description="The provider's limit: beyond it, others are asked first")
    ] = None

    @cached_property
    def per_token(self) -> tuple[float, float] | None:
        """Prices of one token of input and of output, for estimates; the ledger's costs are made of the exact ones."""
        if self.prices is None:
            return None
        return float(self.prices.input_per_million) / 1e6, float(self.prices.output_per_million) / 1e6

    @property
    def currency(self) -> str | None:
        """That of its prices."""
        return self.prices.currency if self.prices is not None else None

    @property
    def family(self) -> str:
        """What has to stay the same in the middle of a turn."""
        return self.model_family or self.model

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


class FirstByteDeadline(_Section):
    """When a target has taken too long and the next one is asked: a multiple of what 95 % of its answers take.

    Requests that ask for thoughts get a minute at least; the last target of a plan has its own time-out.
    """

    floor_seconds: Annotated[float, Field(gt=0, le=3600, description="At least this long")] = 3.0
    p95_factor: Annotated[float, Field(ge=1, le=100, description="So many times the 95th percentile")] = 6.0


class Profile(_Section):
    """What serves one public alias. Either `targets`, in a fixed order, or one or two tiers of equals."""

    targets: Annotated[
        tuple[Name, ...],
        Field(max_length=MAX_TARGETS, description="A fixed order, best first: the first one that is well serves"),
    ] = ()
    light: Annotated[
        tuple[Name, ...],
        Field(max_length=MAX_TARGETS, description="The cheaper targets; the cheapest at the moment serves"),
    ] = ()
    strong: Annotated[
        tuple[Name, ...], Field(max_length=MAX_TARGETS, description="The better targets, for the strong budget")
    ] = ()
    strong_budget: Annotated[
        float | None,
        Field(ge=0, le=1, description="The share of requests for the strong tier; needed when there are both tiers"),
    ] = None
    price_weight: Annotated[
        float, Field(ge=0, le=4, description="What a price weighs against time: 0 nothing, 2 as much as at OpenRouter")
    ] = 1.0
    may_hedge: Annotated[
        bool, Field(description="Call a second target when the first is silent: 1 % more calls, no long waits")
    ] = False
    affinity: Annotated[
        Literal["none", "session", "strong"],
        Field(description="How long a session stays with its target when others are quicker, for its prompt cache"),
    ] = "session"
    first_byte: FirstByteDeadline = FirstByteDeadline()
    regions: Annotated[
        tuple[Name, ...], Field(description="Only targets of these regions; empty: of all, and of none in particular")
    ] = ()

    @model_validator(mode="after")
    def _has_one_shape(self) -> Self:
        if self.targets and (self.light or self.strong):
            raise ValueError("has either `targets` or the tiers `light` and `strong`")
        if not self.members:
            raise ValueError("needs at least 1 target: in `targets`, `light` or `strong`")
        if self.has_both_tiers != (self.strong_budget is not None):
            raise ValueError("`strong_budget` is needed with both tiers, and means nothing with one")
        for names in (self.targets, self.light, self.strong):
            if len(set(names)) != len(names):
                raise ValueError("names a target twice")
        return self

    @cached_property
    def members(self) -> Sequence[str]:
        """All targets of the profile, each once."""
        return tuple(dict.fromkeys((*self.targets, *self.light, *self.strong)))

    @property
    def has_both_tiers(self) -> bool:
        return bool(self.light and self.strong)

    @property
    def budget(self) -> float:
        """The strong share that the profile is held to."""
        if self.strong_budget is not None:
            return self.strong_budget
        return 1.0 if self.strong else 0.0

    def tier(self, tier: Tier) -> Sequence[str]:
        """The targets of a tier. A fixed order counts as light."""
        return self.strong if tier == "strong" else (self.light or self.targets)

    def tier_of(self, target: str) -> Tier:
        """Of a target that is in both: light."""
        return "light" if target in self.light or target in self.targets else "strong"

    def tiers_of(self, target: str) -> tuple[Tier, ...]:
        """The tiers that a target is in: none, where the profile names an order."""
        members: tuple[tuple[Tier, Sequence[str]], ...] = (("light", self.light), ("strong", self.strong))
        return tuple(tier for tier, names in members if target in names)

    def session_tier_of(self, target: str) -> Tier | None:
        """What it says of a session that this target served it; nothing, if the target is in both tiers or none."""
        in_light, in_strong = target in self.light, target in self.strong
        if in_light == in_strong:
            return None
        return "strong" if in_strong else "light"


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
                for target in profile.members
                if target not in self.targets
            ]
        if faults:
            raise ValueError("; ".join(faults))
        return self
