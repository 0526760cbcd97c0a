"""Reads what the sampler in the gateway wrote, and shows where the CPU time of its main thread went."""

import json
import sysconfig
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

_SITE = sysconfig.get_paths()["purelib"]
_STDLIB = sysconfig.get_paths()["stdlib"]
_ROWS = 18


@dataclass(frozen=True)
class Profile:
    """Stacks, innermost function first as `file:function`, with the CPU seconds seen in each."""

    main_seconds: float
    process_seconds: float
    stacks: list[tuple[list[str], float]]


def read(path: Path) -> Profile:
    """Wait for the file, read it and remove it. TimeoutError if it does not come within 10 s."""
    deadline = time.monotonic() + 10
    while not path.exists():
        if time.monotonic() > deadline:
            raise TimeoutError("the sampler in the gateway wrote nothing")
        time.sleep(0.05)
    document = json.loads(path.read_text())
    path.unlink()
    stacks = [(stack, float(seconds)) for stack, seconds in document["stacks"]]
    return Profile(document["main_seconds"], document["process_seconds"], stacks)


def table(profile: Profile, title: str) -> str:
    """The packages by own time, and the functions by own time and by time with all that they called."""
    whole = sum(seconds for _, seconds in profile.stacks) or 1.0
    packages, own, total = Counter[str](), Counter[str](), Counter[str]()
    for stack, seconds in profile.stacks:
        packages[_package(stack[0])] += seconds  # type: ignore[assignment]  # Counter counts seconds as well
        own[_short(stack[0])] += seconds  # type: ignore[assignment]
        for name in {_short(frame) for frame in stack}:
            total[name] += seconds  # type: ignore[assignment]
    elsewhere = max(profile.process_seconds - profile.main_seconds, 0.0)
    lines = [
        f"\nWhere the gateway's time goes: {title}",
        f"main thread {profile.main_seconds:.2f} s of CPU, other threads (exporter, resolver) {elsewhere:.2f} s",
        "(the event loop's own C code shows up in what it calls next: weakref callbacks of ended tasks, for one)",
        "",
        f"{'package':<28}{'own':>7}",
        *(f"{name:<28}{seconds / whole:>7.1%}" for name, seconds in packages.most_common(_ROWS)),
        "",
        f"{'function':<72}{'own':>7}{'total':>8}",
        *(f"{name:<72}{seconds / whole:>7.1%}{total[name] / whole:>8.1%}" for name, seconds in own.most_common(_ROWS)),
        "",
        f"{'function of ours':<72}{'own':>7}{'total':>8}",
    ]
    ours = [
        (name, seconds)
        for name, seconds in total.most_common()
        if name.startswith(("gateway.", "chassis.", "contracts."))
    ]
    lines += [f"{name:<72}{own[name] / whole:>7.1%}{seconds / whole:>8.1%}" for name, seconds in ours[:_ROWS]]
    return "\n".join(lines)


def _short(frame: str) -> str:
    """`gateway.handlers.chat:Handler.reply` for `/…/src/gateway/handlers/chat.py:Handler.reply`."""
    path, _, function = frame.rpartition(":")
    for root in (_SITE, _STDLIB):
        if path.startswith(root):
            path = path[len(root) :]
    path = path.rpartition("/src/")[2].strip("/")
    return f"{path.removesuffix('.py').replace('/', '.')}:{function}"[-72:]


def _package(frame: str) -> str:
    path, _, _ = frame.rpartition(":")
    if path.startswith(_SITE):
        return path[len(_SITE) + 1 :].split("/")[0].removesuffix(".py")
    if path.startswith(_STDLIB):
        return "standard library"
    _, is_ours, inside = path.rpartition("/src/")
    return inside.split("/")[0] if is_ours else "other"
