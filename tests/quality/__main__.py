"""`python tests/quality`: what routing by the text of a request is worth, on outcomes that are not in this repository.

Recomputes every figure of docs/routing-quality.md with the features and the one-byte weights of the library. Takes half
a minute and writes nothing.
"""

import argparse
import os
import platform
import sys
import time
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # run as a folder, Python knows only the folder

from scoring.outcomes import COLUMNS, BadOutcomes, Outcome, read
from tests.quality.evaluation import evaluate
from tests.quality.measure import sections
from tests.quality.protocols import Exam
from tests.quality.report import Goal, say, table

_SOURCES = (
    "lm-sys/RouteLLM, TIGER-AI-Lab/MMLU-Pro and WildEval/ZeroEval (commits in libs/scoring/src/scoring/NOTICE.md)"
)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python tests/quality", description=__doc__)
    columns = ",".join(COLUMNS)
    parser.add_argument("--outcomes", type=Path, required=True, help=f"CSV, may be gzipped: {columns}")
    parser.add_argument(
        "--evaluate",
        type=Path,
        action="append",
        metavar="FILE",
        help="only try the shipped weights on this file of the same columns; may be repeated",
    )
    parser.add_argument("--samples", type=int, default=1000, help="bootstrap samples of an interval (default 1000)")
    parser.add_argument("--strict", action="store_true", help="exit with 1 when a goal is missed or not measured")
    options = parser.parse_args()
    if not 1 <= options.samples <= 100_000:
        parser.error("between 1 and 100,000 samples")
    return options


def _rows(path: Path) -> list[Outcome]:
    if not path.exists():
        raise BadOutcomes(
            f"there is no {path}: outcomes are not part of this repository. Name a CSV file, gzipped or not, with"
            f" OUTCOMES=file; columns: {','.join(COLUMNS)} (the last two 0 or 1). Ours were made from {_SOURCES}."
        )
    return read(path)


def _preamble(path: Path, outcomes: list[Outcome]) -> str:
    return (
        f"{path}: {len(outcomes):,} rows; {os.cpu_count()} cores, Python {platform.python_version()}, load average"
        f" {os.getloadavg()[0]:.1f}\n"
        "APGR: recovered share of the strong model's lead, mean over all shares of strong answers; random is 0.5.\n"
        "CPT50, CPT80: least share of strong answers that recovers 50 and 80 % of the lead. 95 %: bootstrap by prompts."
    )


def _measure(path: Path, samples: int) -> bool:
    """Whether every goal was met."""
    began = time.monotonic()
    outcomes = _rows(path)
    say(_preamble(path, outcomes))
    goals: list[Goal] = []
    for section in sections(Exam.of(outcomes), samples=samples):
        say(f"\n{section.title}\n{section.text}")
        goals += section.goals
    say("\ngoals\n" + table(("", "", "measured", "goal", ""), [goal.line() for goal in goals], words=2))
    say(
        f"\n{time.monotonic() - began:.0f} s. Nothing here says anything about open-ended chat: docs/routing-quality.md"
    )
    return all(goal.is_met for goal in goals)


def main() -> int:
    """Exit code 1 for a file that cannot be read; a missed goal is printed, and a failure only with --strict."""
    options = _options()
    try:
        for path in options.evaluate or ():
            outcomes = _rows(path)
            say(f"{path}: {len(outcomes):,} rows, shipped weights\n{evaluate(outcomes, samples=options.samples)}\n")
        is_met = bool(options.evaluate) or _measure(options.outcomes, options.samples)
    except BadOutcomes as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0 if is_met or not options.strict else 1


if __name__ == "__main__":
    sys.exit(main())
