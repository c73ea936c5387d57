"""Upcasters: what brings a stored event of an older schema version up to today's, on read. Stored bytes never change.

An upcaster for ``(name, n)`` takes the event as raw JSON values at version n and returns it at version n + 1. The sealed part stands under
``"private"``, None where it is redacted, so that what was typed may move between the open and the sealed part.
"""

from collections.abc import Callable, Mapping
from typing import Final

from domain.errors import UnknownEventError

Raw = dict[str, object]
Upcaster = Callable[[Raw], Raw]

UPCASTERS: Final[dict[tuple[str, int], Upcaster]] = {}


def chain(name: str, stored: int, today: int, upcasters: Mapping[tuple[str, int], Upcaster]) -> tuple[Upcaster, ...]:
    """The steps from ``stored`` to ``today``, none where they are equal. Raises UnknownEventError where there is no way."""
    if stored > today:
        raise UnknownEventError(
            f"{name} v{stored} was stored by a newer Tidings, this one knows v{today}: deploy readers before writers"
        )
    missing = [version for version in range(stored, today) if (name, version) not in upcasters]
    if missing:
        raise UnknownEventError(f"{name} v{stored} is stored, and domain.upcasters has no step from v{missing[0]}")
    return tuple(upcasters[name, version] for version in range(stored, today))
