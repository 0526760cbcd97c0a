"""Places where a test can make a process die, as if its machine had stopped right there.

Off unless `SMARTROUTE_FAILPOINTS` names a folder when the process starts. A file of a place's name in it arms that
place once, for whichever process comes by first; what the file says (`KILL` or `STOP`) is the signal that this process
sends itself. Production never sets the variable, and a place that is off costs one call.
"""

import logging
import os
import signal
from collections.abc import Callable
from pathlib import Path

VARIABLE = "SMARTROUTE_FAILPOINTS"

log = logging.getLogger(__name__)


def armed_by(folder: Path) -> Callable[[str], None]:
    """Dies at a place whose file is in `folder`; removing the file is the claim, so that one process dies of it."""

    def reach(place: str) -> None:
        file = folder / place
        try:
            name = file.read_text().strip()
            file.unlink()
        except FileNotFoundError:
            return
        log.critical("failpoint", extra={"place": place, "signal": name})
        os.kill(os.getpid(), signal.Signals[f"SIG{name}"])

    return reach


def _off(place: str) -> None:
    del place


reach: Callable[[str], None] = armed_by(Path(os.environ[VARIABLE])) if os.environ.get(VARIABLE) else _off
