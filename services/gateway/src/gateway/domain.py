"""The rules of the gateway, as calculations: who calls, and what a request that is over owes and leaves behind."""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Context, Decimal, localcontext
from enum import StrEnum
from uuid import UUID

from contracts.gateway import Cost, TokenUsage, WindowAfter
from contracts.outcomes import Outcome
from contracts.quota import Window
from contracts.router import Prices

# Enough for every product of a price and a count: what is rounded is the sum, once.
_EXACT = Context(prec=60, rounding=ROUND_HALF_EVEN)
_COST_STEP = Decimal("1e-10")
_MILLION = Decimal(1_000_000)


@dataclass(frozen=True, slots=True)
class Caller:
    """Who a service token stands for."""

    account_id: UUID
    token_id: UUID
    scopes: frozenset[str]


class End(StrEnum):
    """What ended an admitted request, as it was seen from here."""

    ANSWERED = "answered"  # the model finished
    REFUSED = "refused"  # the model's provider says the request is at fault
    FAILED = "failed"  # no candidate left, or the one that had begun failed
    CLIENT_GONE = "client_gone"
    SHUTDOWN = "shutdown"  # we were told to stop, and the grace was over


def outcome_of(end: End, *, call: int, has_begun: bool, has_content: bool) -> Outcome:
    """The outcome of an admitted request (design.md §4).

    `call` is its place in the turn: those after the first ride on the prompt of the first, however they end.
    `has_begun` says whether anything of the answer has left for the client, `has_content` whether the model said
    anything: content, a refusal or a tool call.
    """
    if call > 1:
        return Outcome.CONTINUATION
    match end:
        case End.ANSWERED:
            return Outcome.COMPLETED if has_content else Outcome.EMPTY
        case End.REFUSED:
            return Outcome.REJECTED_REQUEST
        case End.FAILED:
            return Outcome.UPSTREAM_BROKEN if has_begun else Outcome.UPSTREAM_UNAVAILABLE
        case End.CLIENT_GONE:
            return Outcome.CLIENT_GONE_LATE if has_begun else Outcome.CLIENT_GONE_EARLY
        case End.SHUTDOWN:
            return Outcome.GATEWAY_SHUTDOWN


def window_after(window: Window, *, is_given_back: bool) -> WindowAfter:
    """The window as a request leaves it: as it was granted, with its own prompt used or given back."""
    back = 1 if is_given_back else 0
    return WindowAfter(
        limit=window.limit,
        used=window.used - back,
        remaining=window.remaining + back if window.remaining is not None else None,
        resets_at=window.resets_at,
    )


def cost_of(tokens: TokenUsage, prices: Prices | None) -> Cost | None:
    """What the provider charges, to ten decimals (half to even). None when the prices or the tokens are not known.

    Cached tokens are a part of the input; without a price of their own they cost what input costs.
    """
    if prices is None or tokens.source == "none":
        return None
    cached_price = prices.cached_input_per_million
    with localcontext(_EXACT):
        amount = (
            (tokens.input - tokens.cached_input) * prices.input_per_million
            + tokens.cached_input * (prices.input_per_million if cached_price is None else cached_price)
            + tokens.output * prices.output_per_million
        ) / _MILLION
        return Cost(amount=amount.quantize(_COST_STEP), currency=prices.currency)


def whole_seconds(seconds: float) -> int:
    """For `Retry-After`: rounded up, one at least."""
    return max(1, -int(-seconds // 1))


def binding_window(windows: Sequence[Window]) -> Window | None:
    """The window with the fewest prompts left; of two equal ones the one that resets later. None: all are unlimited."""
    limited = [window for window in windows if window.remaining is not None]
    if not limited:
        return None
    return min(limited, key=lambda window: (window.remaining or 0, -window.resets_at.timestamp()))


def spelled_duration(seconds: float) -> str:
    """A duration as OpenAI writes it in `x-ratelimit-reset-*`: `6h12m3s`, from whole seconds, rounded up."""
    whole = max(0, -int(-seconds // 1))
    hours, rest = divmod(whole, 3600)
    minutes, left = divmod(rest, 60)
    return (f"{hours}h" if hours else "") + (f"{minutes}m" if hours or minutes else "") + f"{left}s"
