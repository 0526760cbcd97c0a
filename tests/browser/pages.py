"""Every page of the portal, in one list: what is looked at, by whom, and what it is called in the pictures.

A page that is missing here fails `test_every_page.py`. Paths may name what a member has (`house.Member.facts`).
"""

from dataclasses import dataclass
from typing import Literal

from devstack.repository import ROOT

CONTENT = ROOT / "services/gateway/src/gateway/portal/content"

Reader = Literal["visitor", "member"]


@dataclass(frozen=True, slots=True)
class Page:
    """`name` is that of its pictures. `works_without_script`: also with JavaScript off it does all that it is for."""

    name: str
    title: str
    path: str
    reader: Reader = "visitor"
    status: int = 200
    works_without_script: bool = True


def _documentation() -> list[Page]:
    slugs = [file.stem.split("-", 1)[1] for file in sorted(CONTENT.glob("*.md"))]
    return [Page(f"docs-{slug}", f"Documentation: {slug.replace('-', ' ')}", f"/docs/{slug}") for slug in slugs]


PAGES = [
    Page("home", "Home", "/"),
    # Page("home-signed-in", "Home, signed in", "/", "member"),
    Page("not-found", "A page that is not there", "/nowhere", status=404),
]
