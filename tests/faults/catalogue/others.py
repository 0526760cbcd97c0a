"""Providers that misbehave, clients that leave, messages that come twice or make no sense, clocks that differ."""

import json
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from nats.js.errors import NotFoundError

from contracts.gateway import REQUEST_SETTLED
from contracts.streams import REQUESTS
from devstack import clock
from tests.faults.clients import Ending, Leaves
from tests.faults.commands import command, run
from tests.faults.fault import Fault, NotInjected, Scene
from tests.faults.load import Mixture
from tests.faults.plays import TROUBLES
from tests.faults.truth import Truth
from tests.faults.world import eventually

PROVIDERS = {
    "hang": ("hangs before its answer", ("hang", "hang midway")),
    "reset": ("drops connections", ("reset", "reset midway", "close midway")),
    "error-in-200": ("reports an error with status 200", ("error in a 200", "error midway")),
    "malformed": ("sends broken events", ("malformed",)),
    "endless": ("never stops talking", ("endless",)),
    "usage": ("counts no tokens, negative ones, absurd ones", ("no usage", "negative usage", "absurd usage")),
}
CLIENTS: Mapping[str, tuple[str, Leaves]] = {
    "byte-0": ("leave as soon as they have asked", "at once"),
    "middle": ("leave in the middle of a stream", "midway"),
    "last-chunk": ("leave at the last chunk of a stream", "at the last chunk"),
}
CLOCK_SECONDS = 300.0
UNREADABLE = {"no JSON": b"\x00 this is no event", "no event": b'{"specversion": "1.0"}'}
# A message that can be read is tried ten times, with growing pauses, before it is given up.
GIVEN_UP_SECONDS = 240.0


def _provider(name: str, what: str, troubles: tuple[str, ...]) -> Fault:
    assert set(troubles) <= set(TROUBLES)

    async def inject(scene: Scene) -> None:
        scene.notes["mixture"] = scene.load.mixture
        scene.load.mixture = replace(scene.load.mixture, troubles=troubles, troubled=0.6, leaving=0.0)

    def expect(scene: Scene, _: Truth) -> Iterable[str]:
        if not any(seen.play.trouble for seen in scene.load.log):
            yield "no request met the trouble"
        if name != "usage":
            spoilt = [seen for seen in scene.load.log if seen.play.trouble and not seen.play.only_first]
            bad = [seen for seen in spoilt if seen.ending is Ending.COMPLETE]
            yield from (
                f"{seen.request_id} is whole although both providers failed ({seen.play.trouble})" for seen in bad
            )

    hold = 4.0 if name in ("hang", "endless") else 3.0
    return Fault(f"provider-{name}", f"the provider {what}", inject, _behave_again, hold_seconds=hold, expect=expect)


async def _behave_again(scene: Scene) -> None:
    scene.load.mixture = scene.notes["mixture"]


def _clients(name: str, what: str, leaves: Leaves) -> Fault:
    async def inject(scene: Scene) -> None:
        scene.notes["mixture"] = scene.load.mixture
        scene.load.mixture = Mixture(streams=0.9, leaving=0.7, leaves=(leaves,), slow=0.6)

    def expect(scene: Scene, truth: Truth) -> Iterable[str]:
        if not any(seen.leaves == leaves and seen.ending is Ending.LEFT for seen in scene.load.log):
            yield "nobody left"
        if name == "middle" and not any(told.outcome == "client_gone_late" for told in truth.winners.values()):
            yield "no request was settled as client_gone_late"

    return Fault(f"clients-gone-{name}", f"clients {what}", inject, _behave_again, hold_seconds=2.5, expect=expect)


async def _tell_again(scene: Scene) -> None:
    """Every stored settlement once more under another message id, as a publisher would after the stream forgot it."""
    jsm, stream = scene.world.nats.jsm(), scene.world.nats.jetstream()
    last = (await jsm.stream_info(REQUESTS.name)).state.last_seq
    repeated = 0
    for sequence in range(max(1, last - 150), last + 1):
        try:
            message = await jsm.get_msg(REQUESTS.name, sequence)
        except NotFoundError:
            continue
        assert message.data is not None
        await stream.publish(REQUEST_SETTLED.subject, message.data, headers={"Nats-Msg-Id": uuid.uuid4().hex})
        repeated += 1
    if not repeated:
        raise NotInjected("there was no settlement to repeat")
    scene.notes["repeated"] = repeated


async def _poison(scene: Scene) -> None:
    """Nobody can read these; both services have to give them up."""
    strange = await _last_settlement(scene)
    strange["data"]["outcome"] = "a-later-invention"
    texts = {**UNREADABLE, "unknown outcome": json.dumps(strange).encode()}
    scene.notes["poison"] = {service: [await _put(scene, text) for text in texts.values()] for service in ("quota",)}
    scene.notes["poison"]["billing"] = scene.notes["poison"]["quota"]


async def _unrecordable(scene: Scene) -> None:
    """A settlement that can be read, of a request that nobody knows, with a count that fits no column of the ledger."""
    strange = await _last_settlement(scene)
    strange["data"] |= {"request_id": str(uuid.uuid4()), "account_id": str(uuid.uuid4()), "attempts": 2**40}
    scene.notes["poison"] = {"billing": [await _put(scene, json.dumps(strange).encode())]}


async def _last_settlement(scene: Scene) -> dict[str, Any]:
    jsm = scene.world.nats.jsm()
    last = (await jsm.stream_info(REQUESTS.name)).state.last_seq
    return dict(json.loads((await jsm.get_msg(REQUESTS.name, last)).data or b"{}"))


async def _put(scene: Scene, text: bytes) -> int:
    stream = scene.world.nats.jetstream()
    return (await stream.publish(REQUEST_SETTLED.subject, text, headers={"Nats-Msg-Id": uuid.uuid4().hex})).seq


async def _discard(scene: Scene) -> None:
    """Staff looks at the dead letters of both services, tries one again, and drops them with a reason."""
    stack = scene.world.stack
    for service, sequences in scene.notes["poison"].items():
        letters: list[dict[str, Any]] = []

        async def all_named(service: str = service, wanted: frozenset[int] = frozenset(sequences)) -> bool:
            letters[:] = await command(stack, service, "dead-letters", "list", "--json")  # noqa: B023
            return wanted <= {letter["sequence"] for letter in letters}  # noqa: B023

        await eventually(
            all_named, within_seconds=GIVEN_UP_SECONDS, what=f"{service} names its dead letters", every_seconds=2.0
        )
        code, printed = await run(stack, service, "dead-letters", "replay", str(letters[0]["place"]))
        if code != 1:
            scene.notes["replayed"] = f"{service} dead-letters replay of poison: exit code {code}: {printed}"
        for letter in letters:
            why = ("--author", "faults", "--reason", "poison of the fault suite")
            await command(stack, service, "dead-letters", "discard", str(letter["place"]), *why)
        scene.notes[f"left of {service}"] = await command(stack, service, "dead-letters", "list", "--json")


def _was_named(scene: Scene, _: Truth) -> Iterable[str]:
    if "replayed" in scene.notes:
        yield scene.notes["replayed"]
    for service in scene.notes["poison"]:
        if scene.notes.get(f"left of {service}") != []:
            yield f"dead letters of {service} after all were discarded: {scene.notes.get(f'left of {service}')}"


async def _clocks_apart(scene: Scene) -> None:
    """One quota goes five minutes ahead, one gateway five minutes behind."""
    if clock.library() is None:
        raise NotInjected(f"libfaketime is not installed. {clock.INSTALL}")
    ahead, behind = scene.world.children("quota")[1], scene.world.children("gateway")[1]
    scene.notes["clocks"] = [(child, child.program) for child in (ahead, behind)]
    for child, seconds in ((ahead, CLOCK_SECONDS), (behind, -CLOCK_SECONDS)):
        faked = {**child.program.environment, **clock.shifted(seconds=seconds)}
        await child.halt()
        child.program = replace(child.program, environment=faked)
        await child.start()


async def _clocks_together(scene: Scene) -> None:
    for child, program in scene.notes["clocks"]:
        await child.halt()
        child.program = program
        await child.start()


FAULTS = (
    *(_provider(name, what, troubles) for name, (what, troubles) in PROVIDERS.items()),
    *(_clients(name, what, leaves) for name, (what, leaves) in CLIENTS.items()),
    Fault(
        "told-again",
        "settlements come again after the stream forgot that it had them",
        _tell_again,
    ),
    Fault("poison", "messages that nobody can read come among the settlements", _poison, _discard, expect=_was_named),
    Fault(
        "poison-unrecordable",
        "a settlement comes that can be read and never be written; it is given up after its deliveries",
        _unrecordable,
        _discard,
        expect=_was_named,
    ),
    Fault(
        "clocks-apart",
        "the clocks of one quota and one gateway are five minutes wrong, in opposite directions",
        _clocks_apart,
        _clocks_together,
        hold_seconds=4.0,
    ),
)
