"""Pages from templates, compiled when they are first used: after that, rendering one takes well under a millisecond."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from fastapi import Request
from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape
from markupsafe import Markup
from starlette.responses import HTMLResponse

from gateway.portal.assets import Assets
from gateway.portal.forms import FIELD
from gateway.portal.site import Site
from gateway.portal.visit import visit_of


class Renderer:
    """Renders templates, each with the visitor, the nonce, the site and the places of static files."""

    def __init__(self, site: Site, assets: Assets) -> None:
        self.environment = Environment(
            loader=PackageLoader("gateway.portal"),
            autoescape=select_autoescape(("html",)),
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            auto_reload=False,
            cache_size=-1,
        )
        self.environment.globals.update(site=site, asset=assets.url)
        self.environment.filters.update(iso=_iso, moment=_moment, day=_day, number=_number, sentence=_sentence)

    def page(
        self,
        request: Request,
        template: str,
        *,
        status: int = 200,
        headers: Mapping[str, str] | None = None,
        **values: Any,  # whatever the template names
    ) -> HTMLResponse:
        """A whole page. Forms of it carry what binds them to the visitor."""
        return HTMLResponse(self.text(request, template, **values), status, headers)

    def text(self, request: Request, template: str, **values: Any) -> str:
        visit = visit_of(request.scope)

        def csrf_field() -> Markup:
            return Markup('<input type="hidden" name="{}" value="{}">').format(FIELD, visit.csrf_token())

        return self.environment.get_template(template).render(
            visitor=visit.visitor,
            nonce=visit.nonce,
            path=request.url.path,
            csrf_field=csrf_field,
            csrf_token=visit.csrf_token,
            now=datetime.now(UTC),
            **values,
        )


def _iso(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _moment(moment: datetime) -> str:
    return f"{_day(moment)}, {moment.astimezone(UTC):%H:%M} UTC"


def _day(moment: datetime) -> str:
    return f"{moment.day} {moment:%b %Y}"


def _number(value: float) -> str:
    """With commas between thousands."""
    return f"{value:,}"


def _sentence(text: str) -> str:
    """With a capital letter at the beginning; the rest stays, as in `everyday API usage`."""
    return text[:1].upper() + text[1:]
