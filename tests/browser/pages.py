"""Every page of the portal, in one list: what is looked at, by whom, and what it is called in the pictures.

A page that is missing here fails `test_every_page.py`. Paths may name what there is in the house of the test: a request
of the member's, links that came by mail.
"""

from dataclasses import dataclass
from typing import Literal

from devstack.repository import ROOT
from gateway.portal.setup.clients import CLIENTS

CONTENT = ROOT / "services/gateway/src/gateway/portal/content"

Reader = Literal["visitor", "member"]


@dataclass(frozen=True, slots=True)
class Page:
    """`name` is that of its pictures. `works_without_script`: also with JavaScript off it does all that it is for."""

    name: str
    title: str
    path: str
    reader: Reader = "visitor"
    status: int = 200
    works_without_script: bool = True


def _documentation() -> list[Page]:
    slugs = [file.stem.split("-", 1)[1] for file in sorted(CONTENT.glob("*.md"))]
    return [Page(f"docs-{slug}", f"Documentation: {slug.replace('-', ' ')}", f"/docs/{slug}") for slug in slugs]


PAGES = [
    Page("home", "Home", "/"),
    Page("home-signed-in", "Home, signed in", "/", "member"),
    Page("overview", "Overview", "/overview", "member"),
    Page("receipt", "Receipt of a request", "/overview/requests/{request_id}", "member"),
    Page("tokens", "Service tokens", "/tokens", "member"),
    Page("token", "One token", "/tokens/{token_id}", "member"),
    Page("plans", "Plans", "/plans"),
    Page("plans-signed-in", "Plans, signed in", "/plans", "member"),
    Page("account", "Account", "/account", "member"),
    Page("confirm", "Confirm that it is you", "/account/confirm", "member"),
    Page("sign-up", "Sign up", "/sign-up"),
    Page("sign-up-confirm", "Open the account", "/sign-up/confirm?link={sign_up_link}"),
    Page("sign-in", "Sign in", "/sign-in"),
    Page("forgot", "Forgotten password", "/forgot"),
    Page("reset", "New password", "/reset?link={reset_link}"),
    Page("link-gone", "A link that is not good any more", "/reset?link=gone", status=410),
    Page("docs", "Documentation", "/docs"),
    Page("docs-signed-in", "Documentation, signed in", "/docs/chat-completions", "member"),
    Page("docs-search", "Documentation: search", "/docs?q=stream"),
    Page("docs-reference", "Documentation: API reference", "/docs/reference"),
    *_documentation(),
    Page("setup", "Set-up", "/setup"),
    *(Page(f"setup-{each.slug}", f"Set-up: {each.name}", f"/setup/{each.slug}") for each in CLIENTS),
    Page("setup-signed-in", "Set-up: Codex CLI, signed in", "/setup/codex", "member"),
    Page("doctor", "Doctor", "/doctor"),
    Page("doctor-signed-in", "Doctor, signed in", "/doctor", "member"),
    Page("tester", "Live tester", "/tester"),
    Page("tester-signed-in", "Live tester, signed in", "/tester", "member", works_without_script=False),
    Page("not-found", "A page that is not there", "/nowhere", status=404),
]

# What a page shows after something was done on it: pictured and examined by the tests that do it.
STATES = {
    "token-created": "A new token, shown once",
    "limit-reached": "No prompt left",
    "upgrade-asked": "A larger plan, asked for",
    "tester-chat": "Live tester, after a streamed chat completion",
    "tester-responses": "Live tester, after a streamed response",
    "doctor-checked": "Doctor, after a check",
    "upgrade-approved": "The larger plan, approved",
    "sign-in-provider": "Sign in, where a provider of identities may be used",
    "account-known": "Back from the provider, where an account has the e-mail address",
    "connect": "Connect the account with the provider",
    "account-provider": "Account, where a provider may be connected",
    "sign-in-stopped": "Back from the provider, where signing in was stopped",
    "payment": "The way to the payment page",
    "payment-confirmed": "Plans, while a payment is being confirmed",
}

PICTURED = [*((page.name, page.title) for page in PAGES), *STATES.items()]
