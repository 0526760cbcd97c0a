"""What a strict provider finds wrong with a request, in the format that it came in; nothing when it would be answered.

The rules are those that real providers answer with 400, the stricter one where they differ. Each module's docstring
names those of its format.
"""

from devstack.provider.http import Request
from devstack.provider.strictness import anthropic, chat, completions, responses
from devstack.provider.strictness.checks import Rules

__all__ = ["Rules", "complaints"]


def complaints(request: Request, rules: Rules) -> list[str]:
    """All that is wrong, each with the place where."""
    body = request.json
    if not body:
        return ["the body is not a JSON object"]
    found = [] if request.model else ["model: required"]
    if request.format == "responses":
        return [*found, *responses.complaints(body, rules)]
    if request.format == "anthropic":
        return [*found, *anthropic.complaints(request, rules)]
    if request.format == "completions":
        return [*found, *completions.complaints(body)]
    return [*found, *chat.complaints(body, rules)]
