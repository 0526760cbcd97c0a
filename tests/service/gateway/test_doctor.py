"""The doctor examines a real gateway over real HTTP, in front of providers that behave and providers that do not."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from pathlib import Path
from typing import Any
from uuid import UUID

import nats
import pytest
import yaml

from chassis import bus
from chassis.database import create_engine
from contracts import cloudevents
from contracts.billing import READ_RECEIPT, NoReceipt, ReadReceipt, Receipt
from contracts.gateway import REQUEST_SETTLED, RequestSettled
from devstack.ports import free_port
from devstack.provider import Provider, faults, scripts
from devstack.provider.agent import Plan, call, say
from devstack.provider.script import Script
from devstack.provider.server import Ending
from devstack.pytest_plugin import FreshDatabase
from devstack.repository import PLANS
from gateway import accounts
from gateway.auth import INFERENCE, USAGE_READ
from gateway.portal.doctor.dialogue import TOOL
from gateway.portal.doctor.examination import PROMPTS, examine
from gateway.portal.doctor.findings import Check, Code, Finding, Verdict
from gateway.store import Store
from tests.service.gateway.chat_house import House, house, target
from tests.service.gateway.test_receipts import receipt_of

ALIAS = "smart-route-mini"
AGENT = Plan([call(TOOL, {"room": "kitchen"}), say("It is 21 degrees.")]).script()
WORDS = scripts.answer("It is warm, I suppose.")


class Clinic:
    """A house with one provider, and a billing that makes receipts of what is in the stream."""

    def __init__(self, home: House, provider: Provider) -> None:
        self.home = home
        self.provider = provider

    async def examine(self, *, alias: str = ALIAS, token: str | None = None, **limits: float) -> list[Finding]:
        return [each async for each in examine(self.home.base_url, token or self.home.token, alias=alias, **limits)]


async def settled_in(nats_url: str, request_id: UUID) -> RequestSettled | None:
    client = await nats.connect(nats_url)
    try:
        state = (await client.jetstream().stream_info("REQUESTS")).state
        for sequence in range(max(state.first_seq, 1), state.last_seq + 1):
            raw = await client.jetstream().get_msg("REQUESTS", sequence)
            settled = cloudevents.unwrap(REQUEST_SETTLED, raw.data or b"")[1]
            if settled.request_id == request_id:
                return settled
    finally:
        await client.close()
    return None


@asynccontextmanager
async def billing(nats_url: str) -> AsyncIterator[None]:
    async def answer(asked: ReadReceipt) -> Receipt | NoReceipt:
        settled = await settled_in(nats_url, asked.request_id)
        return NoReceipt(request_id=asked.request_id) if settled is None else receipt_of(settled)

    async with bus.connect(nats_url, name="billing", instance="test") as connection:
        await bus.serve(connection, READ_RECEIPT, answer, queue="billing")
        yield


class Clinics:
    """Opens clinics: `async with clinics.open(AGENT) as clinic`."""

    def __init__(self, nats_url: str, fresh_database: FreshDatabase, folder: Path) -> None:
        self._nats_url = nats_url
        self._fresh_database = fresh_database
        self._folder = folder

    @asynccontextmanager
    async def open(
        self, script: Script, *, daily_prompts: int | None = None, **target_fields: Any
    ) -> AsyncIterator[Clinic]:
        async with AsyncExitStack() as stack:
            provider = await stack.enter_async_context(Provider(default=script))
            await stack.enter_async_context(billing(self._nats_url))
            targets = {"a": target(provider, "a", **target_fields)}
            plans = PLANS if daily_prompts is None else self._plans(daily_prompts)
            home = await stack.enter_async_context(
                house(self._nats_url, self._fresh_database, self._folder, targets, plans=plans)
            )
            yield Clinic(home, provider)

    def _plans(self, daily_prompts: int) -> Path:
        catalogue = yaml.safe_load(PLANS.read_text(encoding="utf-8"))
        catalogue["plans"][0]["daily_prompts"] = daily_prompts
        path = self._folder / "plans.yaml"
        path.write_text(yaml.safe_dump(catalogue), encoding="utf-8")
        return path


@pytest.fixture
def clinics(nats_url: str, fresh_database: FreshDatabase, tmp_path: Path) -> Clinics:
    return Clinics(nats_url, fresh_database, tmp_path)


def codes(findings: Sequence[Finding]) -> dict[Check, Code]:
    """By check; every check has exactly one finding, in order."""
    assert [finding.check for finding in findings] == list(Check)
    return {finding.check: finding.code for finding in findings}


async def test_a_model_that_uses_tools_passes_everything_for_two_prompts(clinics: Clinics) -> None:
    async with clinics.open(AGENT) as clinic:
        findings = await clinic.examine()
        assert {finding.verdict for finding in findings} == {Verdict.GOOD}, findings
        assert codes(findings)[Check.RESPONSES_CONTINUATION] is Code.CONTINUATION_FREE
        assert "4 receipts were read. By them this check cost 2 prompts." in findings[-1].says
        assert await clinic.home.cost() == PROMPTS == 2
        assert len(clinic.provider.exchanges) == 4


async def test_findings_come_one_by_one_as_they_are_known(clinics: Clinics) -> None:
    async with clinics.open(faults.hang_midway()) as clinic:
        examination = examine(clinic.home.base_url, clinic.home.token, alias=ALIAS)
        async with aclosing(examination):
            first = [await anext(examination) for _ in range(4)]
        assert [finding.check for finding in first] == list(Check)[:4]


async def test_a_model_that_ignores_tools_is_warned_of_and_its_streams_are_good(clinics: Clinics) -> None:
    async with clinics.open(WORDS) as clinic:
        found = codes(await clinic.examine())
        assert found[Check.CHAT_STREAM] is found[Check.RESPONSES_STREAM] is Code.STREAMED
        assert found[Check.CHAT_TOOL] is found[Check.RESPONSES_TOOL] is Code.TOOL_IGNORED
        assert found[Check.CHAT_CONTINUATION] is Code.SKIPPED
        assert found[Check.RECEIPTS] is Code.RECEIPTS_READ
        assert await clinic.home.cost() == PROMPTS


async def test_where_no_model_takes_tools_plain_streams_are_looked_at(clinics: Clinics) -> None:
    async with clinics.open(WORDS, dialect={"takes_tools": False}) as clinic:
        found = codes(await clinic.examine())
        assert found[Check.CHAT_STREAM] is found[Check.RESPONSES_STREAM] is Code.STREAMED
        assert found[Check.CHAT_TOOL] is found[Check.RESPONSES_TOOL] is Code.TOOLS_NOT_TAKEN
        assert await clinic.home.cost() == PROMPTS


async def test_a_revoked_token_is_refused_and_nothing_else_is_tried(clinics: Clinics) -> None:
    async with clinics.open(AGENT) as clinic:
        await revoke_all(clinic.home)
        found = codes(await clinic.examine())
        assert found.pop(Check.TOKEN) is Code.TOKEN_WELL_FORMED
        assert found.pop(Check.MODELS) is Code.TOKEN_REFUSED
        assert set(found.values()) == {Code.SKIPPED}
        assert clinic.provider.exchanges == []


async def revoke_all(home: House) -> None:
    """Revoke every token of the account, as its owner would."""
    engine = create_engine(home.database.url("gateway"))
    try:
        store = Store(engine)
        async with bus.connect(home.nats_url, name="test", instance="test") as connection:
            for token in await store.tokens_of(home.account_id):
                marked = await accounts.mark_revoked(store, token.token_id)
                await accounts.block_token(connection, store, marked, timeout_seconds=5)
    finally:
        await engine.dispose()


async def test_a_token_that_may_only_read_says_which_scope_it_lacks(clinics: Clinics) -> None:
    async with clinics.open(AGENT) as clinic:
        findings = await clinic.examine(token=await clinic.home.new_token(scopes=(USAGE_READ,)))
        found = codes(findings)
        assert found[Check.USAGE] is Code.USAGE_AMPLE
        assert found[Check.CHAT_STREAM] is Code.SCOPE_MISSING
        assert found[Check.RESPONSES_STREAM] is found[Check.RECEIPTS] is Code.SKIPPED
        assert "the scope inference" in findings[4].says


async def test_a_token_that_may_not_read_usage_still_has_its_prompts_examined(clinics: Clinics) -> None:
    async with clinics.open(AGENT) as clinic:
        found = codes(await clinic.examine(token=await clinic.home.new_token(scopes=(INFERENCE,))))
        assert found[Check.USAGE] is Code.USAGE_HIDDEN
        assert found[Check.ALIAS] is Code.ALIAS_LISTED
        assert found[Check.CHAT_CONTINUATION] is Code.CONTINUATION_FREE
        assert found[Check.RECEIPTS] is Code.RECEIPTS_HIDDEN


async def test_a_spent_day_is_found_before_any_prompt_is_sent(clinics: Clinics) -> None:
    async with clinics.open(AGENT, daily_prompts=1) as clinic:
        assert (await clinic.home.ask()).status == 200
        sent = len(clinic.provider.exchanges)
        found = codes(await clinic.examine())
        assert found[Check.USAGE] is Code.USAGE_SPENT
        assert found[Check.CHAT_STREAM] is found[Check.RESPONSES_STREAM] is Code.SKIPPED
        assert len(clinic.provider.exchanges) == sent


async def test_with_one_prompt_left_the_first_format_is_examined_and_the_second_refused(clinics: Clinics) -> None:
    async with clinics.open(AGENT, daily_prompts=1) as clinic:
        found = codes(await clinic.examine())
        assert found[Check.USAGE] is Code.USAGE_SHORT
        assert found[Check.CHAT_CONTINUATION] is Code.CONTINUATION_FREE
        assert found[Check.RESPONSES_STREAM] is Code.QUOTA_SPENT
        assert found[Check.RECEIPTS] is Code.RECEIPTS_READ
        assert await clinic.home.cost() == 1


async def test_an_alias_above_the_plan_is_said_to_be_lowered(clinics: Clinics) -> None:
    async with clinics.open(AGENT) as clinic:
        findings = await clinic.examine(alias="smart-route-ultra")
        assert codes(findings)[Check.ALIAS] is Code.ALIAS_LOWERED
        assert codes(findings)[Check.CHAT_CONTINUATION] is Code.CONTINUATION_FREE
        assert "the plan free serves smart-route-mini" in findings[3].says


async def test_a_name_that_is_no_alias_costs_nothing(clinics: Clinics) -> None:
    async with clinics.open(AGENT) as clinic:
        found = codes(await clinic.examine(alias="gpt-5"))
        assert found[Check.ALIAS] is Code.ALIAS_UNKNOWN
        assert found[Check.CHAT_STREAM] is Code.SKIPPED
        assert await clinic.home.cost() == 0


async def test_streams_that_break_off_are_failures_and_cost_nothing(clinics: Clinics) -> None:
    async with clinics.open(faults.close_midway(events=5)) as clinic:
        found = codes(await clinic.examine())
        assert found[Check.CHAT_STREAM] is found[Check.RESPONSES_STREAM] is Code.STREAM_BROKEN
        assert found[Check.CHAT_TOOL] is Code.SKIPPED
        assert found[Check.RECEIPTS] is Code.RECEIPTS_READ
        assert await clinic.home.cost() == 0


async def test_providers_that_are_away_are_told_apart_from_a_bad_token(clinics: Clinics) -> None:
    async with clinics.open(AGENT, base_url=f"http://127.0.0.1:{free_port()}/v1") as clinic:
        found = codes(await clinic.examine())
        assert found[Check.MODELS] is Code.MODELS_LISTED
        assert found[Check.CHAT_STREAM] is found[Check.RESPONSES_STREAM] is Code.MODEL_AWAY


async def test_an_endpoint_that_does_not_answer_is_said_to_be_our_fault(clinics: Clinics) -> None:
    async with clinics.open(AGENT) as clinic:
        nowhere = f"http://127.0.0.1:{free_port()}/v1"
        findings = [each async for each in examine(nowhere, clinic.home.token, alias=ALIAS)]
        assert codes(findings)[Check.MODELS] is Code.UNREACHABLE
        assert {finding.code for finding in findings[2:]} == {Code.SKIPPED}


async def test_a_mistyped_token_is_not_sent_anywhere() -> None:
    findings = [each async for each in examine("http://127.0.0.1:9/v1", "sr_live_short", alias=ALIAS)]
    found = codes(findings)
    assert found.pop(Check.TOKEN) is Code.TOKEN_MISTYPED
    assert set(found.values()) == {Code.SKIPPED}


async def test_a_silent_model_is_given_up_and_the_rest_is_left_out_when_time_is_over(clinics: Clinics) -> None:
    async with clinics.open(faults.hang_midway()) as clinic:
        found = codes(await clinic.examine(deadline_seconds=1.5))
        assert found[Check.CHAT_STREAM] is Code.TOO_SLOW
        assert found[Check.RESPONSES_STREAM] is found[Check.RECEIPTS] is Code.OUT_OF_TIME


async def test_leaving_an_examination_cancels_the_call_that_runs(clinics: Clinics) -> None:
    async with clinics.open(faults.hang_midway()) as clinic:

        async def examined() -> None:
            await clinic.examine()

        running = asyncio.create_task(examined())
        exchange = await clinic.provider.exchange(0)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        assert await exchange.ended() is Ending.CLIENT_DISCONNECTED


async def test_no_finding_has_the_token_or_words_of_the_model_in_it(clinics: Clinics) -> None:
    async with clinics.open(AGENT) as clinic:
        findings = await clinic.examine()
        told = " ".join(f"{finding.says} {finding.remedy}" for finding in findings)
        assert clinic.home.token[8:] not in told
        assert "21 degrees" not in told
