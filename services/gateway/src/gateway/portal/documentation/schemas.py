"""Schemas of the OpenAPI document in words: what a value is, what it must keep to, and what is inside of it."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from gateway.portal.documentation.markdown import inline

# JSON of any shape: a schema of the OpenAPI document.
Node = Mapping[str, Any]

_ANY = "anything"
_BOUNDS = (
    ("minimum", "at least {}"),
    ("maximum", "at most {}"),
    ("minLength", "{} characters or more"),
    ("maxLength", "{} characters at most"),
    ("minItems", "{} or more"),
    ("maxItems", "{} at most"),
    ("maxProperties", "{} entries at most"),
    ("pattern", "matches `{}`"),
    ("format", "{}"),
)


@dataclass(frozen=True, slots=True)
class Property:
    """A field. `links` are the named schemas that it is made of, `inside` the fields of an object without a name."""

    name: str
    type: str
    is_required: bool
    text: str
    links: tuple[str, ...]
    inside: tuple["Property", ...]


@dataclass(frozen=True, slots=True)
class Shape:
    """A schema as a whole: an object with fields, or one of several schemas."""

    name: str
    type: str
    text: str
    properties: tuple[Property, ...]
    links: tuple[str, ...]


def shape(name: str, schema: Node) -> Shape:
    return Shape(name, type_of(schema), description(schema), properties_of(schema), links_of(schema))


def properties_of(schema: Node) -> tuple[Property, ...]:
    """The fields of an object, those of a list's items, or those of variants without a name."""
    if "items" in schema:
        return properties_of(schema["items"])
    found = [_property(name, node, schema.get("required", ())) for name, node in schema.get("properties", {}).items()]
    for variant in _variants(schema):
        found += properties_of(variant) if "$ref" not in variant else ()
    return tuple(found)


def description(schema: Node) -> str:
    """What is said of it, and its bounds, as HTML."""
    said = [str(schema["description"])] if schema.get("description") else []
    limits = [words.format(schema[key]) for key, words in _BOUNDS if key in schema]
    if schema.get("default") is not None:
        limits.append(f"default `{_literal(schema['default'])}`")
    if limits:
        bounds = ", ".join(limits)
        said.append(f"{bounds[0].upper()}{bounds[1:]}.")
    return inline("\n\n".join(said)) if said else ""


def type_of(schema: Node) -> str:
    """A schema's type in a few words; named schemas by their name."""
    if "$ref" in schema:
        return schema_name(schema)
    if "const" in schema:
        return f"always {_literal(schema['const'])}"
    if "enum" in schema:
        return "one of " + ", ".join(_literal(value) for value in schema["enum"])
    variants = _variants(schema)
    if variants:
        return " or ".join(dict.fromkeys(type_of(variant) for variant in variants))
    types = schema.get("type", _ANY)
    named = [_with_items(kind, schema) for kind in ([types] if isinstance(types, str) else types)]
    return " or ".join(named)


def links_of(schema: Node) -> tuple[str, ...]:
    """The named schemas that one refers to by itself, in a list or as a variant."""
    if "$ref" in schema:
        return (schema_name(schema),)
    inner = [*_variants(schema), *([schema["items"]] if "items" in schema else [])]
    return tuple(dict.fromkeys(name for node in inner for name in links_of(node)))


def schema_name(reference: Node) -> str:
    return str(reference["$ref"]).rpartition("/")[2]


def _property(name: str, schema: Node, required: Any) -> Property:
    return Property(
        name=name,
        type=type_of(schema),
        is_required=name in required,
        text=description(schema),
        links=links_of(schema),
        inside=properties_of(schema),
    )


def _variants(schema: Node) -> list[Node]:
    return [*schema.get("anyOf", ()), *schema.get("oneOf", ())]


def _with_items(kind: str, schema: Node) -> str:
    if kind != "array":
        return kind
    return f"list of {type_of(schema['items'])}" if "items" in schema else "list"


def _literal(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)
