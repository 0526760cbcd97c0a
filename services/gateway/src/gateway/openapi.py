"""The OpenAPI description of the public interface: what FastAPI knows of its endpoints, and two files.

`openapi_answers.yaml` describes the endpoints that answer, `openapi_responses.yaml` what one of them takes and gives.

The file `openapi.json` beside the package's sources is generated from here and compared by a test.
"""

import json
from importlib import metadata, resources
from pathlib import Path
from typing import Any

import yaml
from fastapi import Request

from contracts.plans import PlanCatalogue
from gateway.api import BASE_PATHS, build_rare
from gateway.domain import Caller
from gateway.errors import catalogue, codes_of

FILE = Path(__file__).parents[2] / "openapi.json"

_RETRY_HEADERS = {
    "409": ("retry-after", "x-should-retry"),
    "429": ("retry-after", "x-should-retry"),
    "503": ("retry-after",),
}

# A node of the description. It is JSON of any shape.
Node = dict[str, Any]


def document_text() -> str:
    """As it is committed."""
    return json.dumps(document(), indent=2, ensure_ascii=False) + "\n"


def document() -> Node:
    """One OpenAPI 3.1 document. Both base paths are servers, so every path is written once."""
    own = _read("openapi_answers.yaml")
    known = _known_to_fastapi()
    components = own["components"]
    responses = _read("openapi_responses.yaml")["components"]["schemas"]
    schemas = {**known["components"]["schemas"], **components["schemas"], **responses}
    paths = {**own["paths"], **known["paths"]}
    admitted = own["x-admitted-headers"]
    for path in paths.values():
        for operation in path.values():
            _complete(operation, own, admitted)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Smart Route",
            "version": metadata.version("smartroute-gateway"),
            "description": "One OpenAI-compatible endpoint with plans and exact quotas.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": base} for base in BASE_PATHS],
        "security": [{"serviceToken": []}],
        "paths": dict(sorted(paths.items())),
        "components": {
            "securitySchemes": components["securitySchemes"],
            "headers": components["headers"],
            "schemas": dict(sorted(schemas.items())),
        },
    }


def _read(name: str) -> Node:
    # Read at every start, for the documentation: libyaml takes a tenth of the time, where it was built in.
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    found: Node = yaml.load(resources.files("gateway").joinpath(name).read_text(encoding="utf-8"), Loader=loader)
    return found


def _known_to_fastapi() -> Node:
    """FastAPI's own description, without a base path and without its own kind of error."""

    async def nothing(*_: object) -> Any:
        raise AssertionError("built to be described, not to be called")

    def plans() -> PlanCatalogue:
        raise AssertionError("built to be described, not to be called")

    async def caller(_: Request) -> Caller:
        raise AssertionError("built to be described, not to be called")

    described = build_rare(
        caller,
        plans=plans,
        read_cards=nothing,
        read_usage=nothing,
        read_receipt=nothing,
        read_response=nothing,
        delete_response=nothing,
        bases=[""],
    )
    known: Node = described.openapi()
    for path in known["paths"].values():
        for operation in path.values():
            operation["responses"].pop("422", None)
    for name in ("HTTPValidationError", "ValidationError"):
        known["components"]["schemas"].pop(name, None)
    return known


def _complete(operation: Node, own: Node, admitted: Node) -> None:
    """Add the errors of an operation, and the headers of its responses."""
    errors = own["x-errors"]
    for status in sorted({*errors["everywhere"], *errors[operation["operationId"]]}):
        operation["responses"][status] = {
            "description": _meanings(int(status)),
            "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}},
        }
    for status, response in operation["responses"].items():
        headers = dict(own["x-common-headers"])
        if response.get("headers") == {"$ref": "#/x-answer-headers"}:
            headers |= admitted | own["x-replay-headers"]
        elif status == "429":
            headers |= admitted
        for name in _RETRY_HEADERS.get(status, ()):
            headers[name] = {"$ref": f"#/components/headers/{name}"}
        response["headers"] = headers


def _meanings(status: int) -> str:
    """The codes that a status can carry, from the catalogue of errors."""
    codes = sorted({code for kind in catalogue() if kind.status == status for code in codes_of(kind)})
    return "`" + "`, `".join(codes) + "`"
