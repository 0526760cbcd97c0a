"""Two billing processes, and settlements in whatever order, doubled, with kills: always the same books."""

import asyncio
import json
import random
import signal
from collections import defaultdict
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from uuid import UUID, uuid4

import pytest
import pytest_asyncio

from billing.domain.chain import GENESIS, line_hash
from billing.domain.lines import Kind, Settlement
from billing.store import LedgerFilter, Store
from chassis import failpoints
from chassis.database import create_engine
from contracts.gateway import RequestSettled
from contracts.outcomes import Outcome
from devstack.pytest_plugin import FreshDatabase
from tests.service.billing.billing_process import Billing, a_settlement, redeliver_after, settle

USED = """
SELECT request_id, sum(prompts)::int AS prompts, sum(input_tokens)::int AS input, count(*)::int AS lines
FROM billing.ledger WHERE kind IN ('settlement', 'reversal') GROUP BY request_id
"""


@pytest_asyncio.fixture
async def billing(fresh_database: FreshDatabase, nats_url: str) -> Billing:
    return Billing(await fresh_database("billing"), nats_url)


@pytest_asyncio.fixture
async def stores(billing: Billing) -> AsyncIterator[list[Store]]:
    """Four replicas' stores on one database."""
    url = billing.database.url("billing")
    stores = [Store(create_engine(url), url) for _ in range(4)]
    yield stores
    for store in stores:
        await store.close()


async def check_chains(store: Store) -> int:
    """Every account's lines follow one another, as they were hashed; how many there are."""
    lines = await store.ledger.lines(LedgerFilter(limit=100_000))
    chains = defaultdict(list)
    for posted in lines:
        chains[posted.entry.account_id].append(posted.line)
    for chain in chains.values():
        chain.sort(key=lambda line: line.sequence)
        assert [line.sequence for line in chain] == list(range(1, len(chain) + 1))
        assert [line.previous_hash for line in chain] == [GENESIS, *(line.hash for line in chain[:-1])]
        assert all(line_hash(line) == line.hash for line in chain)
    return len(lines)


@pytest.mark.parametrize("seed", range(3))
async def test_batches_in_any_order_on_four_replicas_end_with_the_first_settlement_of_each_request(
    stores: Sequence[Store], billing: Billing, seed: int
) -> None:
    dice = random.Random(seed)
    accounts = [uuid4() for _ in range(3)]
    told: dict[UUID, dict[int, RequestSettled]] = defaultdict(dict)
    messages = []
    for sequence in range(1, 601):
        request_id = dice.choice([*list(told)[-80:], uuid4()]) if dice.random() < 0.5 and told else uuid4()
        account = next(iter(told[request_id].values())).account_id if request_id in told else dice.choice(accounts)
        outcome = dice.choice([Outcome.COMPLETED, Outcome.EXPIRED])
        settled = a_settlement(outcome, request_id=request_id, account_id=account, settled_by=str(sequence))
        told[request_id][sequence] = settled
        messages += [Settlement(settled, sequence)] * dice.choice([1, 1, 2])
    dice.shuffle(messages)
    batches = [messages[start : start + 40] for start in range(0, len(messages), 40)]

    async def replica(store: Store, number: int) -> None:
        for batch in batches[number :: len(stores)]:
            await store.ledger.record(batch)

    await asyncio.gather(*(replica(store, number) for number, store in enumerate(stores)))
    used = {row["request_id"]: (row["prompts"], row["input"]) for row in await billing.rows(USED)}
    firsts = {request_id: by_sequence[min(by_sequence)] for request_id, by_sequence in told.items()}
    assert used == {request_id: (first.prompts, first.tokens.input) for request_id, first in firsts.items()}
    kept = await billing.rows("SELECT request_id, stream_sequence, payload FROM billing.settlement_conflicts")
    losers = {
        (request_id, sequence): settled.model_dump(mode="json")
        for request_id, by_sequence in told.items()
        for sequence, settled in by_sequence.items()
        if sequence != min(by_sequence)
    }
    assert {(row["request_id"], row["stream_sequence"]): row["payload"] for row in kept} == losers
    assert await check_chains(stores[0]) > len(told)


async def test_two_processes_that_are_killed_over_and_over_write_every_line_once(
    billing: Billing, tmp_path: Path, stores: Sequence[Store]
) -> None:
    billing = Billing(billing.database, billing.nats_url, {failpoints.VARIABLE: str(tmp_path)})
    await redeliver_after(billing.nats_url, seconds=1)
    account = uuid4()
    settlements = [a_settlement(account_id=account) for _ in range(300)]

    async def killed_again_and_again() -> None:
        for _ in range(3):
            async with billing.running() as process:
                (tmp_path / "billing.recorded").write_text("KILL")
                code = await asyncio.wait_for(process.child.ended(), 15)
                assert code == -signal.SIGKILL

    async with billing.bus() as bus:
        killing = asyncio.create_task(killed_again_and_again())
        for start in range(0, 300, 20):
            await settle(bus, *settlements[start : start + 20], twice=True)
            await asyncio.sleep(0.1)
        while not killing.done():
            late = a_settlement(account_id=account)
            settlements.append(late)
            await settle(bus, late)
            await asyncio.sleep(0.1)
        await killing
    async with billing.running(), billing.running():
        lines = await billing.wait_for_lines(len(settlements))
        await asyncio.sleep(1.5)  # whatever was not acknowledged comes again
    assert sorted(str(line["request_id"]) for line in lines) == sorted(str(each.request_id) for each in settlements)
    assert await check_chains(stores[0]) == len(settlements)


async def test_a_late_first_settlement_is_listed_for_staff_and_measured(billing: Billing) -> None:
    first = a_settlement(settled_by="gateway-1")
    other = first.model_copy(update={"outcome": Outcome.EXPIRED, "settled_by": "quota-1"})
    async with billing.running(), billing.bus() as bus:
        # The second message of a request has an id of its own: what the stream would not take for the same.
        await settle(bus, first, other, twice=True)
        await billing.wait_for_lines(1)
        await billing.wait_for_rows("SELECT 1 AS one FROM billing.settlement_conflicts", 2)
        code, out, _ = await billing.command("conflicts", "--json")
        _, table, _ = await billing.command("conflicts", "--account", str(first.account_id), "--limit", "1")
    documents = json.loads(out)
    assert code == 0
    assert sorted(each["stream_sequence"] for each in documents) == [2, 3]
    assert {(each["line_outcome"], each["line_stream_sequence"]) for each in documents} == {("completed", 1)}
    assert {each["settlement"]["settled_by"] for each in documents} == {"gateway-1", "quota-1"}
    assert table.splitlines()[-1] == "1 settlement kept without effect"


async def test_each_kind_of_line_is_what_the_table_says(billing: Billing, stores: Sequence[Store]) -> None:
    settled = a_settlement()
    await stores[0].ledger.record([Settlement(settled, 9)])
    await stores[1].ledger.record([Settlement(settled, 8)])
    rows = await billing.rows("SELECT kind, revision, sequence FROM billing.ledger ORDER BY sequence")
    assert [(row["kind"], row["revision"], row["sequence"]) for row in rows] == [
        (Kind.SETTLEMENT, 0, 1),
        (Kind.REVERSAL, 1, 2),
        (Kind.SETTLEMENT, 2, 3),
    ]
