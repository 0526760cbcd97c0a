"""Becomes another program after tying its life to our parent's. Run by path: `python -I -S launch.py …`.

A process that is started through here dies when the supervisor dies, even by `kill -9` (Linux: PR_SET_PDEATHSIG).
It is a program of its own, not a `preexec_fn`, because running Python between fork and exec is unsafe with threads.

Arguments: death signal (number), pid of the supervisor, uid, gid (-1: stay), then the command.
"""

import os
import sys

PR_SET_PDEATHSIG = 1
# A library to preload into the program, and not into us: what it makes as this user the other one could not open.
PRELOAD = "SMARTROUTE_PRELOAD"


def main(arguments: list[str]) -> None:
    death_signal, supervisor, uid, gid = (int(value) for value in arguments[:4])
    command = arguments[4:]
    libc = None
    if sys.platform == "linux":
        # Loaded before the user changes: Python itself may live where the other user cannot read.
        import ctypes

        libc = ctypes.CDLL(None)
    if gid >= 0:
        os.setgroups([])
        os.setgid(gid)
    if uid >= 0:
        os.setuid(uid)
    if libc is not None:
        # After the user changed: that would clear it.
        libc.prctl(PR_SET_PDEATHSIG, death_signal, 0, 0, 0)
    if os.getppid() != supervisor:
        sys.exit("the supervisor died before its child began")
    if PRELOAD in os.environ:
        os.environ["LD_PRELOAD"] = os.environ.pop(PRELOAD)
    try:
        os.execv(command[0], command)
    except OSError as error:
        sys.exit(f"cannot run {command[0]}: {error.strerror}")


if __name__ == "__main__":
    main(sys.argv[1:])
