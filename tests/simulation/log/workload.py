"""What the simulated clients ask for: commands over a few tallies, seats and notes, drawn from the seed, with their real deciders.

What a command should come to is said once more, apart from this, in ``model``.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass

from domain.envelope import Metadata
from domain.errors import Code, refuse
from domain.ids import SLOTS, mint_id
from domain.log.port import MAX_COMMAND_EVENTS, Draft, Execution, View
from tests.contract.log_domain import Counted, Left, Noted, NotePrivate, Seat, Taken, Tally

SUBJECTS = ("ada", "bob")


@dataclass(frozen=True, kw_only=True)
class Op:
    """One command. ``streams`` lie in ``shard``; the first is the one that it is about."""

    id: str
    kind: str
    shard: int
    streams: tuple[str, ...]
    amount: int = 1
    owner: str = ""
    given: str = ""
    text: str = ""

    def __str__(self) -> str:
        streams = "+".join(stream[:10] for stream in self.streams)
        return f"{self.kind}({streams} {self.amount} {self.owner}{' given ' + self.given[:10] if self.given else ''}) {self.id[-5:]}"


class Workload:
    """Draws commands over ``shards`` shards; what is drawn does not depend on what happens."""

    def __init__(self, source: random.Random, shards: int, *, large: bool) -> None:
        self._source = source
        self._shards = shards
        self._large = large
        self.tallies = [[self._stream("tally", shard) for _ in range(4)] for shard in range(shards)]
        self.seats = [[self._stream("seat", shard) for _ in range(3)] for shard in range(shards)]
        self.notes = [self._stream("note", shard) for shard in range(shards)]

    def _stream(self, category: str, shard: int) -> str:
        width = SLOTS // self._shards
        slot = shard * width + self._source.randrange(width)
        return f"{category}-{mint_id(slot, self._source.randbytes)}"

    @property
    def streams(self) -> list[str]:
        return [stream for group in (*self.tallies, *self.seats, self.notes) for stream in group]

    def next(self) -> Op:  # noqa: PLR0911 -- a table of chances
        source = self._source
        shard = source.randrange(self._shards)
        draw = source.random()
        id_ = mint_id(0, source.randbytes)
        owner = source.choice(("ann", "ben", "cat"))
        tally, other = source.sample(self.tallies[shard], 2)
        seat = source.choice(self.seats[shard])
        if draw < 0.30:
            return Op(id=id_, kind="count", shard=shard, streams=(tally,), amount=source.randint(1, 3))
        if draw < 0.38:
            most = MAX_COMMAND_EVENTS if self._large else 12
            return Op(id=id_, kind="count", shard=shard, streams=(tally,), amount=source.randint(4, most))
        if draw < 0.48:
            return Op(id=id_, kind="move", shard=shard, streams=(tally, other), amount=source.randint(1, 9))
        if draw < 0.60:
            return Op(id=id_, kind="take", shard=shard, streams=(seat,), owner=owner)
        if draw < 0.70:
            return Op(id=id_, kind="leave", shard=shard, streams=(seat,), owner=owner)
        if draw < 0.90:
            given = source.choice(self.seats[source.randrange(self._shards)])
            return Op(id=id_, kind="guarded", shard=shard, streams=(tally,), owner=owner, given=given)
        if draw < 0.95:
            new = self._stream("seat", shard)
            return Op(id=id_, kind="fresh", shard=shard, streams=(new, tally), owner=owner)
        subject = source.choice(SUBJECTS)
        return Op(id=id_, kind="note", shard=shard, streams=(self.notes[shard],), owner=subject, text=f"note {id_}")

    def after(self, taken: Op) -> Op:
        """What somebody asks who knows that a seat was just taken: it rests on that, in the same shard or as a given state."""
        source = self._source
        id_ = mint_id(0, source.randbytes)
        [seat] = taken.streams
        if source.random() < 0.4:
            return Op(id=id_, kind="leave", shard=taken.shard, streams=(seat,), owner=taken.owner)
        shard = source.randrange(self._shards)
        tally = source.choice(self.tallies[shard])
        return Op(id=id_, kind="guarded", shard=shard, streams=(tally,), owner=taken.owner, given=seat)

    def again(self, op: Op) -> Op:
        """The same wish in a new command, as a client has it that was not told what became of the first."""
        return Op(
            id=mint_id(0, self._source.randbytes),
            kind="take" if op.kind == "fresh" else op.kind,
            shard=op.shard,
            streams=op.streams[:1] if op.kind == "fresh" else op.streams,
            amount=op.amount,
            owner=op.owner,
            given=op.given,
            text=op.text,
        )


def execution(op: Op) -> Execution:
    """The command as the log takes it."""

    def decide(view: View) -> Sequence[Draft]:
        return _DECIDERS[op.kind](op, view)

    noted = op.kind == "note"
    return Execution(
        shard=op.shard,
        streams=op.streams,
        decide=decide,
        metadata=Metadata(command_id=op.id),
        given=(op.given,) if op.given else (),
        fresh=frozenset(op.streams[:1]) if op.kind == "fresh" else frozenset(),
        subject=op.owner if noted else None,
        new_subject=noted,
    )


def _count(op: Op, view: View) -> Sequence[Draft]:
    events = view.state(op.streams[0], Tally).events
    return [Draft(op.streams[0], Counted(amount=events + 1 + each)) for each in range(op.amount)]


def _move(op: Op, view: View) -> Sequence[Draft]:
    source, target = op.streams
    if view.state(source, Tally).total < op.amount:
        raise refuse(Code.LIMIT_REACHED, "not enough")
    return [Draft(source, Counted(amount=-op.amount)), Draft(target, Counted(amount=op.amount))]


def _take(op: Op, view: View) -> Sequence[Draft]:
    owner = view.state(op.streams[0], Seat).owner
    if owner == op.owner:
        return ()
    if owner is not None:
        raise refuse(Code.CONFLICT, f"{owner} sits here")
    return [Draft(op.streams[0], Taken(owner=op.owner))]


def _leave(op: Op, view: View) -> Sequence[Draft]:
    owner = view.state(op.streams[0], Seat).owner
    if owner is None:
        return ()
    if owner != op.owner:
        raise refuse(Code.FORBIDDEN, f"{owner} sits here")
    return [Draft(op.streams[0], Left())]


def _guarded(op: Op, view: View) -> Sequence[Draft]:
    if view.state(op.given, Seat).owner != op.owner:
        raise refuse(Code.FORBIDDEN, f"{op.owner} does not sit there")
    return _count(op, view)


def _fresh(op: Op, view: View) -> Sequence[Draft]:
    seat, tally = op.streams
    view.state(seat, Seat)
    return [
        Draft(seat, Taken(owner=op.owner)),
        Draft(tally, Counted(amount=view.state(tally, Tally).events + 1)),
    ]


def _note(op: Op, _view: View) -> Sequence[Draft]:
    return [Draft(op.streams[0], Noted(topic="weather", private=NotePrivate(text=op.text)))]


_DECIDERS = {
    "count": _count,
    "move": _move,
    "take": _take,
    "leave": _leave,
    "guarded": _guarded,
    "fresh": _fresh,
    "note": _note,
}
