"""Which versions a family has, and what becomes of them: one small fact of the documents for all families, changed by compare and set alone.

    filling ──► joined ──► live ──► retiring ──► dropping ──► gone
       └───────────┴────── aborted ──────────────────┘

*Filling*: a builder folds the log into it. *Joined*: the workers fold it beside the live one. *Retiring*: not live any more, but folded on until every
process has confirmed that it knows. *Dropping*: nobody reads or folds it. A version's number is never given to another. Each change has an *epoch*.
"""

from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import Final

import msgspec
from msgspec.structs import replace

from domain.errors import TidingsError
from domain.log.port import EventLog
from projections.documents.port import Documents
from projections.documents.rules import VERSIONS
from projections.folding import Family


class RebuildError(TidingsError):
    """A rebuild cannot begin, go on or end so; code REBUILD."""

    code = "REBUILD"


class Phase(StrEnum):
    FILLING = "filling"
    JOINED = "joined"


class Asker(StrEnum):
    """CODE: the family is new, or its folds have changed; the workers see to it."""

    OPERATOR = "operator"
    CODE = "code"


class Build(msgspec.Struct, frozen=True):
    """A version on its way. ``fold``: the family's fold version that fills it; ``began`` in microseconds since the epoch."""

    version: int
    fold: int
    by: Asker
    began: int
    phase: Phase = Phase.FILLING


class Standing(msgspec.Struct, frozen=True):
    """One family's versions. ``live`` 0: none yet. ``last``: the highest number ever given; ``fold`` is the live one's; ``since`` the epoch of the last
    change; ``skips`` counts what an operator has passed over (see skips), for the workers to look."""

    live: int = 1
    last: int = 1
    fold: int = 1
    build: Build | None = None
    retiring: int | None = None
    dropping: tuple[int, ...] = ()
    since: int = 0
    skips: int = 0

    @property
    def quiet(self) -> bool:
        """Whether nothing is on its way in or out."""
        return self.build is None and self.retiring is None and not self.dropping


class Versions(msgspec.Struct, frozen=True):
    epoch: int = 0
    families: Mapping[str, Standing] = {}

    def of(self, family: str) -> Standing:
        return self.families.get(family, ALONE)

    @property
    def live(self) -> Mapping[str, int]:
        return {family: standing.live for family, standing in self.families.items()}


ALONE: Final = Standing()
"""A family of which nothing is said."""


async def read_versions(documents: Documents) -> Versions:
    return msgspec.convert(await documents.get_meta(VERSIONS) or {}, Versions)


async def change(documents: Documents, family: str, step: Callable[[Standing], Standing]) -> Standing:
    """Makes ``step`` of the family's standing, whatever others change meanwhile, and gives the new one. ``step`` raises RebuildError to refuse."""
    while True:
        stored = await documents.get_meta(VERSIONS)
        before = msgspec.convert(stored or {}, Versions)
        after = step(before.of(family))
        if after == before.of(family) and family in before.families:
            return after
        epoch = before.epoch + 1
        after = replace(after, since=epoch)
        families = {**before.families, family: after}
        if await documents.swap_meta(VERSIONS, stored, msgspec.to_builtins(Versions(epoch, families))):
            return after


async def adopt(log: EventLog, documents: Documents, families: tuple[Family, ...]) -> None:
    """Enters families of which nothing is said: as they stand where they have been folded or there is nothing to fold, else as still to be filled."""
    known = (await read_versions(documents)).families
    for family in families:
        if family.name in known:
            continue
        if await documents.pinned({family.name: 1}).load_checkpoints(family.name):
            entered = ALONE
        else:
            heads = [await log.head(shard) for shard in range(log.identity.shards)]
            entered = Standing(fold=family.version) if not any(heads) else Standing(live=0, last=0, fold=0)
        await change(documents, family.name, lambda now, entered=entered: entered if now.since == 0 else now)  # type: ignore[misc]
    await documents.refresh()


def more_skips(standing: Standing) -> Standing:
    """One that the workers do not know of."""
    return replace(standing, skips=standing.skips + 1)


def begun(standing: Standing, fold: int, by: Asker, now: int) -> Standing:
    """With a version to fill."""
    if not standing.quiet:
        raise RebuildError("a rebuild is on its way; let it end, or abort it")
    version = standing.last + 1
    return replace(standing, last=version, build=Build(version, fold, by, now))


def joined(standing: Standing, version: int) -> Standing:
    build = require_building(standing, version)
    return replace(standing, build=replace(build, phase=Phase.JOINED))


def switched(standing: Standing, version: int) -> Standing:
    """Live."""
    build = require_building(standing, version)
    if build.phase is not Phase.JOINED:
        raise RebuildError(f"version {version} is not folded beside the live one yet")
    return replace(standing, live=version, fold=build.fold, build=None, retiring=standing.live or None)


def aborted(standing: Standing) -> Standing:
    if standing.build is None:
        raise RebuildError("there is no rebuild to abort")
    return replace(standing, build=None, dropping=(*standing.dropping, standing.build.version))


def retired(standing: Standing) -> Standing:
    if standing.retiring is None:
        return standing
    return replace(standing, retiring=None, dropping=(*standing.dropping, standing.retiring))


def dropped(standing: Standing, version: int) -> Standing:
    return replace(standing, dropping=tuple(one for one in standing.dropping if one != version))


def require_building(standing: Standing, version: int) -> Build:
    """RebuildError where it is not on its way any more."""
    if standing.build is None or standing.build.version != version:
        raise RebuildError(f"version {version} is not being built any more: the rebuild was aborted")
    return standing.build
