"""The closed sets of receipts in words: how a request ended, and which way it went."""

from collections.abc import Mapping

from contracts.outcomes import Outcome
from contracts.router import Placement, RequestClass, Rule

OUTCOMES: Mapping[Outcome, str] = {
    Outcome.REJECTED_AUTH: "Token not valid",
    Outcome.REJECTED_REQUEST: "Not accepted",
    Outcome.REJECTED_QUOTA: "Allowance spent",
    Outcome.REJECTED_SPEED: "Too fast",
    Outcome.COMPLETED: "Completed",
    Outcome.CONTINUATION: "Continuation",
    Outcome.EMPTY: "Empty answer",
    Outcome.UPSTREAM_UNAVAILABLE: "No model reached",
    Outcome.UPSTREAM_BROKEN: "Broke off",
    Outcome.CLIENT_GONE_EARLY: "Left early",
    Outcome.CLIENT_GONE_LATE: "Left during the answer",
    Outcome.GATEWAY_SHUTDOWN: "Stopped by us",
    Outcome.EXPIRED: "Lost by us",
    Outcome.REPLAY: "Replay",
}

# The look of a badge: what went as it should, what the client ended, what went wrong.
BADGES: Mapping[Outcome, str] = {
    Outcome.REJECTED_AUTH: "bad",
    Outcome.REJECTED_REQUEST: "bad",
    Outcome.REJECTED_QUOTA: "warn",
    Outcome.REJECTED_SPEED: "warn",
    Outcome.COMPLETED: "good",
    Outcome.CONTINUATION: "good",
    Outcome.EMPTY: "warn",
    Outcome.UPSTREAM_UNAVAILABLE: "bad",
    Outcome.UPSTREAM_BROKEN: "bad",
    Outcome.CLIENT_GONE_EARLY: "plain",
    Outcome.CLIENT_GONE_LATE: "plain",
    Outcome.GATEWAY_SHUTDOWN: "bad",
    Outcome.EXPIRED: "bad",
    Outcome.REPLAY: "plain",
}

CLASSES: Mapping[RequestClass, str] = {
    "tools": "tool use",
    "images": "images",
    "long_context": "a long input",
    "choice": "a choice",
    "code": "code",
    "maths": "mathematics",
    "translation": "translation",
    "summary": "a summary",
    "extraction": "extraction",
    "other_language": "a language other than English",
    "chat": "conversation",
    "unknown": "not looked at",
}

RULES: Mapping[Rule, str] = {
    "provider_state": "The provider that began keeps its state, so it went on there.",
    "tool_loop": "It is in the middle of its tool calls, so the model that began went on.",
    "capability": "Only this tier has models that can take such a request.",
    "single_tier": "There is only one tier.",
    "budget": "The share of the strong tier is none, or all.",
    "session": "The session keeps its tier.",
    "class_outcomes": "Requests of this kind went well there before.",
    "difficulty": "How hard the prompt seemed.",
    "balance": "Nothing was known of the prompt, so the share of the strong tier decided.",
    "last_plan": "The router was silent, so it went as such a request went before.",
}

PLACEMENTS: Mapping[Placement, str] = {
    "order": "The first one of the configured order.",
    "pinned": "The one that served before.",
    "probe": "One that had failed was tried again.",
    "affinity": "The place of the session, where its prompts are cached.",
    "cost": "The lowest of waiting and price.",
}
