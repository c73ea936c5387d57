"""How large a document may be: nesting, aliases, directives, and what validation and execution would make of its fragments.

Everything is measured with fragments expanded, but each fragment is walked once and its measure reused, so that the work is linear in the document
however large its expansion would be. (Walking every spread takes seconds for 700 bytes: twenty fragments, each spread twice by the one before.)
Run before graphql-core's validation, whose rule on overlapping fields compares fields in pairs: those are counted here and bounded too.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

from graphql import (
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLError,
    InlineFragmentNode,
    OperationDefinitionNode,
    SelectionNode,
    SelectionSetNode,
)

MAX_FRAGMENTS: Final = 100
MAX_OPERATIONS: Final = 50
MAX_SELECTIONS: Final = 8_000
"""Fields and fragments of all definitions, each with its fragments expanded."""
MAX_COMPARISONS: Final = 10_000
"""Pairs of fields that land on one response path, and pairs of fragments spread in one place."""
MAX_INTROSPECTIONS: Final = 3


@dataclass(frozen=True, slots=True)
class DocumentLimits:
    depth: int
    aliases: int
    directives: int


@dataclass(slots=True)
class Measure:
    """Of a selection set, fragments expanded. ``depth`` leaves introspection out: graphql-core has a rule of its own for that."""

    depth: int = 0
    aliases: int = 0
    directives: int = 0
    selections: int = 0
    introspections: int = 0

    def add(self, other: "Measure", depth: int) -> None:
        """Adds a fragment spread ``depth`` levels down."""
        self.depth = max(self.depth, depth + other.depth)
        self.aliases += other.aliases
        self.directives += other.directives
        self.selections += other.selections
        self.introspections += other.introspections


@dataclass(slots=True)
class Own:
    """What a definition holds itself: its measure without fragments, and each spread with its depth (None: inside introspection)."""

    measure: Measure
    spreads: list[tuple[str, int | None]]


@dataclass(slots=True)
class Meter:
    """Measures one document. ``visits`` counts the nodes looked at: the work done."""

    document: DocumentNode
    visits: int = 0
    _fragments: dict[str, FragmentDefinitionNode] = field(default_factory=dict)
    _totals: dict[str, Measure] = field(default_factory=dict)

    def check(self, limits: DocumentLimits) -> GraphQLError | None:
        """The first limit that the document exceeds, or None."""
        definitions = self.document.definitions
        self._fragments = {d.name.value: d for d in definitions if isinstance(d, FragmentDefinitionNode)}
        operations = [d for d in definitions if isinstance(d, OperationDefinitionNode)]
        for noun, count, most in (
            ("fragments", len(definitions) - len(operations), MAX_FRAGMENTS),
            ("operations", len(operations), MAX_OPERATIONS),
        ):
            if count > most:
                return GraphQLError(f"The document has {count} {noun}; {most} are allowed.")
        return self._total_fragments() or self._check_sizes(operations, limits) or self._check_comparisons(operations)

    def _check_sizes(
        self, operations: Sequence[OperationDefinitionNode], limits: DocumentLimits
    ) -> GraphQLError | None:
        selections = sum(measure.selections for measure in self._totals.values())
        for operation in operations:
            total = self._total(self._own(operation.selection_set))
            selections += total.selections
            for noun, count, most in (
                ("levels", total.depth, limits.depth),
                ("aliases", total.aliases, limits.aliases),
                ("directives", total.directives, limits.directives),
                ("introspection fields", total.introspections, MAX_INTROSPECTIONS),
            ):
                if count > most:
                    return GraphQLError(f"The operation has {_number(count)} {noun}; {most} are allowed.", operation)
        if selections > MAX_SELECTIONS:
            return GraphQLError(f"The document makes {_number(selections)} selections; {MAX_SELECTIONS} are allowed.")
        return None

    def _total_fragments(self) -> GraphQLError | None:
        """Fills ``_totals`` in the order of dependence, without recursion; the error of a fragment that spreads itself."""
        owns = {name: self._own(fragment.selection_set) for name, fragment in self._fragments.items()}
        for root, first in owns.items():
            if root in self._totals:
                continue
            path: list[tuple[str, Iterator[tuple[str, int | None]]]] = [(root, iter(first.spreads))]
            on_path = {root}
            while path:
                name, spreads = path[-1]
                following = next((s for s, _ in spreads if s in owns and s not in self._totals), None)
                if following is None:
                    path.pop()
                    on_path.discard(name)
                    self._totals[name] = self._total(owns[name])
                elif following in on_path:
                    return GraphQLError(f"Fragment '{following}' spreads itself.", self._fragments[following])
                else:
                    path.append((following, iter(owns[following].spreads)))
                    on_path.add(following)
        return None

    def _total(self, own: Own) -> Measure:
        for name, depth in own.spreads:
            self.visits += 1
            fragment = self._totals.get(name)
            if fragment is not None:
                own.measure.add(fragment, depth if depth is not None else -fragment.depth)
        return own.measure

    def _own(self, selection_set: SelectionSetNode) -> Own:
        own = Own(Measure(), [])
        stack: list[tuple[SelectionSetNode, int | None]] = [(selection_set, 0)]
        while stack:
            current, depth = stack.pop()
            for selection in current.selections:
                self.visits += 1
                own.measure.selections += 1
                own.measure.directives += len(selection.directives or ())
                if isinstance(selection, FragmentSpreadNode):
                    own.spreads.append((selection.name.value, depth))
                elif isinstance(selection, InlineFragmentNode):
                    stack.append((selection.selection_set, depth))
                elif isinstance(selection, FieldNode):
                    below = _count_field(own.measure, selection, depth)
                    if selection.selection_set is not None:
                        stack.append((selection.selection_set, below))
        return own

    def _check_comparisons(self, operations: Sequence[OperationDefinitionNode]) -> GraphQLError | None:
        comparisons = 0
        for definition in (*operations, *self._fragments.values()):
            stack = [[definition.selection_set]]
            while stack:
                by_name, fragments = self._flatten(stack.pop())
                comparisons += _pairs(fragments) + sum(_pairs(len(fields)) for fields in by_name.values())
                if comparisons > MAX_COMPARISONS:
                    return GraphQLError(
                        "The document selects the same fields too many times over in its fragments.", definition
                    )
                for fields in by_name.values():
                    nested = [f.selection_set for f in fields if f.selection_set is not None]
                    if nested:
                        stack.append(nested)
        return None

    def _flatten(self, sets: Sequence[SelectionSetNode]) -> tuple[dict[str, list[FieldNode]], int]:
        """The fields of selection sets that share a response path, by response name, and how many fragments they spread."""
        by_name: defaultdict[str, list[FieldNode]] = defaultdict(list)
        spread: set[str] = set()
        stack: list[SelectionNode] = [selection for one in sets for selection in one.selections]
        while stack:
            self.visits += 1
            selection = stack.pop()
            if isinstance(selection, FieldNode):
                by_name[(selection.alias or selection.name).value].append(selection)
            elif isinstance(selection, InlineFragmentNode):
                stack.extend(selection.selection_set.selections)
            elif isinstance(selection, FragmentSpreadNode):
                name = selection.name.value
                # A fragment met again here adds no pair: graphql-core compares it once.
                if name in self._fragments and name not in spread:
                    spread.add(name)
                    stack.extend(self._fragments[name].selection_set.selections)
        return by_name, len(spread)


def _count_field(measure: Measure, selection: FieldNode, depth: int | None) -> int | None:
    """Counts one field; gives the depth of what it selects."""
    measure.aliases += selection.alias is not None
    if selection.name.value in {"__schema", "__type"}:
        measure.introspections += 1
        return None
    if depth is None:
        return None
    measure.depth = max(measure.depth, depth + 1)
    return depth + 1


def _pairs(count: int) -> int:
    return count * (count - 1) // 2


def _number(count: int) -> str:
    return str(count) if count < 1_000_000 else "more than a million"  # noqa: PLR2004
