"""How a mutation runs its command, and what every payload says about it."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, Final, TypedDict, TypeVar

import strawberry

from api.context import RequestContext
from api.schema.consistency import SHOWN, consistent
from api.schema.enums import ReceiptStatus
from api.schema.errors import UserError, user_errors
from api.schema.foresight import foresee
from api.schema.receipts import CommandReceipt, receipt
from api.schema.social import User, present_user, viewer_of
from api.vectors import merged
from domain.commands import Command
from domain.context import Context
from domain.errors import Code, OutcomeUnknownError, OverloadedError, Problem, Refusal, UnavailableError
from domain.handlers import Result, handle
from domain.ids import mint_id
from projections.rules import PostView, Tombstone, show_person, show_post
from projections.sight import Sight, hydrate

T = TypeVar("T")
C = TypeVar("C", bound=Command)

CLIENT_MUTATION_ID: Final = "Comes back in the payload, for the client's own use."
Input = Annotated[T, strawberry.argument(description="What is asked for.")]

_RECORDED: Final = "recorded"
LOOK: Final = 1.0
"""Seconds that an answer waits for its documents at most: what is recorded is recorded without them."""


@strawberry.interface(description="What every mutation answers.")
class MutationPayload:
    client_mutation_id: str | None = strawberry.field(description="As it came in the input.")
    user_errors: list[UserError] = strawberry.field(description="Why nothing was done; empty where it was.")
    receipt: CommandReceipt | None = strawberry.field(
        description="That the command was recorded, or needed not be; null where it was refused or never sent."
    )
    changed: bool = strawberry.field(description="Whether anything is different now: false for a repeat.")


class Common(TypedDict):
    """The arguments of every payload."""

    client_mutation_id: str | None
    user_errors: list[UserError]
    receipt: CommandReceipt | None
    changed: bool


@dataclass(frozen=True, slots=True)
class Ran:
    """What became of a command. ``result`` is None where it was refused, never sent, or is of unknown outcome."""

    result: Result | None = None
    receipt: CommandReceipt | None = None
    problems: Sequence[Problem] = ()

    def common(self, client_mutation_id: str | None) -> Common:
        return Common(
            client_mutation_id=client_mutation_id,
            user_errors=user_errors(self.problems),
            receipt=self.receipt,
            changed=self.result is not None and self.result.changed,
        )


def domain_context(context: RequestContext, *, causation_id: str | None = None) -> Context:
    """A command's context, with an id of its own."""
    services = context.services
    return Context(
        namer=services.namer,
        entropy=services.entropy,
        now=services.now(),
        command_id=mint_id(0, services.entropy),
        actor=context.viewer.account if context.viewer is not None else None,
        limits=services.limits,
        correlation_id=context.request_id,
        causation_id=causation_id,
        traceparent=context.traceparent,
    )


async def run(
    context: RequestContext, command: Callable[[], C], allow: Callable[[C], Awaitable[None]] | None = None
) -> Ran:
    """Runs one command of a signed-in person, which ``command`` makes of the input or refuses; ``allow`` refuses what goes beyond a limit that documents
    tell."""
    asked = domain_context(context)

    async def work() -> Result:
        context.require_viewer()
        wanted = command()
        if allow is not None:
            await allow(wanted)
        return await handle(context.services.log, wanted, asked)

    result = await attempt(context, work)
    return result if isinstance(result, Ran) else Ran(result, accepted(context, asked, result))


async def attempt(context: RequestContext, work: Callable[[], Awaitable[T]]) -> T | Ran:
    """What ``work`` gives, or how it failed to the client's eye. Faults of the server itself are raised."""
    _go_on(context)
    try:
        return await work()
    except Refusal as refusal:
        return Ran(problems=refusal.problems)
    except OverloadedError:
        message = "Too much is being asked at a time; nothing was done. Try again."
        return Ran(problems=[Problem(Code.RATE_LIMITED, message)])
    except UnavailableError:
        message = "Nothing was done, for the event log is out of reach. Try again."
        return Ran(problems=[Problem(Code.UNAVAILABLE, message)])
    except OutcomeUnknownError as error:
        return Ran(receipt=receipt(context, error.command_id, {}, ReceiptStatus.UNKNOWN, None))


def _go_on(context: RequestContext) -> None:
    """What earlier mutations of the same operation recorded is seen by this one's answer, and nothing that was read for theirs stands for it."""
    recorded = context.loaders.get(_RECORDED)
    context.loaders.clear()
    if isinstance(recorded, dict):
        context.seen = merged(context.seen, recorded)


def accepted(context: RequestContext, asked: Context, *results: Result) -> CommandReceipt:
    """The receipt of a command, and of those that followed from it."""
    context.services.live.expect()
    recorded = [event.recorded_at for result in results for event in result.outcome.events]
    positions = merged(*(result.outcome.positions for result in results))
    context.loaders[_RECORDED] = positions
    return receipt(context, asked.command_id, positions, ReceiptStatus.ACCEPTED, max(recorded, default=asked.now))


async def look_at_post(context: RequestContext, result: Result, post: str) -> PostView | Tombstone | None:
    """A post as the command left it; None where the documents are out of reach, or the post has not come there yet."""
    sight = await _look(context, result, lambda sight: post in sight.posts, post=post)
    return None if sight is None else show_post(sight, post)


async def look_at_person(context: RequestContext, result: Result, person: str) -> User | None:
    """A person as the command left them; None as for a post."""
    sight = await _look(context, result, lambda sight: person in sight.people, person=person)
    view = None if sight is None else show_person(sight, person)
    return None if view is None else present_user(viewer_of(context), view)


async def _look(
    context: RequestContext,
    result: Result,
    there: Callable[[Sight], bool],
    *,
    post: str | None = None,
    person: str | None = None,
) -> Sight | None:
    """What the command's own events do not bring may not have been folded yet: then once more, when it has. Of a repeat, which has none, nothing is known
    before what it repeats was folded; nor of lists below, whichever it was."""
    seen = merged(context.seen, result.outcome.positions)
    if not result.outcome.events:
        context.seen = seen
    await consistent(context, SHOWN, LOOK)
    context.seen = seen
    try:
        async with asyncio.timeout(LOOK):
            sight = await _read(context, result, post, person)
            if there(sight):
                return sight
            await context.services.waiting.reached(SHOWN, result.outcome.positions)
            sight = await _read(context, result, post, person)
            return sight if there(sight) else None
    except (UnavailableError, TimeoutError):
        return None


async def _read(context: RequestContext, result: Result, post: str | None, person: str | None) -> Sight:
    documents = context.services.documents
    viewer = viewer_of(context)
    ahead = await foresee(documents, viewer, result.outcome.events)
    known = [ahead.posts[post]] if post is not None and post in ahead.posts else []
    posts = [post] if post is not None and not known else []
    people = [person] if person is not None else []
    return (await hydrate(documents, viewer, posts=posts, people=people, known=known)).joined(ahead)
