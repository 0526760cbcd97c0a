"""Whom and what files are made for: the endpoint, the alias, and what is known of it."""

from dataclasses import dataclass

from contracts.plans import Plan
from contracts.router import AliasCard
from gateway.codex import ASSUMED_WINDOW

# Where all generated files and programs read the token from.
TOKEN_VARIABLE = "SMARTROUTE_TOKEN"
# Where nobody has said how long an answer may be: room for a file of some hundred lines.
ASSUMED_OUTPUT = 8_192


@dataclass(frozen=True, slots=True)
class Subject:
    """`is_measured` tells whether the window is that of the models, or one that is true of most."""

    origin: str
    base_url: str
    alias: str
    name: str
    context_window: int
    output_tokens: int
    takes_images: bool
    is_measured: bool

    @property
    def input_tokens(self) -> int:
        """What is left of the window for the input, for clients that ask for the two apart."""
        return self.context_window - self.output_tokens


def subject_of(origin: str, base_url: str, plan: Plan, card: AliasCard | None) -> Subject:
    """The files' subject for the alias of a plan. An answer never takes more than a quarter of an assumed size."""
    window = card.context_window if card is not None and card.context_window else ASSUMED_WINDOW
    output = card.max_output_tokens if card is not None and card.max_output_tokens else ASSUMED_OUTPUT
    return Subject(
        origin=origin,
        base_url=base_url,
        alias=plan.alias,
        name=plan.public_name,
        context_window=window,
        output_tokens=min(output, max(window // 4, 1)),
        takes_images=card is not None and card.takes_images,
        is_measured=card is not None and card.context_window is not None,
    )
