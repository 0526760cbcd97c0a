"""No prompt is scored by weights that have seen it, and every file of outcomes has its tables."""

import csv
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from scoring.model import Target
from scoring.outcomes import COLUMNS, Outcome
from tests.quality import protocols
from tests.quality.__main__ import main
from tests.quality.evaluation import evaluate
from tests.quality.metrics import Vector, curve, group_means
from tests.quality.protocols import Exam, by_prompt, by_subject, class_table, cross_validated, unseen_families
from tests.quality.report import Goal
from tests.unit.scoring.exams import an_exam

ROOT = Path(__file__).parents[3]


def _families(rows: int = 120) -> list[Outcome]:
    pairs = ("one/two", "three/four")
    exam = an_exam(rows, pairs=pairs)
    suites = [("mmlu", "law"), ("gsm8k", "gsm8k"), ("zeroeval", "crux"), ("zeroeval", "gsm")]
    return [
        replace(outcome, suite=suites[number % 4][0], task=suites[number % 4][1], prompt=f"{outcome.prompt} {number}")
        for number, outcome in enumerate(exam)
    ]


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Exam, Exam]]:
    """Who was trained on and who was asked, call by call."""
    calls: list[tuple[Exam, Exam]] = []
    learned = protocols.learned

    def watched(exam: Exam, target: Target, asked: Exam) -> Vector:
        calls.append((exam, asked))
        return learned(exam, target, asked)

    monkeypatch.setattr(protocols, "learned", watched)
    return calls


def test_no_prompt_is_on_both_sides_of_a_fold(trained: list[tuple[Exam, Exam]]) -> None:
    doubled = an_exam(200)
    exam = Exam.of([*doubled, *(replace(outcome, pair="another/pair") for outcome in doubled)])
    cross_validated(exam, "gain", by_prompt(exam))
    assert len(trained) == protocols.FOLDS
    assert sum(len(asked.outcomes) for _, asked in trained) == len(exam.outcomes)
    for shown, asked in trained:
        assert not {outcome.prompt for outcome in shown.outcomes} & {outcome.prompt for outcome in asked.outcomes}


def test_no_subject_is_on_both_sides_when_subjects_are_held_out(trained: list[tuple[Exam, Exam]]) -> None:
    exam = Exam.of([replace(each, task=f"subject {place % 17}") for place, each in enumerate(an_exam(200))])
    cross_validated(exam, "gain", by_subject(exam))
    assert len(trained) > 1
    assert not any(set(shown.tasks) & set(asked.tasks) for shown, asked in trained)


def test_a_family_is_absent_from_training_in_every_pair(trained: list[tuple[Exam, Exam]]) -> None:
    found = unseen_families(Exam.of(_families()))
    assert len(trained) == 3
    for shown, asked in trained:
        assert len({protocols.family(outcome) for outcome in asked.outcomes}) == 1
        assert not set(map(protocols.family, shown.outcomes)) & set(map(protocols.family, asked.outcomes))
    # A row's number decides its suite and its pair: multiple choice and code went to one pair, maths to the other.
    assert {name: len(scores) for name, (scores, _) in found.items()} == {
        ("multiple choice", "one/two"): 30,
        ("maths", "three/four"): 60,
        ("code", "one/two"): 30,
    }


def test_a_planted_signal_beats_random_and_shuffled_labels_do_not() -> None:
    exam = Exam.of(an_exam(600))
    found = curve(cross_validated(exam, "gain", by_prompt(exam)), exam.gains)
    assert found is not None
    ceiling = curve(group_means(exam.gains, exam.tasks), exam.gains)
    assert ceiling is not None
    assert found.apgr > 0.5 + 0.7 * (ceiling.apgr - 0.5)
    gains = np.random.default_rng(2).permutation([outcome.gain for outcome in exam.outcomes])
    shuffled = Exam(
        [
            replace(outcome, weak_ok=bool(gain < 1), strong_ok=bool(gain >= 0))
            for outcome, gain in zip(exam.outcomes, gains, strict=True)
        ],
        exam.matrix,
    )
    chance = curve(cross_validated(shuffled, "gain", by_prompt(shuffled)), shuffled.gains)
    assert chance is not None
    assert abs(chance.apgr - 0.5) < 0.1


def test_the_scorer_is_what_the_protocols_measure() -> None:
    assert protocols.disagreement(Exam.of(an_exam()), "gain") < 1e-6


def test_a_table_of_classes_is_shrunk_towards_the_mean() -> None:
    rows = [Outcome("a/b", "s", "always", "x", weak_ok=False, strong_ok=True)] * 20
    rows += [Outcome("a/b", "s", "never", "x", weak_ok=True, strong_ok=True)] * 20
    asked = [replace(rows[0], task=task) for task in ("always", "never", "unknown")]
    table = class_table(Exam.of(rows), Exam.of(asked))
    assert table.tolist() == [(20 + 20 * 0.5) / 40, (0 + 20 * 0.5) / 40, 0.5]


@pytest.mark.parametrize(
    ("outcomes", "said"),
    [
        (an_exam(1), "(1|-)"),
        (an_exam(60, pairs=("",)), "(unnamed)"),
        ([replace(each, strong_ok=each.weak_ok) for each in an_exam(20)], "PGR is undefined"),
        ([replace(each, weak_ok=True, strong_ok=False) for each in an_exam(20)], "PGR is undefined"),
        ([replace(each, weak_ok=False, strong_ok=True) for each in an_exam(20)], "100.0 %"),
        ([replace(each, prompt="") for each in an_exam(20)], "exam"),
        ([replace(each, suite=str(place % 2)) for place, each in enumerate(an_exam(20))], "all"),
    ],
    ids=["one row", "no pair", "equal", "worse", "one class", "no text", "two suites"],
)
def test_any_outcomes_have_a_table(outcomes: Sequence[Outcome], said: str) -> None:
    text = evaluate(outcomes, samples=20)
    assert "APGR" in text
    assert "nan" not in text
    assert said == "(1|-)" or said in text


def test_a_goal_that_was_not_measured_is_not_met() -> None:
    assert not Goal("Q", "", None, 0.0).is_met
    assert Goal("Q", "", 0.5, 0.5).is_met
    assert not Goal("Q", "", 0.51, 0.5, is_upper=True).is_met


def _run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "tests/quality"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)


def test_a_missing_file_is_a_sentence_with_columns_and_sources(tmp_path: Path) -> None:
    run = _run("--outcomes", str(tmp_path / "none.csv.gz"))
    assert (run.returncode, run.stdout) == (1, "")
    assert ",".join(COLUMNS) in run.stderr
    assert "lm-sys/RouteLLM" in run.stderr
    assert run.stderr.count("\n") == 1


def test_the_whole_run_goes_through_and_strict_tells_of_goals_that_were_missed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "rows.csv"
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(COLUMNS)
        for each in _families():
            writer.writerow([each.pair, each.suite, each.task, each.prompt, int(each.weak_ok), int(each.strong_ok)])
    asked = ["--outcomes", str(path), "--samples", "5"]
    codes = []
    for extra in (["--strict"], ["--evaluate", str(path), "--strict"]):
        monkeypatch.setattr(sys, "argv", ["quality", *asked, *extra])
        codes.append(main())
    printed = capsys.readouterr().out
    assert codes == [1, 0], "goals are missed on 120 rows; with --evaluate there are none"
    assert "NOT MET" in printed
    assert "RouteLLM, its best router (published)" in printed
    assert "shipped weights" in printed
