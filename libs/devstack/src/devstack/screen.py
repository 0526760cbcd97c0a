"""The terminal of `make up`: calm, one line per thing that happened, the facts at the end. Plain lines when piped."""

import time
from collections.abc import Mapping
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.status import Status


class Screen:
    """A `Report` that prints."""

    def __init__(self, *, console: Console | None = None) -> None:
        self._console = console or Console(highlight=False)
        self._began = time.monotonic()
        self._pending: list[str] = []
        self._status: Status | None = None

    def begins(self, what: str) -> None:
        self._pending.append(what)
        self._refresh()

    def ready(self, what: str, seconds: float) -> None:
        if what in self._pending:
            self._pending.remove(what)
        self._console.print(f"  [green]ready[/] {escape(what)} [dim]{seconds:.1f} s[/]")
        self._refresh()

    def say(self, text: str) -> None:
        for number, line in enumerate(text.splitlines()):
            self._console.print(f"  [yellow]{'note ' if number == 0 else '     '}[/] {escape(line)}", soft_wrap=True)

    def line(self, name: str, text: str) -> None:
        """One line of a process's log (VERBOSE=1)."""
        self._console.print(f"[dim]{escape(name):>10} |[/] {escape(text)}", soft_wrap=True)

    def title(self, data_dir: Path) -> None:
        self._console.print(f"[bold]Smart Route[/] [dim]data in {escape(_short(data_dir))}[/]", soft_wrap=True)

    def failed(self, text: str) -> None:
        self._end_status()
        self._console.print(f"[bold red]not started[/] {escape(text)}", soft_wrap=True)

    def stopping(self) -> None:
        self._pending.clear()
        self._end_status()
        self._console.print("\nstopping everything; the data is kept [dim](Ctrl-C again: at once)[/]")

    def stopped(self) -> None:
        self._end_status()
        self._console.print("stopped")

    def up(
        self,
        document: Mapping[str, object],
        *,
        aliases: Mapping[str, str],
        data_dir: Path,
        pages: Mapping[str, str],
    ) -> None:
        """All is ready: what a person needs next."""
        self._end_status()
        seconds = time.monotonic() - self._began
        base_url = str(document["base_url"])
        tokens = document["tokens"] if isinstance(document["tokens"], dict) else {}
        show = self._console.print
        show(f"\n[bold green]ready[/] after {seconds:.1f} s\n")
        show(f"  base URL  [bold]{escape(base_url)}[/]", soft_wrap=True)
        for name, url in pages.items():
            show(f"  {name:<9} {escape(url)}", soft_wrap=True)
        if (line := _sign_in(document)) is not None and "portal" in pages:
            show(f"  sign in   {escape(line)}", soft_wrap=True)
        show(f"  logs      {escape(_short(data_dir / 'logs'))}", soft_wrap=True)
        show(f"  facts     {escape(_short(data_dir / 'stack.json'))}\n", soft_wrap=True)
        for plan, token in tokens.items():
            show(f"  {plan:<10} [dim]{aliases.get(plan, ''):<21}[/] {escape(str(token))}", soft_wrap=True)
        show("\n[dim]Try it:[/]\n")
        # Not through markup and never wrapped: it is there to be pasted.
        self._console.out(_curl(base_url, str(tokens.get("free", ""))), highlight=False)
        show("\n[dim]Ctrl-C (or `make down` elsewhere) stops everything and keeps the data.[/]")

    def _refresh(self) -> None:
        if not self._console.is_terminal:
            return
        if not self._pending:
            self._end_status()
            return
        text = f"starting {escape(', '.join(self._pending))}"
        if self._status is None:
            self._status = self._console.status(text)
            self._status.start()
        else:
            self._status.update(text)

    def _end_status(self) -> None:
        if self._status is not None:
            self._status.stop()
            self._status = None


def _curl(base_url: str, token: str) -> str:
    return (
        f"curl -N {base_url}/chat/completions \\\n"
        f"  -H 'Authorization: Bearer {token}' -H 'Content-Type: application/json' \\\n"
        '  -d \'{"model": "smart-route-mini", "stream": true,'
        ' "messages": [{"role": "user", "content": "Say hello in five words."}]}\''
    )


def _sign_in(document: Mapping[str, object]) -> str | None:
    """One user of the portal: who has not seen it yet begins with the free plan."""
    users = document.get("portal_users")
    user = users.get("free") if isinstance(users, dict) else None
    return f"{user['email']}  {user['password']}  (every plan has such a user)" if user else None


def _short(path: Path) -> str:
    """Relative to here when that is shorter."""
    try:
        return str(path.relative_to(Path.cwd()))
    except ValueError:
        return str(path)
