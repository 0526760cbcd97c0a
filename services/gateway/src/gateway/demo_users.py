"""Demo users of the portal: one per demo account, all with one password, kept in a file for its owner alone."""

from datetime import UTC, datetime
from pathlib import Path

from contracts.plans import PlanCatalogue
from gateway import accounts, demo
from gateway.errors import CommandFailed
from gateway.ids import new_id
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
    found = {plan: await users.by_email(entry["email"]) for plan, entry in wanted.items()}
    waiting = [
        plan for plan, user in found.items() if user is None or not await passwords.verify(user.password_hash, password)
    ]
    # One for all of them: they share the password, and hashing is slow on purpose.
    password_hash = await passwords.hash(password) if waiting else ""
    for plan in waiting:
        await _give(store, users, found[plan], plan=plan, password_hash=password_hash)
    return waiting


def _known_password(file: Path) -> str | None:
    found = [entry.get("password") for entry in demo.read(file).values() if isinstance(entry, dict)]
    return next((password for password in found if isinstance(password, str)), None)


async def _give(store: Store, users: UserStore, user: User | None, *, plan: str, password_hash: str) -> None:
    """The password to a user, who is made if there is none. Raises `CommandFailed`."""
    if user is not None and user.password_hash is not None:
        await users.rehash(user.user_id, before=user.password_hash, after=password_hash)
        return
    account = await accounts.find_account(store, f"demo-{plan}")
    now = datetime.now(UTC)
    made = User(
        user_id=new_id(),
        account_id=account.account_id,
        email=f"{plan}@{DOMAIN}",
        password_hash=password_hash,
        password_changed_at=now,
        created_at=now,
    )
    try:
        await users.add(made)
    except UserExists as exc:
        raise CommandFailed(f"the account demo-{plan} has another user than {plan}@{DOMAIN}") from exc
