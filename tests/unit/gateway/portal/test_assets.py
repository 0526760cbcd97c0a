"""Static files: named by what is in them, sent small, found only by their name."""

import gzip
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from gateway.portal.assets import Assets


@pytest.fixture
def assets(tmp_path: Path) -> Assets:
    (tmp_path / "vendor").mkdir()
    (tmp_path / "look.css").write_text("a { color: red }\n" * 50)
    (tmp_path / "vendor/code.js").write_text("let a;\n")
    (tmp_path / "picture.png").write_bytes(b"\x89PNG")
    return Assets(tmp_path)


async def fetched(
    assets: Assets, path: str, *, method: str = "GET", headers: Iterable[tuple[bytes, bytes]] = ()
) -> tuple[int, dict[bytes, bytes], bytes]:
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        raise AssertionError("a file is sent without reading the request")

    await assets({"type": "http", "method": method, "path": path, "headers": list(headers)}, receive, send)
    return sent[0]["status"], dict(sent[0]["headers"]), sent[1]["body"]


async def test_a_file_may_be_kept_for_ever(assets: Assets) -> None:
    status, headers, body = await fetched(assets, assets.url("look.css"))
    assert (status, body) == (200, b"a { color: red }\n" * 50)
    assert headers[b"cache-control"] == b"public, max-age=31536000, immutable"
    assert headers[b"content-type"] == b"text/css; charset=utf-8"
    assert headers[b"content-length"] == str(len(body)).encode()


async def test_text_is_compressed_for_those_who_take_it(assets: Assets) -> None:
    accepting = [(b"accept-encoding", b"gzip, deflate, br")]
    _, headers, body = await fetched(assets, assets.url("look.css"), headers=accepting)
    assert headers[b"content-encoding"] == b"gzip"
    assert gzip.decompress(body) == b"a { color: red }\n" * 50
    assert len(body) < 100
    assert headers[b"vary"] == b"accept-encoding"
    _, plain, _ = await fetched(assets, assets.url("picture.png"), headers=accepting)
    assert b"content-encoding" not in plain


async def test_a_changed_file_has_another_name(assets: Assets, tmp_path: Path) -> None:
    before = assets.url("vendor/code.js")
    (tmp_path / "vendor/code.js").write_text("let b;\n")
    after = Assets(tmp_path)
    assert after.url("vendor/code.js") != before
    assert (await fetched(after, before))[0] == 404


@pytest.mark.parametrize(
    "path", ["/static/", "/static/../app.py", "/static/0123456789ab/look.css", "/static//etc/passwd"]
)
async def test_nothing_else_is_there(assets: Assets, path: str) -> None:
    assert (await fetched(assets, path))[0] == 404


async def test_a_template_that_names_a_missing_file_fails_at_once(assets: Assets) -> None:
    with pytest.raises(KeyError):
        assets.url("missing.css")


async def test_head_has_the_headers_and_no_body(assets: Assets) -> None:
    status, headers, body = await fetched(assets, assets.url("look.css"), method="HEAD")
    assert (status, headers[b"content-length"], body) == (200, b"850", b"")
