"""No page is forgotten: what the portal serves, what these tests open, and what docs/portal shows are the same."""

import re

from tests.browser import screenshots
from tests.browser.__main__ import DOCUMENT, PICTURES
from tests.browser.pages import PAGES, PICTURED
from tests.service.gateway import portal_routes

# What is served to programs, or leads elsewhere.
NO_PAGES = {
    "/openapi.json": "a document for programs",
    "/plans/standing": "a figure for the script of the plans",
    "/plans/payment": "leads on to the plans where staff decides; test_partners.py pays",
    "/setup/{client}/{file}": "a file to download",
    "/sign-in/oidc": "leads to the provider of identities",
    "/sign-in/oidc/callback": "leads to the overview; test_partners.py stops there",
    "/sign-in/oidc/connect": "is there only between a provider and an account: test_partners.py",
}


async def _served() -> set[str]:
    """The paths that are opened by links, as the application has them."""
    return {route.path for route in await portal_routes.routes() if not route.is_change}


def _is_opened(path: str) -> bool:
    pattern = re.compile(re.sub(r"\\{\w+\\}", "[^/]+", re.escape(path)))
    return any(pattern.fullmatch(page.path.partition("?")[0]) for page in PAGES)


async def test_every_page_that_is_served_is_opened_by_these_tests() -> None:
    served = await _served()
    assert sorted(path for path in served if path not in NO_PAGES and not _is_opened(path)) == []


async def test_what_is_no_page_is_still_served() -> None:
    assert NO_PAGES.keys() - await _served() == set()


def test_pages_and_states_have_names_of_their_own() -> None:
    names = [name for name, _ in PICTURED]
    assert sorted(set(names)) == sorted(names)


def test_the_pictures_in_the_documents_are_of_every_page_and_of_no_other() -> None:
    assert DOCUMENT.read_text(encoding="utf-8") == screenshots.index(PICTURED, below=PICTURES.name)
    assert {file.name for file in PICTURES.iterdir()} == screenshots.names(PICTURED)


def test_the_pictures_stay_light() -> None:
    assert sum(file.stat().st_size for file in PICTURES.iterdir()) < 6_000_000
