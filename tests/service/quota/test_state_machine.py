"""Anything that can happen to prompts, in any order, on real Postgres, against a model that only counts requests."""

import asyncio
import os
from datetime import UTC, date, datetime, timedelta
from uuid import UUID, uuid4

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from contracts.plans import Turns
from devstack.database import Database
from devstack.pytest_plugin import FreshDatabase
from quota.domain import FORGOTTEN_AFTER, Ask, Continued, Held, Limits, Settlement, Terms
from quota.store import Grant
from tests.service.quota.model import Account, Extra, Request
from tests.service.quota.world import World, world

LEASE_SECONDS = 60
EXAMPLES = int(os.environ.get("STATE_MACHINE_EXAMPLES", "12"))
STEPS = 30
GATEWAY = "gateway-1"

LIMITS = {
    "free": Limits(3, 5, turns=Turns(calls_per_turn=4, open_for_minutes=61)),
    "plus": Limits(5, 7, in_flight=4, turns=Turns(calls_per_turn=6, open_for_minutes=30)),
    "unlimited": Limits(None, None, turns=Turns(calls_per_turn=2, open_for_minutes=24 * 60)),
}
TERMS = Terms(version=1, default_plan="free", limits=LIMITS)
START = datetime(2028, 2, 28, 20, tzinfo=UTC)  # a leap day and the end of a month are near

WINDOWS = """
SELECT account_id, kind, starts_on, used, reserved, drawn FROM quota.windows WHERE account_id = ANY (%(accounts)s)
"""
RESERVATIONS = """
SELECT account_id, request_id, day, grant_id, turn_id, call, answers, lease_until, settled_sequence, charged
FROM quota.reservations WHERE account_id = ANY (%(accounts)s)
"""
IN_FLIGHT = "SELECT account_id, in_flight FROM quota.accounts WHERE account_id = ANY (%(accounts)s)"
GRANTS = "SELECT account_id, grant_id, taken, prompts FROM quota.grants WHERE account_id = ANY (%(accounts)s)"

TURNS = "SELECT account_id, turn_id, opened_at, calls, answered FROM quota.turns WHERE account_id = ANY (%(accounts)s)"

accounts = st.sampled_from([0, 0, 0, 1])
tokens = st.sampled_from([0, 0, 0, 0, 1, 2])
outcomes = st.sampled_from(["completed", "completed", "empty", "client_gone_early"])
any_ = st.integers(0, 10_000)

Told = tuple[str, str | None]
"""An outcome, and what it would have been as a first call."""


class Prompts(RuleBasedStateMachine):
    """`stream` is REQUESTS: what was told, in order; `delivered` are the sequences that quota has acknowledged."""

    def __init__(self, quota: World) -> None:
        super().__init__()
        self.quota = quota
        self.accounts = [Account(uuid4()) for _ in range(2)]
        self.tokens = [uuid4() for _ in range(3)]
        self.blocked: set[UUID] = set()
        self.requests: list[Request] = []
        self.stream: list[tuple[Request, Told]] = []
        self.delivered: set[int] = set()
        self.base = quota.next_sequence
        self.now = START
        self.most: dict[UUID, dict[str, int | None]] = {
            account.account_id: {"day": 3, "month": 5} for account in self.accounts
        }

    @property
    def ids(self) -> list[UUID]:
        return [account.account_id for account in self.accounts]

    @property
    def floor(self) -> int:
        """The sequence up to which everything is acknowledged."""
        number = self.base
        while number + 1 in self.delivered:
            number += 1
        return number

    def account_of(self, request: Request) -> Account:
        return next(account for account in self.accounts if account.account_id == request.account_id)

    def pick(self, number: int) -> Request:
        return self.requests[number % len(self.requests)]

    @initialize(extra=st.integers(0, 3), spent=st.integers(0, 3))
    def begin(self, extra: int, spent: int) -> None:
        """Near the limits from the start."""
        self.quota.turn_clock(self.now)
        if extra:
            self.grant(account=0, prompts=extra, begins=-1, lasts=40)
        if spent:
            self.reserve(account=0, asked=[0] * spent)

    @rule(account=accounts, asked=st.lists(tokens, min_size=1, max_size=4))
    def reserve(self, account: int, asked: list[int]) -> None:
        account_id = self.accounts[account].account_id
        self._reserve([Request(account_id, uuid4(), self.tokens[token]) for token in asked])

    @precondition(lambda self: self.requests)
    @rule(which=st.lists(any_, min_size=1, max_size=3))
    def ask_again(self, which: list[int]) -> None:
        """After a lost reply, or before the first one arrived."""
        self._reserve([self.pick(number) for number in which])

    @precondition(lambda self: self.requests)
    @rule(
        asked=st.lists(st.tuples(any_, st.sampled_from([0, 0, 0, 1, 2, 5]), tokens), min_size=1, max_size=4),
        others=st.lists(tokens, max_size=2),
        again=st.lists(any_, max_size=1),
    )
    def carry_on(self, asked: list[tuple[int, int, int]], others: list[int], again: list[int]) -> None:
        """Agents come back with the results of their tools, among others; `back` says to how old a call."""
        batch: list[Request] = []
        for number, back, token in asked:
            of = self.pick(number)
            asks_on = Continued(of.turn_id, self.account_of(of).calls(of.turn_id) - back)
            batch.append(Request(of.account_id, uuid4(), self.tokens[token], asks_on))
        batch += [Request(self.ids[0], uuid4(), self.tokens[token]) for token in others]
        self._reserve(batch + [self.pick(number) for number in again])

    def _reserve(self, requests: list[Request]) -> None:
        asks = [Ask(one.account_id, one.request_id, one.token_id, GATEWAY, continues=one.asks_on) for one in requests]
        decisions = self.quota.reserve(asks, TERMS)
        unique = list({request.request_id: request for request in requests}.values())
        self.requests += [request for request in unique if request not in self.requests]
        expected = {one.request_id: one.call for one in unique if one.is_reserved} | self._admit(unique)
        for request, decision in zip(requests, decisions, strict=True):
            got = decision.call if isinstance(decision, Held) else decision.reason.value
            assert got == expected[request.request_id]
            if isinstance(decision, Held):
                assert decision.turn_id == request.turn_id

    def _admit(self, requests: list[Request]) -> dict[UUID, int | str]:
        """The call of each that is new, or why it is refused."""
        found: dict[UUID, int | str] = {}
        for account in self.accounts:
            new = [one for one in requests if not one.is_reserved and one.account_id == account.account_id]
            admitted = account.admit(new, LIMITS[account.plan(self.now)], self.now, blocked=self.blocked)
            for request, reason in admitted:
                if reason is None:
                    request.lease_until = self.now + timedelta(seconds=LEASE_SECONDS)
                found[request.request_id] = request.call if reason is None else reason.value
        return found

    @precondition(lambda self: self.requests)
    @rule(which=any_, outcome=outcomes, is_old=st.booleans())
    def gateway_settles(self, which: int, outcome: str, is_old: bool = False) -> None:
        """Once for each request, whether quota knows it (yet) or not. An old gateway does not say how it ended."""
        request = self.pick(which)
        if not any(one is request and told != "expired" for one, (told, _) in self.stream):
            told: Told = (outcome, None)
            if request.continues is not None:
                told = ("continuation", None if is_old else outcome)
            self.stream.append((request, told))

    @precondition(lambda self: any(request.is_open for request in self.requests))
    @rule(outcome=outcomes)
    def the_newest_one_ends(self, outcome: str) -> None:
        """The usual case: settled, and delivered at once."""
        newest = [place for place, request in enumerate(self.requests) if request.is_open][-1]
        self.gateway_settles(newest, outcome)
        self.deliver_what_is_new()

    @precondition(lambda self: self.stream)
    @rule(which=st.lists(any_, min_size=1, max_size=6))
    def deliver(self, which: list[int]) -> None:
        """In any order, again or for the first time."""
        self._deliver([self.base + 1 + number % len(self.stream) for number in which])

    @precondition(lambda self: len(self.delivered) < len(self.stream))
    @rule()
    def deliver_what_is_new(self) -> None:
        self._deliver([self.base + 1 + place for place in range(len(self.stream))])

    def _deliver(self, sequences: list[int]) -> None:
        batch = []
        for sequence in sequences:
            request, (outcome, ended_as) = self.stream[sequence - self.base - 1]
            charged = outcome == "completed"
            batch.append(Settlement(request.account_id, request.request_id, sequence, outcome, charged, ended_as))
        self.quota.settle(batch)
        self.delivered |= set(sequences)
        for settlement in batch:
            request = self.stream[settlement.sequence - self.base - 1][0]
            request.told[settlement.sequence] = (settlement.outcome, settlement.ended_as)
        for settlement in batch:
            request = self.stream[settlement.sequence - self.base - 1][0]
            request.decide()
            if request.is_open:
                request.lease_until = min(request.lease_until, self.now)

    @rule()
    def sweep(self) -> None:
        """As the sweeper does it: fold what waits for its turn, tell of the others, and let these run on."""
        overdue = self.quota.overdue(self.ids)
        mine = {one.request_id: one for one in self.requests}
        late = {one.request_id for one in self.requests if one.is_open and one.lease_until <= self.now}
        assert {one.request_id for one in overdue} == late
        for one in overdue:
            request = mine[one.request_id]
            assert (one.kept is None) == (not request.told)
            assert one.call == request.call
            if one.kept is not None:
                self.quota.settle([one.kept], folded_through=self.floor)
                request.decide(folded_through=self.floor)
                continue
            if not any(known is request and told == "expired" for known, (told, _) in self.stream):
                self.stream.append((request, ("expired", None)))  # a second one is dropped by the stream
            moved = [(one.account_id, one.request_id)]
            self.quota.run(self.quota.leases.move_on(moved, lease_seconds=LEASE_SECONDS))
            request.lease_until = self.now + timedelta(seconds=LEASE_SECONDS)
        self.quota.run(self.quota.turns.forget(limit=100))

    @precondition(lambda self: self.requests)
    @rule(which=st.lists(any_, min_size=1, max_size=4, unique=True), gateway=st.sampled_from([GATEWAY, "other"]))
    def renew(self, which: list[int], gateway: str) -> None:
        asked = {self.pick(number).request_id: self.pick(number) for number in which}
        keys = [(one.account_id, one.request_id) for one in asked.values()]
        gone = set(self.quota.run(self.quota.leases.renew(gateway, keys, lease_seconds=LEASE_SECONDS)))
        for request_id, request in asked.items():
            is_renewed = request.is_open and not request.told and gateway == GATEWAY
            assert (request_id not in gone) == is_renewed
            if is_renewed:
                request.lease_until = self.now + timedelta(seconds=LEASE_SECONDS)

    @precondition(lambda self: self.requests)
    @rule(which=any_)
    def abandon(self, which: int) -> None:
        request = self.pick(which)
        self.quota.run(self.quota.leases.abandon(GATEWAY, [(request.account_id, request.request_id)]))
        if request.is_open:
            request.lease_until = min(request.lease_until, self.now)

    @rule(token=tokens, account=accounts)
    def block(self, token: int, account: int) -> None:
        self.blocked.add(self.tokens[token])
        account_id = self.accounts[account].account_id
        blocking = self.quota.accounts.block_token(self.tokens[token], account_id=account_id, default_plan="free")
        self.quota.run(blocking)

    @rule(account=accounts, is_suspended=st.booleans(), step=st.integers(-1, 1))
    def suspend(self, account: int, is_suspended: bool, step: int) -> None:
        mine = self.accounts[account]
        revision = mine.suspension[0] + step
        if revision > mine.suspension[0]:
            mine.suspension = (revision, is_suspended)
        suspending = self.quota.accounts.suspend(
            mine.account_id, is_suspended=is_suspended, revision=revision, default_plan="free"
        )
        assert self.quota.run(suspending) == (mine.suspension[1], mine.suspension[0])

    @rule(account=accounts, plan=st.sampled_from(sorted(LIMITS)), revision=st.integers(1, 6), hours=st.integers(-1, 30))
    def change_plan(self, account: int, plan: str, revision: int, hours: int) -> None:
        mine = self.accounts[account]
        at = self.now + timedelta(hours=hours)
        if revision not in mine.plans:
            mine.plans[revision] = (plan, at)
            known = self.most[mine.account_id]
            for kind, limit in (("day", LIMITS[plan].daily), ("month", LIMITS[plan].monthly)):
                so_far = known[kind]
                known[kind] = None if limit is None or so_far is None else max(so_far, limit)
        changing = self.quota.accounts.change_plan(
            mine.account_id, plan, revision=revision, effective_at=at, default_plan="free"
        )
        self.quota.run(changing)

    @rule(account=accounts, prompts=st.integers(1, 3), begins=st.integers(-2, 10), lasts=st.integers(1, 40))
    def grant(self, account: int, prompts: int, begins: int, lasts: int) -> None:
        mine = self.accounts[account]
        starts_at = self.now + timedelta(hours=begins)
        extra = Extra(uuid4(), prompts, starts_at, starts_at + timedelta(hours=lasts))
        mine.extras.append(extra)
        told = Grant(extra.grant_id, mine.account_id, extra.prompts, extra.starts_at, extra.ends_at)
        for _ in range(2):
            self.quota.grant(told)

    @rule(seconds=st.sampled_from([1, 30, LEASE_SECONDS, LEASE_SECONDS + 1, 3600, 4 * 3600, 24 * 3600]))
    def time_passes(self, seconds: int) -> None:
        self.now += timedelta(seconds=seconds)
        self.quota.turn_clock(self.now)

    @invariant()
    def counters_are_sums_over_requests(self) -> None:
        for account_id, kind, starts_on, *counts in self.quota.rows(WINDOWS, self.ids):
            account = next(account for account in self.accounts if account.account_id == account_id)
            assert tuple(counts) == account.counts(starts_on, _after(kind, starts_on)), (kind, starts_on)
        for account_id, in_flight in self.quota.rows(IN_FLIGHT, self.ids):
            account = next(account for account in self.accounts if account.account_id == account_id)
            assert in_flight == account.in_flight
        for account_id, grant_id, taken, _ in self.quota.rows(GRANTS, self.ids):
            account = next(account for account in self.accounts if account.account_id == account_id)
            assert taken == account.taken(next(extra for extra in account.extras if extra.grant_id == grant_id))

    @invariant()
    def reservations_are_as_the_model_has_them(self) -> None:
        found = {
            (request_id, day, grant_id, turn_id, call, answers, sequence, charged, None if sequence else lease_until)
            for _, request_id, day, grant_id, turn_id, call, answers, lease_until, sequence, charged in self.quota.rows(
                RESERVATIONS, self.ids
            )
        }
        expected = {
            (
                request.request_id,
                request.day,
                request.grant_id,
                request.turn_id,
                request.call,
                request.continues.answers if request.continues else None,
                request.winner,
                None if request.winner is None else request.is_used,
                request.lease_until if request.winner is None else None,
            )
            for request in self.requests
            if request.is_reserved
        }
        assert found == expected

    @invariant()
    def turns_are_sums_over_their_calls(self) -> None:
        found = {
            (account_id, turn_id): (opened_at, calls, sorted(answered))
            for account_id, turn_id, opened_at, calls, answered in self.quota.rows(TURNS, self.ids)
        }
        for account in self.accounts:
            for turn_id, expected in account.turns().items():
                assert [one.call for one in account.rides(turn_id)] == list(range(2, expected[1] + 1))
                is_old = self.now - expected[0] > FORGOTTEN_AFTER
                assert found.pop((account.account_id, turn_id), expected if is_old else None) == expected
        assert found == {}

    @invariant()
    def no_window_and_no_grant_ever_holds_more_than_was_allowed(self) -> None:
        """I1, from the rows alone: with the strongest plan that the account ever had."""
        for account_id, kind, _, used, reserved, drawn in self.quota.rows(WINDOWS, self.ids):
            most = self.most[account_id][kind]
            assert most is None or used + reserved - drawn <= most
        for _, _, taken, prompts in self.quota.rows(GRANTS, self.ids):
            assert taken <= prompts

    def teardown(self) -> None:
        """I2: once every gateway is dead and every message is delivered, each reservation has its first settlement."""
        for _ in range(3):
            self.time_passes(LEASE_SECONDS + 1)
            self.sweep()
            if self.stream:
                self.deliver_what_is_new()
        self.quota.next_sequence = self.base + len(self.stream)
        assert [request for request in self.requests if request.is_open] == []
        for request in self.requests:
            if request.is_reserved:
                places = [place for place, (one, _) in enumerate(self.stream) if one is request]
                assert request.winner == self.base + 1 + min(places)
        self.counters_are_sums_over_requests()
        self.reservations_are_as_the_model_has_them()
        self.turns_are_sums_over_their_calls()


def _after(kind: str, starts_on: date) -> date:
    if kind == "day":
        return starts_on + timedelta(days=1)
    return (starts_on + timedelta(days=31)).replace(day=1)


@pytest.fixture
async def database(fresh_database: FreshDatabase) -> Database:
    return await fresh_database("quota")


@pytest.mark.timeout(0)  # as long as STATE_MACHINE_EXAMPLES takes
async def test_whatever_happens_the_books_are_right_after_every_step(database: Database) -> None:
    """More of it with STATE_MACHINE_EXAMPLES."""

    def drive() -> None:
        with world(database, lease_seconds=LEASE_SECONDS) as quota:
            run_state_machine_as_test(
                lambda: Prompts(quota),  # type: ignore[arg-type]  # a factory will do
                settings=settings(
                    max_examples=EXAMPLES,
                    stateful_step_count=STEPS,
                    deadline=None,
                    suppress_health_check=list(HealthCheck),
                    print_blob=True,
                ),
            )

    await asyncio.to_thread(drive)
