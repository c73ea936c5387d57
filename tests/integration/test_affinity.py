"""Commands that go to the process that holds their shard: the same results as at home, and never twice."""

import asyncio
import itertools
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from starlette.applications import Starlette
from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket

from api.affinity.forwarding import internal_token
from api.affinity.links import Link, NotSentError
from api.affinity.listening import InternalServer, Listener
from api.server import bound
from domain import deciders
from domain.commands import Command, CreatePost, DeletePost, FollowUser, LikePost, RegisterAccount
from domain.context import Context
from domain.errors import Code, OutcomeUnknownError, OverloadedError, Refusal, UnavailableError
from domain.handlers import HANDLERS, Result, handle
from domain.ids import Namer, account_stream, shard_of
from domain.log.affinity import Appointed, Appointments, Peer
from domain.log.port import EventLog
from domain.log.sqlite import open_sqlite_log
from tests.affinity_kit import PATIENCE, SERVER_KEY, MemoryAppointments, Process, process, settled
from tests.log_cassandra_kit import keyspace, until

NAMER = Namer(SERVER_KEY)
numbers = itertools.count()


def context(actor: str | None = None, *, correlation_id: str = "", traceparent: str | None = None) -> Context:
    return Context(
        namer=NAMER,
        entropy=os.urandom,
        now=1_700_000_000_000_000,
        command_id=f"command-{next(numbers)}",
        actor=actor,
        correlation_id=correlation_id,
        traceparent=traceparent,
    )


async def do(log: EventLog, actor: str | None, command: Command) -> Result:
    return await handle(log, command, context(actor))


async def register(log: EventLog, name: str) -> str:
    command = RegisterAccount(handle=name, email=f"{name}@example.org", password_hash="hash")
    return (await do(log, None, command)).id


@pytest.fixture
async def log(tmp_path: Path) -> AsyncIterator[EventLog]:
    log = await open_sqlite_log(
        tmp_path / "log.db", master_key=b"m" * 32, server_key_fingerprint=NAMER.fingerprint(), aggregates=deciders
    )
    yield log
    await log.close()


@pytest.fixture
async def appointments() -> MemoryAppointments:
    return MemoryAppointments(asyncio.get_running_loop().time)


@pytest.fixture
async def pair(log: EventLog, appointments: MemoryAppointments) -> AsyncIterator[tuple[Process, Process]]:
    """Two processes that share the shards."""
    async with process(log, appointments) as one, process(log, appointments) as other:
        await settled(one, other, shards=log.identity.shards)
        yield one, other


def owner(pair: tuple[Process, Process], id_: str, shards: int) -> tuple[Process, Process]:
    """Who holds the id's shard, and who does not."""
    one, other = pair
    return (one, other) if shard_of(id_, shards) in one.appointer.held() else (other, one)


async def test_whichever_process_is_asked_the_answer_is_the_same(log: EventLog, pair: tuple[Process, Process]) -> None:
    one, other = pair
    people = [await register(through.log, f"person_{n}") for n, through in enumerate([one, other] * 4)]
    for n, (person, through) in enumerate(zip(people, [other, one] * 4, strict=True)):
        created = await do(through.log, person, CreatePost(text=f"post {n}"))
        assert created.changed
        assert [event.stream for event in await log.load(f"post-{created.id}")] == [f"post-{created.id}"]
        liked = [await do(each.log, people[n - 1], LikePost(post=created.id)) for each in (through, one, other)]
        # Appended once, whoever was asked; the later ones find it done.
        assert [each.changed for each in liked] == [True, False, False]
        assert liked[1].outcome.positions.keys() == liked[0].outcome.positions.keys()
    follow = FollowUser(user=people[1])
    first, second = await do(one.log, people[0], follow), await do(other.log, people[0], follow)
    assert (first.changed, second.changed) == (True, False)


async def test_refusals_come_back_as_they_are(log: EventLog, pair: tuple[Process, Process]) -> None:
    ada, bob = [await register(pair[0].log, name) for name in ("ada_1", "bob_1")]
    post = (await do(pair[0].log, ada, CreatePost(text="mine"))).id
    at_home, away = owner(pair, post, log.identity.shards)
    refused: list[Refusal] = []
    for through in (at_home, away):
        with pytest.raises(Refusal) as refusal:
            await do(through.log, bob, DeletePost(post=post))
        refused.append(refusal.value)
    assert refused[0].problems == refused[1].problems
    with pytest.raises(Refusal) as taken:
        await register(away.log, "ada_1")
    assert taken.value.code == Code.DUPLICATE


async def test_an_idempotent_create_is_one_through_whichever_process(
    log: EventLog, pair: tuple[Process, Process]
) -> None:
    ada = await register(log, "ada_1")
    command = CreatePost(text="once", idempotency_key="key")
    first, second = [await do(each.log, ada, command) for each in pair]
    assert (first.id, first.repeat, second.id, second.repeat) == (first.id, False, first.id, True)


async def test_the_actor_and_the_trace_go_along(log: EventLog, pair: tuple[Process, Process]) -> None:
    ada = await register(log, "ada_1")
    _, away = owner(pair, ada, log.identity.shards)
    asked = context(ada, correlation_id="request", traceparent="trace")
    [event] = (await handle(away.log, CreatePost(text="x"), asked)).outcome.events
    assert event.metadata.actor == ada
    assert event.metadata.command_id == asked.command_id
    assert (event.metadata.correlation_id, event.metadata.traceparent) == ("request", "trace")


async def test_where_the_holder_does_not_answer_a_process_appends_itself(
    log: EventLog, appointments: MemoryAppointments
) -> None:
    with bound("127.0.0.1", 0, ("INTERNAL_HOST", "INTERNAL_PORT")) as deaf:
        dead = Peer("dead", f"127.0.0.1:{deaf.getsockname()[1]}")
        await appointments.sign(dead)
        for shard in range(log.identity.shards):
            assert await appointments.claim(shard, dead, renew=False)
        async with process(log, appointments) as alive:
            await alive.appointer.step()
            assert alive.appointer.elsewhere(0) == dead
            ada = await register(alive.log, "ada_1")
            assert (await log.load(account_stream(ada)))[0].version == 1
            # The lease runs out, and is taken over.
            now = appointments.clock()
            appointments.clock = lambda: now + appointments.seconds
            await settled(alive, shards=log.identity.shards)


async def test_a_command_that_went_away_without_an_answer_is_unknown_and_not_run_again(
    log: EventLog, appointments: MemoryAppointments
) -> None:
    async def swallow(websocket: WebSocket) -> None:
        await websocket.accept()
        await websocket.receive_bytes()
        await websocket.close()

    listener = Listener(log, HANDLERS, NAMER, os.urandom, "")
    listener.app = Starlette(routes=[WebSocketRoute("/commands", swallow)])
    server = InternalServer(listener)
    ada = await register(log, "ada_1")
    with bound("127.0.0.1", 0, ("INTERNAL_HOST", "INTERNAL_PORT")) as listen:
        serving = asyncio.create_task(server.serve(sockets=[listen]))
        hole = Peer("hole", f"127.0.0.1:{listen.getsockname()[1]}")
        for shard in range(log.identity.shards):
            assert await appointments.claim(shard, hole, renew=False)
        async with process(log, appointments) as alive:
            await alive.appointer.step()
            before = [await log.head(shard) for shard in range(log.identity.shards)]
            asked = context(ada)
            with pytest.raises(OutcomeUnknownError) as unknown:
                await handle(alive.log, CreatePost(text="lost"), asked)
            assert unknown.value.command_id == asked.command_id
            assert [await log.head(shard) for shard in range(log.identity.shards)] == before
        server.should_exit = True
        await serving


async def test_another_secret_is_refused(log: EventLog, appointments: MemoryAppointments) -> None:
    async with process(log, appointments) as one, process(log, appointments, server_key=b"x" * 32) as stranger:
        await settled(one, stranger, shards=log.identity.shards)
        host, port = one.listen.getsockname()
        link = Link(f"{host}:{port}", internal_token(b"x" * 32, log.identity.log_id), PATIENCE)
        with pytest.raises(NotSentError):
            await link.ask(lambda _: b"")
        other_log = Link(f"{host}:{port}", internal_token(SERVER_KEY, "another log"), PATIENCE)
        with pytest.raises(NotSentError):
            await other_log.ask(lambda _: b"")
        # Whom nobody trusts appends itself.
        assert await register(stranger.log, "ada_1")


async def test_what_the_holder_does_not_know_is_done_at_home(log: EventLog, appointments: MemoryAppointments) -> None:
    older = {kind: handler for kind, handler in HANDLERS.items() if kind is not CreatePost}
    ada = await register(log, "ada_1")
    async with process(log, appointments, handlers=older) as holder:
        await settled(holder, shards=log.identity.shards)
        async with process(log, appointments, able=lambda _: False) as newer:
            await newer.appointer.step()
            assert newer.appointer.elsewhere(0) is not None
            assert (await do(newer.log, ada, CreatePost(text="new"))).changed


@pytest.mark.parametrize("error", [UnavailableError("the store is away"), OverloadedError("full")])
async def test_what_holds_the_holder_up_is_told(
    log: EventLog, appointments: MemoryAppointments, error: UnavailableError | OverloadedError
) -> None:
    async def held_up(_log: EventLog, _command: Command, _context: Context) -> Result:
        raise error

    ada = await register(log, "ada_1")
    async with process(log, appointments, handlers={CreatePost: held_up}) as holder:
        await settled(holder, shards=log.identity.shards)
        async with process(log, appointments, able=lambda _: False) as other:
            await other.appointer.step()
            with pytest.raises(type(error), match=str(error)):
                await do(other.log, ada, CreatePost(text="x"))


async def test_a_process_that_cannot_append_holds_nothing(log: EventLog, appointments: MemoryAppointments) -> None:
    right = {"clock": True}
    async with process(log, appointments, able=lambda _: right["clock"]) as one:
        await settled(one, shards=log.identity.shards)
        right["clock"] = False
        await one.appointer.step()
        assert one.appointer.held() == []
        assert (await appointments.read()) == Appointed({}, (await appointments.read()).present)


async def test_a_process_that_ends_finishes_what_it_was_asked(log: EventLog, appointments: MemoryAppointments) -> None:
    entered, go_on = asyncio.Event(), asyncio.Event()

    async def slow(log: EventLog, command: Command, asked: Context) -> Result:
        entered.set()
        await go_on.wait()
        return await HANDLERS[CreatePost](log, command, asked)

    ada = await register(log, "ada_1")
    async with process(log, appointments, able=lambda _: False) as asking:
        holder = process(log, appointments, handlers={CreatePost: slow})
        ending = await holder.__aenter__()
        await settled(ending, shards=log.identity.shards)
        await asking.appointer.step()
        answer = asyncio.create_task(do(asking.log, ada, CreatePost(text="slow")))
        await entered.wait()
        leaving = asyncio.create_task(holder.__aexit__(None, None, None))
        async with asyncio.timeout(PATIENCE):
            while (await appointments.read()).holders:  # noqa: ASYNC110 -- the store tells nobody
                await asyncio.sleep(0.01)
        # What comes while it ends is not run there.
        assert (await do(asking.log, ada, CreatePost(text="at home"))).changed
        go_on.set()
        assert (await answer).changed
        await leaving


async def test_many_commands_at_once_are_each_answered(log: EventLog, pair: tuple[Process, Process]) -> None:
    ada = await register(log, "ada_1")
    _, away = owner(pair, ada, log.identity.shards)
    created = await asyncio.gather(*(do(away.log, ada, CreatePost(text=f"post {n}")) for n in range(100)))
    assert len({each.id for each in created}) == 100
    assert all(each.changed for each in created)


# The leases themselves: what every store of them keeps to.


@pytest.fixture
async def cassandra_leases(cassandra_address: str) -> AsyncIterator[Appointments]:
    async with keyspace(cassandra_address, shards=2) as tables, tables.store() as store:
        yield await (await store.open()).appointments()


@pytest.fixture(params=["memory", pytest.param("cassandra", marks=[pytest.mark.cluster, pytest.mark.slow])])
def leases(request: pytest.FixtureRequest) -> Appointments:
    found: Appointments = request.getfixturevalue("appointments" if request.param == "memory" else "cassandra_leases")
    return found


async def test_a_lease_is_one_process_s_until_it_lets_go(leases: Appointments) -> None:
    ada, bob = Peer("ada", "host:1"), Peer("bob", "host:2")
    await leases.sign(ada)
    assert await leases.claim(0, ada, renew=False)
    assert not await leases.claim(0, bob, renew=False)
    assert not await leases.claim(0, bob, renew=True)
    assert await leases.claim(0, ada, renew=True)
    assert await leases.claim(1, bob, renew=False)
    assert await leases.read() == Appointed({0: ada, 1: bob}, frozenset({"ada"}))
    await leases.release(0, bob)
    assert (await leases.read()).holders[0] == ada
    await leases.release(0, ada)
    assert await leases.read() == Appointed({1: bob}, frozenset({"ada"}))
    assert await leases.claim(0, bob, renew=False)


@pytest.mark.slow
async def test_what_is_not_renewed_is_gone(cassandra_leases: Appointments) -> None:
    ada, bob = Peer("ada", "host:1"), Peer("bob", "host:2")
    await cassandra_leases.sign(ada)
    assert await cassandra_leases.claim(0, ada, renew=False)

    async def gone() -> bool:
        return await cassandra_leases.read() == Appointed({}, frozenset())

    await until(gone)
    assert not await cassandra_leases.claim(0, ada, renew=True)
    assert await cassandra_leases.claim(0, bob, renew=False)
