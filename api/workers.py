"""The folds and reactors, put together from the services: by the embedded server in its own process, by ``tidings work`` in one of theirs."""

import dataclasses
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Final

from api.services import Services
from domain.commands import Command
from domain.context import Context
from domain.handlers import handle
from projections.families import ALL
from projections.receipts import sweep_receipts
from projections.runtime import Cause, Runtime, Sweeper
from projections.runtime.cascades import REACTORS
from projections.signals import FAMILY as SIGNALS
from projections.signals import SWEEP_STEP, sweep_signals
from projections.trends import TrendKind, TrendWindow, get_snapshot, newest_minute, sweep_snapshots, sweep_uses

MINUTE: Final = 60.0
MOST_STEPS: Final = 200
"""Of one sweep: 200,000 rows a shard and minute are more than a shard takes in."""
ALONE: Final = "embedded"
"""The holder of an embedded server's leases: after a crash its restart renews them and need not wait for them to run out."""


@asynccontextmanager
async def running_workers(services: Services, holder: str | None = None) -> AsyncIterator[Services]:
    """Services whose ``runtime`` folds and reacts until the end. Raises CheckpointError where documents and log do not belong together. ``holder`` is a name
    that no other process has; None makes one."""
    runtime = build_runtime(services, holder)
    await runtime.start()
    try:
        yield dataclasses.replace(services, runtime=runtime)
    finally:
        await runtime.stop()


def build_runtime(services: Services, holder: str | None = None) -> Runtime:
    async def perform(command: Command, cause: Cause) -> object:
        context = Context(
            namer=services.namer,
            entropy=services.entropy,
            now=services.now(),
            command_id=cause.command_id,
            limits=services.limits,
            correlation_id=cause.correlation_id,
            causation_id=cause.causation_id,
            traceparent=cause.traceparent,
        )
        return await handle(services.log, command, context)

    def saved(family: str) -> None:
        if family == SIGNALS.name:
            services.live.nudge()

    return Runtime(
        services.log,
        services.documents,
        ALL,
        policies=REACTORS,
        perform=perform,
        sweepers=_sweepers(services),
        holder=holder,
        clock=services.now,
        saved=saved,
    )


def _sweepers(services: Services) -> Sequence[Sweeper]:
    documents, now = services.documents, services.now

    async def signals() -> None:
        for shard in range(services.log.identity.shards):
            await _thoroughly(partial(sweep_signals, documents, shard, now()))

    async def receipts() -> None:
        for shard in range(services.log.identity.shards):
            await _thoroughly(partial(sweep_receipts, documents, shard, now()))

    async def trends() -> None:
        for kind in TrendKind:
            for window in TrendWindow:
                await get_snapshot(documents, kind, window, newest_minute(now()))
                await sweep_snapshots(documents, kind, window, now())
            await _thoroughly(partial(sweep_uses, documents, kind, now()))

    return (
        Sweeper("signals", MINUTE, signals),
        Sweeper("receipts", MINUTE, receipts),
        Sweeper("trends", MINUTE, trends),
    )


async def _thoroughly(sweep: Callable[[], Awaitable[int]]) -> None:
    """Step by step until a step finds less than it could take."""
    for _ in range(MOST_STEPS):
        if await sweep() < SWEEP_STEP:
            return
