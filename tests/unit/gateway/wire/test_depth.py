"""Nesting is counted in structure, not in text."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.wire.depth import is_deeper_than


def depth(value: object) -> int:
    if isinstance(value, dict):
        return 1 + max((depth(member) for member in value.values()), default=0)
    if isinstance(value, list):
        return 1 + max((depth(member) for member in value), default=0)
    return 0


@pytest.mark.parametrize(("levels", "is_deeper"), [(63, False), (64, False), (65, True), (2000, True)])
def test_more_than_64_levels_are_too_deep(levels: int, is_deeper: bool) -> None:
    assert is_deeper_than(64, b"[" * levels + b"]" * levels) is is_deeper


def test_brackets_inside_of_strings_do_not_count() -> None:
    assert not is_deeper_than(64, json.dumps({"a": "[" * 500 + '"' + "{" * 500 + "\\"}).encode())


documents = st.recursive(
    st.none() | st.text(alphabet='[]{}"\\a', max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(alphabet='[{"', max_size=2), inner, max_size=3),
    max_leaves=20,
)


@given(documents, st.integers(1, 6))
def test_it_agrees_with_walking_the_document(document: object, levels: int) -> None:
    assert is_deeper_than(levels, json.dumps(document).encode()) is (depth(document) > levels)
