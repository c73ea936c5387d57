"""The schema, put together. Limits, caches and codes are the engine's (api.operations): it is the same for every transport."""

from typing import Final

import strawberry
from strawberry.schema.config import StrawberryConfig

from api.schema.mutations.accounts import AccountMutations
from api.schema.mutations.blocking import BlockingMutations
from api.schema.mutations.graph import GraphMutations
from api.schema.mutations.keeping import KeepingMutations
from api.schema.mutations.leaving import LeavingMutations
from api.schema.mutations.posts import PostMutations
from api.schema.mutations.profiles import ProfileMutations
from api.schema.mutations.reading import ReadingMutations
from api.schema.parts import PostBlocked, PostTombstone
from api.schema.queries import Query
from api.schema.scalars import DATE_TIME, Timestamp
from api.schema.social import Post, User
from api.schema.subscriptions import Subscription


@strawberry.type(description="What can be done. Expected failures are in `userErrors`.")
class Mutation(
    AccountMutations,
    ProfileMutations,
    LeavingMutations,
    PostMutations,
    KeepingMutations,
    ReadingMutations,
    GraphMutations,
    BlockingMutations,
):
    pass


schema: Final = strawberry.Schema(
    query=Query,
    mutation=Mutation,
    subscription=Subscription,
    types=[User, Post, PostTombstone, PostBlocked],
    # Not sort_schema: it makes plain enums of strawberry's own, which then neither take nor give members. The file is stable without it, for types are
    # printed by name and fields in the order of their declaration.
    config=StrawberryConfig(scalar_map={Timestamp: DATE_TIME}),
)
