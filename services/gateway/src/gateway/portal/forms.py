"""Forms: read with a limit, and only from pages of ours."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated
from urllib.parse import parse_qsl

from fastapi import Depends, Request

from gateway.errors import GatewayError
from gateway.http import read_body
from gateway.portal.errors import FormRefused, FormUnreadable
from gateway.portal.visit import visit_of

FIELD = "csrf"
HEADER = "x-csrf-token"
LIMIT_BYTES = 64 * 1024

_FIELDS_LIMIT = 50


@dataclass(frozen=True, slots=True)
class Form:
    """The fields of a form; of repeated ones the last."""

    fields: Mapping[str, str]
    repeated: Mapping[str, tuple[str, ...]]

    def text(self, name: str) -> str:
        """A field without the spaces around it; empty when it is missing."""
        return self.fields.get(name, "").strip()

    def secret(self, name: str) -> str:
        """A field as it was typed."""
        return self.fields.get(name, "")

    def every(self, name: str) -> tuple[str, ...]:
        """All values of a field: of boxes that can be ticked."""
        return self.repeated.get(name, ())


async def _form(request: Request) -> Form:
    """Raises `FormUnreadable`, `FormRefused`."""
    fields = await _fields(request)
    token = request.headers.get(HEADER) or dict(fields).get(FIELD, "")
    if not visit_of(request.scope).is_csrf_token(token):
        raise FormRefused
    repeated: dict[str, tuple[str, ...]] = {}
    for name, value in fields:
        repeated[name] = (*repeated.get(name, ()), value)
    return Form(dict(fields), repeated)


async def _fields(request: Request) -> list[tuple[str, str]]:
    kind = request.headers.get("content-type", "application/x-www-form-urlencoded").partition(";")[0].strip().lower()
    try:
        body = await read_body(request.receive, LIMIT_BYTES)
        if kind != "application/x-www-form-urlencoded" or b"\0" in body or b"%00" in body:
            raise FormUnreadable
        return parse_qsl(body.decode("ascii"), keep_blank_values=True, max_num_fields=_FIELDS_LIMIT, errors="strict")
    except (GatewayError, ValueError) as exc:
        raise FormUnreadable from exc


PostedForm = Annotated[Form, Depends(_form)]
"""The form of a request; a handler that takes it is safe from other sites."""
