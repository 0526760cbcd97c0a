"""Rows are read from plain and gzipped CSV; what cannot be read is said in a sentence."""

import gzip
from pathlib import Path

import pytest

from scoring.outcomes import BadOutcomes, Outcome, read

HEADER = "pair,suite,task,prompt,weak_ok,strong_ok\n"
GOOD = HEADER + 'a/b,s,t,"two\nlines, and ""quotes""",1,0\n'
# Without the time of day: it is part of the names of tests.
ZIPPED = gzip.compress(GOOD.encode(), mtime=0)


@pytest.mark.parametrize("data", [GOOD.encode(), ZIPPED, b"\xef\xbb\xbf" + GOOD.encode()])
def test_rows_are_read_whether_gzipped_or_not(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "rows"
    path.write_bytes(data)
    (outcome,) = read(path)
    assert outcome == Outcome("a/b", "s", "t", 'two\nlines, and "quotes"', weak_ok=True, strong_ok=False)
    assert outcome.gain == -1


def test_pair_suite_and_task_may_be_missing_and_a_prompt_may_be_long(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_text("strong_ok,prompt,weak_ok\n1.0," + "x" * 200_000 + ",0\n", encoding="utf-8")
    (outcome,) = read(path)
    assert (outcome.pair, outcome.suite, outcome.task, outcome.gain) == ("", "", "", 1)


@pytest.mark.parametrize(
    ("data", "complaint"),
    [
        (b"", "lacks the column prompt and weak_ok and strong_ok"),
        (HEADER.encode(), "has no rows"),
        (b"prompt,weak_ok\nx,1\n", "lacks the column strong_ok; the columns are pair,suite,task,prompt"),
        ((HEADER + "a,s,t,x,1,0\na,s,t,x,maybe,0\n").encode(), "line 3: weak_ok is 'maybe', not 0 or 1"),
        ((HEADER + "a,s,t,x,1\n").encode(), "line 2: strong_ok is '', not 0 or 1"),
        (HEADER.encode() + b"a,s,t,\xff\xfe,1,0\n", "not UTF-8"),
        (ZIPPED[:-9], "damaged gzip"),
        (b"\x1f\x8bnonsense", "damaged gzip|gzip"),
    ],
)
def test_a_bad_file_is_refused_in_words(tmp_path: Path, data: bytes, complaint: str) -> None:
    path = tmp_path / "rows.csv"
    path.write_bytes(data)
    with pytest.raises(BadOutcomes, match=complaint):
        read(path)


def test_a_missing_file_and_a_folder_are_refused_in_words(tmp_path: Path) -> None:
    for path in (tmp_path / "none.csv", tmp_path):
        with pytest.raises(BadOutcomes, match="cannot be read"):
            read(path)
