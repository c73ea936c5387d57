"""How far commands and projections have come."""

import asyncio
from collections import defaultdict
from typing import Final

import strawberry

from api.context import RequestContext
from api.schema.enums import ProjectionState, ReceiptStatus
from api.schema.ids import Kind, kind_and_bare
from api.schema.receipts import CommandReceipt, receipt
from projections.documents.port import Documents
from projections.families import ALL
from projections.receipts import find_recording
from projections.runtime import lag
from projections.runtime.cascades import REACTORS
from projections.runtime.progress import State
from projections.runtime.reactors import reactor_name

_FAMILIES: Final = tuple(family.name for family in ALL)
_NAMES: Final = (*_FAMILIES, *(reactor_name(policy) for policy in REACTORS))
# The worse, the later.
_STATES: Final = (State.LIVE, State.BUILDING, State.DEGRADED, State.HALTED)


@strawberry.type(description="How far a projection has come, over all shards of the log.")
class ProjectionStatus:
    name: str = strawberry.field(description="The family of documents, or the reactor.")
    state: ProjectionState = strawberry.field(description="Whether it goes on everywhere.")
    lag_events: int = strawberry.field(description="Events that it has not taken in yet.")
    lag_seconds: float | None = strawberry.field(
        description="Age of the oldest of these; 0 where there is none, null where it cannot be read."
    )
    dead_letters: int = strawberry.field(description="Events set aside because they could not be taken in.")


async def command_status(context: RequestContext, command_id: str, documents: Documents) -> CommandReceipt | None:
    """Null for what cannot be a command's id; UNKNOWN for a command of which nothing is recorded, yet or any more."""
    parsed = kind_and_bare(command_id)
    if parsed is None or parsed[0] is not Kind.COMMAND:
        return None
    found = await find_recording(documents, parsed[1])
    if found is None:
        return receipt(context, parsed[1], {}, ReceiptStatus.UNKNOWN, None)
    saved = await asyncio.gather(*(documents.load_checkpoints(family) for family in _FAMILIES))
    projected = all(own.get(shard, 0) >= position for own in saved for shard, position in found.positions.items())
    status = ReceiptStatus.PROJECTED if projected else ReceiptStatus.ACCEPTED
    return receipt(context, parsed[1], found.positions, status, found.at)


async def projection_statuses(context: RequestContext) -> list[ProjectionStatus]:
    """Asks the log for its heads, as no other query does: there is nothing else to compare with."""
    context.require_viewer()
    services = context.services
    by_name: defaultdict[str, list[lag.ProjectionStatus]] = defaultdict(list)
    for status in await lag.projection_status(services.log, services.documents, _NAMES, clock=services.now):
        by_name[status.name].append(status)
    return [_over_shards(name, statuses) for name, statuses in by_name.items()]


def _over_shards(name: str, statuses: list[lag.ProjectionStatus]) -> ProjectionStatus:
    ages = [status.lag_seconds for status in statuses]
    known = [age for age in ages if age is not None]
    worst = max((status.state for status in statuses), key=_STATES.index)
    return ProjectionStatus(
        name=name,
        state=ProjectionState(worst.name),
        lag_events=sum(status.lag_events for status in statuses),
        lag_seconds=max(known) if len(known) == len(ages) else None,
        dead_letters=sum(status.dead_letters for status in statuses),
    )
