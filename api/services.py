"""The composition root: every part that the API works with, opened from the settings and closed in the reverse order."""

import dataclasses
import os
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from functools import partial

from api.auth.access import AccessTokens
from api.auth.passwords import Passwords
from api.errands import Errands
from api.limits.budget import Budget
from api.live.rankings import Rankings
from api.live.room import Room
from api.live.router import Router
from api.secrets import Secrets, load_secrets
from api.settings import Settings
from api.signing import Signer
from api.stores import open_documents, open_log
from domain.ids import Entropy, Namer
from domain.limits import Limits
from domain.log.port import EventLog
from projections.documents.port import Documents
from projections.runtime.editions import Edition, Editions
from projections.runtime.runtime import Runtime
from projections.runtime.waiting import Waiting

HOUR = 3_600
SIGN_IN_WINDOW = 300
COMMANDS_FOLLOWED = 1_000
"""Subscriptions to commands in this process, each of which looks into the documents for itself."""
LAST_CALL = 6
"""Seconds that a call to a store may go on when its operation has run out of time."""


@dataclass(frozen=True, slots=True, repr=False)
class Services:
    """``now`` gives microseconds since the epoch, ``entropy(n)`` n unpredictable bytes; ``budget`` counts an hour's cost points, ``sign_ins`` five
    minutes' tries."""

    settings: Settings
    limits: Limits
    log: EventLog
    documents: Documents
    waiting: Waiting
    live: Router
    rankings: Rankings
    errands: Errands
    namer: Namer
    signer: Signer
    passwords: Passwords
    access_tokens: AccessTokens
    budget: Budget
    sign_ins: Budget
    entropy: Entropy
    now: Callable[[], int]
    editions: Editions
    runtime: Runtime | None = None
    presents: dict[int, "Services"] = field(default_factory=dict)
    commands_followed: Room = field(default_factory=partial(Room, COMMANDS_FOLLOWED))

    def at(self, edition: Edition) -> "Services":
        """These services over one version of each family, for one operation: a page that mixed two would be neither's."""
        if edition.documents is self.documents:
            return self
        found = self.presents.get(edition.number)
        if found is None:
            self.presents.clear()
            documents = edition.documents
            found = dataclasses.replace(self, documents=documents, waiting=Waiting(documents))
            self.presents[edition.number] = found
        return found

    async def close_presents(self) -> None:
        for present in self.presents.values():
            await present.waiting.close()


def system_now() -> int:
    return time.time_ns() // 1_000


@asynccontextmanager
async def open_services(
    settings: Settings, *, now: Callable[[], int] = system_now, entropy: Entropy = os.urandom
) -> AsyncIterator[Services]:
    """Opens the stores and closes them at the end. Raises SettingsError, or StoreError where a store is not there."""
    secrets = load_secrets(settings)
    async with AsyncExitStack() as stack:
        log = await open_log(settings, secrets)
        stack.push_async_callback(log.close)
        documents = await open_documents(settings)
        stack.push_async_callback(documents.close)
        services = compose(settings, secrets, log, documents, now=now, entropy=entropy)
        stack.callback(services.passwords.close)
        stack.push_async_callback(services.waiting.close)
        stack.push_async_callback(services.close_presents)
        stack.push_async_callback(services.live.close)
        stack.push_async_callback(services.errands.close)
        yield services


def compose(
    settings: Settings,
    secrets: Secrets,
    log: EventLog,
    documents: Documents,
    *,
    now: Callable[[], int],
    entropy: Entropy,
) -> Services:
    """Puts the parts together around open stores; no I/O."""
    return Services(
        settings=settings,
        limits=settings.domain_limits,
        log=log,
        documents=documents,
        waiting=Waiting(documents),
        live=Router(documents, log.identity.shards),
        rankings=Rankings(documents, now),
        errands=Errands(),
        namer=Namer(secrets.server_key),
        signer=Signer(secrets.token_keys, log.identity.log_id),
        passwords=Passwords(
            time_cost=settings.password_time_cost,
            memory_kib=settings.password_memory_kib,
            workers=settings.password_workers,
        ),
        access_tokens=AccessTokens(secrets.token_keys, life=settings.access_token_life, now=now),
        budget=Budget(limit=settings.cost_per_hour, window=HOUR, now=now),
        sign_ins=Budget(limit=settings.sign_ins_per_5_minutes, window=SIGN_IN_WINDOW, now=now),
        entropy=entropy,
        now=now,
        editions=Editions(documents, linger=settings.operation_timeout + LAST_CALL),
    )
