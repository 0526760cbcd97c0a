"""Code as HTML with classes, for both themes. Classes have a prefix, so that they meet no others."""

from functools import cache
from html import escape

from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexer import Lexer
from pygments.lexers import get_lexer_by_name

CLASS_PREFIX = "h-"

_FORMATTER: HtmlFormatter[str] = HtmlFormatter(nowrap=True, classprefix=CLASS_PREFIX)


def code_block(text: str, language: str, *, label: str) -> str:
    """A block as `macros.html` has it, with the text highlighted. Raises `ClassNotFound` for an unknown language."""
    html = highlight(text, _lexer(language), _FORMATTER)
    return (
        f'<div class="code"><pre tabindex="0" role="region" aria-label="{escape(label)}">'
        f'<code class="language-{escape(language)}">{html}</code></pre></div>\n'
    )


@cache
def _lexer(language: str) -> Lexer:
    """Finding one and compiling its expressions takes longer than most texts do."""
    return get_lexer_by_name(language)
