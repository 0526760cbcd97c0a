"""`python -m scoring`: figures for people, and sentences instead of tracebacks."""

import csv
import io
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from scoring import Scorer
from scoring.__main__ import main
from scoring.outcomes import COLUMNS
from tests.unit.scoring.exams import an_exam


def _run(*arguments: str, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [sys.executable, "-m", "scoring", *arguments], input=stdin, capture_output=True, check=False, timeout=60
    )


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(COLUMNS)
    for each in an_exam():
        writer.writerow([each.pair, each.suite, each.task, each.prompt, int(each.weak_ok), int(each.strong_ok)])
    path = tmp_path / "rows.csv"
    path.write_text(text.getvalue(), encoding="utf-8")
    return path


def test_train_writes_weights_that_score_uses(rows: Path, tmp_path: Path) -> None:
    out = tmp_path / "own.weights"
    trained = _run("train", "--outcomes", str(rows), "--out", str(out))
    assert (trained.returncode, trained.stderr) == (0, b"")
    assert re.search(rb"weakfail from 400 rows of 1 pairs, sha256 [0-9a-f]{64}", trained.stdout)
    scored = _run("score", "--weights", str(out), stdin=b"a hard road")
    assert scored.stdout.decode() == f"{Scorer.from_bytes(out.read_bytes()).score('a hard road'):.6f} chat\n"


def test_score_takes_the_shipped_weights_and_any_bytes() -> None:
    scored = _run("score", stdin=b"\xff\xfe how are you?")
    assert scored.returncode == 0
    assert re.fullmatch(rb"0\.\d{6} chat\n", scored.stdout)


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["train", "--outcomes", "none.csv", "--out", os.devnull], "none.csv cannot be read"),
        (["train", "--outcomes", "damaged", "--out", os.devnull], "lacks the column"),
        (["train", "--outcomes", "rows.csv", "--out", "no/folder"], "cannot be written"),
        (["score", "--weights", "damaged"], "bad weights: not a weights file"),
        (["score", "--weights", "none.weights"], "bad weights: cannot be read"),
    ],
)
def test_what_cannot_be_done_is_said_in_one_line(
    rows: Path,
    words: list[str],
    sentence: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (rows.parent / "damaged").write_bytes(b"nonsense")
    monkeypatch.chdir(rows.parent)
    monkeypatch.setattr(sys, "argv", ["scoring", *words])
    assert main() == 1
    printed = capsys.readouterr()
    assert printed.out == ""
    assert sentence in printed.err
    assert printed.err.count("\n") == 1
