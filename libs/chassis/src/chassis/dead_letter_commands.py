"""`python -m <service> dead-letters`: what staff do about messages that a service gave up. The same for every service.

Exit codes: 1 when a letter still cannot be handled or a part is away, 2 for a letter that is not there.
"""

import asyncio
import getpass
import json
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Annotated

import typer

from chassis.bus import Bus, DeadLetter, Receiver, StillPoison, dead_letter, dead_letters, discard, handle_again
from chassis.command_arguments import AsJson

Opened = Callable[[], AbstractAsyncContextManager[tuple[Bus, Sequence[Receiver]]]]
"""Opens the bus and what a service handles its letters with."""

Place = Annotated[int, typer.Argument(help="The letter's place, as `list` prints it.")]
OfDurable = Annotated[str, typer.Option("--durable", help="Only letters of this durable.")]


def dead_letters_app(opened: Opened) -> typer.Typer:
    """The commands of one service, which sees and handles the letters of its own durables."""
    app = typer.Typer(no_args_is_help=True, help="Messages that could not be processed.")
    _register_reading(app, opened)
    _register_deciding(app, opened)
    return app


def _register_reading(app: typer.Typer, opened: Opened) -> None:
    @app.command("list")
    def list_(durable: OfDurable = "", as_json: AsJson = False) -> None:
        """Print what there is, oldest first."""
        letters = asyncio.run(_all(opened, durable))
        typer.echo(json.dumps([_described(letter) for letter in letters]) if as_json else _table(letters))

    @app.command()
    def show(place: Place, as_json: AsJson = False) -> None:
        """Print one with its headers and its text."""
        letter, _ = asyncio.run(_one(opened, place))
        described = _described(letter) | {"headers": dict(letter.headers), "data": letter.data.decode(errors="replace")}
        typer.echo(json.dumps(described) if as_json else _page(described))


def _register_deciding(app: typer.Typer, opened: Opened) -> None:
    @app.command()
    def replay(
        places: Annotated[list[int] | None, typer.Argument(help="The letters' places.")] = None,
        everything: Annotated[bool, typer.Option("--all", help="All letters of this service.")] = False,
        durable: OfDurable = "",
        as_json: AsJson = False,
    ) -> None:
        """Handle letters again, here and now, with their original place in the stream; those handled are deleted."""
        if bool(places) == everything:
            raise typer.BadParameter("name places, or --all")
        results = asyncio.run(_replay(opened, places or (), durable))
        typer.echo(json.dumps(results) if as_json else "\n".join(_outcome(result) for result in results))
        if any(result["reason"] for result in results):
            raise typer.Exit(1)

    @app.command("discard")
    def discard_(
        place: Place,
        reason: Annotated[str, typer.Option(help="Why it need not be processed; kept with it.")],
        author: Annotated[str, typer.Option(help="Who decides that; kept with it.")] = "",
        as_json: AsJson = False,
    ) -> None:
        """Put one aside for good, with who decided that and why."""
        if not reason.strip():
            raise typer.BadParameter("say why", param_hint="--reason")
        who = author or getpass.getuser()
        asyncio.run(_discard(opened, place, author=who, reason=reason))
        said = {"place": place, "author": who, "reason": reason}
        typer.echo(json.dumps(said) if as_json else f"letter {place} is put aside")


async def _all(opened: Opened, durable: str) -> Sequence[DeadLetter]:
    async with opened() as (bus, receivers):
        chosen = [receiver.durable for receiver in receivers if durable in ("", receiver.durable.name)]
        if not chosen:
            known = ", ".join(receiver.durable.name for receiver in receivers)
            raise typer.BadParameter(f"one of {known}", param_hint="--durable")
        return [letter for each in chosen async for letter in dead_letters(bus, each)]


async def _one(opened: Opened, place: int) -> tuple[DeadLetter, Receiver]:
    async with opened() as (bus, receivers):
        return await _found(bus, receivers, place)


async def _found(bus: Bus, receivers: Sequence[Receiver], place: int) -> tuple[DeadLetter, Receiver]:
    letter = await dead_letter(bus, place)
    receiver = next((each for each in receivers if letter is not None and each.durable == letter.durable), None)
    if letter is None or receiver is None:
        raise typer.BadParameter(f"no letter of this service at place {place}")
    return letter, receiver


async def _replay(opened: Opened, places: Sequence[int], durable: str) -> Sequence[dict[str, object]]:
    """Each letter with the reason why it still cannot be handled, empty when it was."""
    wanted = places or [letter.place for letter in await _all(opened, durable)]
    results: list[dict[str, object]] = []
    async with opened() as (bus, receivers):
        for place in wanted:
            letter, receiver = await _found(bus, receivers, place)
            reason = ""
            try:
                await handle_again(bus, letter, receiver)
            except StillPoison as exc:
                reason = exc.reason
            results.append(_described(letter) | {"reason": reason})
    return results


async def _discard(opened: Opened, place: int, *, author: str, reason: str) -> None:
    async with opened() as (bus, receivers):
        letter, _ = await _found(bus, receivers, place)
        await discard(bus, letter, author=author, reason=reason)


def _described(letter: DeadLetter) -> dict[str, object]:
    return {
        "place": letter.place,
        "durable": letter.durable.name,
        "stream": letter.stream,
        "sequence": letter.sequence,
        "given_up_at": letter.given_up_at.isoformat(),
        "reason": letter.reason,
    }


def _table(letters: Sequence[DeadLetter]) -> str:
    if not letters:
        return "no dead letters"
    head = ("place", "durable", "stream", "sequence", "given up at", "reason")
    rows = [head, *(tuple(str(value) for value in _described(letter).values()) for letter in letters)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(head))]
    return "\n".join(
        "  ".join(value.ljust(width) for value, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )


def _page(described: dict[str, object]) -> str:
    headers, data = described.pop("headers"), described.pop("data")
    assert isinstance(headers, dict)
    lines = [f"{name}: {value}" for name, value in described.items()]
    return "\n".join([*lines, "", *(f"{name}: {value}" for name, value in headers.items()), "", str(data)])


def _outcome(result: dict[str, object]) -> str:
    named = f"letter {result['place']} ({result['stream']} {result['sequence']})"
    return f"{named}: still not processed: {result['reason']}" if result["reason"] else f"{named}: processed"
