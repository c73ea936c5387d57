"""Reactors: policies (event → commands) carried through the log like a family, with a checkpoint of their own.

A command's id is a function of the event and the policy, and its decider does nothing when its cause no longer holds: redelivery changes nothing.
A *cascade* is a policy whose commands are found in documents, page by page: what a crash cuts short begins anew, and finds what is left.
"""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Final

from domain.commands import Command
from domain.envelope import Recorded
from domain.errors import OutcomeUnknownError, OverloadedError, UnavailableError
from domain.events import Event
from domain.log.port import EventLog
from domain.policies import Policy
from projections.documents.port import Documents
from projections.documents.rules import steps
from projections.runtime.applying import Slots, event_fault
from projections.runtime.deadletters import Letter, Parking, Stage
from projections.runtime.faults import describe

COMMANDS: Final = 64
"""What ends a batch: so many may be sent again after a crash."""


TOGETHER: Final = 16
"""Commands of a cascade's page that are sent at once."""


Page = Sequence[tuple[str, Command]]
"""Commands that do not depend on one another, each under a key of its own."""


@dataclass(frozen=True, slots=True)
class Cascade:
    """``react`` answers an event of a ``kinds`` class with pages of commands, from what it finds in the log's heads and the documents; the next page is
    asked for when the last is done. It may raise UnavailableError, to be asked again later. ``follows`` are families that it must not overtake."""

    name: str
    kinds: tuple[type[Event], ...]
    react: Callable[[Recorded, EventLog, Documents], AsyncGenerator[Page, None]]
    follows: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Cause:
    """Why a reactor sends a command; the metadata of what it appends says so."""

    command_id: str
    causation_id: str
    correlation_id: str
    traceparent: str | None


Perform = Callable[[Command, Cause], Awaitable[object]]
"""Has the command handled (``EventLog.execute``); what it raises parks the event, unless the log is only out of reach or overloaded."""


def reactor_name(policy: Policy | Cascade) -> str:
    """Its checkpoint's name, apart from every family's."""
    return f"reactor.{policy.name}"


def cause(recorded: Recorded, policy: Policy | Cascade, key: str) -> Cause:
    """Of the command with this key among those that a policy answers an event with."""
    command_id = f"{recorded.event_id}.{policy.name}" + (f".{key}" if key else "")
    metadata = recorded.metadata
    return Cause(command_id, recorded.event_id, metadata.correlation_id or metadata.command_id, metadata.traceparent)


class Reacting:
    """A policy or a cascade as a runner's consumer."""

    def __init__(
        self,
        policy: Policy | Cascade,
        perform: Perform,
        log: EventLog,
        documents: Documents,
        slots: Slots,
        ensure: Callable[[], None],
    ) -> None:
        self.name = reactor_name(policy)
        self.follows: tuple[str, ...] = policy.follows if isinstance(policy, Cascade) else ()
        self._policy = policy
        self._perform = perform
        self._log = log
        self._documents = documents
        self._slots = slots
        self._ensure = ensure

    async def consume(self, events: Sequence[Recorded], parking: Parking) -> int:
        sent, upto = 0, 0
        for recorded in events:
            sent += await self._take(recorded, parking)
            upto = recorded.sequence
            if sent >= COMMANDS:
                break
        return upto

    async def _take(self, recorded: Recorded, parking: Parking) -> int:
        """How many commands were sent."""
        if parking.holds(recorded):
            await parking.park([Letter(recorded, Stage.PARKED)])
            return 0
        if parking.skips(recorded):
            return 0
        stage = Stage.FOLD
        sent = 0
        try:
            pages = self._answer(recorded)
            if pages is None:
                return 0
            async with aclosing(pages):
                async for page in pages:
                    stage = Stage.PERFORM
                    await self._send(recorded, page)
                    sent += len(page)
            return sent
        except Exception as error:
            if not event_fault(error):
                raise
            self._ensure()
            await parking.park([Letter(recorded, stage, describe(error))])
            return 0

    def _answer(self, recorded: Recorded) -> AsyncGenerator[Page, None] | None:
        """None for most events, at little cost: every reactor is shown all of them."""
        if isinstance(self._policy, Cascade):
            concerned = isinstance(recorded.event, self._policy.kinds)
            return self._policy.react(recorded, self._log, self._documents) if concerned else None
        commands = self._policy.react(recorded)
        return _one_by_one(commands) if commands else None

    async def _send(self, recorded: Recorded, page: Page) -> None:
        async with self._slots.slow(self.name):
            for some in steps(page, TOGETHER):
                self._ensure()
                sendings = (self._send_one(command, cause(recorded, self._policy, key)) for key, command in some)
                ends = await asyncio.gather(*sendings, return_exceptions=True)
                for end in ends:
                    if isinstance(end, BaseException):
                        raise end

    async def _send_one(self, command: Command, why: Cause) -> None:
        try:
            await self._perform(command, why)
        except (OverloadedError, OutcomeUnknownError) as error:
            # Either may be sent again: the command's id and its decider make the second time nothing.
            raise UnavailableError(f"the log did not take {type(command).__name__} yet") from error


async def _one_by_one(commands: Sequence[Command]) -> AsyncGenerator[Page, None]:
    """In their order: each when the one before it is done."""
    for index, command in enumerate(commands):
        yield [(str(index) if index else "", command)]
