"""Keyset pages over lists that rules thin out: filled up by reading on, within a bound; opaque cursors are the edge's."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Final, Generic, Protocol, TypeVar

import msgspec

from projections.documents.port import After

ROUNDS: Final = 4
"""Finds of a skeleton that one page may take. What is hidden beyond that leaves the page short, with more to follow."""

T = TypeVar("T")


class Positioned(Protocol):
    """An entry of a skeleton: it knows its own place in the list."""

    @property
    def cursor(self) -> After: ...


S = TypeVar("S", bound=Positioned)
S_co = TypeVar("S_co", bound=Positioned, covariant=True)


class Window(msgspec.Struct, frozen=True):
    """What is asked for: ``first`` items (1 or more) past ``after`` in the list's own order; ``backward``: the last ``first`` before it."""

    first: int
    after: After | None = None
    backward: bool = False


class Item(msgspec.Struct, Generic[T], frozen=True):
    cursor: After
    node: T


class Page(msgspec.Struct, Generic[T], frozen=True):
    """``items`` in the list's own order. ``start`` and ``end`` are where to go on from, past what rules hid: they may lie beyond the outermost items,
    and a page may be short, even empty, while there is more that way."""

    items: Sequence[Item[T]]
    start: After | None
    end: After | None
    has_next: bool
    has_previous: bool


class Fetch(Protocol[S_co]):
    """Entries in the direction of the walk."""

    async def __call__(self, *, after: After | None, limit: int) -> Sequence[S_co]: ...


Resolve = Callable[[Sequence[S]], Awaitable[Sequence[T | None]]]
"""What becomes of each entry, None for what rules hide."""


async def fill(fetch: Fetch[S], resolve: Resolve[S, T], window: Window) -> Page[T]:
    """A page of a list, with at most ROUNDS rounds of one find and what resolving takes."""
    items: list[Item[T]] = []
    reached, more = window.after, True
    for _ in range(ROUNDS):
        found = await fetch(after=reached, limit=window.first + 1)
        more = len(found) > window.first
        found = found[: window.first]
        nodes = await resolve(found)
        items += [Item(entry.cursor, node) for entry, node in zip(found, nodes, strict=True) if node is not None]
        if len(items) > window.first:
            more = True
            items = items[: window.first]
            reached = items[-1].cursor
        elif found:
            reached = found[-1].cursor
        if len(items) == window.first or not more:
            break
    return bounded(items, reached, more, window)


def bounded(items: Sequence[Item[T]], reached: After | None, more: bool, window: Window) -> Page[T]:
    """The page whose walk got as far as ``reached``, with or without ``more`` behind that."""
    nearest = items[0].cursor if items else reached
    if window.backward:
        return Page(items[::-1], start=reached, end=nearest, has_next=window.after is not None, has_previous=more)
    return Page(items, start=nearest, end=reached, has_next=more, has_previous=window.after is not None)
