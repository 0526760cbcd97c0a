"""What processes cost, read from /proc: CPU time and memory of a process with all of its children (Linux only)."""

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

_TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class _Stat:
    parent: int
    cpu_seconds: float


def cpu_seconds(groups: Mapping[str, Iterable[int]]) -> dict[str, float]:
    """CPU seconds used so far by each group of pids, their children included, also those that have ended."""
    stats = _all_stats()
    return {name: sum(stats[pid].cpu_seconds for pid in _with_children(pids, stats)) for name, pids in groups.items()}


def memory_megabytes(groups: Mapping[str, Iterable[int]]) -> dict[str, float]:
    """Memory of each group: resident size of a single process; of several the proportional size, which counts what
    they share once."""
    stats = _all_stats()
    return {name: _memory(_with_children(pids, stats)) / 1e6 for name, pids in groups.items()}


def machine_busy_seconds() -> float:
    """CPU seconds that all programs of the machine have used so far, ours or not."""
    fields = Path("/proc/stat").read_text().split("\n", 1)[0].split()
    return sum(map(int, fields[1:4])) / _TICKS_PER_SECOND  # user, nice, system


def _memory(pids: list[int]) -> float:
    field = "Rss:" if len(pids) == 1 else "Pss:"
    total = 0.0
    for pid in pids:
        try:
            lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
        except OSError:
            continue
        total += sum(float(line.split()[1]) * 1024 for line in lines if line.startswith(field))
    return total


def _with_children(pids: Iterable[int], stats: Mapping[int, _Stat]) -> list[int]:
    found = [pid for pid in pids if pid in stats]
    for parent in found:  # grows while it is read
        found += [pid for pid, stat in stats.items() if stat.parent == parent and pid not in found]
    return found


def _all_stats() -> dict[int, _Stat]:
    stats = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                text = Path(f"/proc/{entry}/stat").read_text()
            except OSError:
                continue
            fields = text.rpartition(")")[2].split()
            # After the name: state, parent, …, then (man proc_pid_stat: 14 to 17) utime, stime, cutime, cstime.
            stats[int(entry)] = _Stat(int(fields[1]), sum(map(int, fields[11:15])) / _TICKS_PER_SECOND)
    return stats
