"""What verifies a log, whichever store it lies in."""

from collections.abc import Collection
from typing import Protocol

from domain.log.findings import Report
from domain.log.port import LogIdentity


class Verifier(Protocol):
    """Opened beside whatever else uses the log: it appends nothing, and runs nothing in the background."""

    @property
    def identity(self) -> LogIdentity: ...

    async def verify(self, report: Report, shards: Collection[int] | None = None, *, repair: bool = False) -> None:
        """Adds to ``report`` what is wrong with ``shards`` (None: all), as of heads that are read at the start. With ``repair`` what is derived from the log
        is mended where it is found wrong; rows of the log are never touched. Raises UnavailableError."""
        ...

    async def close(self) -> None: ...
