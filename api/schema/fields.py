"""Resolvers: typed decorators, where strawberry's own give ``Any``, and what of an answer is asked for at all."""

from collections.abc import Callable
from typing import Any, TypeVar

import strawberry
from graphql import FieldNode, FragmentSpreadNode, InlineFragmentNode, SelectionSetNode

from api.schema.consistency import Info

F = TypeVar("F", bound=Callable[..., Any])


def resolved(description: str) -> Callable[[F], F]:
    """A field that a function answers."""
    decorate: Callable[[F], F] = strawberry.field(description=description)
    return decorate


def mutation(description: str) -> Callable[[F], F]:
    decorate: Callable[[F], F] = strawberry.mutation(description=description)
    return decorate


def subscription(description: str) -> Callable[[F], F]:
    decorate: Callable[[F], F] = strawberry.subscription(description=description)
    return decorate


def asks_for(info: Info, name: str) -> bool:
    """Whether the field's own selection names the field ``name``; one under @skip or @include counts as asked for."""
    raw = info._raw_info  # noqa: SLF001 (selected_fields would copy the whole selection, all the way down)
    waiting: list[SelectionSetNode | None] = [node.selection_set for node in raw.field_nodes]
    spread: set[str] = set()
    while waiting:
        selections = waiting.pop()
        for node in selections.selections if selections is not None else ():
            if isinstance(node, FieldNode):
                if node.name.value == name:
                    return True
            elif isinstance(node, FragmentSpreadNode):
                if node.name.value not in spread:
                    spread.add(node.name.value)
                    waiting.append(raw.fragments[node.name.value].selection_set)
            elif isinstance(node, InlineFragmentNode):
                waiting.append(node.selection_set)
    return False
