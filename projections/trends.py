"""Trends: which account used which subject in which hour, exact; and snapshots of scores, which are a pure function of the uses and a time.

Only public posts count, by the time at which they were recorded. ``subjects`` says which subjects were used on a day and how often, so that a
snapshot is built without scanning all uses.
"""

from collections.abc import Iterable
from typing import Final

from domain.envelope import Recorded
from domain.events import PostCreated, PostEdited
from projections.documents.port import Change, Collection, Fidelity, Index, Shape, Value
from projections.folding import Alter, Family, Operation, on
from projections.hashtag_feed import PUBLIC

USES = Collection("trends", "uses", Shape.STATE, Fidelity.HORIZON, (Index("by_subject", ("kind", "subject"), "at"),))
SUBJECTS = Collection("trends", "subjects", Shape.STATE, Fidelity.HORIZON, (Index("by_day", ("kind", "day"), "uses"),))
SNAPSHOTS = Collection(
    "trends", "snapshots", Shape.ROWS, Fidelity.CACHE, (Index("by_window", ("kind", "window"), "at"),)
)

TAG: Final = "TAG"
HOUR: Final = 3_600_000_000
DAY: Final = 24 * HOUR


def subject_id(kind: str, day: int, subject: str) -> str:
    return f"{kind}:{day}:{subject}"


def _used(recorded: Recorded, account: str, tags: Iterable[str]) -> Iterable[Operation]:
    hour, day = recorded.recorded_at // HOUR, recorded.recorded_at // DAY
    for tag in tags:
        use: dict[str, Value] = {"kind": TAG, "subject": tag, "hour": hour, "account": account}
        # An account's events lie in one shard, but Min would do whatever came first.
        yield Alter(USES, f"{TAG}:{hour}:{account}:{tag}", Change(set=use, min={"at": recorded.recorded_at}))
        # Every shard sets the same three fields to the same values: no order can tell them apart.
        fields: dict[str, Value] = {"kind": TAG, "subject": tag, "day": day}
        yield Alter(SUBJECTS, subject_id(TAG, day, tag), Change(set=fields, inc={"uses": 1}))


def _created(recorded: Recorded, event: PostCreated) -> Iterable[Operation]:
    if event.visibility == PUBLIC:
        yield from _used(recorded, event.author, event.tags)


def _edited(recorded: Recorded, event: PostEdited) -> Iterable[Operation]:
    if event.visibility == PUBLIC:
        yield from _used(recorded, event.author, event.tags)


FAMILY = Family("trends", (USES, SUBJECTS, SNAPSHOTS), dict((on(PostCreated, _created), on(PostEdited, _edited))))
