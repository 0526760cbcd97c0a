"""`python tests/bench`: what a request costs in the gateway, beside the provider alone and a bare pass-through.

Needs nothing but the environment of `make test`; starts and stops all that it measures, writes nothing into the
repository, and takes about six minutes.
"""

import argparse
import asyncio
import sys
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # run as a folder, Python knows only the folder

from tests.bench.measure import SCENARIOS, Choices, run


def _choices() -> Choices:
    parser = argparse.ArgumentParser(prog="python tests/bench", description=__doc__)
    parser.add_argument("--seconds", type=float, default=3.0, help="measured seconds of each run (default 3)")
    parser.add_argument("--rounds", type=int, default=3, help="rounds; the median of them is shown (default 3)")
    parser.add_argument("--callers", type=int, default=32, help="callers of the closed loop (default 32)")
    parser.add_argument("--rate", type=float, default=200.0, help="requests per second of the open loop (default 200)")
    parser.add_argument(
        "--only", choices=sorted(SCENARIOS), action="append", help="only this scenario; may be repeated"
    )
    parser.add_argument("--without-gateway", action="store_true", help="only provider and floor: what the tools can do")
    parser.add_argument("--profile", action="store_true", help="also show where the gateway's CPU time goes")
    options = parser.parse_args()
    if not (0 < options.seconds <= 60 and 0 < options.rounds <= 20 and 0 < options.callers <= 256):
        parser.error("at most 60 seconds, 20 rounds and 256 callers, and more than none of each")
    return Choices(
        seconds=options.seconds,
        rounds=options.rounds,
        callers=options.callers,
        rate=options.rate,
        only=tuple(options.only or SCENARIOS),
        has_gateway=not options.without_gateway,
        has_profile=options.profile,
    )


def main() -> None:
    """Measure and print. Exit code 1 when requests failed; a missed target is printed and is no failure."""
    sys.exit(asyncio.run(run(_choices())))


if __name__ == "__main__":
    main()
