"""The table of known failures and its tests belong together, one by one."""

import ast
import re

from tests.architecture.repository import ROOT, shown, sources, tree

TABLE = (ROOT / "docs/known-failures.md").read_text(encoding="utf-8")
ROW = re.compile(r"^\| (wire|C) ?(\d+) \| (.*) \|$", re.MULTILINE)
NAMED = re.compile(r"`([\w/]+\.py)::(test_\w+)`")
NUMBERED = re.compile(r"test_(wire|c)_?(\d+)_")
KNOWN = {("wire", number) for number in range(1, 16)} | {("c", number) for number in range(19, 29)}


def _tests_in(path: str) -> list[str]:
    """The tests of the only file whose path ends so."""
    (found,) = [source for source in sources(ROOT / "tests") if shown(source).endswith(f"/{path}")]
    functions = (node for node in tree(found).body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))
    return [function.name for function in functions if function.name.startswith("test_")]


def _number(kind: str, digits: str) -> tuple[str, int]:
    return kind.lower(), int(digits)


def test_every_known_failure_has_a_row_and_every_row_tests_of_its_number() -> None:
    rows = {_number(kind, digits): NAMED.findall(cells) for kind, digits, cells in ROW.findall(TABLE)}
    assert rows.keys() == KNOWN
    for number, named in rows.items():
        carried = [NUMBERED.match(test) for _, test in named]
        assert [_number(*found.groups()) for found in carried if found is not None] == [number] * max(len(named), 1)


def test_every_test_that_the_table_names_exists_and_none_is_missing_there() -> None:
    named = NAMED.findall(TABLE)
    there = [(path, test) for path in dict.fromkeys(path for path, _ in named) for test in _tests_in(path)]
    assert sorted(named) == sorted(there)
