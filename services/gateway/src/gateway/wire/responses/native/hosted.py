"""Tools that a provider runs by itself, with what its account holder keeps there: files, containers, connectors.

That account is the operator's. A customer who named them could read what others have left there, or have the provider
call an address in the operator's name; so they are withheld, also from targets that know them. A search of the web
reaches nothing of the kind and is passed on.
"""

from collections.abc import Mapping, Sequence
from typing import Any

_WITHHELD = frozenset({"file_search", "code_interpreter", "image_generation", "mcp"})
_WITHHELD_FAMILY = "computer"

Tool = Mapping[str, Any]


def is_withheld(tool: Tool) -> bool:
    """Whether a tool works with the operator's account. A shell in a container of the provider does, too."""
    kind = str(tool.get("type"))
    environment = tool.get("environment")
    if kind == "shell" and isinstance(environment, dict):
        return environment.get("type") != "local"
    return kind in _WITHHELD or kind.startswith(_WITHHELD_FAMILY)


def passed(tools: Sequence[Any]) -> list[Any]:
    """The tools that a target of the same format gets."""
    return [tool for tool in tools if not (isinstance(tool, dict) and is_withheld(tool))]


def withheld_names(tools: Sequence[Any]) -> tuple[str, ...]:
    """What is said of the others: `tools.<type>`."""
    kinds = (f"tools.{tool['type']}" for tool in tools if isinstance(tool, dict) and is_withheld(tool))
    return tuple(dict.fromkeys(kinds))
