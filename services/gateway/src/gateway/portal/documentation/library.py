"""All pages of the documentation, made once: texts and code become HTML, and HTML becomes templates.

What depends on the moment or on the reader stays open: the catalogue of plans, and the name of the reader's token.
"""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from jinja2 import Environment, Template

from gateway.portal.documentation.examples import Examples, read_examples, tabs
from gateway.portal.documentation.markdown import Heading, Marks, slug, to_html
from gateway.portal.documentation.meanings import error_meanings, outcome_meanings
from gateway.portal.documentation.reference import Reference, read_reference
from gateway.portal.documentation.searching import Entry, entries_of
from gateway.portal.site import Site

CONTENT = Path(__file__).parents[1] / "content"
INDEX = "/docs"
PARTS = "documentation/parts"

_FIXED_TABLES = ("outcomes", "errors", "headers")
_LIVE_TABLES = ("models", "capabilities", "plans", "turns")
# Characters for private use stand for what is filled in per reader, until all other braces are told apart from Jinja's.
_TOKEN = "\ue000"
_TABLE = "\ue001"
_NAME = re.compile(r"\{\{ (\w+) \}\}")
_LIVE = re.compile(f"{_TABLE}(\\w+){_TABLE}")
_FILE = re.compile(r"\d\d-([\w-]+)")


@dataclass(frozen=True, slots=True)
class Page:
    """`examples` and `languages` are those that the page shows: of example files, and of blocks in its text."""

    slug: str
    title: str
    summary: str
    section: str
    headings: tuple[Heading, ...]
    body: Template
    entries: tuple[Entry, ...]
    examples: tuple[str, ...]
    languages: tuple[str, ...]

    @property
    def path(self) -> str:
        return f"{INDEX}/{self.slug}"


class Library:
    """The pages in their order, the reference last. `openapi` is the document that the reference is of, as text."""

    def __init__(self, pages: tuple[Page, ...], reference: Reference, openapi: str) -> None:
        self.pages = pages
        self.reference = reference
        self.openapi = openapi
        self._by_slug = {page.slug: page for page in pages}

    def find(self, slug: str) -> Page | None:
        return self._by_slug.get(slug)

    @property
    def sections(self) -> Mapping[str, list[Page]]:
        """The pages by the title of their section."""
        sections: dict[str, list[Page]] = {}
        for page in self.pages:
            sections.setdefault(page.section, []).append(page)
        return sections

    def beside(self, page: Page) -> tuple[Page | None, Page | None]:
        """The page before, and the one after."""
        place = self.pages.index(page)
        following = self.pages[place + 1] if place + 1 < len(self.pages) else None
        return (self.pages[place - 1] if place > 0 else None), following

    def path_back(self, path: str) -> str:
        """Where a form's sender came from, if that is a page of ours; the first page otherwise."""
        return path if any(page.path == path for page in self.pages) else INDEX

    def entries(self) -> list[Entry]:
        return [entry for page in self.pages for entry in page.entries]


def read_library(
    environment: Environment, site: Site, figures: Mapping[str, str], *, content: Path = CONTENT
) -> Library:
    """Raises `ValueError` and `KeyError` for a page that names what there is not."""
    reference = read_reference()
    maker = _Maker(
        environment,
        {**figures, "base_url": site.base_url, "origin": site.origin, "token_name": _TOKEN},
        read_examples(site.base_url),
        reference,
    )
    pages = [maker.page(path) for path in sorted(content.glob("*.md"))]
    return Library((*pages, maker.reference_page()), reference, _openapi(reference.document, site))


def _openapi(document: Mapping[str, Any], site: Site) -> str:
    """The document with servers that are whole addresses: whoever saves it needs no other."""
    servers = [{"url": f"{site.origin}{server['url']}"} for server in document["servers"]]
    return json.dumps({**document, "servers": servers}, ensure_ascii=False)


class _Maker:
    """Makes pages."""

    def __init__(
        self, environment: Environment, names: Mapping[str, str], examples: Examples, reference: Reference
    ) -> None:
        self._environment = environment
        self._names = names
        self._examples = examples
        self._reference = reference
        self._directives: Mapping[str, Callable[[str, Marks], str]] = {
            "example": self._example,
            "table": self._table,
            "operation": self._operation,
        }

    def page(self, path: Path) -> Page:
        _, front, text = path.read_text(encoding="utf-8").split("---\n", 2)
        about: dict[str, str] = yaml.safe_load(front)
        match = _FILE.fullmatch(path.stem)
        if match is None:
            raise ValueError(f"a page is named NN-slug.md, not {path.name}")
        html, marks = to_html(_NAME.sub(lambda found: self._names[found[1]], text), self._direct)
        return self._finished(match[1], about, html, marks)

    def reference_page(self) -> Page:
        """The page of all operations and schemas, from the OpenAPI document."""
        about = {
            "title": "API reference",
            "summary": "Every operation and schema, from the OpenAPI document.",
            "section": "Reference",
        }
        titles = (*(group.title for group in self._reference.groups), "Schemas")
        marks = Marks(headings=[Heading(2, title, slug(title)) for title in titles])
        return self._finished("reference", about, self._part("reference", reference=self._reference), marks)

    def _finished(self, name: str, about: Mapping[str, str], html: str, marks: Marks) -> Page:
        source = html.replace("{", "&#123;").replace(_TOKEN, "{{ token_name }}")
        source = _LIVE.sub(lambda found: f'{{% include "{PARTS}/{found[1]}.html" %}}', source)
        title, section = about["title"], about["section"]
        return Page(
            slug=name,
            title=title,
            summary=about["summary"],
            section=section,
            headings=tuple(marks.headings),
            body=self._environment.from_string(source),
            entries=entries_of(f"{INDEX}/{name}", title, f"{about['summary']} {about.get('keywords', '')}", html),
            examples=tuple(marks.examples),
            languages=tuple(marks.languages),
        )

    def _direct(self, kind: str, name: str, marks: Marks) -> str:
        return self._directives[kind](name, marks)

    def _example(self, name: str, marks: Marks) -> str:
        marks.examples.append(name)
        return tabs(self._examples[name], marks, token=_TOKEN)

    def _table(self, name: str, _: Marks) -> str:
        if name in _LIVE_TABLES:
            return f"{_TABLE}{name}{_TABLE}\n"
        if name not in _FIXED_TABLES:
            raise ValueError(f"there is no table `{name}`")
        return self._part(
            name, outcomes=outcome_meanings(), errors=list(error_meanings()), headers=self._reference.headers
        )

    def _operation(self, name: str, _: Marks) -> str:
        return self._part("operation", operation=self._reference.operation(name))

    def _part(self, name: str, **values: Any) -> str:
        return self._environment.get_template(f"{PARTS}/{name}.html").render(**values)
