"""Which codes a mutation's code can refuse with: those named in what its resolver calls, and calls in turn, down to the decider.

Functions are followed by what their compiled code loads. A method counts as called where its class and its name are both met on the way: what is found is all
that can be, and at times more.
"""

from collections.abc import Iterator, Mapping
from dis import get_instructions
from functools import cache
from inspect import isclass, isfunction, ismodule, unwrap
from types import CodeType, FunctionType
from typing import Final

from api.schema.schema import schema
from domain.commands import Command
from domain.errors import Code
from domain.handlers import HANDLERS

_FOLLOWED: Final = ("domain.", "api.schema.mutations.", "api.schema.ids", "api.auth.", "api.context")
"""What a payload shows of its document is read after the command, and refuses nothing."""


def resolvers() -> Mapping[str, FunctionType]:
    """The resolver of each mutation, by the mutation's name."""
    assert schema.mutation is not None
    found: dict[str, FunctionType] = {}
    for field in schema.get_fields(schema.mutation.__strawberry_definition__):  # type: ignore[attr-defined]
        assert field.base_resolver is not None
        wrapped = field.base_resolver.wrapped_func
        assert isfunction(wrapped)
        function = unwrap(wrapped)
        assert isfunction(function)
        found[schema.config.name_converter.get_graphql_name(field)] = function
    return found


@cache
def codes_of(mutation: str) -> frozenset[str]:
    return frozenset(_Walk(resolvers()[mutation]).codes)


class _Walk:
    def __init__(self, start: FunctionType) -> None:
        self.codes: set[str] = set()
        self._functions: set[FunctionType] = set()
        self._classes: set[type] = set()
        self._names: set[str] = {"__init__", "__post_init__"}
        self._follow(start)
        count = 0
        while count != (count := len(self._functions)):
            for kind in tuple(self._classes):
                self._call_methods(kind)

    def _call_methods(self, kind: type) -> None:
        for name in self._names & vars(kind).keys():
            member = vars(kind)[name]
            function = getattr(member, "fget", None) or getattr(member, "__func__", member)
            if isfunction(function):
                self._follow(function)

    def _follow(self, function: FunctionType) -> None:
        function = unwrap(function)
        if function in self._functions or not function.__module__.startswith(_FOLLOWED):
            return
        self._functions.add(function)
        for code in _nested(function.__code__):
            self._read(code, function.__globals__)

    def _read(self, code: CodeType, known: Mapping[str, object]) -> None:
        """Each global that is loaded, by the attributes of modules that are taken of it at once."""
        loaded: object = None
        for instruction in get_instructions(code):
            if instruction.opname == "LOAD_GLOBAL":
                loaded = known.get(instruction.argval)
                self._meet(loaded)
            elif instruction.opname in {"LOAD_ATTR", "LOAD_METHOD"}:
                name = instruction.argval
                self._names.add(name)
                if loaded is Code:
                    self.codes.add(name)
                loaded = getattr(loaded, name, None) if ismodule(loaded) else None
                self._meet(loaded)
            else:
                loaded = None

    def _meet(self, met: object) -> None:
        if isclass(met):
            self._classes.add(met)
            if issubclass(met, Command) and met in HANDLERS:
                handler = HANDLERS[met]
                assert isfunction(handler)
                self._follow(handler)
        elif isfunction(met):
            self._follow(met)


def _nested(code: CodeType) -> Iterator[CodeType]:
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _nested(constant)
