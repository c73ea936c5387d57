"""Loads a demo world through the domain's own handlers: the same commands as clients send, 256 in flight, safe to break off and to repeat.

Every create bears an idempotency key made of the seed and its number, everything else is idempotent by state: what was loaded before changes nothing.
"""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import TypeVar

from tenacity import retry, retry_if_exception_type, stop_after_delay, wait_exponential_jitter

from api.demo.showcase import Showcase, ShownPost
from api.demo.world import DEMO_LOGINS, DemoAccount, DemoPost, World
from domain.commands import (
    BookmarkPost,
    Command,
    CreatePost,
    EditPost,
    FollowUser,
    LikePost,
    PinPost,
    RegisterAccount,
    Repost,
)
from domain.context import Context
from domain.errors import OutcomeUnknownError, OverloadedError, Refusal, TidingsError, UnavailableError
from domain.events import PostPinned
from domain.handlers import Result, handle
from domain.handlers.accounts import account_of
from domain.ids import account_stream, mint_id, pins_stream, slot_of
from domain.log.port import EventLog

IN_FLIGHT = 256
_SPREAD = 36 * 3_600 * 1_000_000
"""Microseconds before now over which the world's posts are spread."""

_REPOSTED_WITHIN = 6 * 3_600 * 1_000_000
_SHOWN = 3_600 * 1_000_000

Item = TypeVar("Item")
Progress = Callable[[str, int], None]
"""``progress(phase, done)`` after each command that was answered."""


class WorldError(TidingsError):
    """The log holds other people under the names of the world's."""


@dataclass(slots=True)
class Report:
    """Commands by phase: how many were answered, how many of them appended something, and how many were refused for what people have done meanwhile."""

    answered: Counter[str] = field(default_factory=Counter)
    changed: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)


class Seeder:
    """``context`` is a template: its command id and actor are replaced for each command. ``password_hash`` is that of the demo logins. Without a ``showcase`` there is
    the plain world alone."""

    def __init__(
        self,
        log: EventLog,
        context: Context,
        world: World,
        *,
        seed: int,
        password_hash: str,
        progress: Progress,
        showcase: Showcase | None = None,
    ) -> None:
        self._log = log
        self._context = context
        self._world = world
        self._showcase = showcase or Showcase()
        self._seed = seed
        self._password_hash = password_hash
        self._progress = progress
        self._accounts: dict[int, str] = {}
        self._posts: dict[int, asyncio.Future[str]] = {}
        self._shown: dict[int, asyncio.Future[str]] = {}
        self.report = Report()

    async def run(self, *, once: bool = False) -> Report:
        """Accounts first, then follows, posts (a reply waits for its parent), likes and reposts, at last what is shown besides. Raises WorldError, and what the log
        cannot recover from.

        ``once``: where all of it, showcase included, was loaded before, nothing is sent again, for people may have undone some of it.
        """
        world, showcase = self._world, self._showcase
        loop = asyncio.get_running_loop()
        self._posts = {post.number: loop.create_future() for post in world.posts}
        await self._phase("accounts", world.accounts, self._register)
        if once and await self._ended():
            return self.report
        await self._phase("follows", world.follows, self._follow)
        await self._phase("posts", world.posts, self._write)
        await self._phase("likes", world.likes, self._like)
        await self._phase("reposts", world.reposts, self._repost)
        self._shown = {post.number: loop.create_future() for post in showcase.posts}
        await self._phase("showcase", showcase.posts, self._show)
        await self._phase("edits", showcase.edits, self._edit)
        await self._phase("bookmarks", showcase.bookmarks, self._bookmark)
        await self._phase("pins", showcase.pins, self._pin)
        return self.report

    async def _ended(self) -> bool:
        """Whether the last thing of all has ever been done."""
        if not self._showcase.pins:
            return False
        account, number = self._showcase.pins[-1]
        owner = self._accounts[account]
        post = self._context.namer.idempotent_id(slot_of(owner), owner, "createPost", self._shown_key(number))
        past = await self._log.load(pins_stream(owner))
        return any(isinstance(recorded.event, PostPinned) and recorded.event.post == post for recorded in past)

    async def _phase(self, name: str, items: Iterable[Item], perform: Callable[[Item], Awaitable[Result]]) -> None:
        # One iterator shared by as many workers as may be in flight: bounded, in order, and the first failure ends them all.
        queue = iter(items)

        async def worker() -> None:
            for item in queue:
                try:
                    result = await perform(item)
                    # Not in one statement with the await: others count meanwhile.
                    self.report.changed[name] += result.changed
                except Refusal:
                    # Somebody has blocked, deleted or filled up what it needs.
                    self.report.refused[name] += 1
                self.report.answered[name] += 1
                self._progress(name, self.report.answered[name])

        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(IN_FLIGHT):
                    group.create_task(worker())
        except ExceptionGroup as errors:
            raise errors.exceptions[0] from errors

    @retry(
        retry=retry_if_exception_type((UnavailableError, OverloadedError, OutcomeUnknownError)),
        wait=wait_exponential_jitter(multiplier=0.05, max=2),
        stop=stop_after_delay(60),
        reraise=True,
    )
    async def _send(self, command: Command, actor: str | None, occurred_at: int | None = None) -> Result:
        """Repeating is safe even where the outcome is unknown: each command is idempotent."""
        command_id = mint_id(int.from_bytes(self._context.entropy(2), "big") % 1024, self._context.entropy)
        context = replace(self._context, actor=actor, command_id=command_id, occurred_at=occurred_at)
        return await handle(self._log, command, context)

    async def _register(self, account: DemoAccount) -> Result:
        command = RegisterAccount(
            handle=account.handle,
            email=account.email,
            password_hash=self._password_hash if account.number < DEMO_LOGINS else "",
            display_name=account.display_name,
            idempotency_key=f"demo-{self._seed}-account-{account.number}",
        )
        try:
            result = await self._send(command, None, self._context.now - 2 * _SPREAD)
        except Refusal as refusal:
            await self._has_left(account, command, refusal)
            raise
        self._accounts[account.number] = result.id
        return result

    async def _has_left(self, account: DemoAccount, command: RegisterAccount, refusal: Refusal) -> None:
        """Whoever deleted their account has no other while their name rests: what they would do is refused. WorldError where they were never here."""
        left = account_of(command, self._context)
        if not await self._log.load(account_stream(left)):
            raise WorldError(
                f"{account.handle} is somebody else here, or of a world with another seed: {refusal} Load this one into an empty log."
            ) from refusal
        self._accounts[account.number] = left

    async def _follow(self, pair: tuple[int, int]) -> Result:
        follower, followee = pair
        return await self._send(
            FollowUser(user=self._accounts[followee]), self._accounts[follower], self._context.now - _SPREAD
        )

    async def _write(self, post: DemoPost) -> Result:
        made = self._posts[post.number]
        with _telling(made):
            command = CreatePost(
                text=post.text,
                reply_to=None if post.reply_to is None else await self._posts[post.reply_to],
                language="en",
                idempotency_key=f"demo-{self._seed}-post-{post.number}",
            )
            result = await self._send(command, self._accounts[post.author], self._written_at(post.number))
        made.set_result(result.id)
        return result

    def _written_at(self, post: int) -> int:
        """Evenly over the last day and a half, so that a reply is always later than what it answers."""
        return self._context.now - _SPREAD + post * _SPREAD // len(self._world.posts)

    async def _like(self, pair: tuple[int, int]) -> Result:
        account, post = pair
        return await self._send(LikePost(post=await self._posts[post]), self._accounts[account])

    async def _repost(self, pair: tuple[int, int]) -> Result:
        account, post = pair
        # Some hours after the post, another number of them for each account.
        occurred_at = self._written_at(post) + (account * 7_919 + post) * 1_000_003 % _REPOSTED_WITHIN
        return await self._send(Repost(post=await self._posts[post]), self._accounts[account], occurred_at)

    async def _show(self, post: ShownPost) -> Result:
        made = self._shown[post.number]
        with _telling(made):
            command = CreatePost(
                text=post.text,
                reply_to=None if post.reply_to is None else await self._shown[post.reply_to],
                quote=None if post.quote is None else await self._posts[post.quote],
                language=post.language,
                content_warning=post.content_warning,
                media=post.media,
                idempotency_key=self._shown_key(post.number),
            )
            result = await self._send(command, self._accounts[post.author], self._shown_at(post.number))
        made.set_result(result.id)
        return result

    def _shown_key(self, number: int) -> str:
        return f"demo-{self._seed}-shown-{number}"

    def _shown_at(self, post: int) -> int:
        """Evenly over the last hour, the newest of all."""
        return self._context.now - _SHOWN + post * _SHOWN // len(self._showcase.posts)

    async def _edit(self, post: ShownPost) -> Result:
        command = EditPost(post=await self._shown[post.number], text=post.edited)
        return await self._send(command, self._accounts[post.author])

    async def _bookmark(self, pair: tuple[int, int]) -> Result:
        account, post = pair
        return await self._send(BookmarkPost(post=await self._posts[post]), self._accounts[account])

    async def _pin(self, pair: tuple[int, int]) -> Result:
        account, post = pair
        return await self._send(PinPost(post=await self._shown[post]), self._accounts[account])


@contextmanager
def _telling(made: "asyncio.Future[str]") -> Iterator[None]:
    """``made`` is to be a post's id, for whatever is about it; what is about one that was refused is refused as well."""
    try:
        yield
    except Refusal as refusal:
        made.set_exception(refusal)
        made.exception()
        raise
