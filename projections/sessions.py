"""Sessions: those of an account that are open, and what ended them together. Sessions lie in the shard of their account."""

from collections.abc import Iterable

import msgspec

from domain.envelope import Recorded
from domain.events import AccountDeleted, AccountSessionsEnded, SessionOpened, SessionRefreshed, SessionRevoked
from projections.documents.port import After, Change, Collection, Document, Documents, Fidelity, Index, Shape, Value
from projections.folding import Alter, Family, Operation, on
from projections.keys import sort_key
from projections.paging import Item, Page, Window, bounded

SESSIONS = Collection(
    "sessions",
    "sessions",
    Shape.STATE,
    Fidelity.EXACT,
    # A session that was ended by itself lacks its key.
    (Index("by_account", ("account",), "key"),),
)
MARKS = Collection("sessions", "marks", Shape.STATE, Fidelity.EXACT)
"""By account: up to where its sessions have ended together."""

READ = 200
"""Sessions of one find."""


class SessionDoc(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """``opened`` is the sequence at which it was; times are in microseconds. ``user_agent`` is empty where none was told, or it was redacted."""

    id: str
    account: str
    opened: int
    created_at: int
    last_used_at: int
    expires_at: int
    user_agent: str = ""
    key: str = ""

    @property
    def cursor(self) -> After:
        return After(self.key, self.id)


class _Mark(msgspec.Struct, frozen=True, kw_only=True):
    ended: int = 0
    kept: str = ""

    def spares(self, session: SessionDoc) -> bool:
        return session.opened > self.ended or session.id == self.kept


def _opened(recorded: Recorded, event: SessionOpened) -> Iterable[Operation]:
    fields: dict[str, Value] = {
        "account": event.account,
        "opened": recorded.sequence,
        "createdAt": recorded.recorded_at,
        "lastUsedAt": recorded.recorded_at,
        "expiresAt": event.expires_at,
        "key": sort_key(recorded.recorded_at, event.session),
    }
    if event.private is not None:
        fields["userAgent"] = event.private.user_agent
    yield Alter(SESSIONS, event.session, Change(set=fields))


def _refreshed(recorded: Recorded, event: SessionRefreshed) -> Iterable[Operation]:
    fields = {"lastUsedAt": recorded.recorded_at, "expiresAt": event.expires_at}
    yield Alter(SESSIONS, event.session, Change(set=fields))


def _revoked(_: Recorded, event: SessionRevoked) -> Iterable[Operation]:
    yield Alter(SESSIONS, event.session, Change(set={"ended": True}, unset=("key", "userAgent")))


def _ended(recorded: Recorded, event: AccountSessionsEnded) -> Iterable[Operation]:
    yield Alter(MARKS, event.account, Change(set={"ended": recorded.sequence, "kept": event.kept or ""}))


def _deleted(recorded: Recorded, event: AccountDeleted) -> Iterable[Operation]:
    yield Alter(MARKS, event.account, Change(set={"ended": recorded.sequence, "kept": ""}))


FAMILY = Family(
    "sessions",
    (SESSIONS, MARKS),
    dict(
        (
            on(SessionOpened, _opened),
            on(SessionRefreshed, _refreshed),
            on(SessionRevoked, _revoked),
            on(AccountSessionsEnded, _ended),
            on(AccountDeleted, _deleted),
        )
    ),
)


def _as_session(id_: str, document: Document) -> SessionDoc:
    return msgspec.convert({**document, "id": id_}, SessionDoc)


async def _mark_of(documents: Documents, account: str) -> _Mark:
    return msgspec.convert((await documents.get(MARKS, [account])).get(account, {}), _Mark)


async def sessions_page(documents: Documents, account: str, window: Window, now: int) -> Page[SessionDoc]:
    """An account's open sessions at ``now`` (microseconds), the newest first. Two finds, more where many have ended together."""
    mark = await _mark_of(documents, account)
    shown: list[SessionDoc] = []
    after, more = window.after, True
    while more and len(shown) <= window.first:
        found = await documents.page(
            SESSIONS, "by_account", [account], after=after, limit=READ, reverse=not window.backward
        )
        read = [_as_session(row.id, row.fields) for row in found]
        shown += [session for session in read if session.expires_at > now and mark.spares(session)]
        more = len(read) == READ
        after = read[-1].cursor if read else after
    items = [Item(session.cursor, session) for session in shown[: window.first]]
    return bounded(items, items[-1].cursor if items else window.after, len(shown) > window.first, window)


async def session_is_open(documents: Documents, account: str, session: str) -> bool:
    """Whether the session has not been ended; one that is not known yet is open. Two finds."""
    found = (await documents.get(SESSIONS, [session])).get(session)
    if found is None or "account" not in found:
        return True
    if found.get("ended") is True:
        return False
    return (await _mark_of(documents, account)).spares(_as_session(session, found))
