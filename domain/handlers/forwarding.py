"""Where a log may have a command run in another process, it is handed the command and not only what its handler decides."""

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable
from typing import Any

from domain.commands import Command
from domain.context import Context
from domain.handlers.result import Result
from domain.log.port import EventLog

Handler = Callable[[EventLog, Any, Context], Awaitable[Result]]


class Forwarding(ABC):
    """Runs commands here or elsewhere, with the same results and refusals."""

    @abstractmethod
    async def run(self, handler: Handler, command: Command, context: Context) -> Result:
        """What ``handler(log, command, context)`` gives or raises; OutcomeUnknownError where the command went away and no answer came."""
