"""Foresight: an event counts once in the answer to its command, whether or not it has been folded."""

from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest

from api.schema.foresight import foresee
from domain.envelope import Metadata, Recorded
from domain.events import (
    AccountPrivate,
    AccountRegistered,
    Event,
    Followed,
    PostCreated,
    PostDeleted,
    PostEdited,
    PostLiked,
    PostPrivate,
    PostReposted,
)
from domain.ids import mint_id
from projections import accounts, posts, viewer_edges
from projections.documents.port import Change, Collection, Doc, Documents
from projections.documents.sqlite import open_sqlite_documents
from projections.folding import Alter
from projections.sight import Sight

ANN, BOB, POST, REPLY = (mint_id(slot, lambda n: bytes(range(n))) for slot in (1, 2, 3, 4))
FAMILIES = (accounts.FAMILY, posts.FAMILY, viewer_edges.FAMILY)


def registered(account: str) -> AccountRegistered:
    private = AccountPrivate(handle=account[:3], email="e", password_hash="")
    return AccountRegistered(
        account=account, handle_claim="h", email_claim="e", email_claim_stream="s", private=private
    )


def recorded(event: Event, position: int, shard: int = 0) -> Recorded:
    return Recorded(
        event_id=f"e{position}",
        stream="post-x",
        version=1,
        event=event,
        metadata=Metadata(command_id="c"),
        occurred_at=position,
        recorded_at=position,
        attempt_id="a",
        generation=0,
        shard=shard,
        position=position,
    )


async def fold(documents: Documents, events: Sequence[Recorded]) -> None:
    for one in events:
        for family in FAMILIES:
            changes: dict[tuple[Collection, str], list[Change]] = {}
            for operation in family.fold(one):
                assert isinstance(operation, Alter)
                changes.setdefault((operation.collection, operation.id), []).append(operation.change)
            for (collection, id_), own in changes.items():
                await documents.apply(collection, [Doc(id_, one.shard, ((one.sequence, tuple(own)),))])


@pytest.fixture
async def documents(tmp_path: Path) -> AsyncIterator[Documents]:
    store = await open_sqlite_documents(tmp_path / "documents.db")
    await store.prepare([collection for family in FAMILIES for collection in family.collections])
    yield store
    await store.close()


CREATED = PostCreated(post=POST, author=ANN, root=POST, private=PostPrivate(text="first"))
BEFORE = (registered(ANN), registered(BOB), CREATED)
COMMANDS: dict[str, tuple[Event, ...]] = {
    "register": (registered(REPLY),),
    "like": (PostLiked(post=POST, author=ANN, actor=BOB),),
    "repost": (PostReposted(actor=BOB, post=POST, author=ANN),),
    "follow": (Followed(follower=BOB, followee=ANN),),
    "reply": (PostCreated(post=REPLY, author=BOB, root=POST, reply_to=POST, private=PostPrivate(text="reply")),),
    "edit": (
        PostEdited(post=POST, author=ANN, visibility="PUBLIC", sort_at=3, revision=2, private=PostPrivate(text="2nd")),
    ),
    "delete": (PostDeleted(post=POST, author=ANN),),
    "two at once": (
        PostLiked(post=POST, author=ANN, actor=BOB),
        PostReposted(actor=BOB, post=POST, author=ANN),
    ),
}


@pytest.mark.parametrize("name", COMMANDS)
async def test_an_event_counts_once(documents: Documents, name: str) -> None:
    await fold(documents, [recorded(event, position) for position, event in enumerate(BEFORE, 1)])
    own = [recorded(event, position) for position, event in enumerate(COMMANDS[name], 10)]
    foreseen = [await foresee(documents, BOB, own)]
    for one in own:
        await fold(documents, [one])
        foreseen.append(await foresee(documents, BOB, own))
    assert all(sight == foreseen[0] for sight in foreseen)
    assert foreseen[0] != Sight(viewer=BOB)


async def test_what_others_did_is_there_as_far_as_it_is_folded(documents: Documents) -> None:
    await fold(documents, [recorded(event, position) for position, event in enumerate(BEFORE, 1)])
    await fold(documents, [recorded(PostLiked(post=POST, author=ANN, actor=ANN), 4)])
    sight = await foresee(documents, BOB, [recorded(PostLiked(post=POST, author=ANN, actor=BOB), 6)])
    assert sight.posts[POST].counts.likes == 2
    assert sight.posts[POST].text == "first"
    assert sight.edges[BOB, POST].liked


async def test_a_post_that_is_not_there_yet_is_not_made_up(documents: Documents) -> None:
    sight = await foresee(documents, BOB, [recorded(PostLiked(post=POST, author=ANN, actor=BOB), 6)])
    assert POST not in sight.posts
    assert sight.edges[BOB, POST].liked
    assert await documents.get(posts.POSTS, [POST]) == {}
