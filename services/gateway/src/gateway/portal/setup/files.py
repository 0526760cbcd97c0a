"""A generated file, and how values are written into its language so that it can be read back."""

import json
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class GeneratedFile:
    """`name` is that of the download, `place` where it belongs on the reader's machine. `is_long`: not shown whole."""

    name: str
    place: str
    language: str
    content: str
    about: str
    is_long: bool = False


def toml_string(value: str) -> str:
    """A basic string of TOML 1.0: that of JSON, but for DEL, which TOML wants escaped."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def program_string(value: str) -> str:
    """A literal that Python and JavaScript read alike."""
    return json.dumps(value)


def json_text(value: Any) -> str:
    """A whole JSON file."""
    return json.dumps(value, indent=2, ensure_ascii=False) + "\n"
