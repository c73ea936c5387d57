"""Plausible mistakes in the protocol, each as a patch of the real code: the simulation must notice every one that matters.

`python -m tests.simulation.log.mistakes [NAME]` looks for the first seed that does.
"""

import asyncio
import contextlib
import sys
from collections.abc import Callable, Iterator, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from itertools import chain
from typing import Any, Final

import msgspec
import pytest

from domain.errors import UnavailableError
from domain.log import batching
from domain.log.batching import Batch, Fate
from domain.log.cassandra import table
from domain.log.cassandra.appender import Appender
from domain.log.cassandra.attempt import Attempt
from domain.log.cassandra.clock import ClockGuard
from domain.log.cassandra.copier import Copier
from domain.log.cassandra.dispatch import _Command
from domain.log.cassandra.driver import Bridge, NotSentError, RejectedError, Statement, bind
from domain.log.cassandra.keeper import Keeper
from domain.log.cassandra.keys import CassandraKeyStore
from domain.log.cassandra.loading import Loader
from domain.log.cassandra.shard import Shard
from domain.log.cassandra.table import LogTable, Place
from domain.log.cassandra.tail import Tail
from domain.log.cassandra.ticket import Ticket
from domain.log.cassandra.view import View
from domain.log.codec import StoredEvent
from domain.log.sealing import new_key
from tests.simulation.log.world import Report, run

Patch = pytest.MonkeyPatch
STEPS: Final = 150_000
"""A mistake may make a run endless; one that is right takes a tenth of this."""


@dataclass(frozen=True)
class Mistake:
    """``rule`` is what it breaks, ``seed`` one that notices."""

    name: str
    rule: str
    make: Callable[[Patch], None]
    seed: int
    set_back: bool

    def seeds(self, limit: int) -> Iterator[int]:
        """The known one first, then others of its kind; every tenth is one in which the store is set back."""
        others = range(9, 10 * limit, 10) if self.set_back else (seed for seed in range(limit) if seed % 10 != 9)
        return chain((self.seed,), (seed for seed in others if seed != self.seed))


CATALOGUE: Final[dict[str, Mistake]] = {}
NEEDLESS: Final[dict[str, Mistake]] = {}
"""Rules that nothing depends on: what looks like a mistake, and is none."""


def mistake(
    rule: str, seed: int = 0, *, set_back: bool = False, needless: bool = False
) -> Callable[[Callable[[Patch], None]], Callable[[Patch], None]]:
    def add(make: Callable[[Patch], None]) -> Callable[[Patch], None]:
        catalogue = NEEDLESS if needless else CATALOGUE
        catalogue[make.__name__] = Mistake(make.__name__, rule, make, seed, set_back)
        return make

    return add


def run_with(made: Mistake, seed: int) -> Report:
    with pytest.MonkeyPatch.context() as patch:
        made.make(patch)
        return run(seed, limit=STEPS)


# What several of them need


def _keep_rows(patch: Patch) -> None:
    """Lets attempts remember their rows."""
    make = Attempt.__init__

    def remember(
        self: Any, table: LogTable, place: Place, base: StoredEvent | None, rows: Sequence[StoredEvent], *rest: Any
    ) -> None:
        make(self, table, place, base, rows, *rest)
        self.rows, self.base_row = rows, base

    patch.setattr(Attempt, "__init__", remember)


async def _send_once(self: Attempt) -> bool:
    return await self._send()


async def _decide_at_once(self: Appender, batch: Batch[Ticket]) -> None:
    """What was not applied is decided again, whether the head has moved or not."""
    tickets = [decision.waiting for decision in batch.decisions]
    for ticket in tickets:
        ticket.sent = False
    self._put_back(tickets)
    with contextlib.suppress(UnavailableError):
        await self.shard.catch_up()


# R1: what is decided on moves only by folding rows


@mistake("R1", 0)
def the_head_is_taken_from_a_failed_append(patch: Patch) -> None:
    """The rows that another process appended are counted, and not folded."""
    overtaken = Appender._overtaken

    async def count(self: Appender, batch: Batch[Ticket]) -> None:
        self.shard._advance_state = lambda *_: None  # type: ignore[method-assign]
        try:
            await overtaken(self, batch)
        finally:
            del self.shard._advance_state

    patch.setattr(Appender, "_overtaken", count)


@mistake("R1", 0)
def the_condition_is_the_head_of_the_moment(patch: Patch) -> None:
    """What was overtaken is put behind the new head as it is."""
    _keep_rows(patch)
    settle = Attempt.settle

    async def follow(self: Any) -> bool:
        if await settle(self):
            return True
        with contextlib.suppress(UnavailableError, ValueError):
            head = await self._table.head(self._place, self._base)
            last = await self._table.row(self._place, head)
            moved = [msgspec.structs.replace(row, position=row.position + head - self._base) for row in self.rows]
            return bool(await self._table.append(self._table.appending(last, moved)))
        return False

    patch.setattr(Attempt, "settle", follow)


# R2: commands are decided in order, on all that stands before them, and never split


@mistake("R2", 1)
def a_command_is_split(patch: Patch) -> None:
    """Each batch is appended in two."""
    _keep_rows(patch)
    settle = Attempt.settle

    async def halve(self: Any) -> bool:
        if len(self.rows) < 2:
            return await settle(self)
        first = Attempt(self._table, self._place, self.base_row, self.rows[:1])
        second = Attempt(self._table, self._place, self.rows[0], self.rows[1:])
        return await settle(first) and await settle(second)

    patch.setattr(Attempt, "settle", halve)


@mistake("R2", 0)
def segments_are_not_filled_up(patch: Patch) -> None:
    """A batch that does not fit its segment is written into it all the same."""
    make, appending, segment_of = batching._Builder.__init__, LogTable.appending, batching.segment_of

    def roomy(self: Any, *arguments: Any) -> None:
        make(self, *arguments)
        self._room = 1_000_000

    def cross(self: LogTable, base: StoredEvent | None, rows: Sequence[StoredEvent]) -> Statement:
        with pytest.MonkeyPatch.context() as inner:
            inner.setattr(table, "segment_of", lambda _, size: segment_of(rows[0].position, size))
            return appending(self, base, rows)

    patch.setattr(batching._Builder, "__init__", roomy)
    patch.setattr(LogTable, "appending", cross)


@mistake("R2", 0)
def a_refusal_does_not_look_at_the_given_shard_again(patch: Patch) -> None:
    patch.setattr(_Command, "_rests_on_given", lambda *_: False)


# R3: any outcome but "applied" is unknown


@mistake("R3", 0)
def a_row_at_its_place_is_taken_for_the_own(patch: Patch) -> None:
    """The attempt id is not looked at."""

    async def resolve(self: Attempt) -> bool:
        if await self._table.next_serial(self._place, self._base) is not None:
            return True
        if await self._table.append(self._statement):
            return True
        raise UnavailableError("open")

    patch.setattr(Attempt, "_resolve", resolve)


@mistake("R3", 1)
def a_head_where_it_should_be_is_taken_for_the_own(patch: Patch) -> None:
    """The position of the head is compared, not the attempt."""
    _keep_rows(patch)
    resolve = Attempt._resolve

    async def compare(self: Any) -> bool:
        head = await self._table.head(self._place, self._base)
        return head == self.rows[-1].position or await resolve(self)

    patch.setattr(Attempt, "_resolve", compare)


@mistake("R3", 0)
def a_time_out_is_taken_for_a_success(patch: Patch) -> None:
    async def send(self: Attempt) -> bool:
        try:
            return await self._table.append(self._statement)
        except (NotSentError, RejectedError):
            raise
        except UnavailableError:
            return True

    patch.setattr(Attempt, "_send", send)


@mistake("R3", 0)
def a_time_out_is_taken_for_a_failure(patch: Patch) -> None:
    """It is decided again under a new attempt id, without a look."""
    patch.setattr(Attempt, "settle", _send_once)
    patch.setattr(Appender, "_overtaken", _decide_at_once)


@mistake("R3", 0)
def not_applied_is_taken_for_a_failure(patch: Patch) -> None:
    """A success that was sent twice answers so, too."""
    settle = Attempt.settle

    async def believe(self: Attempt) -> bool:
        try:
            return await self._table.append(self._statement)
        except (NotSentError, RejectedError):
            raise
        except UnavailableError:
            return await settle(self)

    patch.setattr(Attempt, "settle", believe)
    patch.setattr(Appender, "_overtaken", _decide_at_once)


@mistake("R3", 4)
def no_row_at_a_quorum_is_taken_for_a_failure(patch: Patch) -> None:
    """A round that was accepted and not committed is seen by serial reads alone."""

    async def resolve(self: Attempt) -> bool:
        row = await self._table.row(self._place, self._base + 1)
        return row is not None and row.attempt_id == self._attempt_id

    patch.setattr(Attempt, "_resolve", resolve)
    patch.setattr(Appender, "_overtaken", _decide_at_once)


@mistake("R3", 4)
def no_row_at_a_serial_read_is_taken_for_a_failure(patch: Patch) -> None:
    """The request may still be on its way."""

    async def resolve(self: Attempt) -> bool:
        row = await self._table.next_serial(self._place, self._base)
        return row is not None and row.attempt_id == self._attempt_id

    patch.setattr(Attempt, "_resolve", resolve)
    patch.setattr(Appender, "_overtaken", _decide_at_once)


@mistake("R3", 1)
def a_resend_has_an_attempt_id_of_its_own(patch: Patch) -> None:
    _keep_rows(patch)
    resolve = Attempt._resolve

    async def rename(self: Any) -> bool:
        self._attempt_id += "x"
        self.rows = [msgspec.structs.replace(row, attempt_id=self._attempt_id) for row in self.rows]
        self._statement = self._table.appending(self.base_row, self.rows)
        return await resolve(self)

    patch.setattr(Attempt, "_resolve", rename)


@mistake("R3", 250)
def a_refusal_of_a_resend_is_taken_for_that_of_all(patch: Patch) -> None:
    """What was sent first may have been applied."""

    async def settle(self: Attempt) -> bool:
        if await self._send():
            return True
        while True:
            try:
                return await self._resolve()
            except (NotSentError, RejectedError):
                raise
            except UnavailableError:
                await asyncio.sleep(0.05)

    patch.setattr(Attempt, "settle", settle)


@mistake("R3", 1)
def an_attempt_is_let_go_and_decided_again(patch: Patch) -> None:
    """After a while nobody waits for its outcome any more."""
    settle = Attempt.settle

    async def hurry(self: Attempt) -> bool:
        try:
            return await asyncio.wait_for(settle(self), 0.2)
        except TimeoutError:
            return False

    patch.setattr(Attempt, "settle", hurry)
    patch.setattr(Appender, "_overtaken", _decide_at_once)


# R4: an outcome without events rests on a confirmed head


@mistake("R4", 1)
def refusals_are_answered_from_what_is_known(patch: Patch) -> None:
    async def answer(self: Appender, batch: Batch[Ticket]) -> None:
        for decision in batch.decisions:
            decision.waiting.settle(decision)

    patch.setattr(Appender, "_confirm", answer)


@mistake("R4", 52)
def refusals_share_a_read_that_was_under_way(patch: Patch) -> None:
    """It may have seen the head before the command arrived."""
    confirm = Shard.confirm

    async def share(self: Shard) -> int:
        if self._confirming is not None and not self._confirming.done():
            return await asyncio.shield(self._confirming)
        return await confirm(self)

    patch.setattr(Shard, "confirm", share)


@mistake("R4", 0)
def refusals_are_answered_before_their_batch_is_appended(patch: Patch) -> None:
    """They may rest on events that never come to be."""
    append = Appender._append

    async def answer(self: Appender, batch: Batch[Ticket]) -> None:
        for decision in batch.decisions:
            if decision.fate is not Fate.APPENDED:
                decision.waiting.settle(decision)
        await append(self, batch)

    patch.setattr(Appender, "_append", answer)


@mistake("R4", 5)
def the_head_is_not_looked_for_beyond_a_segments_end(patch: Patch) -> None:
    async def head(self: LogTable, place: Place, known: int) -> int:
        size = self._sizes[place.generation]
        segment = batching.segment_of(max(known, 1), size)
        rows = await self._bridge.execute(self._statements.head, (place.generation, place.shard, segment))
        found = rows[0][0] if rows else None
        return max(known, found or 0)

    patch.setattr(LogTable, "head", head)


# R5: the index, its watermark, the floor


@mistake("R5", 1)
def the_watermark_is_raised_before_the_copy(patch: Patch) -> None:
    add = Copier.add

    def note(self: Copier, rows: Sequence[StoredEvent]) -> None:
        add(self, rows)
        for row in rows:
            self._note(row.position)

    patch.setattr(Copier, "add", note)


@mistake("R5", 2)
def the_watermark_is_raised_over_others_rows(patch: Patch) -> None:
    async def trust(_: Keeper, rows: Sequence[StoredEvent]) -> int:
        return len(rows)

    patch.setattr(Keeper, "_mended", trust)


@mistake("R5", 0)
def rows_are_copied_before_they_are_appended(patch: Patch) -> None:
    append = Appender._append

    async def copy(self: Appender, batch: Batch[Ticket]) -> None:
        self._copier.add(batch.rows)
        await append(self, batch)

    patch.setattr(Appender, "_append", copy)


_floor: ContextVar[int | None] = ContextVar("floor", default=None)


class _Still:
    """A tail whose floor stands where it stood when the load began."""

    def __init__(self, tail: Tail) -> None:
        self._tail = tail
        noted = _floor.get()
        self.floor = tail.floor if noted is None else noted

    def of(self, stream: str) -> Sequence[StoredEvent]:
        return self._tail.of(stream)


@mistake("R5", 15)
def a_load_does_not_mind_a_floor_that_moves(patch: Patch) -> None:
    make, load = Loader.__init__, Loader._load

    def still(self: Any, *arguments: Any) -> None:
        make(self, *arguments)
        tail = self._tail
        self.true_tail, self._tail = tail, lambda: _Still(tail())

    async def note(self: Any, *arguments: Any) -> Any:
        token = _floor.set(self.true_tail().floor)
        try:
            return await load(self, *arguments)
        finally:
            _floor.reset(token)

    patch.setattr(Loader, "__init__", still)
    patch.setattr(Loader, "_load", note)


@mistake("R5", 15)
def states_are_kept_over_a_long_pause(patch: Patch) -> None:
    patch.setattr(View, "clear", lambda _: None)


@mistake("R5", 0)
def all_of_the_index_counts_as_indexed(patch: Patch) -> None:
    """Rows above the floor are taken from the index and from the tail."""
    patch.setattr(Loader, "_covered", lambda *_: True)


# R8, clocks


@mistake("R8", 0)
def recorded_at_is_the_own_clock_alone(patch: Patch) -> None:
    patch.setattr(Tail, "recorded_at", 0)


@mistake("R8", 6)
def a_wrong_clock_is_no_obstacle(patch: Patch) -> None:
    patch.setattr(ClockGuard, "right", True)


# Tails, keys


@mistake("tails", 6)
def a_hole_is_skipped(patch: Patch) -> None:
    patch.setattr(table, "contiguous", lambda rows, _after: list(rows))


@mistake("keys", 3)
def a_key_is_not_read_back(patch: Patch) -> None:
    """The own key is taken for the subject's, whether it was inserted or not."""

    async def create(self: CassandraKeyStore, subject: str) -> bytes:
        key = new_key()
        await self._bridge.apply(bind(self._insert, (subject, self._master.wrap(subject, key))))
        return key

    patch.setattr(CassandraKeyStore, "create", create)


# Of a store that was set back


@mistake("head_attempt", 289, set_back=True)
def an_append_names_the_position_alone(patch: Patch) -> None:
    prepare, bound = Bridge.prepare, bind

    async def shorten(self: Bridge, cql: str) -> Any:
        return await prepare(self, cql.replace(" AND head_attempt = ?", ""))

    def drop(query: Any, values: Sequence[object]) -> Statement:
        return bound(query, values[: len(query.prepared.column_metadata)])

    patch.setattr(Bridge, "prepare", shorten)
    patch.setattr(table, "bind", drop)


@mistake("overlapping polls", 289, set_back=True)
def polls_do_not_overlap(patch: Patch) -> None:
    """The last row is not read again."""

    async def following(self: Shard) -> Sequence[StoredEvent]:
        return await self.table.after(self.place, self.seen, table.PAGE)

    patch.setattr(Shard, "_following", following)


@mistake("head_attempt", 149, set_back=True)
def a_segment_is_opened_without_a_look_back(patch: Patch) -> None:
    async def trust(_: Attempt) -> None:
        return

    patch.setattr(Attempt, "_require_before", trust)


@mistake("overlapping polls", 569, set_back=True)
def what_was_folded_meanwhile_is_not_compared(patch: Patch) -> None:
    def take(self: Shard, row: StoredEvent, keys: Any) -> None:
        if row.position == self.seen + 1:
            self.tail.add(row)
            self._advance_state(row, keys)

    patch.setattr(Shard, "_take", take)


# What is none


@mistake("R3", needless=True)
def an_unknown_outcome_is_never_read_serially(patch: Patch) -> None:
    """The identical batch, sent again, is a conditional statement itself: it finishes what is under way, and then does not apply."""
    serially, resolve = LogTable.next_serial, Attempt._resolve
    # Many attempts are open at a time: which of them asks is told by its task.
    resolving: ContextVar[bool] = ContextVar("resolving", default=False)

    async def read(self: LogTable, place: Place, position: int) -> StoredEvent | None:
        return await (self.row(place, position + 1) if resolving.get() else serially(self, place, position))

    async def at_a_quorum(self: Attempt) -> bool:
        token = resolving.set(True)
        try:
            return await resolve(self)
        finally:
            resolving.reset(token)

    patch.setattr(LogTable, "next_serial", read)
    patch.setattr(Attempt, "_resolve", at_a_quorum)


@mistake("R3", needless=True)
def an_attempt_is_let_go_and_never_decided_again(patch: Patch) -> None:
    """Whatever is sent next competes with it for the same place: one of the two gets it, and callers of the other were told UNKNOWN."""
    settle = Attempt.settle

    async def hurry(self: Attempt) -> bool:
        return await asyncio.wait_for(settle(self), 0.2)

    append = Appender._append

    async def let_go(self: Appender, batch: Batch[Ticket]) -> None:
        try:
            await append(self, batch)
        except TimeoutError:
            tickets = [decision.waiting for decision in batch.decisions if decision.fate is Fate.APPENDED]
            for ticket in tickets:
                ticket.give_up()
                ticket._end()
            self._put_back(decision.waiting for decision in batch.decisions if decision.fate is not Fate.APPENDED)

    patch.setattr(Attempt, "settle", hurry)
    patch.setattr(Appender, "_append", let_go)


def search(made: Mistake, limit: int = 400) -> tuple[int, Report] | None:
    """The first seed that notices it, and what it has to say."""
    for seed in made.seeds(limit):
        report = run_with(made, seed)
        if report.breaches:
            return seed, report
    return None


def main(names: Sequence[str]) -> int:
    survivors = 0
    for made in (*CATALOGUE.values(), *NEEDLESS.values()):
        if names and made.name not in names:
            continue
        found = search(made)
        survivors += found is None and made.name in CATALOGUE
        text = f"seed {found[0]}: {found[1].breaches[0]}" if found is not None else "not noticed"
        print(f"{made.name:<60} {text}", flush=True)  # noqa: T201
    return 1 if survivors else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
