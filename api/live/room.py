"""Room: how many streams of a kind one process has open at most."""

from collections.abc import Iterator
from contextlib import contextmanager

from domain.errors import UnavailableError


class Room:
    def __init__(self, most: int) -> None:
        self._most = most
        self._taken = 0

    @contextmanager
    def taken(self) -> Iterator[None]:
        """One place, for as long as it lasts. Raises UnavailableError where there is none."""
        if self._taken >= self._most:
            raise UnavailableError("Too many follow commands here at the moment: ask again in a little while.")
        self._taken += 1
        try:
            yield
        finally:
            self._taken -= 1
