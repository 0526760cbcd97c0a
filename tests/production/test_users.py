"""The whole product with the users of the manifests: what customers and staff do works, and nothing is refused."""

import os
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from chassis import bus
from contracts.gateway import REQUEST_SETTLED
from devstack.prepared import prepare_folder
from devstack.provider import Provider, ToolCall, scripts
from devstack.pytest_plugin import short_folder
from devstack.stack import Stack
from tests import commands
from tests.e2e.product import HELLO, chat, command, eventually, get, ledger, new_account, profiles

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def provider() -> AsyncIterator[Provider]:
    async with Provider(default=scripts.answer("Hello.")) as running:
        yield running


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def guarded(provider: Provider) -> AsyncIterator[Stack]:
    with short_folder() as folder:
        async with Stack(
            prepare_folder(folder), profiles=profiles({"played": provider}), nats_nodes=3, guards_nats=True
        ) as stack:
            yield stack
            refused = [line for line in stack.log_text().splitlines() if "permissions violation" in line.lower()]
            assert refused == []


async def as_staff(stack: Stack, service: str, *arguments: str) -> Any:
    """A command of staff with the user of staff."""
    environment = {
        **os.environ,
        **stack.service_environment(service),
        f"{service.upper()}_NATS_URL": stack.nats.of("staff"),
    }
    return (await commands.run(service, *arguments, "--json", environment=environment)).json


async def test_requests_are_answered_counted_and_written_down(guarded: Stack) -> None:
    account, token = await new_account(guarded, plan="pro")
    whole = await chat(guarded, token)
    streamed = await chat(guarded, token, stream=True)
    assert (whole.text, streamed.text) == ("Hello.", "Hello.")
    lines = await ledger(guarded, account, lines=2)
    assert {line["request_id"] for line in lines} == {whole.headers["x-request-id"], streamed.headers["x-request-id"]}

    async def is_counted() -> bool:
        usage = (await get(guarded, token, "usage")).json
        return bool(usage["daily"]["used"] == 2)

    await eventually(is_counted)
    receipt = await get(guarded, token, f"receipts/{whole.headers['x-request-id']}")
    assert (receipt.status, receipt.json["request_id"]) == (200, whole.headers["x-request-id"])


async def test_a_turn_goes_on_and_staff_sees_where_it_went(guarded: Stack, provider: Provider) -> None:
    _, token = await new_account(guarded)
    provider.enqueue(scripts.answer(None, tool_calls=[ToolCall("look", "{}")]))
    tools = [{"type": "function", "function": {"name": "look"}}]
    first = await chat(guarded, token, tools=tools)
    said = first.json["choices"][0]["message"]
    results = {"role": "tool", "tool_call_id": said["tool_calls"][0]["id"], "content": "seen"}
    assert (await chat(guarded, token, tools=tools, messages=[*HELLO, said, results])).status == 200
    assert "played" in str(await as_staff(guarded, "router", "targets"))

    async def is_recorded() -> bool:
        return first.headers["x-request-id"] in str(await as_staff(guarded, "router", "decisions", "--last", "5"))

    await eventually(is_recorded)


async def test_tokens_are_revoked_accounts_suspended_and_plans_changed(guarded: Stack) -> None:
    account, token = await new_account(guarded)
    made = await command(guarded, "gateway", "create-token", account)
    await command(guarded, "gateway", "revoke-token", made["token_id"])
    assert (await chat(guarded, made["token"])).status == 401
    await command(guarded, "billing", "set-plan", account, "max")

    async def has_plan() -> bool:
        return bool((await get(guarded, token, "usage")).json["plan"] == "max")

    await eventually(has_plan)
    await command(guarded, "gateway", "suspend-account", account, "--reason", "test")
    assert (await chat(guarded, token)).status == 403


async def test_what_cannot_be_read_is_given_up_and_settled_by_staff(guarded: Stack) -> None:
    url, ca_file = guarded.nats.of("gateway"), guarded.nats.ca_file
    async with bus.connect(url, name="gateway", instance="test", ca_file=ca_file) as connection:
        await connection.client.publish(REQUEST_SETTLED.subject, b"not a settlement")
        await connection.flush()
    for service in ("quota", "billing"):
        found: list[dict[str, Any]] = []

        async def is_there(of: str = service, found: list[dict[str, Any]] = found) -> bool:
            found[:] = await as_staff(guarded, of, "dead-letters", "list")
            return bool(found)

        await eventually(is_there)
        arguments = (str(found[0]["place"]), "--reason", "a test", "--author", "ada")
        await as_staff(guarded, service, "dead-letters", "discard", *arguments)
        assert await as_staff(guarded, service, "dead-letters", "list") == []


async def test_the_books_are_compared(guarded: Stack) -> None:
    assert (await command(guarded, "billing", "reconcile"))["result"] == "equal"
