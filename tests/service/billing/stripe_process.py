"""The stand-in for Stripe as a process beside a test, a public endpoint that hands on what it posts, and a customer."""

import json
import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web

from chassis.bus import Bus, PeerUnavailable, ask
from contracts.billing import TAKE_PAYMENT_NOTICE, NoticeRefused, NoticeTaken, PaymentNotice
from devstack import programs
from devstack.children import Child, Program
from devstack.ports import free_port
from devstack.probes import http_get
from devstack.repository import ROOT

SECRET = "whsec_of_a_test"
KEY = "sk_test_of_a_test"
PRICES = {"plus": "price_plus", "pro": "price_pro", "max": "price_max"}
AMOUNTS = {"plus": 900, "pro": 2900, "max": 9900}


@dataclass(frozen=True, slots=True)
class Stripe:
    """The stand-in. Its interface is asked as Stripe's; `/_config/` is what only a test may do."""

    origin: str

    @property
    def settings(self) -> Mapping[str, str]:
        """What billing is given to use it."""
        return {
            "BILLING_STRIPE_SECRET_KEY": KEY,
            "BILLING_STRIPE_WEBHOOK_SECRET": SECRET,
            "BILLING_STRIPE_PRICES": json.dumps(PRICES),
            "BILLING_STRIPE_API_URL": self.origin,
            "BILLING_STRIPE_TIMEOUT_SECONDS": "2",
        }

    async def call(self, path: str, **data: object) -> Any:
        """POST of form fields to the interface."""
        headers = {"Authorization": f"Bearer {KEY}"}
        async with (
            aiohttp.ClientSession(headers=headers) as session,
            session.post(f"{self.origin}{path}", data=data) as reply,
        ):
            assert reply.status == 200, await reply.text()
            return await reply.json()

    async def read(self, path: str) -> Any:
        headers = {"Authorization": f"Bearer {KEY}"}
        async with aiohttp.ClientSession(headers=headers) as session, session.get(f"{self.origin}{path}") as reply:
            assert reply.status == 200, await reply.text()
            return await reply.json()

    async def end(self, subscription: str) -> None:
        headers = {"Authorization": f"Bearer {KEY}"}
        url = f"{self.origin}/v1/subscriptions/{subscription}"
        async with aiohttp.ClientSession(headers=headers) as session, session.delete(url) as reply:
            assert reply.status == 200, await reply.text()

    async def pay(self, url: str, *, slowly: bool = False) -> str:
        """As a customer on the payment page; where the page leads to then."""
        way = f"{url}?slowly" if slowly else url
        async with aiohttp.ClientSession() as session, session.post(way, allow_redirects=False) as reply:
            assert reply.status == 303, await reply.text()
            return reply.headers["Location"]

    async def arrive(self, reference: str, how: str) -> None:
        async with (
            aiohttp.ClientSession() as session,
            session.post(f"{self.origin}/_config/arrive/{reference}/{how}") as reply,
        ):
            assert reply.status == 200, await reply.text()

    async def fail(self, *, count: int, delay_seconds: float = 0.0, status: int = 0) -> None:
        """The next calls fail like that."""
        faults = {"count": count, "delay_seconds": delay_seconds, "status": status}
        async with (
            aiohttp.ClientSession() as session,
            session.post(f"{self.origin}/_config/faults", json=faults) as reply,
        ):
            assert reply.status == 200

    async def deliveries(self) -> list[dict[str, Any]]:
        """Every attempt to post a notice, with the status that it got."""
        _, body = await http_get(f"{self.origin}/_config/deliveries")
        found: list[dict[str, Any]] = json.loads(body)
        return found

    async def post_notices_to(self, url: str) -> None:
        # Localstripe takes the events from JSON only.
        async with (
            aiohttp.ClientSession() as session,
            session.post(f"{self.origin}/_config/webhooks/test", json={"url": url, "secret": SECRET}) as reply,
        ):
            assert reply.status == 200, await reply.text()


@asynccontextmanager
async def stripe_running() -> AsyncIterator[Stripe]:
    """A stand-in with a price for some of the plans."""
    port = free_port()
    origin = f"http://127.0.0.1:{port}"

    async def answers() -> bool:
        try:
            await http_get(f"{origin}/_config/deliveries")
        except OSError:
            return False
        return True

    with tempfile.TemporaryDirectory() as folder:
        program = Program(
            name="stripe",
            command=programs.command("tests.service.billing.stripe_stand_in", str(port)),
            log=Path(folder) / "stripe.log",
            ready=answers,
            environment=programs.environment({"PYTHONPATH": str(ROOT)}),
        )
        child = await Child.begin(program)
        try:
            await child.until_ready()
            stripe = Stripe(origin)
            for plan, price in PRICES.items():
                fields = {"amount": AMOUNTS[plan], "currency": "eur", "interval": "month", "name": plan}
                await stripe.call("/v1/plans", id=price, **fields)
            yield stripe
        finally:
            child.kill()
            await child.ended()


@asynccontextmanager
async def public_endpoint(bus: Bus) -> AsyncIterator[str]:
    """What the gateway does with what Stripe posts, and no more: the address of it."""

    async def take(request: web.Request) -> web.Response:
        body, signature = (await request.read()).decode(), request.headers.get("Stripe-Signature", "")
        notice = PaymentNotice(provider="stripe", body=body, signature=signature)
        try:
            reply = await ask(bus, TAKE_PAYMENT_NOTICE, notice, timeout_seconds=10)
        except PeerUnavailable:
            return web.Response(status=503)
        statuses = {NoticeTaken: 200, NoticeRefused: 400}
        return web.Response(status=statuses.get(type(reply), 503))

    app = web.Application()
    app.router.add_post("/stripe", take)
    runner = web.AppRunner(app)
    await runner.setup()
    port = free_port()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    try:
        yield f"http://127.0.0.1:{port}/stripe"
    finally:
        await runner.cleanup()
