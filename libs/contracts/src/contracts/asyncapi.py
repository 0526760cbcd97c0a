"""AsyncAPI 3.0 documents and JSON Schemas, made from the registry.

One document per service, because AsyncAPI speaks as one application: what the router receives, the gateway sends.
Schemas say what a receiver accepts. Each message has a file of its own, too, complete in itself.
Sources: AsyncAPI 3.0.0 specification, its NATS bindings 0.1.0, CloudEvents 1.0.2 JSON format.
"""

import importlib.metadata
from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import TypeAdapter

from contracts import cloudevents, registry, streams
from contracts.endpoint import Event, Rpc, Signal

SERVICES = ("gateway", "quota", "router", "billing")
JSON_SCHEMA = "https://json-schema.org/draft/2020-12/schema"

Schema = dict[str, Any]
_REFERENCE = "#/components/schemas/{model}"
_SUMMARIES = {
    "gateway": "takes requests of customers, asks for admission and for targets, tells how each request ended",
    "quota": "holds prompts in their day and month, and folds how requests ended",
    "router": "says which upstream targets serve a request, and learns how they do",
    "billing": "keeps subscriptions and the ledger of how requests ended",
}


def tellers(event: Event[Any]) -> tuple[str, ...]:
    """The services that tell an event, its owner first."""
    return owner(event.subject), *event.also_told_by


def owner(subject: str) -> str:
    """The service that a subject belongs to: it answers its asks and tells its events."""
    return subject.partition(".")[0]


def consumers(event: Event[Any]) -> tuple[streams.Durable, ...]:
    """The durables that `event` is read through."""
    return tuple(durable for durable in streams.DURABLES if durable.subject == event.subject)


def documents() -> Mapping[str, Schema]:
    """The AsyncAPI document of every service, by its name."""
    return {service: _document(service) for service in SERVICES}


def message_schemas() -> Mapping[str, Schema]:
    """One self-contained JSON Schema per message, by its name. Events are inside of their CloudEvents envelope."""
    schemas = _schemas(ref_template="#/$defs/{model}")
    events = {event.payload.__name__: event for event in registry.EVENTS}
    found: dict[str, Schema] = {}
    for name in _message_names():
        body = _enveloped(events[name], "#/$defs/{model}") if name in events else schemas[name]
        needed = _closure(body, schemas)
        definitions = {"$defs": {inner: schemas[inner] for inner in sorted(needed)}} if needed else {}
        found[name] = {"$schema": JSON_SCHEMA, "title": name, **body, **definitions}
    return found


def reply_names(rpc: Rpc[Any, Any]) -> tuple[str, ...]:
    """The variants of a reply, in the order of the contract."""
    variants = rpc.reply.json_schema(ref_template=_REFERENCE)["oneOf"]
    return tuple(variant["$ref"].rpartition("/")[2] for variant in variants)


def _told() -> list[Event[Any] | Signal[Any]]:
    return [*registry.EVENTS, *registry.SIGNALS]


def _message_names() -> list[str]:
    names = {told.payload.__name__ for told in _told()}
    for rpc in registry.RPCS:
        names |= {rpc.request.__name__, *reply_names(rpc)}
    return sorted(names)


def _schemas(*, ref_template: str) -> dict[str, Schema]:
    """Every model that any message is made of, by its name."""
    adapters: list[tuple[str, Any, TypeAdapter[Any]]] = [
        ("CloudEvent", "validation", TypeAdapter(cloudevents.CloudEvent))
    ]
    for told in _told():
        adapters.append((told.subject, "validation", TypeAdapter(told.payload)))
    for rpc in registry.RPCS:
        adapters.append((rpc.subject, "validation", TypeAdapter(rpc.request)))
        adapters.append((f"{rpc.subject} reply", "validation", rpc.reply))
    _, combined = TypeAdapter.json_schemas(adapters, ref_template=ref_template)
    definitions: dict[str, Schema] = combined["$defs"]
    return definitions


def _enveloped(event: Event[Any], ref_template: str) -> Schema:
    data = {"$ref": ref_template.format(model=event.payload.__name__)}
    narrowed = {"type": {"const": event.subject}, "data": data}
    return {
        "description": event.description,
        "allOf": [{"$ref": ref_template.format(model="CloudEvent")}, {"type": "object", "properties": narrowed}],
    }


def _closure(body: Schema, schemas: Mapping[str, Schema]) -> set[str]:
    """The names of all models that `body` refers to, through others included."""
    needed: set[str] = set()
    open_ends = [body]
    while open_ends:
        for name in _references(open_ends.pop()):
            if name not in needed:
                needed.add(name)
                open_ends.append(schemas[name])
    return needed


def _references(node: object) -> Iterator[str]:
    if isinstance(node, dict):
        for key, value in node.items():
            if key == "$ref" and isinstance(value, str):
                yield value.rpartition("/")[2]
            else:
                yield from _references(value)
    elif isinstance(node, list):
        for value in node:
            yield from _references(value)


def _document(service: str) -> Schema:
    channels: Schema = {}
    operations: Schema = {}
    messages: Schema = {}
    for rpc in registry.RPCS:
        if service == owner(rpc.subject) or service in rpc.asked_by:
            _add_rpc(service, rpc, channels, operations, messages)
    for event in registry.EVENTS:
        _add_event(service, event, channels, operations, messages)
    for signal in registry.SIGNALS:
        _add_signal(service, signal, channels, operations, messages)
    schemas = _schemas(ref_template=_REFERENCE)
    needed = _closure({"messages": messages}, schemas)
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": f"Smart Route {service}",
            "version": importlib.metadata.version("smartroute-contracts"),
            "description": f"What the {service} service says and hears on the bus: it {_SUMMARIES[service]}.",
            "license": {"name": "Apache-2.0", "url": "https://www.apache.org/licenses/LICENSE-2.0"},
        },
        "defaultContentType": "application/json",
        "servers": {"nats": {"host": "127.0.0.1:4222", "protocol": "nats"}},
        "channels": channels,
        "operations": operations,
        "components": {"messages": messages, "schemas": {name: schemas[name] for name in sorted(needed)}},
    }


def _add_rpc(service: str, rpc: Rpc[Any, Any], channels: Schema, operations: Schema, messages: Schema) -> None:
    request, replies = rpc.request.__name__, reply_names(rpc)
    for name in (request, *replies):
        messages[name] = _message(name, {"$ref": _REFERENCE.format(model=name)})
    reply_channel = f"{rpc.subject}.reply"
    channels[rpc.subject] = _channel(rpc.subject, rpc.description, request)
    # No address: every asker has an inbox of its own and names it in the request.
    channels[reply_channel] = _channel(None, f"Answers to `{rpc.subject}`, to the asker's inbox.", *replies)
    reply = {
        "channel": {"$ref": f"#/channels/{reply_channel}"},
        "messages": [{"$ref": f"#/channels/{reply_channel}/messages/{name}"} for name in replies],
    }
    if service == owner(rpc.subject):
        operation = _operation("receive", rpc.subject, rpc.description, request) | {"reply": reply}
        operation["bindings"] = {"nats": {"queue": service, "bindingVersion": "0.1.0"}}
        operations[f"answer_{_verb(rpc.subject)}"] = operation
    if service in rpc.asked_by:
        operation = _operation("send", rpc.subject, rpc.description, request) | {"reply": reply}
        operations[f"ask_{_verb(rpc.subject)}"] = operation


def _add_event(service: str, event: Event[Any], channels: Schema, operations: Schema, messages: Schema) -> None:
    durables = [durable for durable in consumers(event) if durable.service == service]
    if service not in tellers(event) and not durables:
        return
    name = event.payload.__name__
    description = f"{event.description} Kept in the stream {event.stream}."
    message = _message(name, _enveloped(event, _REFERENCE)) | {"contentType": cloudevents.CONTENT_TYPE}
    message["headers"]["properties"]["Nats-Msg-Id"] = {"type": "string", "description": "The id of the event."}
    messages[name] = message
    channels[event.subject] = _channel(event.subject, description, name)
    if service in tellers(event):
        operations[f"tell_{_verb(event.subject)}"] = _operation("send", event.subject, description, name)
    for durable in durables:
        through = f"{description} Read through the durable consumer {durable.name}."
        operations[f"consume_{_verb(event.subject)}"] = _operation("receive", event.subject, through, name)


def _add_signal(service: str, signal: Signal[Any], channels: Schema, operations: Schema, messages: Schema) -> None:
    name = signal.payload.__name__
    roles = {"tell": service == owner(signal.subject), "hear": service in signal.heard_by}
    if not any(roles.values()):
        return
    messages[name] = _message(name, {"$ref": _REFERENCE.format(model=name)})
    channels[signal.subject] = _channel(signal.subject, f"{signal.description} Not kept.", name)
    for role, action in (("tell", "send"), ("hear", "receive")):
        if roles[role]:
            operation = _operation(action, signal.subject, signal.description, name)
            operations[f"{role}_{_verb(signal.subject)}"] = operation


def _verb(subject: str) -> str:
    return subject.rpartition(".")[2]


def _channel(address: str | None, description: str, *names: str) -> Schema:
    messages = {name: {"$ref": f"#/components/messages/{name}"} for name in names}
    return {"address": address, "description": description, "messages": messages}


def _operation(action: str, subject: str, description: str, name: str) -> Schema:
    return {
        "action": action,
        "channel": {"$ref": f"#/channels/{subject}"},
        "summary": description,
        "messages": [{"$ref": f"#/channels/{subject}/messages/{name}"}],
    }


def _message(name: str, payload: Schema) -> Schema:
    traceparent = {"type": "string", "description": "W3C Trace Context of the sender, when there is one."}
    return {
        "name": name,
        "contentType": "application/json",
        "headers": {"type": "object", "properties": {"traceparent": traceparent}},
        "payload": payload,
    }
