"""Which addresses of an OpenID provider are asked: encrypted ones, or ones that never leave this machine."""

from urllib.parse import urlsplit

_LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})


def is_safe_url(url: str) -> bool:
    """Whether secrets may be sent there: https to anywhere, plain http to loopback only; no query, no fragment."""
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        return False
    is_plain = (
        url.isascii() and url.isprintable() and not parts.query and not parts.fragment and "@" not in parts.netloc
    )
    if not host or not is_plain:
        return False
    return parts.scheme == "https" or (parts.scheme == "http" and host in _LOOPBACK)
