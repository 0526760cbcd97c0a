"""One service's command line, imported once: every command is a fork of this process. Started by `tests.commands`.

A command imports as much as its service does, which costs a second of a core; the suite runs hundreds of them. Each is
still a process of its own, with its own environment, output and exit code, and runs what `python -m` runs.
"""

import atexit
import importlib
import json
import os
import runpy
import select
import signal
import socket
import sys
import tempfile
import traceback
from collections.abc import Callable
from functools import partial
from typing import IO, Any


def serve(service: str, path: str) -> None:
    """Until stdin ends, which it does with the process that started this one."""
    importlib.import_module(f"{service}.__main__")
    del sys.modules[f"{service}.__main__"]  # each command runs it anew
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen(64)
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        while True:
            ready, _, _ = select.select([listener, sys.stdin], [], [])
            if sys.stdin in ready:
                return
            caller, _ = listener.accept()
            _forked(partial(_answer, caller))
            caller.close()


def _answer(caller: socket.socket) -> None:
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    asked = json.loads(caller.makefile().readline())
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        child = _forked(partial(_run, asked, out, err))
        _, status = os.waitpid(child, 0)
        for file in (out, err):
            file.seek(0)
        found = {
            "code": os.waitstatus_to_exitcode(status),
            "out": out.read().decode(),
            "err": err.read().decode(),
        }
    caller.sendall(json.dumps(found).encode())


def _run(asked: dict[str, Any], out: IO[bytes], err: IO[bytes]) -> None:
    with open(os.devnull) as nothing:
        os.dup2(nothing.fileno(), 0)
    os.dup2(out.fileno(), 1)
    os.dup2(err.fileno(), 2)
    os.environ.clear()
    os.environ.update(asked["environment"])
    sys.argv = [asked["service"], *asked["arguments"]]
    runpy.run_module(asked["service"], run_name="__main__", alter_sys=True)


def _forked(run: Callable[[], None]) -> int:
    """The pid of a child that does this and ends as an interpreter ends."""
    sys.stdout.flush()
    child = os.fork()
    if child:
        return child
    code = 0
    try:
        run()
    except SystemExit as exc:
        code = exc.code if isinstance(exc.code, int) else int(exc.code is not None)
        if isinstance(exc.code, str):
            sys.stderr.write(f"{exc.code}\n")
    except BaseException:  # the edge: what a process says of its crash
        code = 1
        traceback.print_exc()
    finally:
        atexit._run_exitfuncs()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


if __name__ == "__main__":
    serve(*sys.argv[1:])
