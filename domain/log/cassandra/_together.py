"""Several waits at once, ended as one."""

import asyncio
from collections.abc import Coroutine, Iterable


async def together(coroutines: Iterable[Coroutine[object, object, object]]) -> None:
    """Runs them at once. The first error is raised, after the others were cancelled and have ended."""
    try:
        async with asyncio.TaskGroup() as group:
            for coroutine in coroutines:
                group.create_task(coroutine)
    except BaseExceptionGroup as errors:
        raise errors.exceptions[0] from None
