"""Two routers in one queue group with tiers, prices and sessions, a gateway that asks them, and their command line."""

import asyncio
import os
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from uuid import UUID

import uuid_utils

from chassis import bus
from chassis.bus import Bus
from contracts.gateway import ATTEMPTS_FINISHED, AttemptsFinished
from contracts.router import CHOOSE, Choose, Chosen, Features, Unroutable
from contracts.streams import DECISIONS
from router.app import answering
from router.settings import Settings
from tests import commands
from tests.commands import Finished
from tests.unit.router.configurations import plans, write
from tests.unit.router.traffic import a_file


@dataclass(slots=True)
class Routers:
    """What a test does with them."""

    gateway: Bus
    folder: Path
    nats_url: str
    asked: list[UUID] = field(default_factory=list)

    async def choose(self, count: int = 1, **fields: object) -> Sequence[Chosen | Unroutable]:
        """So many asks at once; the features are of all kinds unless they are given."""
        asks = [self._ask(number, fields) for number in range(count)]
        self.asked += [ask.request_id for ask in asks]
        replies = await asyncio.gather(*(bus.ask(self.gateway, CHOOSE, ask, timeout_seconds=5) for ask in asks))
        assert all(isinstance(reply, Chosen | Unroutable) for reply in replies)
        return [reply for reply in replies if isinstance(reply, Chosen | Unroutable)]

    def _ask(self, number: int, fields: dict[str, object]) -> Choose:
        features = Features(difficulty=(number % 20) / 20, input_tokens=100 * number, request_class="code")
        session = f"{number % 5:032x}" if number % 3 else None
        values: dict[str, object] = {
            "request_id": UUID(int=uuid_utils.uuid7().int),
            "plan": "free" if number % 4 else "pro",
            "alias": "alias-pro",
            "affinity": (session,) if session else (),
            "session": session,
            "features": features,
        }
        return Choose.model_validate(values | fields)

    async def tell(self, report: AttemptsFinished) -> None:
        """A report of the gateway, until the routers have it."""
        await bus.tell(self.gateway, ATTEMPTS_FINISHED, report)
        await self.gateway.flush()
        await asyncio.sleep(0.1)

    async def kept(self, *, at_least: int = 1) -> int:
        """How many messages the record has, once it has so many."""
        async with asyncio.timeout(15):
            while True:
                ends = await bus.stream_ends(self.gateway, DECISIONS.name)
                if ends.last - ends.first + 1 >= at_least:
                    return ends.last - ends.first + 1
                await asyncio.sleep(0.05)

    async def command(self, *arguments: object) -> Finished:
        """`python -m router …` with the settings of these routers."""
        environment = {
            "PATH": os.environ["PATH"],
            "ROUTER_NATS_URL": self.nats_url,
            "ROUTER_PLANS_FILE": str(self.folder / "plans.yaml"),
            "ROUTER_PROFILES_FILE": str(self.folder / "profiles.yaml"),
        }
        return await commands.run("router", *(str(one) for one in arguments), environment=environment)


@asynccontextmanager
async def routers(nats_url: str, folder: Path, *, count: int = 2) -> AsyncIterator[Routers]:
    """They answer while the block runs; on the way out what they decided is stored."""
    write(folder / "plans.yaml", plans())
    write(folder / "profiles.yaml", a_file())
    async with bus.connect(nats_url, name="gateway", instance="g") as gateway, AsyncExitStack() as stack:
        for number in range(count):
            settings = Settings(
                nats_url=nats_url,
                instance=f"router-{number}",
                health_port=0,
                plans_file=folder / "plans.yaml",
                profiles_file=folder / "profiles.yaml",
            )
            await stack.enter_async_context(answering(settings))
        yield Routers(gateway, folder, nats_url)
