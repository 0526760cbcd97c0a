"""The product as a visitor's browser meets it: a stack, its mails, and people who signed up through pages."""

import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

from playwright.async_api import Browser, Locator, Page, StorageState

from devstack.ports import free_port
from devstack.prepared import prepare_folder
from devstack.provider import Provider, scripts
from devstack.pytest_plugin import short_folder
from devstack.settings import Choices
from devstack.stack import Stack
from tests import patience
from tests.browser import visit
from tests.browser.visit import Visit
from tests.e2e.product import eventually, profiles

PASSWORD = "a calm sentence nobody else says"
SAID = "Hello there, this is the scripted provider."


@dataclass(frozen=True, slots=True)
class Member:
    """Somebody who has signed up; `state` is what the browser keeps."""

    email: str
    state: StorageState


@dataclass(frozen=True, slots=True)
class House:
    """A running stack."""

    stack: Stack

    @property
    def origin(self) -> str:
        return self.stack.base_url.removesuffix("/v1")


@asynccontextmanager
async def opened(**options: Any) -> AsyncIterator[House]:
    """A house whose model always says the same. `options` are those of `Stack`."""
    async with Provider(default=scripts.answer(SAID)) as provider, opened_with(provider, **options) as house:
        yield house


@asynccontextmanager
async def opened_with(
    provider: Provider, *, environment: Mapping[str, str] | None = None, **options: Any
) -> AsyncIterator[House]:
    """A house with a scripted provider behind every alias."""
    # When a token was last used is written every minute otherwise.
    told = {**patience.ENVIRONMENT, "GATEWAY_TOKEN_USE_INTERVAL_SECONDS": "0.2", **(environment or {})}
    with short_folder() as folder:
        stack = Stack(prepare_folder(folder), profiles=profiles({"only": provider}), environment=told, **options)
        async with stack:
            yield House(stack)


@asynccontextmanager
async def opened_with_local_model() -> AsyncIterator[House]:
    """A house with the real model of `make up` behind every alias."""
    with short_folder() as folder:
        choices = Choices(folder, port=free_port())
        async with Stack(prepare_folder(folder), choices=choices, environment=patience.ENVIRONMENT) as stack:
            yield House(stack)


def new_email(name: str = "ada") -> str:
    return f"{name}-{uuid4().hex[:10]}@customer.example"


async def ask_for_account(seen: Visit, stack: Stack, email: str) -> str:
    """Fill in the form; the link that comes by mail."""
    await seen.go("/sign-up")
    await seen.page.get_by_label("E-mail").fill(email)
    await seen.page.get_by_label("Password").fill(PASSWORD)
    await seen.page.get_by_role("main").get_by_role("button", name="Sign up").click()
    return await mailed_link(stack, email)


async def sign_up(seen: Visit, stack: Stack, email: str) -> None:
    """By the pages alone, as a person would; ends on the overview."""
    await seen.page.goto(await ask_for_account(seen, stack, email))
    await seen.page.get_by_role("button", name="Open the account").click()
    await seen.page.wait_for_url("**/overview")


async def sign_in(seen: Visit, email: str, *, password: str = PASSWORD, path: str = "/sign-in") -> None:
    """On the page that `path` leads to."""
    await seen.go(path)
    await seen.page.get_by_label("E-mail").fill(email)
    await seen.page.get_by_label("Password").fill(password)
    await seen.page.get_by_role("main").get_by_role("button", name="Sign in").click()


async def ask_for_reset(seen: Visit, stack: Stack, email: str) -> str:
    """Fill in the form; the link that comes by mail."""
    earlier = sum(email in mail.to for mail in stack.mail.mails)
    await seen.go("/forgot")
    await seen.page.get_by_label("E-mail").fill(email)
    await seen.page.get_by_role("button", name="Send the link").click()
    return await mailed_link(stack, email, after=earlier)


async def create_token(seen: Visit, name: str) -> str:
    """Through the form; the token as it is shown this once."""
    await seen.go("/tokens")
    await seen.page.get_by_label("Name").fill(name)
    await seen.page.get_by_role("button", name="Create the token").click()
    return await shown_token(seen)


async def shown_token(seen: Visit) -> str:
    """The token on the page that shows it."""
    return (await seen.page.get_by_role("region", name="Your new token").inner_text()).strip()


async def reloaded_until(seen: Visit, what: Locator, *, is_shown: bool = True) -> None:
    """Open the page again until something is on it, or not: for what other services tell in their own time."""

    async def holds() -> bool:
        await seen.page.reload()
        return await what.is_visible() is is_shown

    await eventually(holds)


async def open_tab(page: Page, name: str) -> None:
    """By its label, as pointers do: the button beside it is out of sight."""
    await page.locator("label").filter(has_text=re.compile(f"^{re.escape(name)}$")).click()


async def mailed_link(stack: Stack, email: str, *, after: int = 0) -> str:
    """The link in the first mail to `email` after the first `after` ones."""
    mail = await stack.mail.next_to(email, after=after)
    assert mail.link is not None
    return mail.link


async def new_member(browser: Browser, stack: Stack, *, email: str = "") -> Member:
    """Somebody who has just signed up, in a browser that is closed again."""
    address = email or new_email()
    seen = await visit.begin(browser, stack.base_url.removesuffix("/v1"))
    await sign_up(seen, stack, address)
    state = await seen.context.storage_state()
    await seen.context.close()
    seen.check()
    return Member(address, state)
