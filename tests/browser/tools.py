"""Where libs/devstack/bootstrap.py puts what the portal's tests take from npm, and the Node that runs it."""

import os
import sys
from pathlib import Path

from devstack.repository import ROOT

_ENVIRONMENT = Path(os.environ.get("SMARTROUTE_VENV") or ROOT / ".venv").absolute()
NODE_MODULES = _ENVIRONMENT / "npm-browser/node_modules"
NODE = Path(sys.prefix) / "bin/node"
