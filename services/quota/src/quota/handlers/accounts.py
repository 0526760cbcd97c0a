"""What is asked and told about an account: usage, plan, extra prompts, suspension, blocked tokens."""

from contracts.billing import PromptsGranted, SubscriptionChanged
from contracts.quota import (
    AccountSuspension,
    BlockToken,
    BlockTokenReply,
    ReadUsage,
    SuspendAccount,
    SuspendAccountReply,
    TokenBlocked,
    Usage,
    UsageReply,
)
from quota.handlers.catalogue import Catalogue
from quota.handlers.replies import both
from quota.store import Accounts, Grant


class AccountHandlers:
    """Each change is committed when its handler returns: the answer promises it, the event is acknowledged."""

    def __init__(self, catalogue: Catalogue, accounts: Accounts) -> None:
        self._catalogue = catalogue
        self._accounts = accounts

    async def read_usage(self, question: ReadUsage) -> UsageReply:
        assigned, windows = await self._accounts.usage(question.account_id)
        catalogue = self._catalogue
        if assigned is not None:
            catalogue.note_unknown(assigned, question.account_id)
        plan = catalogue.plan_in_force(assigned or catalogue.default_plan)
        daily, monthly = both(windows, plan)
        return Usage(plan=plan.name, alias=plan.alias, plans_version=catalogue.version, daily=daily, monthly=monthly)

    async def block_token(self, question: BlockToken) -> BlockTokenReply:
        await self._accounts.block_token(
            question.token_id, account_id=question.account_id, default_plan=self._catalogue.default_plan
        )
        return TokenBlocked(token_id=question.token_id)

    async def suspend_account(self, question: SuspendAccount) -> SuspendAccountReply:
        is_suspended, revision = await self._accounts.suspend(
            question.account_id,
            is_suspended=question.is_suspended,
            revision=question.revision,
            default_plan=self._catalogue.default_plan,
        )
        return AccountSuspension(account_id=question.account_id, is_suspended=is_suspended, revision=revision)

    async def change_plan(self, change: SubscriptionChanged) -> None:
        await self._accounts.change_plan(
            change.account_id,
            change.plan,
            revision=change.revision,
            effective_at=change.effective_at,
            default_plan=self._catalogue.default_plan,
        )
        self._catalogue.note_unknown(change.plan, change.account_id)

    async def grant_prompts(self, granted: PromptsGranted) -> None:
        grant = Grant(granted.grant_id, granted.account_id, granted.prompts, granted.starts_at, granted.ends_at)
        await self._accounts.grant(grant, default_plan=self._catalogue.default_plan)
