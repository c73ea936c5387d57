"""What the families of rows and caches promise on every document store: signals, receipts and trends. Used as families_contract is."""

from collections.abc import Sequence

from domain.envelope import Metadata, Recorded
from domain.events import Event, Followed, PostCreated, PostEdited, PostReposted
from projections import families, notifications, receipts, signals, trends
from projections.documents.port import Documents
from projections.folding import Family
from projections.notes import NotificationType
from projections.notifications import ANNOUNCED
from projections.paging import Page, Window
from projections.receipts import Recording, find_recording, sweep_receipts
from projections.signals import (
    MAX_SIGNALS,
    SIGNALS,
    Signal,
    read_signals,
    signal_floors,
    sweep_signals,
)
from projections.trend_scores import DAY, HOUR
from projections.trends import (
    KEPT,
    MINUTE,
    SETTLE,
    SNAPSHOTS,
    USES_KEPT,
    Trend,
    TrendKind,
    TrendWindow,
    get_snapshot,
    newest_minute,
    snapshot_of,
    sweep_snapshots,
    sweep_uses,
    trends_page,
)
from tests.contract.families_contract import lived
from tests.contract.families_history import SHARDS
from tests.contract.families_kit import Counted, Interrupted, OpenStore, contents, fold, workers_of
from tests.runtime_kit import FaultyDocuments

NOON = 472_224 * HOUR


def recorded(event: Event, *, at: int, position: int, shard: int = 0, command: str = "command") -> Recorded:
    return Recorded(
        event_id=f"event-{shard}-{position}",
        stream="stream",
        version=position,
        event=event,
        metadata=Metadata(command_id=command),
        occurred_at=at,
        recorded_at=at,
        attempt_id="",
        generation=1,
        shard=shard,
        position=position,
    )


async def read_all(documents: Documents, shard: int, limit: int) -> Sequence[Signal]:
    found: list[Signal] = []
    while page := (await read_signals(documents, shard, found[-1].position if found else 0, limit)).signals:
        found += page
    return found


async def fold_family(documents: Documents, family: Family, log: Sequence[Recorded]) -> None:
    for worker in workers_of([family], log):
        await fold(documents, family, worker.events)


async def test_signals_are_read_by_position_and_an_events_stay_together(open_store: OpenStore) -> None:
    world = lived(5)
    async with open_store([*signals.FAMILY.collections, ANNOUNCED]) as documents:
        await fold_family(documents, signals.FAMILY, world.log)
        stored = await contents(documents, SIGNALS)
        read: list[Signal] = []
        for shard in range(SHARDS):
            own = await read_all(documents, shard, MAX_SIGNALS + 1)
            assert own == await read_all(documents, shard, 1_000)
            assert [(one.position, one.n) for one in own] == sorted((one.position, one.n) for one in own)
            read += own
        assert len(read) == len(stored)


async def test_signals_are_swept_from_below_and_the_floor_says_so(open_store: OpenStore) -> None:
    world = lived(6)
    async with open_store([*signals.FAMILY.collections, ANNOUNCED]) as documents:
        await fold_family(documents, signals.FAMILY, world.log)
        before = await read_all(documents, 0, 1_000)
        middle = before[len(before) // 2]
        assert await signal_floors(documents, [0, 1]) == {0: 0, 1: 0}
        swept = await sweep_signals(documents, 0, middle.at, kept=0)
        floors = await signal_floors(documents, [0, 1])
        left = [signal for signal in before if signal.at >= middle.at]
        assert swept == len(before) - len(left)
        assert floors == {0: max(signal.position for signal in before if signal not in left), 1: 0}
        assert await read_all(documents, 0, 1_000) == left
        # An earlier sweep that wakes up late, and one that finds nothing.
        await sweep_signals(documents, 0, before[1].at, kept=0)
        assert await sweep_signals(documents, 0, middle.at, kept=0) == 0
        assert await signal_floors(documents, [0, 1]) == floors


async def test_a_floor_never_falls(open_store: OpenStore) -> None:
    world = lived(6)
    async with open_store([*signals.FAMILY.collections, ANNOUNCED]) as store:
        await fold_family(store, signals.FAMILY, world.log)
        for shard in range(SHARDS):
            signals_there = await read_all(store, shard, 1_000)
            early, late = (signals_there[len(signals_there) * part // 4].at for part in (1, 3))

            async def sweep(shard: int = shard, late: int = late) -> None:
                await sweep_signals(store, shard, late, kept=0)

            # A sweep is paused with what it has found, in front of its second, third or fourth call.
            await sweep_signals(FaultyDocuments(store, Interrupted(shard + 1, sweep)), shard, early, kept=0)
            left = await read_all(store, shard, 1_000)
            assert left == [signal for signal in signals_there if signal.at >= late]
            floor = (await signal_floors(store, [shard]))[shard]
            assert floor == max(signal.position for signal in signals_there if signal not in left)


async def test_a_receipt_has_every_shard_of_its_command(open_store: OpenStore) -> None:
    post = PostCreated(post="p", author="ada", root="p")
    async with open_store(receipts.FAMILY.collections) as documents:
        log = [recorded(post, at=NOON, position=position) for position in (1, 2)]
        await fold(documents, receipts.FAMILY, log)
        await fold(documents, receipts.FAMILY, [recorded(post, at=NOON, position=9, shard=3)])
        await fold(documents, receipts.FAMILY, log[:1])
        found = await find_recording(documents, "command")
        assert found == Recording({0: log[1].sequence, 3: (1 << 44) + 9}, at=NOON)
        assert await find_recording(documents, "other") is None
        assert await sweep_receipts(documents, 0, NOON, kept=0) == 0
        assert await sweep_receipts(documents, 0, NOON + 1, kept=0) == 1
        assert await find_recording(documents, "command") == Recording({3: (1 << 44) + 9}, at=NOON)


def edited(revision: int, at: int, position: int) -> Recorded:
    event = PostEdited(post="p1", author="ann", visibility="PUBLIC", sort_at=NOON, revision=revision)
    return recorded(event, at=at, position=position)


async def test_what_is_told_to_many_is_read_among_the_signals(open_store: OpenStore) -> None:
    own = [
        recorded(Followed(follower="bob", followee="ann", notify=True), at=NOON, position=1),
        recorded(PostCreated(post="p1", author="ann", root="p1"), at=NOON + 1, position=2),
        edited(2, NOON + 3, 3),
        edited(3, NOON + 5, 4),
    ]
    before = own[0].sequence - 1
    early = recorded(PostReposted(actor="cas", post="p1", author="ann"), at=NOON + 2, position=1, shard=1)
    late = recorded(PostReposted(actor="dan", post="p1", author="ann"), at=NOON + 4, position=1, shard=2)
    async with open_store([*signals.FAMILY.collections, *notifications.FAMILY.collections]) as documents:
        # One who takes part is folded before the edits, the other after them.
        for events in ([early], own, [late]):
            await fold(documents, notifications.FAMILY, events)
            await fold(documents, signals.FAMILY, events)
        # What is told again after a crash stands once.
        await fold(documents, notifications.FAMILY, own[2:3])
        read = [signal for shard in range(3) for signal in await read_all(documents, shard, MAX_SIGNALS + 1)]
        told = [
            (signal.shard, signal.position - before, signal.note, signal.part, signal.topics)
            for signal in read
            if signal.note in (NotificationType.POST, NotificationType.POST_EDITED)
        ]
        assert told == [
            (0, 2, NotificationType.POST, "", ("notify:bob",)),
            (0, 3, NotificationType.POST_EDITED, "2", ("notify:cas",)),
            (0, 4, NotificationType.POST_EDITED, "3", ("notify:cas",)),
            (2, 1, NotificationType.POST_EDITED, "3", ("notify:dan",)),
        ]
        positions = [signal.position for signal in read if signal.shard == 0]
        assert positions == sorted(positions)
        await sweep_signals(documents, 0, NOON + 4, kept=0)
        left = [row["position"] for row in (await contents(documents, ANNOUNCED)).values() if row["shard"] == 0]
        assert left == [own[3].sequence]


def posts(tag: str, authors: int, at: int, *, first: int, shard: int = 0) -> Sequence[Recorded]:
    """One post a second by so many authors."""
    return [
        recorded(
            PostCreated(post=f"p{first + n}", author=f"author{n}", root=f"p{first + n}", tags=(tag,)),
            at=at + n * 1_000_000,
            position=first + n,
            shard=shard,
        )
        for n in range(authors)
    ]


async def test_trends_are_ranked_counted_and_kept(open_store: OpenStore) -> None:
    async with open_store(trends.FAMILY.collections) as documents:
        log = [*posts("tea", 6, NOON, first=1), *posts("rain", 9, NOON, first=7), *posts("few", 4, NOON, first=16)]
        await fold(documents, trends.FAMILY, log)
        minute = NOON + MINUTE
        snapshot = await get_snapshot(documents, TrendKind.TAG, TrendWindow.H1, minute)
        assert [(trend.subject, trend.rank, trend.previous_rank) for trend in snapshot.trends] == [
            ("rain", 1, None),
            ("tea", 2, None),
        ]
        rain = snapshot.trends[0]
        assert (rain.score, rain.uses, rain.authors, rain.started_at) == (64.0, 9, 9, NOON)
        assert rain.history[0] == (minute, 9, 9)
        assert [day.uses for day in rain.history[1:]] == [0] * 6
        # What comes later is in later snapshots alone; an hour that is not over yet scores as of now.
        await fold(documents, trends.FAMILY, posts("tea", 12, minute + 1, first=20))
        assert (await get_snapshot(documents, TrendKind.TAG, TrendWindow.H1, minute)).trends == snapshot.trends
        later = await get_snapshot(documents, TrendKind.TAG, TrendWindow.H1, minute + MINUTE)
        assert [(trend.subject, trend.previous_rank, trend.authors) for trend in later.trends] == [
            ("tea", 2, 12),
            ("rain", 1, 9),
        ]


async def test_a_use_is_counted_once_an_hour_and_account(open_store: OpenStore) -> None:
    async with open_store(trends.FAMILY.collections) as documents:
        again = [*posts("tea", 6, NOON, first=1), *posts("tea", 6, NOON + 10 * MINUTE, first=7)]
        await fold(documents, trends.FAMILY, again)
        await fold(documents, trends.FAMILY, again)
        snapshot = await get_snapshot(documents, TrendKind.TAG, TrendWindow.H24, NOON + HOUR)
        assert [(trend.uses, trend.authors) for trend in snapshot.trends] == [(6, 6)]


async def test_a_crowd_is_counted_to_the_last(open_store: OpenStore) -> None:
    async with open_store(trends.FAMILY.collections) as documents:
        await fold(documents, trends.FAMILY, posts("tea", trends.STEP + 100, NOON, first=1))
        snapshot = await get_snapshot(documents, TrendKind.TAG, TrendWindow.H24, NOON + HOUR)
        assert [trend.authors for trend in snapshot.trends] == [trends.STEP + 100]


async def test_a_client_pages_inside_one_snapshot(open_store: OpenStore) -> None:
    async with open_store(trends.FAMILY.collections) as documents:
        log: list[Recorded] = []
        for number in range(5):
            log += posts(f"tag{number}", 9 - number, NOON, first=1 + len(log))
        await fold(documents, trends.FAMILY, log)

        async def page_of(window: Window, now: int, at: int | None = None) -> Page[Trend]:
            return trends_page(await snapshot_of(documents, TrendKind.TAG, TrendWindow.H1, window, now, at), window)

        now = NOON + MINUTE + SETTLE
        first = await page_of(Window(2), now)
        assert [item.node.subject for item in first.items] == ["tag0", "tag1"]
        await fold(documents, trends.FAMILY, posts("late", 30, now, first=100))
        now += 2 * MINUTE
        second = await page_of(Window(2, first.end), now)
        assert [item.node.subject for item in second.items] == ["tag2", "tag3"]
        assert second.has_next
        last = await page_of(Window(2, second.end), now)
        assert [item.node.subject for item in last.items] == ["tag4"]
        assert not last.has_next
        back = await page_of(Window(1, last.start, backward=True), now)
        assert [item.node.subject for item in back.items] == ["tag3"]
        newest = await page_of(Window(1), now)
        assert [item.node.subject for item in newest.items] == ["late"]
        then = await page_of(Window(1), now, at=NOON + MINUTE + SETTLE)
        assert [item.node.subject for item in then.items] == ["tag0"]


async def test_a_kept_snapshot_takes_in_what_is_folded_late(open_store: OpenStore) -> None:
    minute = NOON + MINUTE
    rain = posts("rain", 9, NOON, first=1, shard=0)
    tea = posts("tea", 12, NOON, first=1, shard=1)
    async with open_store(trends.FAMILY.collections) as documents:
        await fold(documents, trends.FAMILY, rain)
        early = await get_snapshot(documents, TrendKind.TAG, TrendWindow.H1, minute)
        assert [trend.subject for trend in early.trends] == ["rain"]
        await fold(documents, trends.FAMILY, tea)
        snapshot = await get_snapshot(documents, TrendKind.TAG, TrendWindow.H1, minute)
        assert [trend.subject for trend in snapshot.trends] == ["tea", "rain"]
        assert (await contents(documents, SNAPSHOTS))[snapshot.name]["reached"] == {
            "0": rain[-1].recorded_at,
            "1": tea[-1].recorded_at,
        }


async def test_a_shard_that_has_passed_the_minute_changes_it_no_more(open_store: OpenStore) -> None:
    minute = NOON + MINUTE
    async with open_store(trends.FAMILY.collections) as store:
        await fold(store, trends.FAMILY, [*posts("tea", 6, NOON, first=1), *posts("tea", 1, minute, first=7)])
        await get_snapshot(store, TrendKind.TAG, TrendWindow.H1, minute)
        await fold(store, trends.FAMILY, posts("tea", 1, minute + 1, first=8))
        counted = Counted()
        await get_snapshot(FaultyDocuments(store, counted), TrendKind.TAG, TrendWindow.H1, minute)
        assert counted.finds == 2


async def test_uses_are_swept_when_no_snapshot_looks_back_on_them(open_store: OpenStore) -> None:
    async with open_store(trends.FAMILY.collections) as documents:
        early, late = posts("tea", 2, NOON, first=1), posts("tea", 2, NOON + DAY, first=3)
        await fold(documents, trends.FAMILY, [*early, *late])
        assert await sweep_uses(documents, TrendKind.TAG, NOON + USES_KEPT) == 0
        assert len(await contents(documents, trends.USES)) == 4
        assert await sweep_uses(documents, TrendKind.TAG, NOON + USES_KEPT + MINUTE) == 2
        left = [use["at"] for use in (await contents(documents, trends.USES)).values()]
        assert left == [late[0].recorded_at, late[1].recorded_at]
        assert len(await contents(documents, trends.SUBJECTS)) == 1


async def test_a_kept_snapshot_takes_two_finds_at_once(open_store: OpenStore) -> None:
    async with open_store(trends.FAMILY.collections) as store:
        await fold(store, trends.FAMILY, posts("tea", 6, NOON, first=1))
        await get_snapshot(store, TrendKind.TAG, TrendWindow.H1, NOON + MINUTE)
        counted = Counted()
        await get_snapshot(FaultyDocuments(store, counted), TrendKind.TAG, TrendWindow.H1, NOON + MINUTE)
        assert counted.finds == 2


async def test_old_snapshots_are_swept(open_store: OpenStore) -> None:
    async with open_store(trends.FAMILY.collections) as documents:
        for at in (NOON, NOON + DAY):
            await get_snapshot(documents, TrendKind.TAG, TrendWindow.H1, at)
        assert await sweep_snapshots(documents, TrendKind.TAG, TrendWindow.H1, NOON + KEPT + 1) == 1
        assert list(await contents(documents, SNAPSHOTS)) == [f"TAG:H1:{NOON + DAY}"]


async def test_the_newest_minute_has_settled(open_store: OpenStore) -> None:
    assert newest_minute(NOON + SETTLE) == NOON
    assert newest_minute(NOON + SETTLE - 1) == NOON - MINUTE


async def test_every_family_can_be_prepared_twice(open_store: OpenStore) -> None:
    collections = [collection for family in families.ALL for collection in family.collections]
    async with open_store(collections) as documents:
        await documents.prepare(collections)
