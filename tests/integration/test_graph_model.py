"""Random people do random things to each other, reactors come late or twice: every answer is what a plain model says, and no count drifts."""

import itertools
import os
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import msgspec
import pytest

from domain import deciders
from domain.commands import (
    AcceptFollow,
    AcceptPendingFollow,
    BlockUser,
    Command,
    EndBlockersFollow,
    FollowUser,
    RegisterAccount,
    RejectFollow,
    RemoveFollower,
    UnblockUser,
    UnfollowUser,
    UpdateProfile,
)
from domain.context import Context
from domain.envelope import Recorded
from domain.errors import Refusal
from domain.events import AccountBlocked, AccountRegistered, AccountUnlocked
from domain.handlers import handle
from domain.ids import Namer
from domain.log.port import EventLog
from domain.log.sqlite import open_sqlite_log
from projections import accounts, viewer_edges
from projections.accounts import as_profile
from projections.viewer_edges import NO_EDGE, ViewerEdge, edge_id
from tests.unit.folded import folded

NAMER = Namer(b"k" * 32)
NAMES = ("ann", "bob", "cyd", "dan")
Pair = tuple[str, str]


@dataclass
class Model:
    """``requests`` and ``blocks`` hold when they were made. What is done answers whether anything changed, or the code of a refusal."""

    follows: set[Pair] = field(default_factory=set)
    requests: dict[Pair, int] = field(default_factory=dict)
    blocks: dict[Pair, int] = field(default_factory=dict)
    locked: set[str] = field(default_factory=set)
    clock: int = 0

    def apart(self, one: str, other: str) -> bool:
        return (one, other) in self.blocks or (other, one) in self.blocks

    def follow(self, who: str, whom: str) -> bool | str:
        pair = who, whom
        if self.apart(*pair):
            return "BLOCKED"
        if pair in self.follows or (whom in self.locked and pair in self.requests):
            return False
        if whom in self.locked:
            self.requests[pair] = self.clock
        else:
            self.requests.pop(pair, None)
            self.follows.add(pair)
        return True

    def end(self, who: str, whom: str) -> bool:
        pair = who, whom
        stood = pair in self.follows or pair in self.requests
        self.follows.discard(pair)
        self.requests.pop(pair, None)
        return stood

    def remove(self, who: str, whom: str) -> bool:
        return (whom, who) in self.follows and self.end(whom, who)

    def reject(self, who: str, whom: str) -> bool:
        return (whom, who) in self.requests and self.end(whom, who)

    def accept(self, who: str, whom: str) -> bool | str:
        pair = whom, who
        if self.apart(*pair):
            return "BLOCKED"
        if pair in self.follows:
            return False
        if pair not in self.requests:
            return "NOT_FOUND"
        del self.requests[pair]
        self.follows.add(pair)
        return True

    def block(self, who: str, whom: str) -> bool:
        if (who, whom) in self.blocks:
            return False
        self.blocks[who, whom] = self.clock
        self.end(whom, who)
        return True

    def unblock(self, who: str, whom: str) -> bool:
        return self.blocks.pop((who, whom), None) is not None

    def turn_lock(self, who: str, _: str) -> bool:
        self.locked ^= {who}
        return True

    def react_to_block(self, who: str, whom: str, since: int) -> bool:
        return self.blocks.get((who, whom)) == since and self.end(who, whom)

    def react_to_unlock(self, who: str, whom: str, since: int) -> bool:
        asked = self.requests.get((who, whom), since)
        return asked < since and not self.apart(who, whom) and self.accept(whom, who) is True


@dataclass
class Trial:
    """The model and the real thing, side by side. ``late``: what reactors have yet to do, in both."""

    log: EventLog
    rng: random.Random
    ids: dict[str, str] = field(default_factory=dict)
    model: Model = field(default_factory=Model)
    late: list[tuple[Command, Callable[[], bool]]] = field(default_factory=list)
    numbers: "itertools.count[int]" = field(default_factory=itertools.count)

    async def perform(self, who: str | None, command: Command) -> tuple[bool | str, tuple[Recorded, ...]]:
        context = Context(
            namer=NAMER,
            entropy=os.urandom,
            now=1_700_000_000_000_000,
            command_id=f"command-{next(self.numbers)}",
            actor=self.ids[who] if who else None,
        )
        try:
            outcome = (await handle(self.log, command, context)).outcome
        except Refusal as refusal:
            return refusal.problems[0].code.value, ()
        return bool(outcome.events), outcome.events

    async def act(self) -> None:
        who, whom = self.rng.sample(NAMES, 2)
        user, model = self.ids[whom], self.model
        model.clock += 1
        lock = UpdateProfile(locked=who not in model.locked)
        command, expected = self.rng.choice(
            [
                (FollowUser(user=user), model.follow),
                (FollowUser(user=user), model.follow),
                (FollowUser(user=user), model.follow),
                (UnfollowUser(user=user), model.end),
                (RemoveFollower(user=user), model.remove),
                (AcceptFollow(user=user), model.accept),
                (RejectFollow(user=user), model.reject),
                (BlockUser(user=user), model.block),
                (UnblockUser(user=user), model.unblock),
                (UnblockUser(user=user), model.unblock),
                (lock, model.turn_lock),
            ]
        )
        wanted = expected(who, whom)
        answer, events = await self.perform(who, command)
        assert answer == wanted, (who, command, whom)
        for recorded in events:
            self.note(recorded, who, whom)

    def note(self, recorded: Recorded, who: str, whom: str) -> None:
        """What reactors will do about it."""
        model, since = self.model, self.model.clock
        match recorded.event:
            case AccountBlocked():
                command = EndBlockersFollow(follower=self.ids[who], followee=self.ids[whom], block=recorded.event_id)
                self.late.append((command, partial(model.react_to_block, who, whom, since)))
            case AccountUnlocked():
                for asking in [one for one, asked in model.requests if asked == who]:
                    accept = AcceptPendingFollow(
                        follower=self.ids[asking], followee=self.ids[who], unlocked=recorded.sequence
                    )
                    self.late.append((accept, partial(model.react_to_unlock, asking, who, since)))

    async def react(self) -> None:
        """One late command; it may come once more, later."""
        if self.late:
            command, expected = self.rng.choice(self.late)
            answer, _ = await self.perform(None, command)
            assert answer == expected(), command
            if self.rng.random() < 0.5:
                self.late.remove((command, expected))

    async def recorded(self) -> list[Recorded]:
        return [one for shard in range(self.log.identity.shards) for one in await self.log.read(shard, 0, 100_000)]


@pytest.mark.parametrize("seed", range(5))
async def test_people_are_to_each_other_what_a_model_says(tmp_path: Path, seed: int) -> None:
    log = await open_sqlite_log(
        tmp_path / "log.db", master_key=b"m" * 32, server_key_fingerprint=NAMER.fingerprint(), aggregates=deciders
    )
    trial = Trial(log, random.Random(seed))
    for name in NAMES:
        register = RegisterAccount(handle=name, email=f"{name}@example.org", password_hash="hash")
        _, events = await trial.perform(None, register)
        trial.ids[name] = next(one.event.account for one in events if isinstance(one.event, AccountRegistered))
    for _ in range(150):
        await (trial.react() if trial.rng.random() < 0.3 else trial.act())
    check(trial, await trial.recorded())
    await log.close()


def check(trial: Trial, recorded: list[Recorded]) -> None:
    """Counts and edges, whatever order the shards were folded in."""
    edges: Mapping[str, object] = folded(viewer_edges.FAMILY, recorded)["viewer_edges"]
    profiles = folded(accounts.FAMILY, recorded)["profiles"]
    model = trial.model
    for name in NAMES:
        profile = as_profile(trial.ids[name], profiles[trial.ids[name]])
        assert profile is not None
        assert profile.counts.followers == sum(whom == name for _, whom in model.follows)
        assert profile.counts.following == sum(who == name for who, _ in model.follows)
    for pair in itertools.permutations(NAMES, 2):
        found = edges.get(edge_id(*(trial.ids[name] for name in pair)))
        edge = NO_EDGE if found is None else msgspec.convert(found, ViewerEdge)
        assert edge.following is (pair in model.follows)
        assert edge.requested is (pair in model.requests)
        assert edge.blocking is (pair in model.blocks)
