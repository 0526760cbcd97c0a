"""The model catalogue that Codex CLI reads (`model_catalog_json`): our aliases with their true windows.

The fields are those of `ModelInfo` in Codex's protocol crate (openai/codex, codex-rs/protocol/src/openai_models.rs). Of
a model that is not in a catalogue Codex assumes a window of its own, and offers no tool for patches.
"""

from importlib import resources
from typing import Any

from contracts.plans import Plan
from contracts.router import AliasCard

# Where nobody has said how large a window is: small enough to be true of most models that agents run on.
ASSUMED_WINDOW = 128_000
# Of one tool's output, in tokens: what Codex cuts off is gone for the model.
OUTPUT_TOKENS = 10_000

_EFFORTS = {
    "low": "Quick answers with little thought",
    "medium": "The usual balance of speed and depth",
    "high": "More thought for harder tasks",
}

INSTRUCTIONS = resources.files("gateway").joinpath("codex_instructions.md").read_text(encoding="utf-8")


def model_catalog(plans: list[tuple[Plan, AliasCard | None]]) -> dict[str, Any]:
    """The whole file: `{"models": [...]}`, the strongest alias first."""
    return {"models": [_model(plan, card, place) for place, (plan, card) in enumerate(reversed(plans), start=1)]}


def _model(plan: Plan, card: AliasCard | None, place: int) -> dict[str, Any]:
    window = card.context_window if card is not None and card.context_window else ASSUMED_WINDOW
    takes_images = card is None or card.takes_images
    return {
        "slug": plan.alias,
        "display_name": plan.public_name,
        "description": plan.best_fit,
        "default_reasoning_level": "medium",
        "supported_reasoning_levels": [{"effort": effort, "description": text} for effort, text in _EFFORTS.items()],
        "shell_type": "shell_command",
        "visibility": "list",
        "supported_in_api": True,
        "priority": place,
        "upgrade": None,
        "availability_nux": None,
        "base_instructions": INSTRUCTIONS,
        "supports_reasoning_summaries": True,
        "support_verbosity": False,
        "default_verbosity": None,
        "apply_patch_tool_type": "freeform",
        "truncation_policy": {"mode": "tokens", "limit": OUTPUT_TOKENS},
        "supports_parallel_tool_calls": card is None or card.takes_parallel_calls,
        "context_window": window,
        "effective_context_window_percent": 95,
        "experimental_supported_tools": [],
        "input_modalities": ["text", "image"] if takes_images else ["text"],
    }
