"""What an operation costs, from its text and variables alone: nodes by its page sizes, points by its nodes and mutations.

A query costs 1 point for each 100 nodes that it may return (GitHub's rule), a mutation 5 a field and on top 3 where it creates, 2 where it updates
and 1 where it deletes (Bluesky's). The plan of a document is made once; only page sizes given by variables are left to work out for each request.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from graphql import (
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLField,
    GraphQLInterfaceType,
    GraphQLNamedType,
    GraphQLObjectType,
    GraphQLSchema,
    InlineFragmentNode,
    IntValueNode,
    ListValueNode,
    OperationDefinitionNode,
    OperationType,
    SelectionSetNode,
    ValueNode,
    VariableNode,
    get_named_type,
    type_from_ast,
)

NODES_PER_POINT: Final = 100
MAX_PAGE: Final = 100
MUTATION_POINTS: Final = 5
INTROSPECTION_NODES: Final = 500
UNPAGED: Final = {
    ("Thread", "ancestors"): 40,
    ("Thread", "replies"): 400,
    ("Post", "revisions"): 100,
    ("User", "pinnedPosts"): 5,
    ("NotificationGroup", "sampleActors"): 8,
}
"""How many nodes the lists that are no connections hold at most."""
DELETING: Final = ("delete", "un", "remove", "signOut", "revoke", "reject")
UPDATING: Final = ("edit", "update", "change", "refresh", "mark", "restore", "accept", "deactivate", "reactivate")


@dataclass(frozen=True, slots=True)
class Part:
    """Nodes of a selection set: ``nodes``, and ``paged`` lists whose size a variable gives."""

    nodes: int
    paged: tuple["Paged", ...]

    def count(self, variables: Mapping[str, object]) -> int:
        return self.nodes + sum(paged.count(variables) for paged in self.paged)


@dataclass(frozen=True, slots=True)
class Paged:
    """``times`` lists, each of a size that ``variable`` gives (``default`` where it does not), of one node and ``below`` each."""

    times: int
    variable: str | None
    default: int
    below: Part

    def count(self, variables: Mapping[str, object]) -> int:
        size = self.default if self.variable is None else _size(variables.get(self.variable), self.default)
        return self.times * size * (1 + self.below.count(variables))


@dataclass(frozen=True, slots=True)
class CostPlan:
    mutation_points: int
    part: Part

    def nodes(self, variables: Mapping[str, object]) -> int:
        return self.part.count(variables)

    def points(self, nodes: int) -> int:
        return self.mutation_points + max(0 if self.mutation_points else 1, -(-nodes // NODES_PER_POINT))


class CostPlanner:
    """Plans the operations of one valid document. Each fragment is planned once."""

    def __init__(self, schema: GraphQLSchema, document: DocumentNode) -> None:
        self._schema = schema
        self._fragments = {d.name.value: d for d in document.definitions if isinstance(d, FragmentDefinitionNode)}
        self._parts: dict[str, Part] = {}
        self._defaults: Mapping[str, int] = {}

    def plan(self, operation: OperationDefinitionNode) -> CostPlan:
        root = self._schema.get_root_type(operation.operation)
        self._parts.clear()  # Defaults of variables are the operation's own.
        self._defaults = {
            definition.variable.name.value: _number(definition.default_value)
            for definition in operation.variable_definitions or ()
            if isinstance(definition.default_value, IntValueNode)
        }
        points = 0
        if operation.operation is OperationType.MUTATION:
            points = sum(mutation_points(name) for name in self._root_fields(operation.selection_set))
        return CostPlan(points, self._part(operation.selection_set, root))

    def _root_fields(self, selections: SelectionSetNode) -> Sequence[str]:
        names: list[str] = []
        for selection in selections.selections:
            if isinstance(selection, FieldNode):
                names.append(selection.name.value)
            elif isinstance(selection, InlineFragmentNode):
                names.extend(self._root_fields(selection.selection_set))
            elif isinstance(selection, FragmentSpreadNode):
                names.extend(self._root_fields(self._fragments[selection.name.value].selection_set))
        return names

    def _part(self, selections: SelectionSetNode, parent: GraphQLNamedType | None) -> Part:
        nodes = 0
        paged: list[Paged] = []
        for selection in selections.selections:
            if isinstance(selection, FieldNode):
                part = self._field(selection, parent)
            elif isinstance(selection, InlineFragmentNode):
                condition = selection.type_condition
                part = self._part(
                    selection.selection_set, type_from_ast(self._schema, condition) if condition else parent
                )
            elif isinstance(selection, FragmentSpreadNode):
                part = self._fragment(selection.name.value)
            else:
                continue
            nodes += part.nodes
            paged.extend(part.paged)
        return Part(nodes, tuple(paged))

    def _fragment(self, name: str) -> Part:
        part = self._parts.get(name)
        if part is None:
            fragment = self._fragments[name]
            part = self._parts[name] = self._part(
                fragment.selection_set, type_from_ast(self._schema, fragment.type_condition)
            )
        return part

    def _field(self, node: FieldNode, parent: GraphQLNamedType | None) -> Part:
        if node.name.value.startswith("__"):
            return Part(INTROSPECTION_NODES if node.name.value == "__schema" else 0, ())
        definition = (
            parent.fields.get(node.name.value) if isinstance(parent, GraphQLObjectType | GraphQLInterfaceType) else None
        )
        if definition is None:
            return Part(0, ())
        below = self._part(node.selection_set, get_named_type(definition.type)) if node.selection_set else Part(0, ())
        unpaged = UNPAGED.get((parent.name, node.name.value)) if parent is not None else None
        return self._sized(node, definition, below) if unpaged is None else _times(unpaged, below)

    def _sized(self, node: FieldNode, definition: GraphQLField, below: Part) -> Part:
        """``below`` times the size of the list that the field is, if it is one."""
        name = next((name for name in ("first", "last", "ids") if name in definition.args), None)
        if name is None:
            return below
        given = {argument.name.value: argument.value for argument in node.arguments or ()}
        value = next((given[name] for name in ("first", "last", "ids") if name in given), None)
        default = definition.args[name].default_value
        size, variable = self._read(value, default if isinstance(default, int) else 20)
        return _times(size, below) if variable is None else Part(0, (Paged(1, variable, size, below),))

    def _read(self, value: ValueNode | None, default: int) -> tuple[int, str | None]:
        """(size, or its default where a variable gives it; that variable)."""
        if isinstance(value, VariableNode):
            return self._defaults.get(value.name.value, default), value.name.value
        if isinstance(value, IntValueNode):
            return _size(_number(value), default), None
        if isinstance(value, ListValueNode):
            return _size(len(value.values), default), None
        return default, None


def _times(size: int, below: Part) -> Part:
    """A list of ``size`` nodes with ``below`` each."""
    return Part(0, (Paged(1, None, size, below),)) if below.paged else Part(size * (1 + below.nodes), ())


def mutation_points(name: str) -> int:
    if name.startswith(DELETING):
        return MUTATION_POINTS + 1
    return MUTATION_POINTS + (2 if name.startswith(UPDATING) else 3)


def _number(literal: IntValueNode) -> int:
    """A literal's number, as far as it may matter: an id may be written as one of any length, which Python would refuse to convert."""
    return int(literal.value[:9])


def _size(value: object, default: int) -> int:
    """What a page size or a list of ids comes to. No list takes more than MAX_PAGE: what asks for more is refused by the list, with a code of its own."""
    if isinstance(value, list):
        value = len(value)
    return min(max(0, value), MAX_PAGE) if isinstance(value, int) else default
