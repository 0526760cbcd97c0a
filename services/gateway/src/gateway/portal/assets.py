"""Static files: read once, named by their digest so that they never change, compressed once."""

import gzip
import hashlib
import mimetypes
from dataclasses import dataclass
from pathlib import Path

from starlette.types import Receive, Scope, Send

from gateway.http import header

FOLDER = Path(__file__).parent / "static"
PREFIX = "/static/"

_DIGEST_LENGTH = 12
_COMPRESSIBLE = ("text/", "image/svg", "application/json", "application/manifest")
_FOR_EVER = (b"cache-control", b"public, max-age=31536000, immutable")
_TYPES = {".js": "text/javascript", ".mjs": "text/javascript", ".webmanifest": "application/manifest+json"}


@dataclass(frozen=True, slots=True)
class _Asset:
    content: bytes
    compressed: bytes | None
    headers: tuple[tuple[bytes, bytes], ...]


class Assets:
    """The files of a folder, as an ASGI application for what is below `PREFIX`."""

    def __init__(self, folder: Path = FOLDER) -> None:
        self._urls: dict[str, str] = {}
        self._served: dict[str, _Asset] = {}
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                self._add(path.relative_to(folder).as_posix(), path)

    def url(self, name: str) -> str:
        """Where a file is, by its path in the folder. Raises `KeyError`."""
        return self._urls[name]

    def _add(self, name: str, path: Path) -> None:
        content = path.read_bytes()
        kind = _TYPES.get(path.suffix) or mimetypes.guess_type(name)[0] or "application/octet-stream"
        is_text = kind.startswith(_COMPRESSIBLE)
        url = f"{PREFIX}{hashlib.sha256(content).hexdigest()[:_DIGEST_LENGTH]}/{name}"
        named = f"{kind}; charset=utf-8" if is_text else kind
        self._urls[name] = url
        self._served[url] = _Asset(
            content,
            gzip.compress(content, mtime=0) if is_text else None,
            ((b"content-type", named.encode()), _FOR_EVER, (b"vary", b"accept-encoding")),
        )

    async def __call__(self, scope: Scope, _: Receive, send: Send) -> None:
        asset = self._served.get(scope["path"])
        if asset is None:
            await send({"type": "http.response.start", "status": 404, "headers": [(b"content-length", b"0")]})
            await send({"type": "http.response.body", "body": b""})
            return
        content, headers = asset.content, list(asset.headers)
        if asset.compressed is not None and b"gzip" in (header(scope, b"accept-encoding") or b""):
            content = asset.compressed
            headers.append((b"content-encoding", b"gzip"))
        headers.append((b"content-length", str(len(content)).encode()))
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else content})
