"""The end of a generation: an event in every shard behind which nothing is appended."""

from collections.abc import Callable

from domain.envelope import Metadata, split_sequence
from domain.errors import UnavailableError
from domain.events import GenerationClosed
from domain.log.batching import log_stream
from domain.log.port import Draft, EventLog, Execution


def closing(shard: int, generation: int, command_id: str) -> Execution:
    """The command that ends ``generation`` in a shard."""
    stream = log_stream(shard)
    drafts = (Draft(stream, GenerationClosed(generation=generation)),)
    metadata = Metadata(command_id=command_id)
    return Execution(shard=shard, streams=(stream,), decide=lambda _view: drafts, metadata=metadata)


async def is_closed(log: EventLog, shard: int) -> bool:
    """Whether the log's generation has ended in a shard."""
    head = await log.head(shard)
    if split_sequence(head)[0] != log.identity.generation:
        return False
    [last] = await log.read(shard, head - 1, 1)
    return isinstance(last.event, GenerationClosed)


async def close_generation(log: EventLog, command_id: Callable[[], str]) -> int:
    """Ends the generation in every shard where it has not ended yet; how many those were. May be repeated, also by several at once.

    Raises OutcomeUnknownError as any append may: repeat it then.
    """
    closed = 0
    for shard in range(log.identity.shards):
        if await is_closed(log, shard):
            continue
        try:
            await log.execute(closing(shard, log.identity.generation, command_id()))
        except UnavailableError:
            if not await is_closed(log, shard):
                raise
        else:
            closed += 1
    return closed
