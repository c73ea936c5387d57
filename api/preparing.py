"""From the text of a document to what can be executed: parsed, within the limits, valid, its costs planned. Valid documents are kept."""

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from graphql import (
    ASTValidationRule,
    DocumentNode,
    GraphQLSchema,
    GraphQLSyntaxError,
    NoSchemaIntrospectionCustomRule,
    OperationDefinitionNode,
    get_operation_ast,
    parse,
    specified_rules,
    validate,
)
from strawberry.schema.validation_rules.maybe_null import MaybeNullValidationRule
from strawberry.schema.validation_rules.one_of import OneOfInputValidationRule

from api.errors import CodedError, RequestCode, RequestError
from api.limits.cost import CostPlan, CostPlanner
from api.limits.documents import DocumentLimits, Meter
from api.settings import Settings

CACHED_CHARACTERS: Final = 400_000
"""Of all documents that are kept: one takes up to 200 bytes of memory for each character of its text."""
CACHED_LENGTH: Final = 16_384
MAX_ERRORS: Final = 20

RULES: Final[tuple[type[ASTValidationRule], ...]] = (
    *specified_rules,
    MaybeNullValidationRule,
    OneOfInputValidationRule,
)
RULES_WITHOUT_INTROSPECTION: Final = (*RULES, NoSchemaIntrospectionCustomRule)


@dataclass(frozen=True, slots=True)
class Prepared:
    """A valid document within all limits, with the cost of each of its operations by name."""

    document: DocumentNode
    plans: Mapping[str | None, CostPlan]

    def operation(self, name: str | None) -> tuple[OperationDefinitionNode, CostPlan]:
        """The operation to run; RequestError where ``name`` does not single one out."""
        node = get_operation_ast(self.document, name)
        if node is None:
            raise RequestError([CodedError(RequestCode.BAD_REQUEST, _unknown_operation(name))])
        return node, self.plans[node.name.value if node.name else None]


class Preparer:
    """Prepares documents for one schema and keeps the latest of ordinary length, by their text, up to CACHED_CHARACTERS."""

    def __init__(self, schema: GraphQLSchema, settings: Settings) -> None:
        self._schema = schema
        self._limits = DocumentLimits(settings.max_depth, settings.max_aliases, settings.max_directives)
        self._max_tokens = settings.max_tokens
        self._open = settings.introspection
        self._kept: OrderedDict[str, Prepared] = OrderedDict()
        self._length = 0

    def prepare(self, query: str) -> Prepared:
        """RequestError where the text is not GraphQL, exceeds a limit or does not fit the schema."""
        prepared = self._kept.get(query)
        if prepared is not None:
            self._kept.move_to_end(query)
            return prepared
        document = self._parse(query)
        problem = Meter(document).check(self._limits)
        rules = RULES if self._open else RULES_WITHOUT_INTROSPECTION
        # The limits come first: they bound what validation has to compare.
        errors = [problem] if problem else validate(self._schema, document, rules, MAX_ERRORS, not self._open)
        if errors:
            raise RequestError(errors)
        planner = CostPlanner(self._schema, document)
        operations = [d for d in document.definitions if isinstance(d, OperationDefinitionNode)]
        prepared = Prepared(document, {o.name.value if o.name else None: planner.plan(o) for o in operations})
        if len(query) <= CACHED_LENGTH:
            self._kept[query] = prepared
            self._length += len(query)
            while self._length > CACHED_CHARACTERS:
                self._length -= len(self._kept.popitem(last=False)[0])
        return prepared

    def _parse(self, query: str) -> DocumentNode:
        try:
            return parse(query, max_lexical_tokens=self._max_tokens, max_comments=self._max_tokens)
        except GraphQLSyntaxError as error:
            raise RequestError([error], malformed=True) from None


def _unknown_operation(name: str | None) -> str:
    if name:
        return f"There is no operation named '{name}'."
    return "There are several operations, or none: say which with operationName."
