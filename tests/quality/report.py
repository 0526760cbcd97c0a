"""The printed tables."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass

from tests.quality.metrics import Worth

MISSING = "-"


@dataclass(frozen=True, slots=True)
class Goal:
    """A figure that was promised. `value` is None where the outcomes that it needs are not there."""

    name: str
    what: str
    value: float | None
    target: float
    is_upper: bool = False
    unit: str = ""

    @property
    def is_met(self) -> bool:
        if self.value is None:
            return False
        return self.value <= self.target if self.is_upper else self.value >= self.target

    def line(self) -> list[str]:
        sign = "≤" if self.is_upper else "≥"
        measured = "not measured" if self.value is None else f"{self.value:.3f}{self.unit}"
        return [
            self.name,
            self.what,
            measured,
            f"{sign} {self.target:g}{self.unit}",
            "met" if self.is_met else "NOT MET",
        ]


def say(text: str) -> None:
    """Print now."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def share(value: float) -> str:
    return f"{100 * value:.1f} %"


def undefined(weak: float, strong: float) -> str:
    """Why there is no PGR."""
    return (
        f"the strong model has no lead ({share(strong)} against {share(weak)}), so there is nothing to recover:"
        " PGR is undefined"
    )


def worth_cells(found: Worth | None) -> list[str]:
    """APGR, its interval, CPT50 and CPT80."""
    if found is None:
        return [MISSING] * 4
    interval = MISSING if found.interval is None else "[{:.3f}, {:.3f}]".format(*found.interval)
    return [f"{found.apgr:.3f}", interval, share(found.cpt50), share(found.cpt80)]


def table(columns: Sequence[str], rows: Sequence[Sequence[str]], *, words: int = 1) -> str:
    """As wide as it must be; the first `words` columns are to the left, figures to the right."""
    widths = [max(len(line[place]) for line in (columns, *rows)) for place in range(len(columns))]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if place < words else cell.rjust(width)
            for place, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in (columns, *rows)
    )
