"""`python tests/routing`: what routing is worth under faults, in simulated time, with the real router and its goals.

Needs nothing but the environment of `make test`: no network, no server. The same seeds give the same figures. Takes
about five minutes on two cores; `--fast` one, for a look.
"""

import argparse
import sys
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # run as a folder, Python knows only the folder

from tests.routing import report
from tests.routing.runs import PARTS, Choices, simulated


def _choices() -> tuple[Choices, bool]:
    parser = argparse.ArgumentParser(prog="python tests/routing", description=__doc__)
    parser.add_argument("--seeds", type=int, default=4, help="independent repetitions (default 4)")
    parser.add_argument("--only", choices=PARTS, action="append", help="only this part; may be repeated")
    parser.add_argument(
        "--fast", action="store_true", help="shorter runs, 2 seeds at most: for a look, not to judge by"
    )
    parser.add_argument("--strict", action="store_true", help="exit code 1 when a goal is missed")
    options = parser.parse_args()
    if not 0 < options.seeds <= 100:
        parser.error("from 1 to 100 seeds")
    only = tuple(options.only or PARTS)
    if options.fast:
        choices = Choices(seeds=min(options.seeds, 2), only=only, scale=0.5, rounds=2, hour_seconds=900.0)
    else:
        choices = Choices(seeds=options.seeds, only=only)
    return choices, options.strict


def main() -> None:
    """Simulate and print. A missed goal is printed, and is a failure only with `--strict`."""
    choices, is_strict = _choices()
    report.say(report.preamble(choices))
    results = simulated(choices)
    report.say(report.tables(results))
    sys.exit(1 if is_strict and report.missed(results) else 0)


if __name__ == "__main__":
    main()
