"""Rendering: how a subscription's events become results; for guests who are given the same event, once for each thing that they ask of it."""

from collections.abc import Hashable, Mapping
from typing import Any, Final

import msgspec
from graphql import (
    SKIP,
    ArgumentNode,
    DocumentNode,
    ExecutionResult,
    Executor,
    OperationDefinitionNode,
    VariableDefinitionNode,
    VariableNode,
    Visitor,
    VisitorAction,
    execute_subscription_event,
    visit,
)
from graphql.execution import RootSelectionSetExecutor
from graphql.pyutils import AwaitableOrValue

from api.live.company import Company

ROOT: Final = 6
"""Ancestors of a root field's argument: document, definitions, operation, selection set, selections, field."""


def render_once(
    company: Company, document: DocumentNode, name: str | None, variables: Mapping[str, object]
) -> RootSelectionSetExecutor:
    """For a guest, who has no rights of their own: what one is sent of an event, all are who ask the same."""
    names = _Shaping.of(document)
    shaping = {given: value for given, value in variables.items() if given in names}
    # Comparing documents costs more than rendering does; one that is kept beside its result is the only one with its id.
    key: Hashable = id(document), name, msgspec.json.encode(shaping, order="deterministic")

    def rendered_once(executor: Executor[Any]) -> AwaitableOrValue[ExecutionResult]:
        kept = company.rendered(executor.root_value)
        if key not in kept:
            result = execute_subscription_event(executor)
            if not isinstance(result, ExecutionResult) or result.errors:
                # What reads for itself is read for each, as of when it is sent; and an error holds the frames that it came through, and so the event for ever.
                return result
            kept[key] = document, result
        rendered: ExecutionResult = kept[key][1]
        return rendered

    return rendered_once


class _Shaping(Visitor):
    """Finds the variables that results depend on: all but the one that says from where events are wanted."""

    @classmethod
    def of(cls, document: DocumentNode) -> set[str]:
        finder = cls()
        visit(document, finder)
        return finder.names

    def __init__(self) -> None:
        super().__init__()
        self.names: set[str] = set()

    def enter_variable_definition(self, _node: VariableDefinitionNode, *_: Any) -> VisitorAction:
        return SKIP

    def enter_argument(self, node: ArgumentNode, *where: Any) -> VisitorAction:
        ancestors = where[-1]
        root = len(ancestors) == ROOT and isinstance(ancestors[2], OperationDefinitionNode)
        return SKIP if root and node.name.value == "after" else None

    def enter_variable(self, node: VariableNode, *_: Any) -> VisitorAction:
        self.names.add(node.name.value)
        return None
