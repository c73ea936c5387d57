"""Lanes: which versions of which families a worker folds, and by which names they go on its board. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass

from projections.documents.rules import versioned
from projections.folding import Family
from projections.runtime.versions import Phase, Standing, Versions


@dataclass(frozen=True, slots=True)
class Lane:
    """``label``: the family's name for the live version."""

    family: Family
    version: int
    label: str


def lanes(versions: Versions, families: Sequence[Family]) -> Sequence[Lane]:
    """The live versions, those that have joined them, and those that are still read somewhere. Nobody's folds fill what another fold version has begun,
    but a live version that is to be replaced goes on under the newer folds until it is."""
    found: list[Lane] = []
    for family in families:
        standing = versions.of(family.name)
        if standing.live:
            found.append(Lane(family, standing.live, family.name))
        others = [standing.retiring] if standing.retiring is not None else []
        if standing.build is not None and standing.build.fold == family.version:
            others += _joined(standing)
        found += [Lane(family, version, versioned(family.name, version)) for version in others]
    return found


def followed(versions: Versions, names: Sequence[str]) -> Sequence[str]:
    """The labels whose checkpoints hold those who follow these families: none that is still being filled."""
    labels: list[str] = []
    for name in names:
        standing = versions.of(name)
        if standing.live:
            labels.append(name)
        labels += [versioned(name, version) for version in _joined(standing)]
    return labels


def outdated(versions: Versions, families: Sequence[Family]) -> Sequence[str]:
    """Families whose live version was made by newer folds than these."""
    return [family.name for family in families if versions.of(family.name).fold > family.version]


def _joined(standing: Standing) -> list[int]:
    build = standing.build
    return [build.version] if build is not None and build.phase is Phase.JOINED else []
