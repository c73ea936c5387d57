"""The schema as a client developer finds it: everything described, the names that were promised, bounded lists, and one payload shape."""

import pytest
from graphql import (
    GraphQLEnumType,
    GraphQLInputObjectType,
    GraphQLInterfaceType,
    GraphQLObjectType,
    GraphQLSchema,
    get_named_type,
)

from api.schema.enums import ErrorCode
from api.schema.schema import schema
from domain.errors import Code
from domain.handlers.posts import VISIBILITIES
from projections.homefeed import FeedState
from projections.runtime.progress import State
from projections.trends import TrendKind, TrendWindow

BUILT: GraphQLSchema = schema._schema

NAMES = {
    "Query": "viewer user post node nodes hashtagFeed trends handleAvailable instance rateLimit commandStatus projectionStatus",
    "Mutation": "registerAccount signIn refreshSession signOut revokeSession changePassword updateProfile changeHandle deactivateAccount reactivateAccount deleteAccount createPost editPost deletePost likePost unlikePost repost undoRepost followUser unfollowUser removeFollower acceptFollow rejectFollow blockUser unblockUser muteUser unmuteUser",
    "Subscription": "homeFeed publicFeed hashtagFeed notifications post trends commandStatus",
    "Viewer": "user homeFeed sessions blocks mutes followRequests",
    "Post": "id author text facets language visibility contentWarning replyTo root createdAt editedAt counts viewer replies",
    "PostCounts": "replies reposts quotes likes bookmarks",
    "PostViewerState": "liked reposted canEdit",
    "User": "id handle displayName bio bioFacets fields avatar banner locked counts posts followers following viewer knownFollowers",
    "UserCounts": "followers following posts",
    "UserViewerState": "following followedBy requested requestedBy blocking blockedBy muting mutedUntil showsReposts notifies",
    "FeedItem": "id post reason sortAt",
    "HomeFeedConnection": "edges nodes pageInfo state liveCursor",
    "FeedItemAdded": "cursor item",
    "FeedItemUpdated": "cursor item",
    "FeedItemRemoved": "cursor item",
    "Lagged": "cursor count",
    "TrendConnection": "edges nodes pageInfo liveCursor",
    "TrendAdded": "cursor trend",
    "TrendUpdated": "cursor trend",
    "TrendRemoved": "cursor id",
    "Session": "accessToken refreshToken expiresAt",
    "CommandReceipt": "commandId position status acceptedAt",
    "UserError": "message code field",
    "Trend": "kind subject score rank previousRank history startedAt",
    "Instance": "name version limits",
    "RegisterAccountInput": "handle email password displayName idempotencyKey clientMutationId",
    "SignInInput": "handleOrEmail password",
    "CreatePostInput": "text replyTo visibility language contentWarning idempotencyKey clientMutationId",
    "FollowUserInput": "userId reposts notify",
    "MuteUserInput": "userId until",
    "PostBlocked": "id",
    "PageInfo": "hasNextPage hasPreviousPage startCursor endCursor",
}


def undescribed() -> list[str]:
    found = []
    for name, type_ in BUILT.type_map.items():
        if name.startswith("__"):
            continue
        if not type_.description:
            found.append(name)
        if isinstance(type_, GraphQLEnumType):
            found += [f"{name}.{value}" for value, member in type_.values.items() if not member.description]
        if isinstance(type_, GraphQLObjectType | GraphQLInterfaceType | GraphQLInputObjectType):
            found += [f"{name}.{field}" for field, its in type_.fields.items() if not its.description]
        if isinstance(type_, GraphQLObjectType):
            for field, its in type_.fields.items():
                found += [f"{name}.{field}({arg})" for arg, own in its.args.items() if not own.description]
    return found


def test_everything_is_described() -> None:
    assert undescribed() == []


@pytest.mark.parametrize("name", NAMES)
def test_the_promised_names_are_there(name: str) -> None:
    type_ = BUILT.type_map[name]
    assert isinstance(type_, GraphQLObjectType | GraphQLInputObjectType)
    assert set(NAMES[name].split()) <= set(type_.fields)


def test_every_mutation_has_one_input_and_one_payload_of_the_same_shape() -> None:
    assert BUILT.mutation_type is not None
    for name, field in BUILT.mutation_type.fields.items():
        titled = name[0].upper() + name[1:]
        assert {arg: str(own.type) for arg, own in field.args.items()} == {"input": f"{titled}Input!"}
        assert str(field.type) == f"{titled}Payload!"
        payload, given = BUILT.type_map[f"{titled}Payload"], BUILT.type_map[f"{titled}Input"]
        assert isinstance(payload, GraphQLObjectType)
        assert isinstance(given, GraphQLInputObjectType)
        assert "clientMutationId" in given.fields
        shape = {field: str(payload.fields[field].type) for field in ("userErrors", "receipt", "changed")}
        assert shape == {"userErrors": "[UserError!]!", "receipt": "CommandReceipt", "changed": "Boolean!"}
        # A payload's objects may be out of reach while the mutation stands.
        others = set(payload.fields) - set(shape) - {"clientMutationId"}
        assert not [field for field in others if str(payload.fields[field].type).endswith("!")]


def test_every_list_that_can_grow_is_a_connection() -> None:
    for type_ in BUILT.type_map.values():
        if isinstance(type_, GraphQLObjectType) and type_.name.endswith("Connection"):
            assert {"edges", "nodes", "pageInfo"} <= set(type_.fields)
            edge = get_named_type(type_.fields["edges"].type)
            assert isinstance(edge, GraphQLObjectType)
            assert {"cursor", "node"} <= set(edge.fields)
        if isinstance(type_, GraphQLObjectType) and type_.name != "Subscription":
            for field in type_.fields.values():
                if str(field.type).rstrip("!").endswith("Connection"):
                    assert {"first", "after"} <= set(field.args)


def test_enums_hold_what_the_inner_rooms_give() -> None:
    assert {code.name for code in ErrorCode} == {code.name for code in Code}
    for name, members in {
        "Visibility": VISIBILITIES,
        "FeedState": [state.name for state in FeedState],
        "ProjectionState": [state.name for state in State],
        "TrendKind": [kind.name for kind in TrendKind],
        "TrendWindow": [window.name for window in TrendWindow],
        "FacetKind": ["MENTION", "TAG", "LINK"],
    }.items():
        enum = BUILT.type_map[name]
        assert isinstance(enum, GraphQLEnumType)
        assert set(enum.values) == set(members)


def test_the_file_is_stable() -> None:
    assert schema.as_str() == schema.as_str()
