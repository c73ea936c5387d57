"""Reactors: policies (event → commands) carried through the log like a family, with a checkpoint of their own.

A command's id is a function of the event and the policy, and its decider does nothing when its cause no longer holds: redelivery changes nothing.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Final

from domain.commands import Command
from domain.envelope import Recorded
from domain.errors import OutcomeUnknownError, OverloadedError, UnavailableError
from domain.policies import Policy
from projections.runtime.applying import Slots, event_fault
from projections.runtime.deadletters import Letter, Parking, Stage
from projections.runtime.faults import describe

COMMANDS: Final = 64
"""What ends a batch: so many may be sent again after a crash."""


@dataclass(frozen=True, slots=True)
class Cause:
    """Why a reactor sends a command; the metadata of what it appends says so."""

    command_id: str
    causation_id: str
    correlation_id: str
    traceparent: str | None


Perform = Callable[[Command, Cause], Awaitable[object]]
"""Has the command handled (``EventLog.execute``); what it raises parks the event, unless the log is only out of reach or overloaded."""


def reactor_name(policy: Policy) -> str:
    """Its checkpoint's name, apart from every family's."""
    return f"reactor.{policy.name}"


def cause(recorded: Recorded, policy: Policy, index: int) -> Cause:
    """The ``index``-th command (from 0) that a policy answers an event with."""
    command_id = f"{recorded.event_id}.{policy.name}" + (f".{index}" if index else "")
    metadata = recorded.metadata
    return Cause(command_id, recorded.event_id, metadata.correlation_id or metadata.command_id, metadata.traceparent)


class Reacting:
    """A policy as a runner's consumer."""

    def __init__(self, policy: Policy, perform: Perform, slots: Slots, ensure: Callable[[], None]) -> None:
        self.name = reactor_name(policy)
        self.follows: tuple[str, ...] = ()
        self._policy = policy
        self._perform = perform
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
        stage = Stage.FOLD
        try:
            commands = self._policy.react(recorded)
            stage = Stage.PERFORM
            if commands:
                await self._send(recorded, commands)
            return len(commands)
        except Exception as error:
            if not event_fault(error):
                raise
            self._ensure()
            await parking.park([Letter(recorded, stage, describe(error))])
            return 0

    async def _send(self, recorded: Recorded, commands: Sequence[Command]) -> None:
        async with self._slots.slow(self.name):
            for index, command in enumerate(commands):
                self._ensure()
                try:
                    await self._perform(command, cause(recorded, self._policy, index))
                except (OverloadedError, OutcomeUnknownError) as error:
                    # Either may be sent again: the command's id and its decider make the second time nothing.
                    raise UnavailableError(f"the log did not take {type(command).__name__} yet") from error
