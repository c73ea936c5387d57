"""What people have read."""

from collections.abc import Sequence

from domain.commands import MarkNotificationsRead
from domain.context import Context
from domain.deciders import account as accounts
from domain.deciders import marker as markers
from domain.deciders.account import Account
from domain.deciders.marker import Marker
from domain.handlers.result import Result, require_actor, shard
from domain.ids import account_stream, marker_stream
from domain.log.port import Draft, EventLog, Execution, View


async def mark_notifications_read(log: EventLog, command: MarkNotificationsRead, context: Context) -> Result:
    """Moves the actor's marker on; behind it already: nothing changes."""
    actor = require_actor(context)
    stream, actor_stream = marker_stream(actor), account_stream(actor)

    def decide(view: View) -> Sequence[Draft]:
        accounts.require_active(view.state(actor_stream, Account))
        return context.drafts(stream, markers.read(view.state(stream, Marker), actor, command.up_to, context.now))

    execution = Execution(shard(log, actor), (stream, actor_stream), decide, context.metadata())
    return Result(actor, await log.execute(execution))
