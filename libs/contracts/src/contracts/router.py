"""What the router is asked: where a request should go."""

from decimal import Decimal
from typing import Annotated, Literal
from uuid import UUID

from pydantic import Field, TypeAdapter

from contracts.endpoint import Message, Rpc
from contracts.failures import Failure


class Choose(Message):
    """Choose upstream targets for a request that asks for `alias` under `plan`.

    `affinity` are opaque keys of what the request belongs to, the closest first: its turn, its session. The target that
    last served one of them comes first again while it is healthy.
    """

    request_id: UUID
    plan: str
    alias: str
    affinity: tuple[str, ...] = ()


class Timeouts(Message):
    """Seconds: to open a connection, to the first byte of the answer, and of silence between bytes."""

    connect_seconds: float = 5.0
    first_byte_seconds: float = 120.0
    silence_seconds: float = 120.0


class ParameterPolicy(Message):
    """What a target cannot take: request fields to drop, to rename, and to cap (all by their chat name)."""

    drop: tuple[str, ...] = ()
    rename: dict[str, str] = Field(default_factory=dict)
    max_output_tokens: int | None = None


Format = Literal["chat", "responses", "completions", "anthropic"]


class Dialect(Message):
    """What a target's format lacks or wants.

    `system_role`: what instructions are called, `user` where a template has neither of the others. `merges_system`: one
    system message only, and that first. `takes_parallel_calls`: several tool calls at once. `output_cap_field`: the
    name of the cap in chat requests. `replays_reasoning`: thoughts are sent back with the tool calls they led to.
    `thinks_adaptively`: an Anthropic model that decides itself how long it thinks.
    """

    system_role: Literal["developer", "system", "user"] = "system"
    merges_system: bool = True
    takes_tools: bool = True
    takes_parallel_calls: bool = True
    output_cap_field: Literal["max_tokens", "max_completion_tokens"] = "max_tokens"
    replays_reasoning: bool = False
    takes_images: bool = True
    takes_schema: bool = True
    thinks_adaptively: bool = False


class Prices(Message):
    """What the provider charges per million tokens, for staff's figures. Output includes reasoning."""

    currency: str
    input_per_million: Decimal
    cached_input_per_million: Decimal | None = None
    output_per_million: Decimal


class Candidate(Message):
    """One upstream target. Never shown to a customer.

    `key` is a reference (`env:NAME` or `file:/path`), resolved by the gateway: secrets do not travel on the bus.
    """

    target: str
    base_url: str
    model: str
    key: str | None
    format: Format = "chat"
    dialect: Dialect = Dialect()
    context_window: int | None = None
    parameters: ParameterPolicy = ParameterPolicy()
    timeouts: Timeouts = Timeouts()
    prices: Prices | None = None


class Chosen(Message):
    """The effective alias and its targets, best first; the next one is for when the one before it fails."""

    outcome: Literal["chosen"] = "chosen"
    alias: str
    plans_version: int
    profiles_version: int
    candidates: tuple[Candidate, ...]


class Unroutable(Message):
    outcome: Literal["unroutable"] = "unroutable"
    reason: Literal["unknown_alias", "unknown_plan", "no_target"]


ChooseReply = Chosen | Unroutable | Failure

CHOOSE: Rpc[Choose, ChooseReply] = Rpc(
    subject="router.v1.choose",
    request=Choose,
    reply=TypeAdapter(Annotated[ChooseReply, Field(discriminator="outcome")]),
    description="The ordered upstream targets of a request, by plan and alias.",
    asked_by=("gateway",),
)


class Describe(Message):
    """Ask what can be expected of every alias, or of one."""

    alias: str | None = None


class AliasCard(Message):
    """What an alias can do, whichever of its targets serves: windows in tokens, of the smallest target; None: unknown.

    What at least one of its targets takes, the alias takes: requests that need it go there.
    """

    alias: str
    context_window: int | None
    max_output_tokens: int | None
    takes_tools: bool
    takes_parallel_calls: bool
    takes_images: bool
    takes_schema: bool
    replays_reasoning: bool


class Described(Message):
    outcome: Literal["described"] = "described"
    profiles_version: int
    cards: tuple[AliasCard, ...]


DescribeReply = Described | Failure

DESCRIBE: Rpc[Describe, DescribeReply] = Rpc(
    subject="router.v1.describe",
    request=Describe,
    reply=TypeAdapter(Annotated[DescribeReply, Field(discriminator="outcome")]),
    description="What every alias can do, for the list of models.",
    asked_by=("gateway",),
)
