"""`python -m devstack.dashboards` writes `deploy/dashboards/`; with `--check` it only says if they are up to date."""

import argparse
import json
import sys

from devstack import repository
from devstack.dashboards.books import books
from devstack.dashboards.panels import Json
from devstack.dashboards.services import billing, gateway, quota, router
from devstack.dashboards.users import users

FOLDER = repository.ROOT / "deploy/dashboards"


def dashboards() -> dict[str, Json]:
    """All of them, by the names of their files."""
    made = (users(), gateway(), quota(), router(), billing(), books())
    return {f"{board['uid'].removeprefix('smart-route-')}.json": board for board in made}


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m devstack.dashboards", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; 1 when something is out of date")
    is_check = parser.parse_args(arguments).check
    texts = {name: json.dumps(board, indent=1, ensure_ascii=False) + "\n" for name, board in dashboards().items()}
    there = {path.name: path.read_text(encoding="utf-8") for path in FOLDER.glob("*.json")}
    if is_check:
        if there != texts:
            print("deploy/dashboards is out of date: run `python -m devstack.dashboards`", file=sys.stderr)
        return int(there != texts)
    for name in there.keys() - texts.keys():
        (FOLDER / name).unlink()
    for name, text in texts.items():
        (FOLDER / name).write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
