"""No page is forgotten: what the portal serves, what these tests open, and what docs/portal shows are the same."""

from typing import Any, cast
from unittest.mock import MagicMock

from fastapi.routing import APIRoute

from gateway.portal import app
from tests.browser import screenshots
from tests.browser.__main__ import DOCUMENT, PICTURES
from tests.browser.pages import PAGES, PICTURED

# What is served to programs, or leads elsewhere.
NO_PAGES: dict[str, str] = {}


def _served() -> list[APIRoute]:
    """The portal's pages in the order in which they are matched. Nothing is called, so nothing is needed for them."""
    nothing = cast(Any, MagicMock())
    routes = (route for router in app.routers(nothing, nothing) for route in router.routes)
    return [route for route in routes if isinstance(route, APIRoute) and "GET" in (route.methods or ())]


def test_every_page_that_is_served_is_opened_by_these_tests() -> None:
    served = _served()
    opened = {
        next((route.path for route in served if route.path_regex.match(page.path.partition("?")[0])), None)
        for page in PAGES
    }
    assert [route.path for route in served if route.path not in opened and route.path not in NO_PAGES] == []


def test_what_is_no_page_is_still_served() -> None:
    assert NO_PAGES.keys() - {route.path for route in _served()} == set()


def test_pages_and_states_have_names_of_their_own() -> None:
    names = [name for name, _ in PICTURED]
    assert sorted(set(names)) == sorted(names)


def test_the_pictures_in_the_documents_are_of_every_page_and_of_no_other() -> None:
    assert DOCUMENT.read_text(encoding="utf-8") == screenshots.index(PICTURED, below=PICTURES.name)
    assert {file.name for file in PICTURES.iterdir()} == screenshots.names(PICTURED)


def test_the_pictures_stay_light() -> None:
    assert sum(file.stat().st_size for file in PICTURES.iterdir()) < 6_000_000
