"""The load: callers that ask again and again for as long as it runs, a seeded mixture of everything customers do."""

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace

from tests.faults.clients import NO_SUCH_MODEL, Client, Customer, Ending, Leaves, Seen
from tests.faults.plays import Play

CALLERS = 10
PAUSE_SECONDS = (0.02, 0.12)
PAUSE_AFTER_TROUBLE_SECONDS = 0.15
# How often an agent of the load sends the results of its tools, at most.
ROUNDS = 3


@dataclass(frozen=True, slots=True)
class Mixture:
    """Shares of requests (the rest is quick and answered in whole). `troubles` are played by the providers."""

    streams: float = 0.5
    slow: float = 0.25
    longer_than_a_lease: float = 0.02
    leaving: float = 0.06
    mistaken: float = 0.03
    second_token: float = 0.15
    agents: float = 0.12
    troubles: tuple[str, ...] = ()
    troubled: float = 0.0
    leaves: tuple[Leaves, ...] = ("at once", "midway", "at the last chunk")


class Load:
    """Requests of some customers to all gateways. Change `mixture` while it runs; `client.log` is what they saw."""

    def __init__(
        self,
        client: Client,
        customers: Sequence[Customer],
        gateways: Sequence[str],
        rng: random.Random,
        *,
        lease_seconds: float,
        callers: int = CALLERS,
    ) -> None:
        self.client = client
        self.customers = customers
        self.gateways = gateways
        self.mixture = Mixture()
        self._rng = rng
        self._lease_seconds = lease_seconds
        self._callers = callers
        self._is_over = False

    @property
    def log(self) -> list[Seen]:
        return self.client.log

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Callers ask while the block runs; on the way out every request is read to its end."""
        # A generator per caller: what one of them asks does not depend on how quickly another one was answered.
        seeds = [self._rng.random() for _ in range(self._callers)]
        callers = [asyncio.create_task(self._call(random.Random(seed)), name="caller") for seed in seeds]
        try:
            yield
        except BaseException:
            for caller in callers:
                caller.cancel()
            raise
        finally:
            self._is_over = True
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.gather(*callers)

    async def _call(self, rng: random.Random) -> None:
        while not self._is_over:
            seen = await self._one(rng)
            is_well = seen.status is not None and seen.status < 500
            await asyncio.sleep(rng.uniform(*PAUSE_SECONDS) if is_well else PAUSE_AFTER_TROUBLE_SECONDS)

    async def _one(self, rng: random.Random) -> Seen:
        mixture = self.mixture
        customer, gateway = rng.choice(self.customers), rng.choice(self.gateways)
        token = customer.second_token if rng.random() < mixture.second_token else customer.token
        if rng.random() < mixture.mistaken:
            return await self.client.ask(customer, gateway, self._play(rng), model=NO_SUCH_MODEL, token=token)
        if rng.random() < mixture.agents:
            return await self._agent(rng, customer, token)
        play = self._play(rng)
        leaves = rng.choice(mixture.leaves) if rng.random() < mixture.leaving else None
        # A long answer that is not streamed would be a silence, which has its own limit.
        is_long = play.words * play.interval_seconds > self._lease_seconds
        is_stream = rng.random() < mixture.streams or leaves in ("midway", "at the last chunk") or is_long
        return await self.client.ask(customer, gateway, play, is_stream=is_stream, token=token, leaves=leaves)

    async def _agent(self, rng: random.Random, customer: Customer, token: str) -> Seen:
        """A turn of a few calls, each through any gateway; one that fails is tried once more with the same results."""
        play = replace(self._play(rng), is_call=True)
        seen = await self.client.ask(customer, rng.choice(self.gateways), play, token=token)
        for _ in range(ROUNDS):
            if not seen.calls or self._is_over:
                break
            before = seen
            for _ in range(2):
                play = replace(self._play(rng), is_call=rng.random() < 0.7)
                gateway = rng.choice(self.gateways)
                seen = await self.client.ask(customer, gateway, play, token=token, after=before)
                if seen.ending is Ending.COMPLETE:
                    break
                await asyncio.sleep(PAUSE_AFTER_TROUBLE_SECONDS)
        return seen

    def _play(self, rng: random.Random) -> Play:
        mixture = self.mixture
        play = Play(words=rng.randint(1, 8), input_tokens=rng.randint(1, 5000), output_tokens=rng.randint(1, 900))
        if rng.random() < mixture.troubled:
            return replace(play, trouble=rng.choice(mixture.troubles), only_first=rng.random() < 0.5)
        if rng.random() < mixture.longer_than_a_lease:
            return replace(play, words=20, interval_seconds=self._lease_seconds * 1.3 / 20)
        if rng.random() < mixture.slow:
            return replace(play, words=rng.randint(5, 20), interval_seconds=0.05)
        return play
