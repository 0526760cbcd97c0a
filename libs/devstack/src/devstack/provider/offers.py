"""The tools that a request offers to the model, in whichever format it is written."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from devstack.provider.http import Request
from devstack.provider.payload import JsonObject, object_at, objects, text_at

# The kinds that OpenAI gives a type of their own; their name is their type.
_NAMELESS = ("local_shell", "shell", "apply_patch")


@dataclass(frozen=True, slots=True)
class Offer:
    """A tool that the model may call. `kind`: function, custom, local_shell, shell or apply_patch."""

    name: str
    kind: str = "function"
    namespace: str | None = None
    parameters: JsonObject = field(default_factory=dict)

    @property
    def flat(self) -> str:
        """The name that a function of a namespace has outside of it."""
        return self.name if self.namespace is None else f"{self.namespace}__{self.name}"

    @property
    def properties(self) -> JsonObject:
        """The arguments that its schema knows."""
        return object_at(self.parameters, "properties")

    @property
    def required(self) -> list[str]:
        """The arguments that its schema requires."""
        names = self.parameters.get("required")
        return [name for name in names if isinstance(name, str)] if isinstance(names, list) else []


def offers(request: Request) -> list[Offer]:
    """All tools that the model itself can call; the ones that a provider runs (web search …) are none.

    Nothing is on offer to a request that forbids calls, whatever it declares for the history's sake.
    """
    if request.json.get("tool_choice") in ("none", {"type": "none"}):
        return []
    tools = objects(request.json.get("tools"))
    if request.format == "responses":
        for item in objects(request.json.get("input")):
            if item.get("type") == "additional_tools":
                tools += objects(item.get("tools"))
        return list(_flat(tools))
    if request.format == "anthropic":
        return [Offer(text_at(tool, "name"), parameters=object_at(tool, "input_schema")) for tool in tools]
    return [_nested(tool) for tool in tools]


def offer_named(found: Iterable[Offer], name: str) -> Offer | None:
    """The one with this name, inside a namespace or not, or whose flat name it is."""
    candidates = list(found)
    exact = (offer for offer in candidates if offer.flat == name)
    return next(exact, None) or next((offer for offer in candidates if offer.name == name), None)


def _nested(tool: JsonObject) -> Offer:
    kind = "custom" if tool.get("type") == "custom" else "function"
    declared = object_at(tool, kind)
    return Offer(text_at(declared, "name"), kind, parameters=object_at(declared, "parameters"))


def _flat(tools: Iterable[JsonObject], namespace: str | None = None) -> Iterator[Offer]:
    for tool in tools:
        kind = text_at(tool, "type")
        if kind == "namespace":
            yield from _flat(objects(tool.get("tools")), text_at(tool, "name"))
        elif kind in ("function", "custom"):
            yield Offer(text_at(tool, "name"), kind, namespace, object_at(tool, "parameters"))
        elif kind in _NAMELESS:
            yield Offer(kind, kind, namespace)
