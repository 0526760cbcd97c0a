"""The search over the documentation: all words of the query, in the parts of pages that headings begin."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from html import unescape

QUERY_LIMIT = 100
HITS_LIMIT = 20

_WORDS_LIMIT = 8
_BEFORE, _AFTER = 60, 140
_HEADING = re.compile(r'<h[2345] id="([^"]+)">(.*?)</h[2345]>', re.DOTALL)
# Tags inside of a line part no words.
_INLINE_TAG = re.compile(r"</?(?:a|code|em|span|strong)\b[^>]*>")
_TAG = re.compile(r"<[^>]+>")
# Of examples and other code nothing is searched: what it does is said around it.
_CODE = re.compile(r'<pre\b.*?</pre>|<label\b.*?</label>|<p class="example__token">.*?</p>', re.DOTALL)
_SPACE = re.compile(r"[\s\ue000\ue001]+")


@dataclass(frozen=True, slots=True)
class Entry:
    """A part of a page that can be found. `extra` is searched, and not shown."""

    href: str
    page: str
    heading: str
    text: str
    extra: str


@dataclass(frozen=True, slots=True)
class Hit:
    """An entry with the words around the first match."""

    entry: Entry
    before: str
    match: str
    after: str


def entries_of(path: str, title: str, extra: str, html: str) -> tuple[Entry, ...]:
    """The parts of a page: what comes before its first heading, and one for each heading."""
    first, *rest = _HEADING.split(_CODE.sub(" ", html))
    found = [Entry(path, title, "", words_of(first), extra)]
    for anchor, heading, text in zip(rest[::3], rest[1::3], rest[2::3], strict=True):
        found.append(Entry(f"{path}#{anchor}", title, words_of(heading), words_of(text), ""))
    return tuple(found)


def words_of(html: str) -> str:
    return _SPACE.sub(" ", unescape(_TAG.sub(" ", _INLINE_TAG.sub("", html)))).strip()


def search(entries: Iterable[Entry], query: str) -> list[Hit]:
    """The best first: words in titles count more than words in texts."""
    words = query[:QUERY_LIMIT].lower().split()[:_WORDS_LIMIT]
    if not words:
        return []
    scored = [(score, entry) for entry in entries if (score := _score(entry, words))]
    scored.sort(key=lambda one: -one[0])
    return [_hit(entry, words) for _, entry in scored[:HITS_LIMIT]]


def _score(entry: Entry, words: list[str]) -> int:
    """0 when a word is missing."""
    page, heading, text = entry.page.lower(), entry.heading.lower(), f"{entry.text} {entry.extra}".lower()
    score = 0
    for word in words:
        found = (
            8 * (word in heading) + (12 * (word in page) if not heading else word in page) + min(text.count(word), 4)
        )
        if not found:
            return 0
        score += found
    return score


def _hit(entry: Entry, words: list[str]) -> Hit:
    text = entry.text or entry.extra
    places = [(place, word) for word in words if (place := text.lower().find(word)) >= 0]
    if not places:
        return Hit(entry, "", "", _up_to(text, 0, _BEFORE + _AFTER))
    place, word = min(places)
    begin, end = max(0, place - _BEFORE), place + len(word)
    before = text[begin:place]
    if begin:
        before = f"…{before.partition(' ')[2]}"
    return Hit(entry, before, text[place:end], _up_to(text, end, end + _AFTER))


def _up_to(text: str, begin: int, end: int) -> str:
    """A piece that ends with a whole word."""
    return f"{text[begin:end].rpartition(' ')[0]} …" if end < len(text) else text[begin:]
