"""Protections taken away on purpose: a suite that does not notice that is worth nothing."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace

from contracts.streams import REQUESTS
from tests.faults.world import Shape, World

# The stream's least duplicate window.
LEAST_WINDOW_SECONDS = 0.1

# The ledger's key stays in its place (the statement that records names it) and is made blind: whatever comes again gets
# a revision of its own, as if nothing forbade a second line of a request.
_BLIND_KEY = """
CREATE FUNCTION observer.blind() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
BEGIN
    SELECT coalesce(max(revision) + 1, NEW.revision) INTO NEW.revision
    FROM billing.ledger WHERE request_id = NEW.request_id;
    RETURN NEW;
END $$;
CREATE TRIGGER blind BEFORE INSERT ON billing.ledger FOR EACH ROW EXECUTE FUNCTION observer.blind();
"""


async def _nothing(_: World) -> None:
    """All was done by the settings."""


async def _without_dedupe(world: World) -> None:
    jsm = world.nats.jsm()
    config = (await jsm.stream_info(REQUESTS.name)).config
    await jsm.update_stream(config.evolve(duplicate_window=LEAST_WINDOW_SECONDS))
    async with world.superuser() as connection:
        await connection.execute(_BLIND_KEY)


@dataclass(frozen=True, slots=True)
class Sabotage:
    """`settings` when the world starts, `act` once it runs; `shown_by` is a fault that has to notice."""

    name: str
    what: str
    shown_by: str
    settings: Mapping[str, str]
    act: Callable[[World], Awaitable[None]]

    def of(self, shape: Shape) -> Shape:
        return replace(shape, settings={**shape.settings, **self.settings})


_ALL = (
    Sabotage(
        "sweeper",
        "the sweeper is switched off",
        shown_by="gateway-killed-streaming",
        settings={"QUOTA_SWEEP_SECONDS": "0"},
        act=_nothing,
    ),
    Sabotage(
        "dedupe",
        "the stream forgets at once what it has, and the ledger's key is blind",
        shown_by="told-again",
        settings={},
        act=_without_dedupe,
    ),
)
SABOTAGES: Mapping[str, Sabotage] = {each.name: each for each in _ALL}
