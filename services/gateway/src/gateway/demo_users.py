"""Demo users of the portal: one per demo account, all with one password, kept in a file for its owner alone."""

from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

import uuid_utils

from contracts.plans import PlanCatalogue
from gateway import accounts, demo
from gateway.errors import CommandFailed
from gateway.portal.identity.passwords import Passwords
from gateway.portal.visit import new_secret
from gateway.store import Store
from gateway.store.users import UserExists, UserStore
from gateway.tables import User

FILE = "portal.json"
DOMAIN = "smartroute.example"


async def seed(store: Store, users: UserStore, *, plans: PlanCatalogue, file: Path) -> list[str]:
    """Make what is missing of the users; write `{plan: {email, password}}`. The plans whose user can sign in anew.

    The demo accounts are there. A password of the file that still works is kept, so repeating changes nothing.
    """
    password, passwords = _known_password(file) or new_secret(), Passwords()
    wanted = {plan: {"email": f"{plan}@{DOMAIN}", "password": password} for plan in plans.names}
    # Before the first user has it: a password that was not written down is lost.
    demo.write(file, wanted)
    return [
        plan
        for plan, entry in wanted.items()
        if await _changed(store, users, passwords, plan=plan, email=entry["email"], password=password)
    ]


def _known_password(file: Path) -> str | None:
    found = [entry.get("password") for entry in demo.read(file).values() if isinstance(entry, dict)]
    return next((password for password in found if isinstance(password, str)), None)


async def _changed(
    store: Store, users: UserStore, passwords: Passwords, *, plan: str, email: str, password: str
) -> bool:
    """Whether the user had to be made, or to be given the password."""
    user = await users.by_email(email)
    if user is not None and await passwords.verify(user.password_hash, password):
        return False
    password_hash = await passwords.hash(password)
    if user is not None and user.password_hash is not None:
        await users.rehash(user.user_id, before=user.password_hash, after=password_hash)
        return True
    account = await accounts.find_account(store, f"demo-{plan}")
    now = datetime.now(UTC)
    made = User(
        user_id=UUID(int=uuid_utils.uuid7().int),
        account_id=account.account_id,
        email=email,
        password_hash=password_hash,
        password_changed_at=now,
        created_at=now,
    )
    try:
        await users.add(made)
    except UserExists as exc:
        raise CommandFailed(f"the account demo-{plan} has another user than {email}") from exc
    return True
