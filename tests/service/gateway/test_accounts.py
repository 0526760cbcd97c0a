"""Accounts and the debt of announcing them, against the real database and bus."""

import asyncio

import pytest

from chassis.bus import connect
from devstack.pytest_plugin import FreshDatabase
from gateway import accounts
from gateway.errors import AccountExists, AccountUnknown
from tests.service.gateway.events import accounts_opened
from tests.service.gateway.gateway_process import Gateway


async def test_an_account_is_found_by_its_id_and_by_its_name(fresh_database: FreshDatabase, nats_url: str) -> None:
    gateway = Gateway(await fresh_database("gateway"), nats_url)
    async with gateway.store() as store:
        account = await accounts.open_account(store, name="acme", plan=None)
        for by in ("acme", str(account.account_id)):
            assert (await accounts.find_account(store, by)).account_id == account.account_id
        with pytest.raises(AccountUnknown):
            await accounts.find_account(store, "nobody")


async def test_a_name_is_given_once_whoever_is_faster(fresh_database: FreshDatabase, nats_url: str) -> None:
    gateway = Gateway(await fresh_database("gateway"), nats_url)
    async with gateway.store() as store:
        opening = (accounts.open_account(store, name="acme", plan=None) for _ in range(4))
        results = await asyncio.gather(*opening, return_exceptions=True)
    assert sum(isinstance(result, AccountExists) for result in results) == 3


async def test_debts_are_paid_once_by_any_number_of_gateways(fresh_database: FreshDatabase, nats_url: str) -> None:
    gateway = Gateway(await fresh_database("gateway"), nats_url)
    async with gateway.store() as store, connect(nats_url, name="test", instance="test") as bus:
        opened = [await accounts.open_account(store, name=f"a{number}", plan="plus") for number in range(5)]
        await asyncio.gather(*(accounts.pay_debts(bus, store, timeout_seconds=5) for _ in range(3)))
        assert await store.unannounced_accounts(limit=10) == []
    told = await accounts_opened(nats_url, count=5)
    assert [account.account_id for account in told] == [account.account_id for account in opened]
    assert {account.plan for account in told} == {"plus"}
