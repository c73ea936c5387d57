"""What can be asked for."""

from typing import Annotated

import strawberry

from api.schema import feeds, progress, searching, threads, trending
from api.schema.consistency import NAMES, SHOWN, Info, consistent
from api.schema.enums import SearchType, ThreadSort, TrendKind, TrendWindow
from api.schema.fields import asks_for, resolved
from api.schema.finding import find_posts, find_user
from api.schema.ids import Kind, kind_and_bare
from api.schema.instance import MAX_IDS, Instance, RateLimit, describe_instance, describe_standing
from api.schema.node import Node
from api.schema.nodes import find_nodes
from api.schema.pages import AfterCursor, BeforeCursor, Connection, First, Last
from api.schema.receipts import CommandReceipt
from api.schema.scalars import Timestamp
from api.schema.social import PostResult, User, present_user, viewer_of
from api.schema.viewer import Viewer, present_viewer
from domain.errors import Code, refuse
from domain.names import fold_handle, handle_claim, handle_problems
from projections import reading
from projections.claims import handle_is_free

Id = Annotated[strawberry.ID, strawberry.argument(description="A global id.")]
PostId = Annotated[strawberry.ID, strawberry.argument(description="The post.")]
Ids = Annotated[list[strawberry.ID], strawberry.argument(description="Global ids, up to 100.")]
MaybeId = Annotated[strawberry.ID | None, strawberry.argument(description="The person's id.")]
MaybeHandle = Annotated[str | None, strawberry.argument(description="The person's handle, with or without @.")]
Handle = Annotated[str, strawberry.argument(description="A handle, with or without @.")]
CommandId = Annotated[strawberry.ID, strawberry.argument(description="`receipt.commandId` of a mutation.")]
TagName = Annotated[str, strawberry.argument(description="The hashtag, with or without #, however it is spelt.")]
KindArgument = Annotated[TrendKind, strawberry.argument(description="What the trends are about.")]
WindowArgument = Annotated[TrendWindow, strawberry.argument(description="The time over which uses are counted.")]
AtArgument = Annotated[
    Timestamp | None,
    strawberry.argument(description="As it was then, up to seven days ago. Null: as it is."),
]


@strawberry.type(description="What can be asked for.")
class Query:
    @resolved("Whoever is signed in; an error UNAUTHENTICATED for guests.")
    def viewer(self, info: Info) -> Viewer | None:
        return present_viewer(info.context.require_viewer().account)

    @resolved("A person by id or by handle; null where there is none.")
    async def user(self, info: Info, id: MaybeId = None, handle: MaybeHandle = None) -> User | None:
        if (id is None) is (handle is None):
            raise refuse(Code.INVALID, "Name either an id or a handle.", "id")
        if id is not None:
            parsed = kind_and_bare(id)
            return await find_user(info.context, parsed[1]) if parsed and parsed[0] is Kind.USER else None
        context, viewer = info.context, viewer_of(info.context)
        folded = fold_handle(handle or "")
        if handle_problems(folded, context.services.limits):
            return None
        await consistent(context, SHOWN)
        view = await reading.see_person_by_handle(context.services.documents, viewer, folded)
        return None if view is None else present_user(viewer, view)

    @resolved(
        "A post by id, or what stands in its place where it was deleted or is behind a block; null where there is none, or none for the viewer."
    )
    async def post(self, info: Info, id: Id) -> PostResult | None:
        parsed = kind_and_bare(id)
        if parsed is None or parsed[0] is not Kind.POST:
            return None
        return (await find_posts(info.context, [parsed[1]])).get(parsed[1])

    @resolved(
        "A post with what it answers and what answers it; null where there is none, or none for the viewer. Nothing hangs on a post behind a block."
    )
    async def thread(
        self,
        info: Info,
        post_id: PostId,
        above: threads.AboveArgument = True,
        depth: threads.DepthArgument = 6,
        branching: threads.BranchingArgument = 10,
        sort: threads.SortArgument = ThreadSort.OLDEST,
    ) -> threads.Thread | None:
        return await threads.read(info.context, post_id, above=above, depth=depth, branching=branching, sort=sort)

    @resolved("Posts, people or hashtags; posts the newest first.")
    async def search(
        self,
        info: Info,
        query: searching.QueryArgument,
        type: searching.TypeArgument = SearchType.POST,
        first: First = None,
        after: AfterCursor = None,
        last: Last = None,
        before: BeforeCursor = None,
    ) -> Connection[searching.SearchResult]:
        return await searching.search(info.context, query, type, first, after, last, before)

    @resolved("Who or what begins so, for completion while somebody types; nothing for what nothing can begin with.")
    async def typeahead(
        self, info: Info, query: searching.BeginningArgument, first: searching.SuggestionsArgument = 10
    ) -> list[searching.Suggestion]:
        return await searching.typeahead(info.context, query, first)

    @resolved("Anything by its global id; null where there is nothing, or nothing for the viewer.")
    async def node(self, info: Info, id: Id) -> Node | None:
        return (await find_nodes(info.context, [id]))[0]

    @resolved("Several things by their global ids, in the order of these.")
    async def nodes(self, info: Info, ids: Ids) -> list[Node | None]:
        if len(ids) > MAX_IDS:
            raise refuse(Code.TOO_MANY, f"Up to {MAX_IDS} ids at a time.", "ids")
        return await find_nodes(info.context, ids)

    @resolved("Public posts of everybody that answer nothing, newest first.")
    async def public_feed(
        self,
        info: Info,
        first: First = None,
        after: AfterCursor = None,
        last: Last = None,
        before: BeforeCursor = None,
    ) -> feeds.FeedConnection:
        return await feeds.public_feed(info.context, first, after, last, before, live=asks_for(info, "liveCursor"))

    @resolved("Public posts with a hashtag, newest first.")
    async def hashtag_feed(
        self,
        info: Info,
        name: TagName,
        first: First = None,
        after: AfterCursor = None,
        last: Last = None,
        before: BeforeCursor = None,
    ) -> feeds.FeedConnection:
        live = asks_for(info, "liveCursor")
        return await feeds.hashtag_feed(info.context, name, first, after, last, before, live=live)

    @resolved("What more people than usual speak of, ranked anew each minute. Its cursors go on within one ranking.")
    async def trends(
        self,
        info: Info,
        kind: KindArgument = TrendKind.TAG,
        window: WindowArgument = TrendWindow.H24,
        at: AtArgument = None,
        first: First = None,
        after: AfterCursor = None,
        last: Last = None,
        before: BeforeCursor = None,
    ) -> trending.TrendConnection:
        return await trending.trends_connection(info.context, kind, window, at, first, after, last, before)

    @resolved(
        "Whether the viewer, or a newcomer, could have this handle now: nobody has it or one that looks like it, and it does not rest. Only `registerAccount` and `changeHandle` give it away for good."
    )
    async def handle_available(self, info: Info, handle: Handle) -> bool:
        folded = fold_handle(handle)
        problems = handle_problems(folded, info.context.services.limits)
        if problems:
            return False
        await consistent(info.context, NAMES)
        services = info.context.services
        claim = handle_claim(services.namer, folded)
        takeover = services.limits.claim_takeover * 1_000_000
        viewer = viewer_of(info.context)
        return await handle_is_free(services.documents, claim, folded, viewer, services.now(), takeover)

    @resolved("What runs here, and within which limits.")
    def instance(self, info: Info) -> Instance:
        return describe_instance(info.context)

    @resolved("What the client may still spend.")
    def rate_limit(self, info: Info) -> RateLimit:
        return describe_standing(info.context)

    @resolved("How far a command has come; null for what is no command's id. Known for a day.")
    async def command_status(self, info: Info, command_id: CommandId) -> CommandReceipt | None:
        return await progress.command_status(info.context, command_id, info.context.services.documents)

    @resolved("How far every projection has come. For those who are signed in.")
    async def projection_status(self, info: Info) -> list[progress.ProjectionStatus]:
        return await progress.projection_statuses(info.context)
