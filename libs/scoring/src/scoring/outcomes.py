"""Outcomes: who answered a prompt rightly, the weak model or the strong one. Read from CSV, plain or gzipped.

BadOutcomes (ValueError)    a file that is missing, damaged or has other columns; the message says what and where
"""

import csv
import gzip
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TextIO

COLUMNS: Final = ("pair", "suite", "task", "prompt", "weak_ok", "strong_ok")
_NEEDED = ("prompt", "weak_ok", "strong_ok")
_LONGEST_PROMPT = 1 << 24
_VALUES = {"0": False, "1": True, "0.0": False, "1.0": True}


class BadOutcomes(ValueError):
    """A file from which no outcomes can be read, or outcomes from which nothing can be learned."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """One prompt given to both models of a pair. `pair`, `suite` and `task` may be empty: then nobody told."""

    pair: str
    suite: str
    task: str
    prompt: str
    weak_ok: bool
    strong_ok: bool

    @property
    def gain(self) -> int:
        """What the strong model adds: 1, 0, or -1 where only the weak one is right."""
        return self.strong_ok - self.weak_ok


def read(path: Path) -> list[Outcome]:
    """All rows of a file. Raises BadOutcomes."""
    try:
        with path.open("rb") as file:
            is_gzipped = file.read(2) == b"\x1f\x8b"
        with _opened(path, is_gzipped) as text:
            outcomes = list(_rows(text, path))
    except UnicodeDecodeError:
        raise BadOutcomes(f"{path} is not UTF-8 text") from None
    except (EOFError, zlib.error, gzip.BadGzipFile):
        raise BadOutcomes(f"{path} is a damaged gzip file") from None
    except csv.Error as error:
        raise BadOutcomes(f"{path} is no CSV: {error}") from None
    except OSError as error:
        raise BadOutcomes(f"{path} cannot be read: {error.strerror or error}") from None
    if not outcomes:
        raise BadOutcomes(f"{path} has no rows")
    return outcomes


def _opened(path: Path, is_gzipped: bool) -> TextIO:
    if is_gzipped:
        return gzip.open(path, "rt", encoding="utf-8-sig", newline="")
    return path.open(encoding="utf-8-sig", newline="")


def _rows(text: TextIO, path: Path) -> Iterable[Outcome]:
    csv.field_size_limit(_LONGEST_PROMPT)
    reader = csv.DictReader(text)
    missing = [name for name in _NEEDED if name not in (reader.fieldnames or ())]
    if missing:
        raise BadOutcomes(f"{path} lacks the column {' and '.join(missing)}; the columns are {','.join(COLUMNS)}")
    for row in reader:
        given = {name: row.get(name) or "" for name in COLUMNS}
        for name in ("weak_ok", "strong_ok"):
            if given[name] not in _VALUES:
                raise BadOutcomes(f"{path}, line {reader.line_num}: {name} is {given[name][:40]!r}, not 0 or 1")
        yield Outcome(
            pair=given["pair"],
            suite=given["suite"],
            task=given["task"],
            prompt=given["prompt"],
            weak_ok=_VALUES[given["weak_ok"]],
            strong_ok=_VALUES[given["strong_ok"]],
        )
