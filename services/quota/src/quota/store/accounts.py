"""What holds for an account besides its prompts: plan, extra prompts, suspension, blocked tokens; and its usage.

All of it changes under the lock of the account's row. What time alone changes (a plan that begins, a grant that begins
or ends) is worked out by `REFRESH`, which every change calls, and the reservation that finds `changes_at` passed.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncEngine
from sqlmodel.ext.asyncio.session import AsyncSession

from chassis import database
from quota.domain import Counts, Windows
from quota.store.admission import TODAY

# In the order of their ids, like everybody who takes more than one.
LOCK_ACCOUNTS = """
SELECT FROM quota.accounts WHERE account_id = ANY (%(accounts)s::uuid[]) ORDER BY account_id FOR NO KEY UPDATE
"""

# Only under the locks of `LOCK_ACCOUNTS`, in a statement of its own: it must see what whoever had them before did.
# A plan in force gives way to a newer revision only, so an old row without any change of its own stays as it is.
REFRESH = """
UPDATE quota.accounts AS a
SET plan = coalesce(n.plan, a.plan), revision = coalesce(n.revision, a.revision), extra = n.extra,
    changes_at = n.changes_at
FROM (
    SELECT q.account_id, newest.plan, newest.revision,
           (SELECT coalesce(sum(greatest(g.prompts - g.taken, 0)), 0) FROM quota.grants AS g
            WHERE g.account_id = q.account_id AND g.ends_at > q.now AND g.starts_at <= q.now) AS extra,
           least((SELECT min(c.effective_at) FROM quota.plan_changes AS c
                  WHERE c.account_id = q.account_id AND c.effective_at > q.now),
                 (SELECT min(CASE WHEN g.starts_at > q.now THEN g.starts_at ELSE g.ends_at END)
                  FROM quota.grants AS g WHERE g.account_id = q.account_id AND g.ends_at > q.now)) AS changes_at
    FROM (SELECT DISTINCT account_id, quota.clock() AS now FROM unnest(%(accounts)s::uuid[]) AS u (account_id)) AS q
    LEFT JOIN LATERAL (
        SELECT c.plan, c.revision FROM quota.plan_changes AS c
        WHERE c.account_id = q.account_id AND c.effective_at <= q.now
          AND c.revision > (SELECT b.revision FROM quota.accounts AS b WHERE b.account_id = q.account_id)
        ORDER BY c.revision DESC LIMIT 1) AS newest ON true
) AS n
WHERE a.account_id = n.account_id AND a.account_id = ANY (%(accounts)s::uuid[])
"""

_OPEN_ACCOUNT = """
INSERT INTO quota.accounts (account_id, plan, revision) VALUES (%(account)s, %(default_plan)s, 0)
ON CONFLICT DO NOTHING
"""

_RAISE_VERSION = "UPDATE quota.accounts SET version = version + 1 WHERE account_id = %(account)s"

_BLOCK_TOKEN = "INSERT INTO quota.blocked_tokens (token_id) VALUES (%(token)s) ON CONFLICT DO NOTHING"

_NOTE_PLAN = """
INSERT INTO quota.plan_changes (account_id, revision, plan, effective_at)
VALUES (%(account)s, %(revision)s, %(plan)s, %(effective_at)s)
ON CONFLICT DO NOTHING
"""

_NOTE_GRANT = """
INSERT INTO quota.grants (grant_id, account_id, prompts, starts_at, ends_at)
VALUES (%(grant)s, %(account)s, %(prompts)s, %(starts_at)s, %(ends_at)s)
ON CONFLICT DO NOTHING
"""

_SUSPEND = """
UPDATE quota.accounts SET is_suspended = %(is_suspended)s, suspension_revision = %(revision)s
WHERE account_id = %(account)s AND suspension_revision < %(revision)s
"""

_SUSPENSION = "SELECT is_suspended, suspension_revision FROM quota.accounts WHERE account_id = %(account)s"

_USAGE = f"""
WITH {TODAY}
SELECT coalesce(a.changes_at <= today.now, false), a.plan, today.day, today.month, coalesce(a.extra, 0),
       coalesce(d.used, 0), coalesce(d.reserved, 0), coalesce(d.drawn, 0),
       coalesce(m.used, 0), coalesce(m.reserved, 0), coalesce(m.drawn, 0)
FROM today
LEFT JOIN quota.accounts AS a ON a.account_id = %(account)s
LEFT JOIN quota.windows AS d ON d.account_id = %(account)s AND d.kind = 'day' AND d.starts_on = today.day
LEFT JOIN quota.windows AS m ON m.account_id = %(account)s AND m.kind = 'month' AND m.starts_on = today.month
"""


@dataclass(frozen=True, slots=True)
class Grant:
    """Extra prompts of an account, from `starts_at` until before `ends_at`."""

    grant_id: UUID
    account_id: UUID
    prompts: int
    starts_at: datetime
    ends_at: datetime


class Accounts:
    """A transaction each. An account that nobody has heard of before is opened with `default_plan`."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def usage(self, account_id: UUID) -> tuple[str | None, Windows]:
        """The account's plan, None when quota never heard of it, and both windows of now."""
        with database.statement("SELECT", "quota.windows"):
            async with database.transaction(self._engine) as session:
                (found,) = await _rows(session, _USAGE, {"account": account_id})
                if found[0]:
                    await _refresh(session, account_id)
                    (found,) = await _rows(session, _USAGE, {"account": account_id})
        _, plan, day, month, extra, *counts = found
        return plan, Windows(day, month, Counts(*counts[:3]), Counts(*counts[3:]), extra)

    async def block_token(self, token_id: UUID, *, account_id: UUID | None, default_plan: str) -> None:
        """Nothing is admitted with the token once this returned, except without its account: see `BlockToken`."""
        with database.statement("INSERT", "quota.blocked_tokens"):
            async with database.transaction(self._engine) as session:
                if account_id is not None:
                    await _open(session, account_id, default_plan)
                    await _run(session, _RAISE_VERSION, {"account": account_id})
                await _run(session, _BLOCK_TOKEN, {"token": token_id})

    async def suspend(
        self, account_id: UUID, *, is_suspended: bool, revision: int, default_plan: str
    ) -> tuple[bool, int]:
        """What holds once this returned, and by which revision: the newest one that was ever told."""
        with database.statement("UPDATE", "quota.accounts"):
            async with database.transaction(self._engine) as session:
                await _open(session, account_id, default_plan)
                values = {"account": account_id, "is_suspended": is_suspended, "revision": revision}
                await _run(session, _SUSPEND, values)
                ((holds, newest),) = await _rows(session, _SUSPENSION, {"account": account_id})
        return holds, newest

    async def change_plan(
        self, account_id: UUID, plan: str, *, revision: int, effective_at: datetime, default_plan: str
    ) -> None:
        """Note a plan of the account. It holds from `effective_at` on, unless a newer revision is effective by then."""
        values = {"account": account_id, "plan": plan, "revision": revision, "effective_at": effective_at}
        with database.statement("INSERT", "quota.plan_changes"):
            async with database.transaction(self._engine) as session:
                await _open(session, account_id, default_plan)
                await _run(session, LOCK_ACCOUNTS, {"accounts": [account_id]})
                await _run(session, _NOTE_PLAN, values)
                await _run(session, REFRESH, {"accounts": [account_id]})

    async def grant(self, grant: Grant, *, default_plan: str) -> None:
        """Note extra prompts, once for each grant id."""
        values = {
            "grant": grant.grant_id,
            "account": grant.account_id,
            "prompts": grant.prompts,
            "starts_at": grant.starts_at,
            "ends_at": grant.ends_at,
        }
        with database.statement("INSERT", "quota.grants"):
            async with database.transaction(self._engine) as session:
                await _open(session, grant.account_id, default_plan)
                # A reservation that has begun already does not see the new row: the version tells it.
                await _run(session, _RAISE_VERSION, {"account": grant.account_id})
                await _run(session, _NOTE_GRANT, values)
                await _run(session, REFRESH, {"accounts": [grant.account_id]})


async def _open(session: AsyncSession, account_id: UUID, default_plan: str) -> None:
    await _run(session, _OPEN_ACCOUNT, {"account": account_id, "default_plan": default_plan})


async def _refresh(session: AsyncSession, account_id: UUID) -> None:
    await _run(session, LOCK_ACCOUNTS, {"accounts": [account_id]})
    await _run(session, REFRESH, {"accounts": [account_id]})


async def _run(session: AsyncSession, query: str, parameters: dict[str, Any]) -> None:
    await (await session.connection()).exec_driver_sql(query, parameters)


async def _rows(session: AsyncSession, query: str, parameters: dict[str, Any]) -> Sequence[Sequence[Any]]:
    return (await (await session.connection()).exec_driver_sql(query, parameters)).all()
