"""The OpenAPI document as readers see it: operations by their id, headers, and the named schemas."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from gateway import openapi
from gateway.portal.documentation.markdown import inline, slug
from gateway.portal.documentation.schemas import (
    Node,
    Property,
    Shape,
    description,
    links_of,
    properties_of,
    schema_name,
    shape,
    type_of,
)

# Above the operations that need no order of their own: those that answer come first.
_TAGS = {
    "chat": "Chat completions",
    "responses": "Responses",
    "completions": "Completions",
    "models": "Models",
    "usage": "Usage",
    "receipts": "Receipts",
}
_CODE = re.compile(r"`(\w+)`")


@dataclass(frozen=True, slots=True)
class Parameter:
    """Of the path, the query or the headers."""

    name: str
    place: str
    type: str
    is_required: bool
    text: str


@dataclass(frozen=True, slots=True)
class Body:
    """JSON that goes in or out: the named schema that it is, and its fields."""

    kind: str
    type: str
    links: tuple[str, ...]
    text: str
    properties: tuple[Property, ...]


@dataclass(frozen=True, slots=True)
class Failure:
    """A status that an operation can end with, and the codes that it carries then."""

    status: str
    codes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Operation:
    """One method of one path."""

    id: str
    tag: str
    method: str
    path: str
    summary: str
    text: str
    parameters: tuple[Parameter, ...]
    takes: tuple[Body, ...]
    gives: tuple[Body, ...]
    failures: tuple[Failure, ...]

    @property
    def anchor(self) -> str:
        return slug(self.id)


@dataclass(frozen=True, slots=True)
class Group:
    """Operations that belong together."""

    title: str
    operations: tuple[Operation, ...]

    @property
    def anchor(self) -> str:
        return slug(self.title)


@dataclass(frozen=True, slots=True)
class Header:
    """A header of our answers. `statuses` is empty when every answer has it."""

    name: str
    statuses: tuple[str, ...]
    text: str


@dataclass(frozen=True, slots=True)
class Reference:
    """All of it. Operations are in the order of the page."""

    document: Node
    operations: tuple[Operation, ...]
    headers: tuple[Header, ...]
    schemas: tuple[Shape, ...]

    def operation(self, name: str) -> Operation:
        """Raises `KeyError`."""
        for operation in self.operations:
            if operation.id == name:
                return operation
        raise KeyError(name)

    @property
    def groups(self) -> list[Group]:
        titles = dict.fromkeys(operation.tag for operation in self.operations)
        return [Group(title, tuple(one for one in self.operations if one.tag == title)) for title in titles]


def read_reference() -> Reference:
    document = openapi.document()
    named = document["components"]["schemas"]
    found = [
        _operation(path, method, node, named)
        for path, methods in document["paths"].items()
        for method, node in methods.items()
    ]
    titles = list(_TAGS.values())
    return Reference(
        document=document,
        operations=tuple(
            sorted(found, key=lambda operation: (titles.index(operation.tag), operation.method != "POST"))
        ),
        headers=_headers(document),
        schemas=tuple(shape(name, node) for name, node in named.items()),
    )


def _operation(path: str, method: str, node: Node, named: Mapping[str, Node]) -> Operation:
    answers = node["responses"]
    return Operation(
        id=node["operationId"],
        tag=_TAGS[node["tags"][0]],
        method=method.upper(),
        path=path,
        summary=node["summary"],
        text=inline(node.get("description", "")),
        parameters=tuple(_parameter(parameter) for parameter in node.get("parameters", ())),
        takes=_bodies(node.get("requestBody", {}), named),
        gives=tuple(body for status, answer in answers.items() if status < "400" for body in _bodies(answer, named)),
        failures=tuple(
            Failure(status, tuple(_CODE.findall(answer["description"])))
            for status, answer in sorted(answers.items())
            if status >= "400"
        ),
    )


def _parameter(node: Node) -> Parameter:
    schema = node["schema"]
    text = inline(node["description"]) if node.get("description") else ""
    bounds = description({key: value for key, value in schema.items() if key not in ("description", "title")})
    return Parameter(node["name"], node["in"], type_of(schema), bool(node.get("required")), text + bounds)


def _bodies(node: Node, named: Mapping[str, Node]) -> tuple[Body, ...]:
    return tuple(_body(kind, content.get("schema", {}), named) for kind, content in node.get("content", {}).items())


def _body(kind: str, schema: Node, named: Mapping[str, Node]) -> Body:
    resolved = named[schema_name(schema)] if "$ref" in schema else schema
    links = links_of(resolved) if not resolved.get("properties") else links_of(schema)
    return Body(kind, type_of(schema), links, description(resolved), properties_of(resolved))


def _headers(document: Node) -> tuple[Header, ...]:
    """With the statuses that a header comes with, over all operations."""
    statuses: dict[str, set[str]] = {}
    every: set[str] = set()
    for methods in document["paths"].values():
        for node in methods.values():
            for status, answer in node["responses"].items():
                every.add(status)
                for name in answer["headers"]:
                    statuses.setdefault(name, set()).add(status)
    return tuple(
        Header(
            name,
            () if statuses[name] == every else tuple(sorted(statuses[name])),
            inline(node["description"]),
        )
        for name, node in document["components"]["headers"].items()
    )
