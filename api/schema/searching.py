"""Search for posts, people and hashtags."""

from typing import Annotated

import strawberry

from api.context import RequestContext
from api.schema.consistency import SEARCH, consistent
from api.schema.enums import SearchType
from api.schema.pages import Connection, connection, list_name, window
from api.schema.social import Post, User, present_post, present_user, viewer_of
from domain.errors import Code, refuse
from projections import rules, searching
from projections.paging import Window
from projections.searching import QueryError

MAX_SUGGESTIONS = 20

QueryArgument = Annotated[
    str,
    strawberry.argument(
        description="Posts: words that all must be there, and `from:ann`, `tag:tea` or `#tea`, `before:2026-01-31`, `after:2026-01-01`, `language:en`. People: what a handle and words of a name begin with. Hashtags: what they begin with."
    ),
]
TypeArgument = Annotated[
    SearchType, strawberry.argument(description="What to look for. People and hashtags are read forwards only.")
]
BeginningArgument = Annotated[
    str, strawberry.argument(description="What a handle, words of a name or, after #, a hashtag begin with.")
]
SuggestionsArgument = Annotated[int, strawberry.argument(description="How many, 1 to 20.")]


@strawberry.type(description="A hashtag that public posts have.")
class Hashtag:
    name: str = strawberry.field(description="Its folded name, without #: give it to `hashtagFeed`.")


SearchResult = Annotated[
    Post | User | Hashtag, strawberry.union("SearchResult", description="What was found: of the type asked for.")
]
Suggestion = Annotated[
    User | Hashtag, strawberry.union("Suggestion", description="Somebody or something that begins so.")
]


async def search(
    context: RequestContext,
    query: str,
    type_: SearchType,
    first: int | None,
    after: str | None,
    last: int | None,
    before: str | None,
) -> Connection[SearchResult]:
    services, viewer = context.services, viewer_of(context)
    if len(query.encode()) > services.limits.search_bytes:
        raise refuse(Code.TOO_LONG, f"A query has at most {services.limits.search_bytes} bytes.", "query")
    name = list_name(viewer, "search", type_.name, query)
    asked = window(services.signer, name, first=first, after=after, last=last, before=before)
    if asked.backward and type_ is not SearchType.POST:
        raise refuse(Code.INVALID, "People and hashtags are read forwards only: ask for first and after.", "last")
    await consistent(context, SEARCH)
    try:
        return await _found(context, viewer, query, type_, asked, name)
    except QueryError as error:
        raise refuse(Code.INVALID, str(error), "query") from None


async def _found(
    context: RequestContext, viewer: str | None, query: str, type_: SearchType, asked: Window, name: str
) -> Connection[SearchResult]:
    documents, signer = context.services.documents, context.services.signer
    if type_ is SearchType.USER:
        people = await searching.search_people(documents, viewer, query, asked)
        return connection(signer, name, people, lambda view: present_user(viewer, view))
    if type_ is SearchType.TAG:
        tags = await searching.search_tags(documents, query, asked)
        return connection(signer, name, tags, lambda tag: Hashtag(name=tag))
    posts = await searching.search_posts(documents, viewer, searching.parse(query), asked)
    return connection(signer, name, posts, lambda view: _post(viewer, view))


def _post(viewer: str | None, view: rules.PostView) -> Post:
    post = present_post(viewer, view)
    if not isinstance(post, Post):
        raise TypeError("a post that is shown is a post")
    return post


async def typeahead(context: RequestContext, query: str, first: int) -> list[Suggestion]:
    """None for what nothing can begin with: whoever types is not to be corrected."""
    services, viewer = context.services, viewer_of(context)
    if not 1 <= first <= MAX_SUGGESTIONS:
        raise refuse(Code.INVALID, f"first is from 1 to {MAX_SUGGESTIONS}.", "first")
    await consistent(context, SEARCH)
    try:
        if query.lstrip().startswith(("#", "\uff03")):
            tags = await searching.search_tags(services.documents, query, Window(first))
            return [Hashtag(name=item.node) for item in tags.items]
        # Few of those who are looked at may fit all that was typed, and there is no next page.
        people = await searching.search_people(services.documents, viewer, query, Window(MAX_SUGGESTIONS))
        return [present_user(viewer, item.node) for item in people.items[:first]]
    except QueryError:
        return []
