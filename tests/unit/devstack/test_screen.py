"""The screen, piped: plain lines, nothing wrapped that is there to be pasted."""

import io
from pathlib import Path

from rich.console import Console

from devstack.report import timed
from devstack.screen import Screen

_TOKEN = "sr_live_" + "a" * 38


def _screen() -> tuple[Screen, io.StringIO]:
    text = io.StringIO()
    return Screen(console=Console(file=text, width=40, highlight=False)), text


def test_a_part_is_told_when_it_is_ready() -> None:
    screen, text = _screen()
    with timed(screen, "NATS"):
        assert text.getvalue() == ""
    assert text.getvalue().split()[:2] == ["ready", "NATS"]


def test_tokens_and_the_curl_line_are_whole_on_a_narrow_terminal() -> None:
    screen, text = _screen()
    document = {"base_url": "http://127.0.0.1:8080/v1", "tokens": {"free": _TOKEN}}
    screen.up(document, aliases={"free": "smart-route-mini"}, data_dir=Path("/data"), pages={})
    lines = text.getvalue().splitlines()
    assert any(line.split() == ["free", "smart-route-mini", _TOKEN] for line in lines)
    assert any(line.endswith("\\") and "curl -N http://127.0.0.1:8080/v1/chat/completions" in line for line in lines)
    assert any(f"Bearer {_TOKEN}'" in line for line in lines)
    assert "portal" not in text.getvalue()


def test_who_may_sign_in_to_the_portal_is_on_one_line_below_its_address() -> None:
    screen, text = _screen()
    document = {
        "base_url": "http://127.0.0.1:8080/v1",
        "tokens": {},
        "portal_users": {"free": {"email": "free@smartroute.example", "password": "p-[bold]-w"}},
    }
    screen.up(document, aliases={}, data_dir=Path("/data"), pages={"portal": "http://127.0.0.1:8080/"})
    lines = [line.split() for line in text.getvalue().splitlines()]
    portal = lines.index(["portal", "http://127.0.0.1:8080/"])
    assert lines[portal + 1][:4] == ["sign", "in", "free@smartroute.example", "p-[bold]-w"]


def test_square_brackets_in_a_log_line_are_shown_as_they_are() -> None:
    screen, text = _screen()
    screen.line("quota", "[bold]not markup[/]")
    assert "[bold]not markup[/]" in text.getvalue()
