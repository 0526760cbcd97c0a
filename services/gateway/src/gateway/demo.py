"""Demo accounts: one per plan, with a token each, kept in a file that only its owner can read."""

import json
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path

from chassis.bus import Bus
from contracts.plans import PlanCatalogue
from gateway import accounts
from gateway.auth import SCOPES, Authenticator
from gateway.errors import AccountExists, AuthenticationFailed, CommandFailed
from gateway.store import Store
from gateway.tables import Account

TOKEN_NAME = "demo"


async def seed(
    store: Store, bus: Bus, authenticator: Authenticator, *, plans: PlanCatalogue, file: Path, timeout_seconds: float
) -> list[str]:
    """Make what is missing of `demo-<plan>` accounts and their tokens; write `{plan: token}`. The plans that got one.

    A token of the file that still works is kept, so repeating changes nothing. Raises `CommandFailed`, `BusError`.
    """
    known = {plan: token for plan, token in read(file).items() if isinstance(token, str)}
    made: list[str] = []
    for plan in plans.names:
        account = await _account(store, f"demo-{plan}", plan)
        if account.announced_at is None:
            await accounts.announce(bus, store, account, timeout_seconds=timeout_seconds)
        if not await _works(authenticator, known.get(plan), account):
            known[plan], _ = await accounts.issue_token(store, account, name=TOKEN_NAME, scopes=SCOPES)
            made.append(plan)
            # At once: a token that was made and not written down is lost.
            write(file, known)
    kept = {plan: token for plan, token in known.items() if plan in plans.names}
    write(file, {plan: kept[plan] for plan in plans.names})
    return made


async def _account(store: Store, name: str, plan: str) -> Account:
    found = await store.find_account(name)
    if found is not None:
        return found
    try:
        return await accounts.open_account(store, name=name, plan=plan)
    except AccountExists:  # another one was faster
        return await accounts.find_account(store, name)


async def _works(authenticator: Authenticator, token: str | None, account: Account) -> bool:
    try:
        caller = await authenticator.authenticate(f"Bearer {token}".encode()) if token else None
    except AuthenticationFailed:
        return False
    return caller is not None and caller.account_id == account.account_id


def read(file: Path) -> dict[str, object]:
    """What is kept, by plan. Raises `CommandFailed`."""
    try:
        content = json.loads(file.read_bytes())
    except FileNotFoundError:
        return {}
    except ValueError as exc:
        raise CommandFailed(f"{file} is not JSON; move it away to have new ones made") from exc
    if not isinstance(content, dict):
        raise CommandFailed(f"{file} is not a list by plan; move it away to have new ones made")
    return content


def write(file: Path, content: Mapping[str, object]) -> None:
    """Whole or not at all, and readable by its owner only (`mkstemp` makes files 0600)."""
    handle, temporary = tempfile.mkstemp(dir=file.parent, prefix=f".{file.name}.")
    try:
        with os.fdopen(handle, "w") as stream:
            json.dump(content, stream, indent=2)
            stream.write("\n")
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(temporary, file)
    except BaseException:
        os.unlink(temporary)
        raise
