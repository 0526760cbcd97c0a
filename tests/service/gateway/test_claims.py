"""Claims on keys in the real database: whose a key is when many want it, and when it is free again."""

import asyncio
import hashlib
from datetime import timedelta
from uuid import UUID, uuid4

from chassis.database import create_engine
from devstack.pytest_plugin import FreshDatabase
from gateway.store import ClaimStore, KnownKey, StoredAnswer, Wanted


def a_key(**fields: object) -> Wanted:
    values = {
        "account_id": UUID(int=1),
        "key_digest": hashlib.sha256(b"key").digest(),
        "body_digest": hashlib.sha256(b"body").digest(),
        "request_id": uuid4(),
        **fields,
    }
    return Wanted(**values)  # type: ignore[arg-type]


HOUR = timedelta(hours=1)
ANSWER = StoredAnswer(200, {"content-type": "application/json"}, b"{}")


async def test_many_that_want_one_key_leave_it_to_one(fresh_database: FreshDatabase) -> None:
    engine = create_engine((await fresh_database("gateway")).url("gateway"), pool_size=8)
    try:
        store = ClaimStore(engine)
        for round_number in range(5):
            digest = hashlib.sha256(bytes([round_number])).digest()
            asking = (store.claim(a_key(key_digest=digest), hold=HOUR, keep=HOUR) for _ in range(16))
            known = await asyncio.gather(*asking)
            assert known.count(None) == 1
            assert all(isinstance(other, KnownKey) and other.is_running for other in known if other is not None)
    finally:
        await engine.dispose()


async def test_a_claim_that_nobody_holds_is_taken_over_by_one_with_the_same_body(
    fresh_database: FreshDatabase,
) -> None:
    engine = create_engine((await fresh_database("gateway")).url("gateway"), pool_size=8)
    try:
        store = ClaimStore(engine)
        dead = a_key()
        assert await store.claim(dead, hold=timedelta(0), keep=HOUR) is None
        other_body = await store.claim(a_key(body_digest=b"other"), hold=HOUR, keep=HOUR)
        assert other_body is not None
        takers = [a_key() for _ in range(8)]
        known = await asyncio.gather(*(store.claim(taker, hold=HOUR, keep=HOUR) for taker in takers))
        assert known.count(None) == 1
        assert not await store.conclude(dead, ANSWER), "the dead one came back and took the key again"
        await store.release(dead)
        winner = takers[known.index(None)]
        assert await store.conclude(winner, ANSWER)
        assert await store.conclude(winner, ANSWER), "to conclude again is harmless"
        found = await store.claim(a_key(), hold=HOUR, keep=HOUR)
        assert found == KnownKey(winner.request_id, winner.body_digest, is_running=False, answer=ANSWER)
    finally:
        await engine.dispose()


async def test_keys_are_free_after_their_time_and_removed_in_batches(fresh_database: FreshDatabase) -> None:
    engine = create_engine((await fresh_database("gateway")).url("gateway"))
    try:
        store = ClaimStore(engine)
        over = [a_key(key_digest=bytes([number])) for number in range(5)]
        for wanted in over:
            await store.claim(wanted, hold=HOUR, keep=timedelta(0))
            if wanted is not over[4]:
                await store.conclude(wanted, ANSWER)
        assert await store.claim(a_key(key_digest=bytes([0]), body_digest=b"new"), hold=HOUR, keep=HOUR) is None
        assert [await store.purge_claims(limit=2) for _ in range(3)] == [2, 1, 0]
        open_still = await store.claim(a_key(key_digest=bytes([4])), hold=HOUR, keep=HOUR)
        assert open_still is not None, "an answer that takes longer than keys are kept lost its key"
        await store.note_replay(over[0], replay_of=over[1].request_id, trace_id=None)
        assert await store.purge_replays(keep=HOUR, limit=10) == 0
        assert await store.purge_replays(keep=timedelta(0), limit=10) == 1
    finally:
        await engine.dispose()
