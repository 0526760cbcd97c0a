"""The commands on stored responses."""

from typing import Annotated

import typer

from chassis.database import create_engine
from gateway import accounts
from gateway.commands.session import AsJson, read_settings, run, show
from gateway.store import ResponseStore, Store


def erase_responses(
    account: Annotated[str, typer.Argument(help="Id or name of the account.")], *, as_json: AsJson = False
) -> None:
    """Remove every stored response of an account. When this returns 0, none can be read any more."""
    settings = read_settings()

    async def work(store: Store) -> None:
        owner = await accounts.find_account(store, account)
        engine = create_engine(settings.database_url.get_secret_value(), pool_size=1)
        try:
            erased = await ResponseStore(engine).erase(owner.account_id)
        finally:
            await engine.dispose()
        result = {"account_id": str(owner.account_id), "erased": erased}
        show(result, f"erased {erased} stored responses of {owner.account_id}", as_json=as_json)

    run(settings, work)


COMMANDS = (erase_responses,)
