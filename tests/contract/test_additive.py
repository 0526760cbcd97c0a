"""Contracts only grow: every message of the previous release (`deploy/previous-release`) is compared with today's, in
the schemas that each release has committed.
"""

import json
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest

from devstack.repository import ROOT

FOLDER = "libs/contracts/schemas/messages"


def previous() -> dict[str, Any]:
    """The schemas of the previous release, by name."""
    commit = (ROOT / "deploy/previous-release").read_text(encoding="utf-8").strip()
    listing = _git("ls-tree", "--name-only", commit, f"{FOLDER}/")
    return {path.removeprefix(f"{FOLDER}/"): json.loads(_git("show", f"{commit}:{path}")) for path in listing.split()}


def _git(*arguments: str) -> str:
    done = subprocess.run(["git", "-C", str(ROOT), *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip("the previous release is not in this clone: git fetch --unshallow")
    return done.stdout


def today() -> dict[str, Any]:
    return {path.name: json.loads(path.read_text()) for path in (ROOT / FOLDER).glob("*.json")}


def shrinkage(old: Any, new: Any, *, place: str) -> Iterator[str]:
    """What of `old` a receiver of today would miss, or a sender of then not know that it has to give."""
    if isinstance(old, list) or not isinstance(old, dict):
        if old != new:
            yield f"{place}: {old!r} became {new!r}"
        return
    if not isinstance(new, dict):
        yield f"{place}: became {new!r}"
        return
    yield from (
        f"{place}: `{name}` has to be given now"
        for name in set(new.get("required", ())) - set(old.get("required", ()))
        if "properties" in old
    )
    yield from (f"{place}: the word {word!r} is gone" for word in set(old.get("enum", ())) - set(new.get("enum", ())))
    for part in ("properties", "$defs"):
        for name, was in old.get(part, {}).items():
            if name in new.get(part, {}):
                yield from shrinkage(was, new[part][name], place=f"{place}.{name}")
            else:
                yield f"{place}: `{name}` is gone"
    for part in ("type", "format", "const", "$ref", "items"):
        if part in old:
            yield from shrinkage(old[part], new.get(part), place=f"{place} ({part})")
    yield from (f"{place}: {variant} is gone" for variant in _variants(old) - _variants(new))


def _variants(schema: dict[str, Any]) -> set[str]:
    """The alternatives of a schema, as far as one can be told from another."""
    found = [*schema.get("anyOf", ()), *schema.get("oneOf", ())]
    return {str(each.get("$ref") or each.get("type")) for each in found}


def test_no_message_lost_what_the_previous_release_says_or_reads() -> None:
    now = today()
    lost = [
        line
        for name, was in previous().items()
        for line in (shrinkage(was, now[name], place=name) if name in now else [f"{name} is gone"])
    ]
    assert lost == [], "additive within a major; anything else is a new subject"


@pytest.mark.parametrize(
    ("change", "found"),
    [
        ({"properties": {"plan": {"type": "string"}}}, "`alias` is gone"),
        ({"required": ["plan", "alias"]}, "`alias` has to be given now"),
        ({"properties": {"plan": {"type": "integer"}, "alias": {"enum": ["a", "b"]}}}, "'string' became 'integer'"),
        ({"properties": {"plan": {"type": "string"}, "alias": {"enum": ["a"]}}}, "the word 'b' is gone"),
    ],
)
def test_what_a_message_loses_is_named(change: dict[str, Any], found: str) -> None:
    old = {"properties": {"plan": {"type": "string"}, "alias": {"enum": ["a", "b"]}}, "required": ["plan"]}
    assert any(found in line for line in shrinkage(old, {**old, **change}, place="Message"))


def test_a_message_may_grow() -> None:
    old = {"properties": {"plan": {"enum": ["a"]}}, "required": ["plan"]}
    new = {"properties": {"plan": {"enum": ["a", "b"]}, "why": {"type": "string"}}, "required": ["plan"]}
    assert list(shrinkage(old, new, place="Message")) == []
