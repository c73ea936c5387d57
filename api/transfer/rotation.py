"""Rotation of the master key: every subject key that a retired one has wrapped is wrapped under the current one."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Final

from api.transfer.keys import stored_keys
from domain.log.archive import Archive
from domain.log.sealing import MasterKeys

_PAGE: Final = 64


@dataclass(slots=True)
class Rotation:
    """``current`` keys needed nothing, ``rewrapped`` were wrapped anew, ``destroyed`` hold none. ``left`` are those still under a retired master
    key, by its id; ``foreign`` those under a master key that is not set at all."""

    current: int = 0
    rewrapped: int = 0
    destroyed: int = 0
    left: dict[str, int] = field(default_factory=dict)
    foreign: dict[str, int] = field(default_factory=dict)

    @property
    def done(self) -> bool:
        """Whether no key needs a retired master key any more."""
        return not self.left and not self.foreign


async def rotate(
    archive: Archive, master: MasterKeys, progress: Callable[[int], None], found: Rotation, *, check: bool = False
) -> None:
    """One pass over all keys, counted in ``found``; with ``check`` it only counts. May be broken off and repeated at any time, beside running servers that have both keys:
    a subject's key stays the same, and one that is destroyed meanwhile stays destroyed."""
    async for page in stored_keys(archive, _PAGE):
        changes = []
        for key in page:
            if key.wrapped is None:
                found.destroyed += 1
            elif master.wraps(key.wrapped):
                found.current += 1
            elif not master.opens(key.wrapped):
                _count(found.foreign, master.id_in(key.wrapped))
            elif check:
                _count(found.left, master.id_in(key.wrapped))
            else:
                changes.append((key, master.wrap(key.subject, master.unwrap(key.subject, key.wrapped))))
        done = await archive.rewrap(changes) if changes else 0
        found.rewrapped += done
        # The others were destroyed meanwhile, or wrapped anew by another run.
        found.current += len(changes) - done
        progress(len(page))


def _count(counts: dict[str, int], master: str) -> None:
    counts[master] = counts.get(master, 0) + 1


def summary(found: Rotation) -> Iterator[str]:
    """What came of it, and what the operator may do next."""
    yield (
        f"{found.rewrapped:,} keys were wrapped anew, {found.current:,} were already under the current MASTER_KEY, "
        f"{found.destroyed:,} are destroyed."
    )
    for master, count in found.foreign.items():
        yield f"{count:,} keys are under master key {master}, which is not set: add it to MASTER_KEY, after a comma, and repeat."
    for master, count in found.left.items():
        yield f"{count:,} keys are still under the retired master key {master}: run `tidings secrets rotate-master`."
    if found.done:
        yield (
            "No key needs a retired master key. Once every process runs with the new MASTER_KEY in front, and a repeat of this command "
            "has found nothing to wrap, the retired ones may be dropped."
        )
