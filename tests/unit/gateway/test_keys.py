"""Keys of providers, by reference."""

import os
from pathlib import Path

import pytest

from gateway.keys import KeyMissing, ProviderKeys


def test_a_key_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_KEY", " sk-1\n")
    assert ProviderKeys().value("env:SOME_KEY") == "sk-1"


def test_a_key_file_is_read_again_when_it_changes(tmp_path: Path) -> None:
    file, keys = tmp_path / "key", ProviderKeys()
    file.write_text("sk-1\n")
    assert keys.value(f"file:{file}") == "sk-1"
    assert keys.value(f"file:{file}") == "sk-1"
    replacement = tmp_path / "new"
    replacement.write_text("sk-2\n")
    os.replace(replacement, file)
    assert keys.value(f"file:{file}") == "sk-2"


@pytest.mark.parametrize("content", [b"", b" \n", b"two\nlines", b"\xff", "schlüssel".encode()])
def test_a_key_that_fits_no_header_is_refused_without_being_quoted(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "key"
    file.write_bytes(content)
    with pytest.raises(KeyMissing) as caught:
        ProviderKeys().value(f"file:{file}")
    assert "two" not in str(caught.value)


@pytest.mark.parametrize("reference", ["env:NOT_SET_ANYWHERE", "file:/not/there", "sk-plain", ""])
def test_a_reference_that_leads_nowhere_is_refused(reference: str) -> None:
    with pytest.raises(KeyMissing):
        ProviderKeys().value(reference)
