"""`make check`: everything runs, what failed is shown at the end, the exit code tells."""

import io
import sys

import pytest
from rich.console import Console

from devstack.check.__main__ import run_all, summarise
from devstack.check.steps import STEPS, Step


def a_step(name: str, code: str) -> Step:
    return Step(name, f"about {name}", (sys.executable, "-I", "-S", "-c", code))


@pytest.fixture
def console() -> Console:
    return Console(file=io.StringIO(), width=100)


def printed(console: Console) -> str:
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


async def test_all_run_and_only_what_failed_is_shown(console: Console) -> None:
    steps = [
        a_step("first", "import sys; print('[bold]the reason'); sys.exit(3)"),
        a_step("second", "print('not worth a word')"),
        a_step("third", "import sys; sys.stderr.write('another reason'); sys.exit(1)"),
    ]
    results = await run_all(steps, console)
    code = summarise(results, console, seconds=1)
    text = printed(console)
    assert [result.passed for result in results] == [False, True, False]
    assert code == 1
    assert "[bold]the reason" in text
    assert "another reason" in text
    assert "not worth a word" not in text
    assert text.splitlines()[-1] == "2 of 3 checks failed: first, third 1 s"
    assert "make check ARGS=third" in text


async def test_when_all_is_well_it_says_so(console: Console) -> None:
    results = await run_all([a_step("only", "pass")], console)
    assert summarise(results, console, seconds=2.4) == 0
    assert printed(console).splitlines()[-1] == "all 1 checks passed 2 s"


def test_every_check_has_a_name_of_its_own() -> None:
    names = [step.name for step in STEPS]
    assert len(set(names)) == len(names)
