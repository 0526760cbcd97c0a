"""Which addresses of an OpenID provider are asked: encrypted ones, or ones that never leave this machine."""

from urllib.parse import urlsplit

_LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})


def is_safe_url(url: str, *, may_have_query: bool = False) -> bool:
    """Whether secrets may be sent there: https to anywhere, plain http to loopback only; no user, no fragment."""
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        return False
    is_plain = url.isascii() and url.isprintable() and " " not in url and "#" not in url and "@" not in parts.netloc
    if not host or not is_plain or ("?" in url and not may_have_query):
        return False
    return parts.scheme == "https" or (parts.scheme == "http" and host in _LOOPBACK)
