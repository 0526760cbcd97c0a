"""One round: load, a fault in the middle of it, the way back, rest, and the judgement."""

import asyncio
import contextlib
import json
import random
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any
from uuid import UUID

from chassis.bus import PeerUnavailable, ask
from contracts.quota import (
    BLOCK_TOKEN,
    SUSPEND_ACCOUNT,
    AccountSuspension,
    BlockToken,
    SuspendAccount,
    TokenBlocked,
)
from contracts.streams import QUOTA_REQUESTS
from tests.faults import truth as truths
from tests.faults.books import Stopped, Verdict, judge
from tests.faults.clients import Client, Customer, Ending
from tests.faults.commands import run
from tests.faults.fault import Fault, NotInjected, Scene, TooLate
from tests.faults.plays import Play
from tests.faults.truth import Truth
from tests.faults.world import World, eventually

WARM_SECONDS = (0.5, 1.5)
AFTER_SECONDS = 1.0
SLACK_SECONDS = 5.0
RECEIPTS = 4
TRIES = 4
WHOLE_BEFORE = 5


@dataclass(slots=True)
class Round:
    """What came of it. `heals_seconds`: from the healing until every gateway answered; `rests_seconds`: from the end
    of the load until nothing was held and nothing waited to be booked."""

    fault: Fault
    seed: int
    verdict: Verdict = field(default_factory=Verdict)
    problems: list[str] = field(default_factory=list)
    seconds: float = 0.0
    heals_seconds: float = 0.0
    rests_seconds: float = 0.0
    is_too_late: bool = False

    @property
    def holds(self) -> bool:
        return self.verdict.holds and not self.problems


async def play(world: World, fault: Fault, *, seed: int, is_reconciled: bool = True) -> Round:
    """Never raises for what the product does wrong: that is in the result."""
    done = Round(fault, seed)
    began = time.monotonic()
    # By its name, so that it is the same round when it is repeated alone.
    rng = random.Random(f"{seed} {fault.name}")
    try:
        since = await truths.last_sequence(world)
        customers = await world.customers()
        client = world.client()
        scene = Scene(world, world.load(client, customers, rng), customers, rng)
        await fault.before(scene)
        async with scene.load.running(), _stopping(scene) as stopped:
            await _flows(scene)
            await asyncio.sleep(rng.uniform(*WARM_SECONDS))
            await _inject_and_heal(scene, done)
            done.heals_seconds = await _answers_again(world, client, scene, fault)
            await asyncio.sleep(AFTER_SECONDS)
        await asyncio.gather(*scene.tasks)
        done.rests_seconds = await _at_rest(world, customers)
        await _judge(world, scene, done, stopped, since=since, is_reconciled=is_reconciled)
    except (NotInjected, TimeoutError) as error:
        done.problems.append(str(error))
        done.is_too_late = isinstance(error, TooLate)
    except Exception as error:  # whatever breaks a round is a finding, and the next fault has its turn
        done.problems.append(f"the round broke: {type(error).__name__}: {error}")
    done.seconds = time.monotonic() - began
    return done


async def _flows(scene: Scene) -> None:
    """Nothing is broken before something works."""

    async def some_are_whole() -> bool:
        return sum(seen.ending is Ending.COMPLETE for seen in scene.load.log) >= WHOLE_BEFORE

    await eventually(some_are_whole, within_seconds=60.0, what="the load flows")


async def _inject_and_heal(scene: Scene, done: Round) -> None:
    try:
        await done.fault.inject(scene)
        await asyncio.sleep(done.fault.hold_seconds)
    finally:
        await done.fault.heal(scene)


@asynccontextmanager
async def _stopping(scene: Scene) -> AsyncIterator[list[Stopped]]:
    """In the middle of it all a token is revoked and an account suspended. From the answers on nothing is admitted."""
    stopped: list[Stopped] = []
    with_token, suspended = scene.rng.sample([each for each in scene.customers if each.daily is not None], k=2)
    moments = (scene.rng.uniform(1.0, 3.0), scene.rng.uniform(2.0, 4.0))
    tasks = [
        asyncio.create_task(_stop_later(scene, with_token, moments[0], stopped, is_account=False)),
        asyncio.create_task(_stop_later(scene, suspended, moments[1], stopped, is_account=True)),
    ]
    try:
        yield stopped
        await asyncio.wait(tasks, timeout=10.0)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _stop_later(
    scene: Scene, customer: Customer, seconds: float, stopped: list[Stopped], *, is_account: bool
) -> None:
    await asyncio.sleep(seconds)
    told = partial(_is_told, scene.world, customer, is_account=is_account)
    await eventually(told, within_seconds=600, what="it is told")
    at = time.monotonic()

    async def noted() -> bool:
        ((now,),) = await scene.world.rows("SELECT clock_timestamp()")
        stopped.append(Stopped(customer, at, now, is_account=is_account))
        return True

    await eventually(noted, within_seconds=600, what="the database says what time it is")


async def _is_told(world: World, customer: Customer, *, is_account: bool) -> bool:
    try:
        if is_account:
            suspend = SuspendAccount(account_id=customer.account_id, is_suspended=True, revision=1)
            suspension = await ask(world.bus, SUSPEND_ACCOUNT, suspend, timeout_seconds=3.0)
            return isinstance(suspension, AccountSuspension)
        block = BlockToken(token_id=customer.second_token_id, account_id=customer.account_id)
        blocked = await ask(world.bus, BLOCK_TOKEN, block, timeout_seconds=3.0)
        return isinstance(blocked, TokenBlocked)
    except PeerUnavailable:
        return False


async def _answers_again(world: World, client: Client, scene: Scene, fault: Fault) -> float:
    """Seconds until every gateway has answered a request. Nobody helps."""
    began = time.monotonic()
    for gateway in world.stack.gateways:
        while (await client.ask(scene.boundless, gateway, Play())).ending is not Ending.COMPLETE:
            if time.monotonic() - began > fault.heals_within_seconds:
                raise TimeoutError(f"no answer from a gateway within {fault.heals_within_seconds:g} s after the fault")
            await asyncio.sleep(0.1)
    return time.monotonic() - began


async def _at_rest(world: World, customers: Sequence[Customer]) -> float:
    """A lease and a sweep after the last request nothing is held; what a dead consumer had comes again after that."""
    shape = world.shape
    within = shape.lease_seconds + shape.sweep_seconds + QUOTA_REQUESTS.ack_wait_seconds + SLACK_SECONDS

    async def at_rest() -> bool:
        return await truths.open_reservations(world, customers) == 0 and await truths.backlog(world) == 0

    try:
        return await eventually(at_rest, within_seconds=within, what="nothing is held and nothing waits to be booked")
    except TimeoutError:
        return within  # the judgement names what is still held


async def _judge(
    world: World, scene: Scene, done: Round, stopped: Sequence[Stopped], *, since: int, is_reconciled: bool
) -> None:
    truth = await truths.read(world, scene.customers, since=since)
    done.verdict = judge(truth, scene.load.log, scene.customers, allowed=done.fault.allowed, stopped=stopped)
    done.problems.extend(done.fault.expect(scene, truth))
    if len(stopped) < 2:
        done.problems.append("revoking a token or suspending an account got no answer")
    done.problems.extend(await _own_words(world, scene, truth, stopped))
    if is_reconciled:
        done.problems.extend(await reconciled(world))


async def _own_words(world: World, scene: Scene, truth: Truth, stopped: Sequence[Stopped]) -> list[str]:
    """What the product itself says of usage and of single requests is what we found."""
    windows = sorted(truth.windows, key=lambda window: window.starts_on)  # of two months the later one holds
    used = {window.account_id: window.used for window in windows if window.kind == "month"}
    wrong = []
    suspended = {one.customer.account_id for one in stopped if one.is_account}
    asking = [customer for customer in scene.customers if customer.account_id not in suspended]
    for customer in asking:
        said = (await _get(world, customer, "usage"))["monthly"]
        if said["used"] < used.get(customer.account_id, 0) or (
            said["limit"] is not None and said["used"] + said["remaining"] != said["limit"]
        ):
            wrong.append(f"GET /v1/usage of {customer.account_id} says {said}")
    whole = [
        seen
        for seen in scene.load.log
        if seen.ending is Ending.COMPLETE and seen.customer in asking and seen.token == seen.customer.token
    ]
    for seen in scene.rng.sample(whole, k=min(RECEIPTS, len(whole))):
        receipt = await _get(world, seen.customer, f"receipts/{seen.request_id}")
        winner = truth.winners.get(seen.request_id or UUID(int=0))
        if winner is None or receipt.get("outcome") != winner.outcome:
            said = receipt.get("outcome") or json.dumps(receipt)
            wrong.append(f"the receipt of {seen.request_id} ({winner and winner.outcome}) says {said}")
    return wrong


async def _get(world: World, customer: Customer, path: str) -> dict[str, Any]:
    """As a careful client: a 503 with Retry-After is asked again."""
    headers = {"authorization": f"Bearer {customer.token}"}
    for _ in range(TRIES):
        async with world.session.get(f"{world.stack.base_url}/{path}", headers=headers) as response:
            answer = dict(await response.json(content_type=None))
        if response.status != 503:
            break
        await asyncio.sleep(float(response.headers["retry-after"]))
    return answer


async def reconciled(world: World) -> list[str]:
    """The product's own comparison has to agree with ours."""
    code, printed = await run(world.stack, "billing", "reconcile", "--json")
    if code == 0:
        return []
    with contextlib.suppress(ValueError):
        printed = json.dumps(json.loads(printed).get("differences", printed))
    return [f"`billing reconcile` exits with {code}: {printed.strip()[:600]}"]
