"""From the text of a page to HTML: headings with anchors, links between pages, highlighted code, and directives.

A line of its own that begins with `@` is a directive: `@example NAME`, `@table NAME` or `@operation ID`. Links lead
to the file of another page (`31-tools.md#kinds-of-tools`), or by a name in brackets to a part of the portal.
"""

import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from html import escape
from typing import Any

from markdown_it import MarkdownIt
from markdown_it.token import Token

from gateway.portal.documentation.highlighting import code_block

PLACES = {
    "tokens": "/tokens",
    "overview": "/overview",
    "plans": "/plans",
    "setup": "/setup",
    "doctor": "/doctor",
    "tester": "/tester",
    "reference": "/docs/reference",
}
"""What pages may link to by a name in brackets."""

_DIRECTIVE = re.compile(r"@(\w+) ([\w-]+)")
_PAGE_LINK = re.compile(r"\d\d-([\w-]+)\.md(#[\w-]+)?")

Directive = Callable[[str, str, "Marks"], str]
"""Makes HTML of a directive's kind and name."""


@dataclass(frozen=True, slots=True)
class Heading:
    """A part of a page that can be linked to. `level` is 2 or 3."""

    level: int
    text: str
    anchor: str


@dataclass(slots=True)
class Marks:
    """What was found while one page was rendered, and the names that were given, so that each is given once."""

    headings: list[Heading] = field(default_factory=list)
    examples: list[str] = field(default_factory=list)
    languages: list[str] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)

    def unique(self, name: str) -> str:
        """The name itself, or with a number when it was given before."""
        self.counts[name] += 1
        return name if self.counts[name] == 1 else f"{name} {self.counts[name]}"

    @property
    def place(self) -> str:
        """The heading that has been reached, for names of what is below it."""
        return self.headings[-1].text if self.headings else "Introduction"


class _Writer:
    """Goes through the tokens of one page, and puts HTML of ours where it differs from that of markdown-it."""

    def __init__(self, directive: Directive) -> None:
        self.marks = Marks()
        self._directive = directive

    def written(self, tokens: list[Token]) -> list[Token]:
        made: list[Token] = []
        for place, token in enumerate(tokens):
            following = tokens[place + 1] if place + 1 < len(tokens) else None
            found = _DIRECTIVE.fullmatch(token.content) if token.type == "inline" else None
            if found is not None:
                made[-1] = _html(self._directive(found[1], found[2], self.marks))
            elif not (token.type == "paragraph_close" and made and made[-1].type == "html_block"):
                made.append(self._written(token, following))
        return made

    def _written(self, token: Token, following: Token | None) -> Token:
        match token.type:
            case "heading_open" if following is not None:
                return self._heading(token.tag, following)
            case "heading_close":
                return _html(f"</a></{token.tag}>\n")
            case "fence":
                return self._code(token)
            case "table_open":
                label = escape(self.marks.unique(f"{self.marks.place}, table"))
                return _html(f'<div class="table" role="region" tabindex="0" aria-label="{label}">\n<table>\n')
            case "table_close":
                return _html("</table>\n</div>\n")
            case "th_open":
                token.attrSet("scope", "col")
            case "inline":
                for child in token.children or []:
                    if child.type == "link_open":
                        child.attrSet("href", _target(str(child.attrs["href"])))
        return token

    def _heading(self, tag: str, content: Token) -> Token:
        children = content.children or []
        text = "".join(child.content for child in children if child.type in ("text", "code_inline"))
        anchor = self.marks.unique(slug(text)).replace(" ", "-")
        self.marks.headings.append(Heading(int(tag[1:]), text, anchor))
        return _html(f'<{tag} id="{anchor}"><a class="anchor" href="#{anchor}">')

    def _code(self, token: Token) -> Token:
        language = token.info.strip() or "text"
        self.marks.languages.append(language)
        label = self.marks.unique(f"{self.marks.place}, code")
        return _html(code_block(token.content, language, label=label))


_MARKDOWN = MarkdownIt("commonmark", {"html": False}).enable("table")


def to_html(text: str, directive: Directive) -> tuple[str, Marks]:
    """A page's HTML, and what is in it."""
    writer = _Writer(directive)
    references = {name.upper(): {"title": "", "href": href} for name, href in PLACES.items()}
    env: dict[str, Any] = {"references": references}
    tokens = writer.written(_MARKDOWN.parse(text, env))
    return str(_MARKDOWN.renderer.render(tokens, _MARKDOWN.options, env)), writer.marks


def inline(text: str) -> str:
    """A description of one paragraph or more, for tables and the reference."""
    html, _ = to_html(text, _no_directives)
    return html


def slug(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")


def _no_directives(kind: str, name: str, _: Marks) -> str:
    raise ValueError(f"a description cannot have a directive: @{kind} {name}")


def _html(text: str) -> Token:
    return Token("html_block", "", 0, content=text)


def _target(href: str) -> str:
    match = _PAGE_LINK.fullmatch(href)
    return f"/docs/{match[1]}{match[2] or ''}" if match is not None else href
