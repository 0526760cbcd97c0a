"""After signing in a visitor goes to a path of ours, or to the overview."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.portal.identity.returning import HOME, own_path


@pytest.mark.parametrize("path", ["/", "/tokens", "/overview/requests/1?page=2", "/docs?q=a%20b#part", "/a//b"])
def test_paths_of_ours_are_gone_to(path: str) -> None:
    assert own_path(path) == path


@pytest.mark.parametrize(
    "text",
    [
        "",
        "tokens",
        "//evil.example",
        "///evil.example",
        "/\\evil.example",
        "\\\\evil.example",
        "https://evil.example",
        "javascript:alert(1)",
        "/\t/evil.example",
        "/\n/evil.example",
        "/\r\nset-cookie: a=b",
        " /tokens",
        "/\u2028",
        "/" + "a" * 500,
    ],
)
def test_whatever_else_leads_to_the_overview(text: str) -> None:
    assert own_path(text) == HOME


@given(st.text(alphabet=st.sampled_from("/\\ \t\n:.@?#ae%")))
def test_no_text_leads_a_browser_away(text: str) -> None:
    """A browser leaves tabs and ends of lines out and takes a backslash for a slash (WHATWG URL, 4.4)."""
    path = own_path(text)
    as_read = "".join(character for character in path if character not in "\t\n\r").replace("\\", "/")
    assert as_read == path
    assert as_read.startswith("/")
    assert not as_read.startswith("//")
