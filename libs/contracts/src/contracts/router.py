"""What the router is asked: where a request should go, and in which words it says why."""

from decimal import Decimal
from typing import Annotated, Literal
from uuid import UUID

from pydantic import Field, TypeAdapter

from contracts.endpoint import Message, Rpc, unread_as
from contracts.failures import Failure

RequestClass = Literal[
    "tools",
    "images",
    "long_context",
    "choice",
    "code",
    "maths",
    "translation",
    "summary",
    "extraction",
    "other_language",
    "chat",
    "unknown",
]
"""What a request is about, by cheap rules: what outcomes are learnt by. `unknown`: nobody has looked."""

Need = Literal["tools", "parallel_calls", "images", "schema"]
"""What a request cannot do without, and some targets do not have."""

Lock = Literal["none", "model", "target"]
"""What must not change: nothing, the model (it is in the middle of its tool calls), the target (it holds its state)."""

Tier = Literal["light", "strong"]
"""The two tiers of a profile: the cheaper targets, and those that the strong budget pays for."""

Rule = Literal[
    "provider_state",
    "tool_loop",
    "capability",
    "single_tier",
    "budget",
    "session",
    "class_outcomes",
    "difficulty",
    "balance",
    "last_plan",
]
"""What decided the tier, the strongest first.

`provider_state`, `tool_loop`: the target or model that has begun goes on. `capability`: only one tier has targets that
can take the request now. `single_tier`: the profile has one tier. `budget`: it is 0 or 1, or sessions alone would spend
more than it. `session`: the session's tier is kept. `class_outcomes`: what was learnt of requests of this class.
`difficulty`: the estimate for this prompt.
`balance`: nothing is known of the prompt, and the budget alone decides. `last_plan`: the router was silent, and the
gateway went by the last answer for such requests.
"""

Placement = Literal["order", "pinned", "probe", "affinity", "cost"]
"""How the first target was found in its tier: the configured order, what served before, one that is tried again after
its failures, the place of the session, the lowest cost."""


class Features(Message):
    """What routing may know of a request: counts, kinds and one estimate, never text.

    `difficulty` is the estimated probability, 0 to 1, that a light model fails; None: nothing to estimate it from.
    `input_tokens` is a careful estimate (bytes ÷ 3), `output_tokens` the cap that was asked for. `is_reasoning`: it
    asks for thoughts, so its first byte takes longer.
    """

    request_class: Annotated[RequestClass, unread_as("unknown")] = "unknown"
    difficulty: float | None = None
    input_tokens: int = 0
    output_tokens: int | None = None
    needs: tuple[Need, ...] = ()
    is_reasoning: bool = False


class Choose(Message):
    """Choose upstream targets for a request that asks for `alias` under `plan`.

    `affinity` are opaque keys of what the request belongs to, the closest first: its turn, its session. `session` is
    the last of them when there is one: requests of a session find the same target, so that prompt caches survive.
    `lock` says what must not change, and `served_by` what the gateway itself remembers of who served it last. The first
    byte of an answer that is not streamed (`is_stream`) is its last: it takes as long as all of it. `may_leave_state`:
    when the target that it is bound to is no more in the profile, or cannot take it, any other may serve, without that
    one's state; so it is where no tool calls are open.
    """

    request_id: UUID
    plan: str
    alias: str
    affinity: tuple[str, ...] = ()
    session: str | None = None
    features: Features = Features()
    lock: Lock = "none"
    served_by: str | None = None
    is_stream: bool = True
    may_leave_state: bool = False


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
    `thinks_adaptively`: an Anthropic model that decides how long it thinks. `takes_cache_key`: it is sent keys of ours.
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
    takes_cache_key: bool = False


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


class Route(Message):
    """Why a request goes where it goes, in words that name no provider: customers may be told.

    `candidates` are the targets of the plan, `considered` those of the profile that it was made from.
    """

    profiles_version: int
    request_class: RequestClass
    tier: Tier
    rule: Rule
    placement: Placement
    candidates: int
    considered: int


class Chosen(Message):
    """The effective alias and the plan of the request: at most three targets, best first; the next one is for when the
    one before it fails.

    `first_byte_seconds` is how long each candidate may take to its first byte, in their order; empty: their own
    time-outs hold. `hedge_after_seconds`: when the second one may be called beside a first one that is silent; None:
    never. `bucket` is the kind of request that latencies are compared within: attempts are reported with it.
    """

    outcome: Literal["chosen"] = "chosen"
    alias: str
    plans_version: int
    profiles_version: int
    candidates: tuple[Candidate, ...]
    first_byte_seconds: tuple[float, ...] = ()
    hedge_after_seconds: float | None = None
    bucket: int = 0
    route: Annotated[Route | None, unread_as(None)] = None


class Unroutable(Message):
    """`no_target`: no target of the profile can take the request, or the one that it is bound to is no more."""

    outcome: Literal["unroutable"] = "unroutable"
    reason: Literal["unknown_alias", "unknown_plan", "no_target"]
    lacks: tuple[Need | Literal["context", "output", "region", "state"], ...] = ()


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
