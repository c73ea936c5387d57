"""A little domain of the log's own tests: tallies that count, seats that one can take, notes that are sealed.

Streams are ``tally-{id}``, ``seat-{id}`` and ``note-{id}``; the id's slot places them, as everywhere.
"""

import random
from collections.abc import Sequence

import msgspec

from domain.envelope import Metadata, Recorded
from domain.errors import Code, refuse
from domain.events import Event, event
from domain.ids import SLOTS, category_of, mint_id, stream_shard
from domain.log.port import Decide, Draft, Execution, View

_source = random.Random(20240229)


class NotePrivate(msgspec.Struct, frozen=True, kw_only=True):
    text: str


@event("test.counted")
class Counted(Event, frozen=True, kw_only=True):
    amount: int = 1


@event("test.taken")
class Taken(Event, frozen=True, kw_only=True):
    owner: str


@event("test.left")
class Left(Event, frozen=True, kw_only=True):
    pass


@event("test.noted")
class Noted(Event, frozen=True, kw_only=True):
    topic: str
    private: NotePrivate | None = None


class Tally(msgspec.Struct, frozen=True, kw_only=True):
    total: int = 0
    events: int = 0


class Seat(msgspec.Struct, frozen=True, kw_only=True):
    owner: str | None = None
    taken: int = 0


class Note(msgspec.Struct, frozen=True, kw_only=True):
    """``texts`` has None where redacted."""

    topic: str | None = None
    texts: tuple[str | None, ...] = ()


class Aggregates:
    """See domain.log.batching.Aggregates."""

    def initial(self, stream: str) -> object:
        return {"tally": Tally(), "seat": Seat(), "note": Note(), "shard": None}[category_of(stream)]

    def edition(self) -> str:
        return "of the tests"

    def evolve(self, _stream: str, state: object, recorded: Recorded) -> object:
        match state, recorded.event:
            case Tally(total=total, events=events), Counted(amount=amount):
                return Tally(total=total + amount, events=events + 1)
            case Seat(taken=taken), Taken(owner=owner):
                return Seat(owner=owner, taken=taken + 1)
            case Seat(taken=taken), Left():
                return Seat(owner=None, taken=taken)
            case Note(texts=texts), Noted(topic=topic, private=private):
                return Note(topic=topic, texts=(*texts, private.text if private is not None else None))
        return state


def new_id(slot: int | None = None) -> str:
    """An id in ``slot``, or in any."""
    return mint_id(_source.randrange(SLOTS) if slot is None else slot, _source.randbytes)


def slot_in(shard: int, shards: int) -> int:
    """A slot of ``shard``."""
    return _source.choice([slot for slot in range(SLOTS) if slot * shards // SLOTS == shard])


def tally(id_: str) -> str:
    return f"tally-{id_}"


def seat(id_: str) -> str:
    return f"seat-{id_}"


def note(id_: str) -> str:
    return f"note-{id_}"


def metadata() -> Metadata:
    return Metadata(command_id=new_id())


def always(*drafts: Draft) -> Decide:
    """Appends these, whatever the state."""
    return lambda _view: drafts


def counting(stream: str, shards: int, *amounts: int) -> Execution:
    """Counts every amount (1 where none is given), whatever the state."""
    drafts = [Draft(stream, Counted(amount=amount)) for amount in amounts or (1,)]
    return Execution(shard=stream_shard(stream, shards), streams=(stream,), decide=always(*drafts), metadata=metadata())


def next_number(stream: str, shards: int) -> Execution:
    """Counts the number of events so far plus one: shows the state that was decided on."""

    def decide(view: View) -> Sequence[Draft]:
        return [Draft(stream, Counted(amount=view.state(stream, Tally).events + 1))]

    return Execution(shard=stream_shard(stream, shards), streams=(stream,), decide=decide, metadata=metadata())


def taking(stream: str, shards: int, owner: str) -> Execution:
    """Takes a seat: refused with CONFLICT where another has it, no change where the owner has it already."""

    def decide(view: View) -> Sequence[Draft]:
        state = view.state(stream, Seat)
        if state.owner == owner:
            return ()
        if state.owner is not None:
            raise refuse(Code.CONFLICT, f"{state.owner} sits here")
        return [Draft(stream, Taken(owner=owner))]

    return Execution(shard=stream_shard(stream, shards), streams=(stream,), decide=decide, metadata=metadata())


def leaving(stream: str, shards: int) -> Execution:
    """Leaves a seat; no change where nobody has it."""

    def decide(view: View) -> Sequence[Draft]:
        return [Draft(stream, Left())] if view.state(stream, Seat).owner is not None else ()

    return Execution(shard=stream_shard(stream, shards), streams=(stream,), decide=decide, metadata=metadata())


def counting_for(stream: str, shards: int, given: str, owner: str) -> Execution:
    """Counts one while ``owner`` has the seat ``given``, which is not covered by the append; FORBIDDEN otherwise."""

    def decide(view: View) -> Sequence[Draft]:
        if view.state(given, Seat).owner != owner:
            raise refuse(Code.FORBIDDEN, f"{owner} does not sit there")
        return [Draft(stream, Counted())]

    return Execution(
        shard=stream_shard(stream, shards), streams=(stream,), given=(given,), decide=decide, metadata=metadata()
    )


def noting(stream: str, shards: int, subject: str, text: str | None, *, new_subject: bool = False) -> Execution:
    """Writes a note whose text is sealed for ``subject``; without a text it seals nothing."""
    private = NotePrivate(text=text) if text is not None else None
    drafts = [Draft(stream, Noted(topic="weather", private=private))]
    return Execution(
        shard=stream_shard(stream, shards),
        streams=(stream,),
        decide=always(*drafts),
        metadata=metadata(),
        subject=subject,
        new_subject=new_subject,
    )
