"""Part of the event log's contract: what is sealed opens until its key is destroyed, and never after."""

import asyncio
from collections.abc import Sequence

import pytest

from domain.errors import (
    Code,
    Refusal,
)
from domain.ids import stream_shard
from domain.log.port import Draft, Execution, View
from tests.contract.log_domain import (
    Note,
    Noted,
    metadata,
    new_id,
    note,
    noting,
)
from tests.contract.log_kit import (
    LogFactory,
    appended,
    gather,
)


async def test_what_is_sealed_opens_here_and_elsewhere(log_factory: LogFactory) -> None:
    log, other = await log_factory(), await log_factory()
    shards = log.identity.shards
    subject = new_id()
    stream = note(subject)
    shard = stream_shard(stream, shards)
    await log.execute(noting(stream, shards, subject, "rain", new_subject=True))
    await other.execute(noting(stream, shards, subject, "sun"))
    expected = Note(topic="weather", texts=("rain", "sun"))
    for handle in (log, other, await log_factory()):
        assert await handle.load(stream) == await handle.read(shard, 0, 10)
        assert await handle.states([stream]) == {stream: expected}


async def test_a_destroyed_key_redacts_load_read_states_and_decisions(log_factory: LogFactory) -> None:
    log = await log_factory()
    shards = log.identity.shards
    subject, bystander = new_id(), new_id()
    stream, untouched = note(subject), note(bystander)
    await log.execute(noting(stream, shards, subject, "rain", new_subject=True))
    await log.execute(noting(untouched, shards, bystander, "sun", new_subject=True))
    await log.destroy_key(subject)
    redacted = Note(topic="weather", texts=(None,))
    seen: list[Note] = []

    def look(view: View) -> Sequence[Draft]:
        seen.append(view.state(stream, Note))
        return ()

    for handle in (log, await log_factory()):
        (loaded,) = await handle.load(stream)
        assert loaded.event == Noted(topic="weather", private=None)
        assert loaded in await handle.read(loaded.shard, 0, 10)
        assert await handle.states([stream]) == {stream: redacted}
        await handle.execute(Execution(loaded.shard, (stream,), look, metadata()))
        assert (await handle.states([untouched]))[untouched] == Note(topic="weather", texts=("sun",))
    assert set(seen) == {redacted}


async def test_a_destroyed_subject_never_gets_another_key(log_factory: LogFactory) -> None:
    log = await log_factory()
    shards = log.identity.shards
    subject, never_made = new_id(), new_id()
    stream = note(subject)
    await log.execute(noting(stream, shards, subject, "rain", new_subject=True))
    await log.destroy_key(subject)
    await log.destroy_key(never_made)
    await log.destroy_key(subject)
    for handle in (log, await log_factory()):
        for new_subject in (True, False):
            for gone in (subject, never_made):
                with pytest.raises(Refusal) as refused:
                    await handle.execute(noting(stream, shards, gone, "sun", new_subject=new_subject))
                assert refused.value.code == Code.FORBIDDEN
        # What seals nothing needs no key.
        await handle.execute(noting(stream, shards, subject, None))
    assert await log.states([stream]) == {stream: Note(topic="weather", texts=(None, None, None))}


async def test_two_that_make_one_subjects_key_make_the_same(log_factory: LogFactory) -> None:
    log, other = await log_factory(), await log_factory()
    shards = log.identity.shards
    subject = new_id()
    streams = [note(new_id()) for _ in range(10)]
    results = await asyncio.gather(
        gather(log, [noting(s, shards, subject, "rain", new_subject=True) for s in streams[::2]]),
        gather(other, [noting(s, shards, subject, "rain", new_subject=True) for s in streams[1::2]]),
    )
    assert sum(len(appended(result)) for result in results) == 10
    states = await (await log_factory()).states(streams)
    assert set(states.values()) == {Note(topic="weather", texts=("rain",))}
