"""`python tests/golden/write.py`: makes all golden files anew. For people, who review what has changed; CI never does.

The tests of the golden files are in tests/unit/gateway/wire/test_golden.py; what the files are is told in `files`.
"""

import shutil
import sys
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # run as a file, Python knows only its folder

from tests.golden.cases import CLIENTS, PROVIDERS, combinations
from tests.golden.files import FOLDER, folder, written


def main() -> None:
    """Write every file, and remove those that belong to nothing any more."""
    made = {
        folder(client, provider, case): written(client, provider, case) for client, provider, case in combinations()
    }
    for pair in (f"{client}-{provider}" for client in CLIENTS for provider in PROVIDERS):
        shutil.rmtree(FOLDER / pair, ignore_errors=True)
    for place, files in made.items():
        place.mkdir(parents=True)
        for name, content in files.items():
            (place / name).write_bytes(content)


if __name__ == "__main__":
    main()
