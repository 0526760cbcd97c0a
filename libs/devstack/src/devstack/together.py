"""Several things at once, with one plain error when one of them fails."""

import asyncio
from collections.abc import Coroutine
from typing import Any

from devstack.errors import DevstackError


async def side_by_side(*work: Coroutine[Any, Any, object]) -> None:
    """Do all of it at once. The first failure cancels the rest; one that we have words for is raised as itself.

    Not with `except*`: before Python 3.11.4 what is raised in there comes out wrapped in a group again.
    """
    try:
        async with asyncio.TaskGroup() as group:
            for each in work:
                group.create_task(each)
    except BaseExceptionGroup as failures:
        expected = failures.subgroup(DevstackError)
        if expected is None:
            raise
        failure = _first(expected)
    else:
        return
    raise failure


def _first(failures: BaseExceptionGroup[BaseException]) -> BaseException:
    first = failures.exceptions[0]
    return _first(first) if isinstance(first, BaseExceptionGroup) else first
