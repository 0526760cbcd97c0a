"""The files that are made from the contracts: written, or compared with what is on disk."""

import difflib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path

from contracts import asyncapi

# libs/contracts/schemas, seen from libs/contracts/src/contracts: only a source tree has it.
DEFAULT_FOLDER = Path(__file__).parents[2] / "schemas"


def files() -> Mapping[str, str]:
    """Every generated file by its path inside the schemas folder."""
    found = {f"{service}.asyncapi.json": _text(document) for service, document in asyncapi.documents().items()}
    found |= {f"messages/{name}.json": _text(schema) for name, schema in asyncapi.message_schemas().items()}
    return found


def write(folder: Path) -> list[str]:
    """Bring `folder` up to date and return the paths that changed; JSON files that are no longer made are removed."""
    changed: list[str] = []
    wanted = files()
    for path in _paths(folder):
        if path not in wanted:
            (folder / path).unlink()
            changed.append(path)
    for path, text in wanted.items():
        target = folder / path
        if not target.exists() or target.read_text() != text:
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(text)
            changed.append(path)
    return changed


def differences(folder: Path) -> Iterator[str]:
    """Lines of a unified diff from what is in `folder` to what would be written; none when it is up to date."""
    wanted = files()
    for path in sorted({*wanted, *_paths(folder)}):
        found = (folder / path).read_text() if (folder / path).exists() else ""
        yield from difflib.unified_diff(
            found.splitlines(), wanted.get(path, "").splitlines(), f"committed/{path}", f"contracts/{path}", lineterm=""
        )


def _paths(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.json"))


def _text(document: asyncapi.Schema) -> str:
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"
