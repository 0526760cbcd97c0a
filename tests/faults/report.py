"""What a person reads while the suite runs, and at its end."""

import time
from collections.abc import Sequence

from rich.console import Console
from rich.markup import escape

from tests.faults.books import INVARIANTS
from tests.faults.rounds import Round
from tests.faults.sabotage import Sabotage

MOST_SENTENCES = 6


class Report:
    """Prints to `console`; keeps all rounds for the end."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._began = time.monotonic()
        self._more = ""
        self.rounds: list[Round] = []

    def say(self, text: str) -> None:
        self._console.print(f"[dim]{escape(text)}[/]", soft_wrap=True)

    def begins(self, seed: int, names: Sequence[str], *, sabotage: Sabotage | None) -> None:
        what = f" [bold red]although {escape(sabotage.what)}[/]" if sabotage else ""
        self._more = f" --sabotage {sabotage.name}" if sabotage else ""
        self._console.print(f"\n[bold]seed {seed}[/]: {len(names)} faults{what}", soft_wrap=True)

    def round(self, done: Round) -> None:
        """One fault: its times, its invariants, its books, and every sentence that is broken."""
        self.rounds.append(done)
        sign = "[green]ok    [/]" if done.holds else "[bold red]BROKEN[/]"
        times = f"well after {done.heals_seconds:.1f} s, at rest after {done.rests_seconds:.1f} s"
        out = self._console.print
        out(f"{sign} [bold]{done.fault.name}[/]  {escape(done.fault.what)}", soft_wrap=True)
        if done.verdict.figures:
            held = "  ".join(
                f"[green]{name}[/]" if not done.verdict.broken[name] else f"[bold red]{name}[/]" for name in INVARIANTS
            )
            out(f"       {held}  [dim]{times}, {done.seconds:.0f} s in all[/]", soft_wrap=True)
            out(f"       [dim]{escape(_books(done))}[/]", soft_wrap=True)
        sentences = [f"{name}: {sentence}" for name in INVARIANTS for sentence in done.verdict.broken[name]]
        sentences += done.problems
        for sentence in sentences[:MOST_SENTENCES]:
            out(f"       [red]{escape(sentence)}[/]", soft_wrap=True)
        if len(sentences) > MOST_SENTENCES:
            out(f"       [red]and {len(sentences) - MOST_SENTENCES} more[/]")

    def ends(self) -> int:
        """The sum of it; the exit code."""
        broken = [done for done in self.rounds if not done.holds]
        seconds = time.monotonic() - self._began
        asked = sum(done.verdict.figures["asked"] for done in self.rounds)
        settled = sum(done.verdict.figures["in the stream"] for done in self.rounds)
        charged = sum(done.verdict.figures["ledger charged"] for done in self.rounds)
        figures = f"{asked} requests, {settled} settled, {charged} charged, {seconds / 60:.1f} min"
        self._console.print(f"\n{len(self.rounds)} rounds, {figures}", soft_wrap=True)
        if not broken:
            self._console.print("[bold green]every invariant held after every fault, and nobody helped[/]")
            return 0
        self._console.print(f"[bold red]{len(broken)} of {len(self.rounds)} rounds are broken[/]; to repeat them:")
        for done in broken:
            self._console.print(
                f'  make faults ARGS="--seed {done.seed} --only {done.fault.name}{self._more}"', soft_wrap=True
            )
        return 1


def _books(done: Round) -> str:
    figures = done.verdict.figures
    outcomes = ", ".join(
        f"{number} {name.removeprefix('outcome ')}"
        for name, number in sorted(figures.items())
        if name.startswith("outcome ")
    )
    lost = figures["provider calls"] - figures["ledger attempts"]
    rest = f"+ {lost} of lost requests" if lost >= 0 else f"- {-lost} that never left"
    books = (
        f"asked {figures['asked']}, whole {figures['client complete']}; "
        f"providers {figures['provider calls']} calls = ledger {figures['ledger attempts']} {rest}; "
        f"reserved {figures['reservations']} = stream {figures['in the stream']} = ledger {figures['ledger lines']}; "
        f"charged {figures['ledger charged']} = quota {figures['quota charged']} ({outcomes})"
    )
    gifts = figures["given away"]
    return f"{books}; {gifts} given away" if gifts else books
