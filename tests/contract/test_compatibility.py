"""What an earlier release said is still understood, all of it.

Examples are never edited: a release adds a folder. A field that disappears, changes its meaning in JSON or becomes
required breaks one of them; that needs a new subject.
"""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.contract.messages import readers

EXAMPLES = sorted((Path(__file__).parent / "examples").rglob("*.json"))


def lost(said: Any, understood: Any, path: str = "") -> list[str]:
    """Paths of `said` that `understood` does not have, or has with another value."""
    if isinstance(said, dict) and isinstance(understood, dict):
        missing = [f"{path}/{key}" for key in said if key not in understood]
        return missing + [
            fault for key in said if key in understood for fault in lost(said[key], understood[key], f"{path}/{key}")
        ]
    if isinstance(said, list) and isinstance(understood, list) and len(said) == len(understood):
        return [
            fault
            for place, (one, other) in enumerate(zip(said, understood, strict=True))
            for fault in lost(one, other, f"{path}/{place}")
        ]
    return [] if said == understood else [f"{path}: {said!r} became {understood!r}"]


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_a_message_of_an_earlier_release_is_understood_whole(example: Path) -> None:
    name = example.name.partition(".")[0]
    understood = readers()[name](example.read_bytes())
    assert lost(json.loads(example.read_bytes()), understood) == []


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_a_field_of_a_newer_sender_is_ignored(example: Path) -> None:
    said = json.loads(example.read_bytes())
    newer = said | {"a_field_of_tomorrow": {"x": 1}}
    if "data" in said:
        newer["data"] = said["data"] | {"a_field_of_tomorrow": [1]}
    understood = readers()[example.name.partition(".")[0]](json.dumps(newer).encode())
    assert lost(said, understood) == []
    assert "a_field_of_tomorrow" not in understood


EXPLANATIONS = [
    ("RequestSettled", ("data", "route", "route", "rule"), ("route",), None),
    ("Receipt", ("route", "route", "placement"), ("route",), None),
    ("Chosen", ("route", "rule"), ("route",), None),
    ("Choose", ("features", "request_class"), ("features", "request_class"), "unknown"),
    ("AttemptsFinished", ("attempts", 0, "request_class"), ("attempts", 0, "request_class"), None),
    ("AttemptsFinished", ("attempts", 0, "fault"), ("attempts", 0, "fault"), "broken"),
]


@pytest.mark.parametrize(("name", "place", "read", "understood"), EXPLANATIONS)
def test_a_word_of_tomorrow_in_an_explanation_costs_the_explanation_and_not_the_message(
    name: str, place: tuple[str | int, ...], read: tuple[str | int, ...], understood: str | None
) -> None:
    said = json.loads((Path(__file__).parent / f"examples/v0.4/{name}.json").read_text())
    inner = said
    for step in place[:-1]:
        inner = inner[step]
    inner[place[-1]] = "a_word_of_tomorrow"
    found: Any = readers()[name](json.dumps(said).encode())
    for step in (*(("data",) if "data" in found else ()), *read):
        found = found[step]
    assert found == understood


@pytest.mark.parametrize("name", sorted(readers()))
def test_every_message_has_an_example(name: str) -> None:
    assert any(example.name == f"{name}.json" for example in EXAMPLES)


def test_what_is_lost_is_noticed() -> None:
    assert lost({"a": 1, "b": {"c": [1, 2]}}, {"a": 1, "b": {"c": [1, 3]}}) == ["/b/c/1: 2 became 3"]
    assert lost({"a": 1}, {}) == ["/a"]
