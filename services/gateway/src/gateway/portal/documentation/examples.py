"""The examples as files, one per language, and how they are shown: tabs that work without JavaScript.

What is shown is what is run: a file has the base URL in double braces and nothing else to be filled in.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from html import escape
from pathlib import Path

from gateway.portal.documentation.highlighting import code_block
from gateway.portal.documentation.markdown import Marks

FOLDER = Path(__file__).parents[1] / "examples"
BASE_URL = "{{ base_url }}"


@dataclass(frozen=True, slots=True)
class Language:
    """`name` is told to readers, `lexer` to Pygments."""

    name: str
    lexer: str


LANGUAGES = {
    ".sh": Language("curl", "bash"),
    ".py": Language("Python", "python"),
    ".mjs": Language("JavaScript", "javascript"),
}
"""By the ending of the file, in the order of the tabs."""

Examples = Mapping[str, Mapping[str, str]]
"""The texts by name and ending."""


def read_examples(base_url: str, folder: Path = FOLDER) -> Examples:
    found: dict[str, dict[str, str]] = {}
    for ending in LANGUAGES:
        for path in sorted(folder.glob(f"*{ending}")):
            text = path.read_text(encoding="utf-8").replace(BASE_URL, base_url)
            found.setdefault(path.stem, {})[ending] = text
    return found


def tabs(texts: Mapping[str, str], marks: Marks, *, token: str) -> str:
    """One tab per language. `token` is what stands for the name of the reader's token."""
    group = marks.unique("example").replace(" ", "-")
    made = []
    for place, (ending, text) in enumerate(texts.items()):
        language = LANGUAGES[ending]
        name = f"{group}-{language.lexer}"
        checked = " checked" if place == 0 else ""
        label = marks.unique(f"{marks.place}, {language.name}")
        made.append(
            f'<input type="radio" name="{group}" id="{name}" data-language="{language.lexer}"{checked}>'
            f'<label for="{name}">{language.name}</label>'
            f'<div class="tab">{code_block(text, language.lexer, label=label)}</div>\n'
        )
    title = escape(f"{marks.place}: example")
    return (
        f'<div class="example"><div class="tabs" role="group" aria-label="{title}">\n{"".join(made)}</div>\n'
        f'<p class="example__token">Reads <code>SMARTROUTE_TOKEN</code>: {token}</p></div>\n'
    )
