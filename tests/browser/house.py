"""The product as a visitor's browser meets it: a stack, its mails, and people who signed up through pages."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

from playwright.async_api import Browser, StorageState

from devstack.provider import Provider, Script, scripts
from devstack.pytest_plugin import short_folder
from devstack.stack import Stack
from tests.browser import visit
from tests.browser.visit import Visit
from tests.e2e.product import profiles

PASSWORD = "a calm sentence nobody else says"
SAID = "Hello there, this is the scripted provider."


@dataclass(frozen=True, slots=True)
class Member:
    """Somebody who has signed up. `state` is what the browser keeps; `facts` fill the paths of pages."""

    email: str
    state: StorageState
    facts: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class House:
    """A running stack with a scripted provider behind every alias."""

    stack: Stack
    provider: Provider

    @property
    def origin(self) -> str:
        return self.stack.base_url.removesuffix("/v1")


@asynccontextmanager
async def opened(*, default: Script | None = None, **options: Any) -> AsyncIterator[House]:
    """A house while the block runs. `options` are those of `Stack`."""
    with short_folder() as folder:
        async with (
            Provider(default=default or scripts.answer(SAID)) as provider,
            Stack(folder, profiles=profiles({"only": provider}), **options) as stack,
        ):
            yield House(stack, provider)


def new_email(name: str = "ada") -> str:
    return f"{name}-{uuid4().hex[:10]}@customer.example"


async def sign_up(seen: Visit, stack: Stack, email: str) -> None:
    """By the pages alone, as a person would; ends on the overview."""
    await seen.go("/sign-up")
    await seen.page.get_by_label("E-mail").fill(email)
    await seen.page.get_by_label("Password").fill(PASSWORD)
    await seen.page.get_by_role("main").get_by_role("button", name="Sign up").click()
    mail = await stack.mail.next_to(email)
    assert mail.link is not None
    await seen.page.goto(mail.link)
    await seen.page.get_by_role("main").get_by_role("button").click()
    await seen.page.wait_for_url("**/overview")


async def new_member(browser: Browser, stack: Stack, *, email: str = "") -> Member:
    """Somebody who has just signed up, in a browser that is closed again."""
    address = email or new_email()
    seen = await visit.begin(browser, stack.base_url.removesuffix("/v1"))
    await sign_up(seen, stack, address)
    state = await seen.context.storage_state()
    await seen.context.close()
    seen.check()
    return Member(address, state)
