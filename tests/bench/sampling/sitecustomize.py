"""A small sampling profiler, loaded into the gateway by `python tests/bench --profile` through PYTHONPATH.

SIGUSR2 starts it, a second SIGUSR2 stops it and writes what it saw to `BENCH_PROFILE`. While it runs, every 2 ms of CPU
time a signal looks at the main thread's stack; each look weighs as much as the CPU time that the main thread has used
since the last one, so idle time and other threads do not count. Time inside C code is seen at the Python line that
called it, and time in the event loop's own C code at whatever callback comes next.
"""

import atexit
import json
import os
import signal
import sys
import time
from collections import Counter
from types import FrameType
from typing import Any

_EVERY_SECONDS = 0.002
_stacks: Counter[tuple[str, ...]] = Counter()
_clock: dict[str, float] = {"last": 0.0, "main": 0.0, "process": 0.0}
_state = {"running": False}


def _look(_: int, frame: FrameType | None) -> None:
    now = time.thread_time()
    weight, _clock["last"] = now - _clock["last"], now
    stack = []
    while frame is not None:
        stack.append(f"{frame.f_code.co_filename}:{frame.f_code.co_qualname}")
        frame = frame.f_back
    _stacks[tuple(stack)] += int(weight * 1e9)  # nanoseconds, since a Counter wants integers


def _toggle(_: int, __: FrameType | None) -> None:
    if not _state["running"]:
        _state["running"] = True
        _clock.update(last=time.thread_time(), main=time.thread_time(), process=time.process_time())
        signal.setitimer(signal.ITIMER_PROF, _EVERY_SECONDS, _EVERY_SECONDS)
        return
    signal.setitimer(signal.ITIMER_PROF, 0)
    _state["running"] = False
    _write()


def _write() -> None:
    signal.setitimer(signal.ITIMER_PROF, 0)
    seen: dict[str, Any] = {
        "main_seconds": time.thread_time() - _clock["main"],
        "process_seconds": time.process_time() - _clock["process"],
        "stacks": [[list(stack), weight / 1e9] for stack, weight in _stacks.items()],
    }
    path = os.environ["BENCH_PROFILE"]
    with open(path + ".part", "w") as file:
        json.dump(seen, file)
    os.replace(path + ".part", path)


def _at_exit() -> None:
    if _state["running"]:
        _write()


if os.environ.get("BENCH_PROFILE") and sys.orig_argv[-2:] == ["gateway", "serve"]:
    signal.signal(signal.SIGPROF, _look)
    signal.signal(signal.SIGUSR2, _toggle)
    atexit.register(_at_exit)
