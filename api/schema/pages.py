"""Relay pages: arguments checked, cursors bound to their list, what was read presented as a connection."""

from collections.abc import Callable
from typing import Annotated, Final, Generic, TypeVar

import strawberry

from api.signing import Signer
from domain.errors import Code, Refusal, refuse
from projections.documents.port import After
from projections.paging import Page, Window

T = TypeVar("T")
R = TypeVar("R")

DEFAULT_PAGE: Final = 20
MAX_PAGE: Final = 100

First = Annotated[
    int | None,
    strawberry.argument(description="How many to read from the beginning, 1 to 100. 20 where nothing else is said."),
]
AfterCursor = Annotated[str | None, strawberry.argument(description="Read what comes after this cursor.")]
Last = Annotated[int | None, strawberry.argument(description="How many to read from the end, 1 to 100.")]
BeforeCursor = Annotated[
    str | None, strawberry.argument(description="Goes with `last`: read what comes before this cursor.")
]


@strawberry.type(description="Where a page lies in its list.")
class PageInfo:
    has_next_page: bool = strawberry.field(description="Whether there may be more after `endCursor`.")
    has_previous_page: bool = strawberry.field(description="Whether there may be more before `startCursor`.")
    start_cursor: str | None = strawberry.field(description="Where the page begins: give it as `before`.")
    end_cursor: str | None = strawberry.field(description="Where the page ends: give it as `after` to go on.")


@strawberry.type(description="A node and its place in the list.")
class Edge(Generic[T]):
    cursor: str = strawberry.field(description="The place of this edge, good for this list only.")
    node: T = strawberry.field(description="What stands here.")


@strawberry.type(description="A page of a list.")
class Connection(Generic[T]):
    edges: list[Edge[T]] = strawberry.field(description="The nodes with their cursors.")
    nodes: list[T] = strawberry.field(description="The nodes alone.")
    page_info: PageInfo = strawberry.field(description="Where this page lies.")


def list_name(viewer: str | None, *parts: str) -> str:
    """What the cursors of a list are bound to: who reads it, which list it is, and its arguments."""
    # Lengths keep ("ab", "c") and ("a", "bc") apart.
    return "".join(f"{len(part)}:{part}" for part in (viewer or "", *parts))


def window(
    signer: Signer,
    name: str,
    *,
    first: int | None,
    after: str | None,
    last: int | None = None,
    before: str | None = None,
) -> Window:
    """The page that the arguments ask for. Refusal INVALID for sizes that cannot be, CURSOR_INVALID for a cursor of another list."""
    if last is None and before is None:
        return Window(_size(first, "first"), _place(signer, name, after, "after"))
    if first is not None or after is not None:
        raise refuse(Code.INVALID, "Ask either for first and after, or for last and before.", "last")
    if last is None:
        raise refuse(Code.INVALID, "before goes with last.", "before")
    return Window(_size(last, "last"), _place(signer, name, before, "before"), backward=True)


def _size(asked: int | None, argument: str) -> int:
    size = DEFAULT_PAGE if asked is None else asked
    if not 1 <= size <= MAX_PAGE:
        raise refuse(Code.INVALID, f"{argument} is from 1 to {MAX_PAGE}.", argument)
    return size


def _place(signer: Signer, name: str, cursor: str | None, argument: str) -> After | None:
    if cursor is None:
        return None
    try:
        return After(*signer.read_cursor(name, cursor))
    except Refusal as refusal:
        message = (
            "This is no cursor of this list: it is good for the list, its arguments and the person it was given to."
        )
        raise refuse(refusal.problems[0].code, message, argument) from None


def edges(signer: Signer, name: str, page: Page[R], present: Callable[[R], T]) -> list[Edge[T]]:
    return [
        Edge(cursor=signer.sign_cursor(name, item.cursor.sort, item.cursor.id), node=present(item.node))
        for item in page.items
    ]


def page_info(signer: Signer, name: str, page: Page[R]) -> PageInfo:
    """Its cursors may lie beyond the outermost edges: past what the viewer may not see."""

    def sign(place: After | None) -> str | None:
        return None if place is None else signer.sign_cursor(name, place.sort, place.id)

    return PageInfo(
        has_next_page=page.has_next,
        has_previous_page=page.has_previous,
        start_cursor=sign(page.start),
        end_cursor=sign(page.end),
    )


def connection(signer: Signer, name: str, page: Page[R], present: Callable[[R], T]) -> Connection[T]:
    found = edges(signer, name, page, present)
    return Connection(edges=found, nodes=[edge.node for edge in found], page_info=page_info(signer, name, page))
