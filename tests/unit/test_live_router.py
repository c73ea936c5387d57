"""The router and the replay, on signals in a real store of files: what is handed out, to whom, in which order, and that nothing stays behind."""

import asyncio
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import msgspec
import pytest

from api.live.inbox import Delivery, Inbox, Lag
from api.live.replay import Topics, replay
from api.live.router import PAGE, Router
from projections import notifications, signals
from projections.documents.port import Document, Documents, Row
from projections.documents.sqlite import open_sqlite_documents
from projections.notes import NotificationType
from projections.notifications import ANNOUNCED, Announcement, announced
from projections.runtime import halts
from projections.signals import SIGNALS, Signal, SignalKind
from tests.edge_kit import eventually

SHARDS = 2


@asynccontextmanager
async def store(folder: Path) -> AsyncIterator[Documents]:
    documents = await open_sqlite_documents(folder / "documents.db")
    await documents.prepare([*signals.FAMILY.collections, ANNOUNCED, halts.HALTS])
    try:
        yield documents
    finally:
        await documents.close()


def added(position: int, author: str, shard: int = 0, n: int = 0) -> Signal:
    return Signal(
        shard=shard,
        position=position,
        n=n,
        at=position,
        kind=SignalKind.ITEM_ADDED,
        topics=(f"author:{author}", "tag:any"),
        item=f"{author}{position}",
    )


def follow(position: int, kind: SignalKind, account: str, shard: int = 0) -> Signal:
    return Signal(shard=shard, position=position, at=position, kind=kind, topics=("following:me",), account=account)


async def write(documents: Documents, *written: Signal) -> None:
    rows = [Row(f"{s.shard}-{s.position}-{s.n}", s.position, _fields(s)) for s in written]
    await documents.put(SIGNALS, rows)


def _fields(signal: Signal) -> Document:
    return {name: value for name, value in msgspec.to_builtins(signal).items() if value is not None}


async def reach(documents: Documents, *checkpoints: int) -> None:
    for shard, checkpoint in enumerate(checkpoints):
        await documents.save_checkpoint("signals", shard, checkpoint, None)


async def taken(inbox: Inbox, count: int) -> list[Delivery]:
    """The next deliveries, so many and no more."""
    got: list[Delivery] = []
    async with asyncio.timeout(5):
        while len(got) < count:
            some = await inbox.take(count - len(got))
            assert not isinstance(some, Lag)
            got += some
    return got


def items(deliveries: Iterable[Delivery]) -> list[str | None]:
    return [signal.item for delivery in deliveries for signal in delivery.signals]


async def test_only_what_the_checkpoint_covers_is_handed_out(tmp_path: Path) -> None:
    async with store(tmp_path) as documents:
        router = Router(documents, SHARDS, busy=0.001, idle=0.005)
        async with router.listening():
            inbox = Inbox({})
            router.attach(inbox, ["author:ann"])
            await write(documents, added(1, "ann"), added(2, "bob"), added(3, "ann"), added(4, "ann"))
            await reach(documents, 3, 7)
            assert items(await taken(inbox, 2)) == ["ann1", "ann3"]
            # Quiet shards move on too.
            await eventually(lambda: router.positions == {0: 3, 1: 7})
            await reach(documents, 4)
            assert items(await taken(inbox, 1)) == ["ann4"]
            router.detach(inbox)


async def test_a_start_is_at_the_checkpoint_and_an_inbox_skips_what_it_has_seen(tmp_path: Path) -> None:
    async with store(tmp_path) as documents:
        await write(documents, *(added(position, "ann") for position in range(1, 6)))
        await reach(documents, 2)
        router = Router(documents, SHARDS, busy=0.001, idle=0.005)
        async with router.listening():
            inbox = Inbox({0: 4})
            router.attach(inbox, ["author:ann"])
            await reach(documents, 5)
            assert items(await taken(inbox, 1)) == ["ann5"]
            router.detach(inbox)


async def test_an_event_comes_whole_and_once_whatever_its_topics(tmp_path: Path) -> None:
    async with store(tmp_path) as documents:
        router = Router(documents, SHARDS, busy=0.001, idle=0.005)
        async with router.listening():
            inbox = Inbox({})
            router.attach(inbox, ["author:ann", "tag:any"])
            await write(documents, added(1, "ann"), added(1, "ann", n=1), added(2, "bob"))
            await reach(documents, 2)
            first, second = await taken(inbox, 2)
            assert [signal.n for signal in first.signals] == [0, 1]
            assert items([second]) == ["bob2"]
            router.detach(inbox)


async def test_a_follow_counts_from_its_place_in_the_shard(tmp_path: Path) -> None:
    async with store(tmp_path) as documents:
        router = Router(documents, SHARDS, busy=0.001, idle=0.005)
        async with router.listening():
            inbox = Inbox({})
            router.attach(inbox, ["following:me"])
            await write(
                documents,
                added(1, "ann"),
                follow(2, SignalKind.FOLLOW_ADDED, "ann"),
                added(3, "ann"),
                follow(4, SignalKind.FOLLOW_REMOVED, "ann"),
                added(5, "ann"),
                follow(6, SignalKind.FOLLOW_ADDED, "bob"),
                added(7, "bob"),
            )
            await reach(documents, 7)
            assert items(await taken(inbox, 2)) == ["ann3", "bob7"]
            router.detach(inbox)


async def test_what_finds_no_room_is_counted_and_ends_the_inbox(tmp_path: Path) -> None:
    async with store(tmp_path) as documents:
        router = Router(documents, SHARDS, busy=0.001, idle=0.005)
        async with router.listening():
            inbox = Inbox({}, capacity=3)
            router.attach(inbox, ["author:ann"])
            await write(documents, *(added(position, "ann") for position in range(1, 8)))
            await reach(documents, 7)
            await moved(router, 7)
            got = await inbox.take(10)
            assert not isinstance(got, Lag)
            assert items(got) == ["ann1", "ann2", "ann3"]
            assert await inbox.take(10) == Lag(4)
            router.detach(inbox)


async def moved(router: Router, position: int) -> None:
    """Returns when the first shard has been handed out up to ``position``."""
    await eventually(lambda: router.positions[0] >= position)


async def test_many_pages_come_in_order(tmp_path: Path) -> None:
    async with store(tmp_path) as documents:
        router = Router(documents, SHARDS, busy=0.001, idle=0.005)
        count = 2 * PAGE + 7
        async with router.listening():
            inbox = Inbox({}, capacity=count)
            router.attach(inbox, ["author:ann"])
            await write(documents, *(added(position, "ann") for position in range(1, count + 1)))
            await reach(documents, count)
            assert [delivery.position for delivery in await taken(inbox, count)] == list(range(1, count + 1))
            router.detach(inbox)


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


async def test_what_is_saved_here_is_handed_out_without_waiting_for_the_next_look(tmp_path: Path) -> None:
    async with store(tmp_path) as documents:
        router, inbox = Router(documents, SHARDS, busy=3600, idle=3600), Inbox({})
        async with router.listening():
            router.attach(inbox, ["author:a"])
            for position in (1, 2):
                await write(documents, added(position, "a"))
                await reach(documents, position)
                router.nudge()
                assert items(await taken(inbox, 1)) == [f"a{position}"]


async def test_who_listens_is_told_when_the_signals_stand_still(tmp_path: Path) -> None:
    async with store(tmp_path) as documents:
        clock = Clock()
        router = Router(documents, SHARDS, busy=0.001, idle=0.005, patience=30, monotonic=clock)
        async with router.listening():
            inbox = Inbox({})
            router.attach(inbox, ["author:ann"])
            await halts.record(documents, "posts", 1, 0, "a reason")
            clock.now = 29.0
            await asyncio.sleep(0.05)
            clock.now = 31.0
            async with asyncio.timeout(5):
                assert await inbox.take(1) == Lag(0)
        assert router.idle


async def test_who_listens_is_told_when_the_store_is_away(tmp_path: Path) -> None:
    async with store(tmp_path) as documents:
        clock = Clock()
        router = Router(documents, SHARDS, busy=0.001, idle=0.005, patience=30, monotonic=clock)
        async with router.listening():
            inbox = Inbox({})
            router.attach(inbox, ["author:ann"])
            await documents.close()
            clock.now = 31.0
            async with asyncio.timeout(5):
                assert await inbox.take(1) == Lag(0)


async def test_nothing_stays_of_who_is_gone(tmp_path: Path) -> None:
    async with store(tmp_path) as documents:
        before = asyncio.all_tasks()
        router = Router(documents, SHARDS, busy=0.001, idle=0.005)
        async with router.listening(), router.listening():
            inboxes = [Inbox({}) for _ in range(3)]
            for inbox in inboxes:
                router.attach(inbox, ["author:ann", "following:me"])
            await write(documents, follow(1, SignalKind.FOLLOW_ADDED, "bob"))
            await reach(documents, 1)
            await moved(router, 1)
            assert not router.idle
            for inbox in [*inboxes, inboxes[0]]:
                router.detach(inbox)
        assert router.idle
        assert asyncio.all_tasks() == before


@pytest.mark.parametrize("upto", [0, 3, 2 * PAGE + 5])
async def test_a_replay_is_what_the_router_would_have_handed_out(tmp_path: Path, upto: int) -> None:
    async with store(tmp_path) as documents:
        written = [
            added(position, "ann" if position % 3 else "bob", shard=shard)
            for shard in range(SHARDS)
            for position in range(1, upto + 4)
        ]
        await write(documents, *written)
        topics = Topics(["author:ann"], {})
        got = [found async for found in replay(documents, {0: 1, 1: 0}, {0: upto, 1: upto}, topics)]
        expected = [s for s in written if s.topics[0] == "author:ann" and (1 - s.shard) < s.position <= upto]
        assert sorted(items(got), key=str) == sorted((s.item for s in expected), key=str)
        assert _in_order_of_time(got)


def announcement(position: int, *recipients: str) -> Row:
    told = Announcement(
        shard=0,
        position=position,
        at=position,
        type=NotificationType.POST_EDITED,
        actor="ann",
        subject="p1",
        part="",
        recipients=list(recipients),
    )
    return Row(f"0-{position}-{recipients[0]}", position, msgspec.to_builtins(told))


async def test_what_is_told_to_many_is_read_a_few_people_at_a_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(notifications, "ROWS_TOLD", 2)
    monkeypatch.setattr(signals, "announced", partial(announced, most=3))
    async with store(tmp_path) as documents:
        await write(documents, *(added(position, "ann") for position in range(1, 6)))
        rows = [announcement(at, who, f"{who}2") for at in (1, 3, 4, 5) for who in ("bob", "cas", "me")[at % 2 :]]
        await documents.put(ANNOUNCED, rows)
        page = await signals.read_signals(documents, 0, 0, PAGE)
        # Of the event at which there are enough, all.
        assert ([signal.position for signal in page.signals], page.reached) == ([1, 1, 1], 1)
        got = [found async for found in replay(documents, {0: 0}, {0: 5}, Topics(["notify:me"], {}))]
        assert [delivery.position for delivery in got] == [1, 3, 4, 5]
        router, inbox = Router(documents, SHARDS, busy=0.001, idle=0.005), Inbox({})
        async with router.listening():
            router.attach(inbox, ["notify:me", "author:ann"])
            await reach(documents, 5)
            assert [delivery.position for delivery in await taken(inbox, 5)] == [1, 2, 3, 4, 5]
            router.detach(inbox)


async def test_a_replay_for_who_is_told_nothing_does_not_read_what_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def unread(*_: object) -> tuple[Sequence[Announcement], int]:
        raise AssertionError("nobody asked for this")

    monkeypatch.setattr(signals, "announced", unread)
    async with store(tmp_path) as documents:
        await write(documents, added(1, "ann"))
        await documents.put(ANNOUNCED, [announcement(1, "me")])
        got = [found async for found in replay(documents, {0: 0}, {0: 1}, Topics(["author:ann"], {}))]
        assert items(got) == ["ann1"]


def _in_order_of_time(deliveries: Sequence[Delivery]) -> bool:
    times = [delivery.signals[0].at for delivery in deliveries]
    return times == sorted(times)


async def test_a_replay_takes_follows_in_their_order_but_not_those_that_are_known(tmp_path: Path) -> None:
    async with store(tmp_path) as documents:
        await write(
            documents,
            follow(1, SignalKind.FOLLOW_REMOVED, "ann"),
            added(2, "ann"),
            follow(3, SignalKind.FOLLOW_ADDED, "bob"),
            added(4, "bob"),
            follow(5, SignalKind.FOLLOW_REMOVED, "bob"),
            added(6, "bob"),
        )
        topics = Topics(["following:me", "author:ann"], {0: 2})
        got = [found async for found in replay(documents, {0: 0}, {0: 6}, topics)]
        assert items(got) == ["ann2", "bob4"]
        assert topics.names == {"following:me", "author:ann"}
