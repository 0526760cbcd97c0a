"""What a response object says of its request."""

from collections.abc import Mapping, Sequence
from typing import Any

_DEFAULTS: Mapping[str, Any] = {
    "background": False,
    "instructions": None,
    "max_output_tokens": None,
    "max_tool_calls": None,
    "parallel_tool_calls": True,
    "previous_response_id": None,
    "prompt_cache_key": None,
    "safety_identifier": None,
    "service_tier": "auto",
    "store": True,
    "temperature": 1.0,
    "tool_choice": "auto",
    "top_logprobs": 0,
    "top_p": 1.0,
    "truncation": "disabled",
    "user": None,
}
# What a client has to tell a hosted tool so that it can act for its user. It is not said back, and so never stored.
_SECRET = frozenset({"authorization", "headers"})


def to_echo(fields: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a response object that repeat those of its request, which has been checked."""
    echo = {name: fields.get(name, default) for name, default in _DEFAULTS.items()}
    text, reasoning = fields.get("text", {}), fields.get("reasoning", {})
    return {
        **echo,
        "metadata": dict(fields.get("metadata", {})),
        "reasoning": {"effort": reasoning.get("effort"), "summary": reasoning.get("summary")},
        "text": {"format": text.get("format") or {"type": "text"}, "verbosity": text.get("verbosity") or "medium"},
        "tools": _echoed_tools(fields.get("tools", ())),
    }


def _echoed_tools(tools: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The tools as declared; strict clients miss the two fields of functions that may be left out."""
    echoed = []
    for tool in tools:
        kept = {name: value for name, value in tool.items() if name not in _SECRET}
        echoed.append({"parameters": None, "strict": None, **kept} if tool.get("type") == "function" else kept)
    return echoed
