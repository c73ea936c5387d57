"""The folds and reactors, put together from the services: by the embedded server in its own process, by ``tidings work`` in one of theirs."""

import dataclasses
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from api.services import Services
from domain.commands import Command
from domain.context import Context
from domain.handlers import handle
from domain.policies import POLICIES
from projections.families import ALL
from projections.runtime import Cause, Runtime


@asynccontextmanager
async def running_workers(services: Services) -> AsyncIterator[Services]:
    """Services whose ``runtime`` folds and reacts until the end. Raises CheckpointError where documents and log do not belong together."""
    runtime = build_runtime(services)
    await runtime.start()
    try:
        yield dataclasses.replace(services, runtime=runtime)
    finally:
        await runtime.stop()


def build_runtime(services: Services) -> Runtime:
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

    return Runtime(services.log, services.documents, ALL, policies=POLICIES, perform=perform, clock=services.now)
