"""`python -m contracts`: what is made from the contracts.

`generate [--check]`: AsyncAPI documents and JSON Schemas. `nats-users [--check]`: the users of the NATS servers.
"""

import argparse
import difflib
import sys
from pathlib import Path

from contracts import generated, nats_users


def main(arguments: list[str] | None = None) -> int:
    """Write the files, or with `--check` say how they differ; status 1 when they do."""
    parser = argparse.ArgumentParser(prog="python -m contracts", description="What is generated from the contracts.")
    commands = parser.add_subparsers(dest="command", required=True)
    generate = commands.add_parser("generate", help="AsyncAPI 3.0 per service and JSON Schema per message")
    generate.add_argument("--check", action="store_true", help="write nothing; status 1 and a diff when stale")
    generate.add_argument("--folder", type=Path, default=generated.DEFAULT_FOLDER, help="default: %(default)s")
    users = commands.add_parser("nats-users", help="one NATS user per service, with exactly its subjects")
    users.add_argument("--check", action="store_true", help="write nothing; status 1 and a diff when stale")
    users.add_argument("--file", type=Path, default=nats_users.DEFAULT_FILE, help="default: %(default)s")
    chosen = parser.parse_args(arguments)
    if chosen.command == "nats-users":
        return _check_users(chosen.file) if chosen.check else _write_users(chosen.file)
    return _check(chosen.folder) if chosen.check else _write(chosen.folder)


def _check(folder: Path) -> int:
    lines = list(generated.differences(folder))
    if lines:
        sys.stdout.writelines(f"{line}\n" for line in lines)
        sys.stderr.write("generated contracts are stale: run `python -m contracts generate` and commit the result\n")
    return 1 if lines else 0


def _write(folder: Path) -> int:
    sys.stdout.writelines(f"{folder / path}\n" for path in generated.write(folder))
    return 0


def _check_users(file: Path) -> int:
    found = file.read_text() if file.exists() else ""
    lines = list(
        difflib.unified_diff(found.splitlines(), nats_users.text().splitlines(), str(file), "contracts", lineterm="")
    )
    if lines:
        sys.stdout.writelines(f"{line}\n" for line in lines)
        sys.stderr.write("the NATS users are stale: run `python -m contracts nats-users` and commit the result\n")
    return 1 if lines else 0


def _write_users(file: Path) -> int:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(nats_users.text())
    sys.stdout.write(f"{file}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
