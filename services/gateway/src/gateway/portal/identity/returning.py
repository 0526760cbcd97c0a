"""Where a visitor goes after signing in: to a path of ours, whatever the address of the page asked for."""

from urllib.parse import urlsplit

HOME = "/overview"

_LONGEST = 500


def own_path(text: str, *, otherwise: str = HOME) -> str:
    """The path, when it is one of this site and of nobody else's.

    Browsers read `\\` as `/` and leave tabs and ends of lines out (WHATWG URL, 4.4), so `/\\t/evil.example` would lead
    away: nothing but printable ASCII without `\\` is a path here.
    """
    is_plain = text.isascii() and text.isprintable() and "\\" not in text and " " not in text
    if not is_plain or len(text) > _LONGEST or not text.startswith("/") or text.startswith("//"):
        return otherwise
    try:
        parts = urlsplit(text)
    except ValueError:
        return otherwise
    return otherwise if parts.scheme or parts.netloc else text
