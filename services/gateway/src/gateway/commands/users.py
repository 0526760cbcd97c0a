"""The commands on users of the portal."""

import sys
from datetime import UTC, datetime, timedelta
from typing import Annotated

import typer

from chassis.database import create_engine
from gateway import accounts, terminal
from gateway.commands.session import AsJson, read_settings, run, show
from gateway.errors import CommandFailed
from gateway.ids import new_id
from gateway.portal.identity import links, passwords
from gateway.portal.identity.letters import Letters
from gateway.portal.identity.mail import Postman, relay_of
from gateway.portal.identity.mail_relay import is_address
from gateway.portal.identity.passwords import Passwords, PasswordWeak
from gateway.portal.site import Site, site_of
from gateway.settings import PortalSettings
from gateway.store import Store
from gateway.store.mail_links import MailLinkStore
from gateway.store.users import UserExists, UserStore
from gateway.tables import Account, User

INVITATION_VALID = timedelta(days=3)


def create_user(
    account: Annotated[str, typer.Argument(help="Id or name of the account.")],
    email: Annotated[str, typer.Argument(help="E-mail address to sign in with.")],
    *,
    password_stdin: Annotated[
        bool, typer.Option("--password-stdin", help="Read the password from standard input; send no mail.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Let somebody sign in to the portal for an account that has no user yet.

    Without a password, a link to choose one is sent by mail; when there is no mail relay, it is printed.
    """
    settings, of_portal = read_settings(), terminal.read_settings(PortalSettings)
    email = email.strip().lower()
    password = sys.stdin.readline().rstrip("\n") if password_stdin else None

    async def work(store: Store) -> None:
        _check(email, password)
        engine = create_engine(settings.database_url.get_secret_value(), pool_size=1)
        try:
            owner = await accounts.find_account(store, account)
            user = await _added(UserStore(engine), owner, email, password)
            result: dict[str, object] = {
                "user_id": str(user.user_id),
                "account_id": str(owner.account_id),
                "email": email,
            }
            text = f"{email} may sign in for {owner.account_id}"
            if password is None:
                link = await _invited(MailLinkStore(engine), of_portal, email)
                result, text = {**result, "link": link}, f"{text}, after choosing a password: {link or 'mail sent'}"
            show(result, text, as_json=as_json)
        finally:
            await engine.dispose()

    run(settings, work)


def _check(email: str, password: str | None) -> None:
    if not is_address(email):
        raise CommandFailed(f"{email} is not an e-mail address")
    try:
        if password is not None:
            passwords.check(password, email=email)
    except PasswordWeak as exc:
        raise CommandFailed(str(exc)) from exc


async def _added(users: UserStore, owner: Account, email: str, password: str | None) -> User:
    now = datetime.now(UTC)
    user = User(
        user_id=new_id(),
        account_id=owner.account_id,
        email=email,
        password_hash=await Passwords().hash(password) if password is not None else None,
        password_changed_at=now if password is not None else None,
        created_at=now,
    )
    try:
        await users.add(user)
    except UserExists as exc:
        raise CommandFailed(f"the account has a user already, or {email} is one of another account") from exc
    return user


async def _invited(mail_links: MailLinkStore, of_portal: PortalSettings, email: str) -> str | None:
    """The link, when nobody sends it: the operator has to hand it over."""
    site: Site = site_of(of_portal)
    secret, link = links.made("reset", email, valid=INVITATION_VALID)
    await mail_links.add(link)
    to = links.url(site, "reset", secret)
    relay = relay_of(of_portal)
    if relay is None:
        return to
    letter = Letters(site).invitation(email, link=to, valid=INVITATION_VALID)
    # One more try, a moment later: somebody waits at the terminal.
    return None if await Postman(relay, pauses_seconds=(2.0,)).deliver(letter) else to


COMMANDS = (create_user,)
