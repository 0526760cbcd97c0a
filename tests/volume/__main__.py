"""`python tests/volume`: a day of 200,000 settlements through the real stream and both services, then the books.

It holds the prompts by SQL, publishes their settlements, lets quota and billing fold them, and then runs `reconcile`,
`close` and `rebuild` as staff do: how long each takes, and how much memory. It starts and stops all that it needs and
writes nothing into the repository.
"""

import argparse
import asyncio
import sys
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # run as a folder, Python knows only the folder

from tests.volume.run import Choices, run


def main() -> None:
    """Measure and print. Exit code 1 when the books of the day were not what they have to be."""
    parser = argparse.ArgumentParser(prog="python tests/volume", description=__doc__)
    parser.add_argument("--settlements", type=int, default=200_000, help="requests of the day (default 200,000)")
    parser.add_argument("--accounts", type=int, default=2_000, help="accounts that made them (default 2,000)")
    options = parser.parse_args()
    if not 0 < options.accounts <= options.settlements:
        parser.error("at least one account, and one request of each")
    measured = asyncio.run(run(Choices(options.settlements, options.accounts), say=print))
    sys.exit(0 if all(each.is_as_expected for each in measured) else 1)


if __name__ == "__main__":
    main()
