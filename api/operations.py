"""How an operation is run, whatever brought it: prepared (and cached), charged, executed, its errors formatted.

HTTP, server-sent events and WebSocket all come through here, so that limits, codes and metrics are the same on each.
"""

import asyncio
import time
from collections import OrderedDict
from collections.abc import AsyncGenerator, AsyncIterator, Collection, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Final

import strawberry
from graphql import (
    ASTValidationRule,
    DocumentNode,
    ExecutionResult,
    GraphQLError,
    GraphQLSchema,
    GraphQLSyntaxError,
    NoSchemaIntrospectionCustomRule,
    OperationDefinitionNode,
    OperationType,
    execute,
    get_operation_ast,
    parse,
    specified_rules,
    subscribe,
    validate,
)
from strawberry.schema.validation_rules.maybe_null import MaybeNullValidationRule
from strawberry.schema.validation_rules.one_of import OneOfInputValidationRule

from api.auth.access import Viewer
from api.context import RequestContext
from api.errors import CodedError, RequestCode, format_error
from api.limits.cost import CostPlan, CostPlanner
from api.limits.documents import DocumentLimits, Meter
from api.metrics import DELIVERIES, OPERATION_SECONDS, OPERATIONS, SUBSCRIPTIONS
from api.services import Services
from api.signing import Purpose
from domain.errors import Code, Refusal

CACHED_DOCUMENTS: Final = 1_000
CACHED_LENGTH: Final = 16_384
MAX_ERRORS: Final = 20

RULES: Final[tuple[type[ASTValidationRule], ...]] = (
    *specified_rules,
    MaybeNullValidationRule,
    OneOfInputValidationRule,
)
RULES_WITHOUT_INTROSPECTION: Final = (*RULES, NoSchemaIntrospectionCustomRule)

_MISPLACED: Final = {
    OperationType.QUERY: "A query cannot be sent this way.",
    OperationType.MUTATION: "A mutation is sent with POST.",
    OperationType.SUBSCRIPTION: "A subscription is sent over WebSocket (graphql-transport-ws), or with Accept: text/event-stream.",
}

Payload = dict[str, object]


@dataclass(frozen=True, slots=True)
class Params:
    """What a client asks, by the names of GraphQL over HTTP."""

    query: str
    operation_name: str | None = None
    variables: Mapping[str, object] = field(default_factory=dict)
    extensions: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks and from where. ``token``: the consistency token that came with the request or the socket."""

    viewer: Viewer | None
    network: str
    request_id: str
    token: str | None = None
    traceparent: str | None = None


class RequestError(Exception):
    """The operation was not begun. ``malformed``: its text is no GraphQL at all; ``misplaced``: it cannot be sent in this way."""

    def __init__(self, errors: Sequence[GraphQLError], *, malformed: bool = False, misplaced: bool = False) -> None:
        super().__init__("; ".join(error.message for error in errors))
        self.errors = errors
        self.malformed = malformed
        self.misplaced = misplaced

    def payload(self, request_id: str) -> Payload:
        return {"errors": [format_error(error, request_id) for error in self.errors]}


@dataclass(frozen=True, slots=True)
class Prepared:
    """A valid document within all limits, with the cost of each of its operations."""

    document: DocumentNode
    plans: Mapping[str | None, CostPlan]


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation, charged and ready to run."""

    document: DocumentNode
    name: str | None
    type: OperationType
    variables: Mapping[str, object]
    context: RequestContext


class Engine:
    """Runs operations of one schema. Holds the cache of prepared documents."""

    def __init__(self, services: Services, schema: strawberry.Schema) -> None:
        settings = services.settings
        self._services = services
        self._schema: GraphQLSchema = schema._schema  # noqa: SLF001 (strawberry has no other way to it)
        self._executor = schema.execution_context_class
        self._limits = DocumentLimits(settings.max_depth, settings.max_aliases, settings.max_directives)
        self._rules = RULES if settings.introspection else RULES_WITHOUT_INTROSPECTION
        self._prepared: OrderedDict[str, Prepared] = OrderedDict()

    def begin(self, params: Params, caller: Caller, allowed: Collection[OperationType]) -> Operation:
        """Everything before execution: raises RequestError, and then nothing was executed or charged."""
        try:
            return self._begin(params, caller, allowed)
        except RequestError:
            OPERATIONS.labels("unknown", "refused").inc()
            raise

    def _begin(self, params: Params, caller: Caller, allowed: Collection[OperationType]) -> Operation:
        prepared = self._prepare(params.query)
        node = get_operation_ast(prepared.document, params.operation_name)
        if node is None:
            raise RequestError([CodedError(RequestCode.BAD_REQUEST, _unknown_operation(params.operation_name))])
        if node.operation not in allowed:
            raise RequestError(
                [CodedError(RequestCode.BAD_REQUEST, f"A {node.operation.value} cannot be sent this way.")]
            )
        context = self._context(params, caller)
        self._charge(context, prepared.plans[node.name.value if node.name else None], params.variables)
        return Operation(prepared.document, params.operation_name, node.operation, params.variables, context)

    def _prepare(self, query: str) -> Prepared:
        prepared = self._prepared.get(query)
        if prepared is not None:
            self._prepared.move_to_end(query)
            return prepared
        document = self._parse(query)
        problem = Meter(document).check(self._limits)
        errors = [problem] if problem else self._validate(document)
        if errors:
            raise RequestError(errors)
        planner = CostPlanner(self._schema, document)
        operations = [d for d in document.definitions if isinstance(d, OperationDefinitionNode)]
        prepared = Prepared(document, {o.name.value if o.name else None: planner.plan(o) for o in operations})
        if len(query) <= CACHED_LENGTH:
            self._prepared[query] = prepared
            if len(self._prepared) > CACHED_DOCUMENTS:
                self._prepared.popitem(last=False)
        return prepared

    def _parse(self, query: str) -> DocumentNode:
        most = self._services.settings.max_tokens
        try:
            return parse(query, max_lexical_tokens=most, max_comments=most)
        except GraphQLSyntaxError as error:
            raise RequestError([error], malformed=True) from None

    def _validate(self, document: DocumentNode) -> list[GraphQLError]:
        return validate(self._schema, document, self._rules, MAX_ERRORS, not self._services.settings.introspection)

    def check(self, caller: Caller) -> None:
        """Raises RequestError where the caller's consistency token is none of this log's."""
        self._seen(caller.token)

    def _seen(self, token: object) -> dict[int, int]:
        try:
            return (
                self._services.signer.read_vector(Purpose.CONSISTENCY, token)
                if isinstance(token, str) and token
                else {}
            )
        except Refusal as refusal:
            raise RequestError([CodedError(Code.CURSOR_INVALID, f"consistency token: {refusal}")]) from None

    def _context(self, params: Params, caller: Caller) -> RequestContext:
        seen = self._seen(params.extensions.get("consistencyToken") or caller.token)
        return RequestContext(
            services=self._services,
            viewer=caller.viewer,
            seen=seen,
            request_id=caller.request_id,
            network=caller.network,
            traceparent=caller.traceparent,
        )

    def _charge(self, context: RequestContext, plan: CostPlan, variables: Mapping[str, object]) -> None:
        context.nodes = plan.nodes(variables)
        context.cost = plan.points(context.nodes)
        most = self._services.settings.max_nodes
        if context.nodes > most:
            message = f"The operation asks for {context.nodes} nodes; {most} are allowed. Ask for smaller pages."
            raise RequestError([CodedError(RequestCode.COST_EXCEEDED, message)])
        paid = self._services.budget.take(context.payer, context.cost)
        standing = context.standing()
        cost = {
            "points": context.cost,
            "nodes": context.nodes,
            "limit": standing.limit,
            "remaining": standing.remaining,
        }
        if not paid:
            seconds = -(-(standing.resets_at - self._services.now()) // 1_000_000)
            message = f"The hour's budget of {standing.limit} points is spent; it is renewed in {seconds} seconds."
            raise RequestError([CodedError(RequestCode.COST_EXCEEDED, message, cost=cost, retryAfter=seconds)])
        context.extensions["cost"] = cost

    async def run(self, operation: Operation) -> Payload:
        """Executes a query or mutation. Raises RequestError where its variables do not fit."""
        started = time.perf_counter()
        outcome = "cancelled"
        try:
            result = await self._execute(operation)
            outcome = "error" if result.errors else "ok"
        finally:
            OPERATIONS.labels(operation.type.value, outcome).inc()
            OPERATION_SECONDS.labels(operation.type.value).observe(time.perf_counter() - started)
        return self._payload(result, operation.context)

    async def _execute(self, operation: Operation) -> ExecutionResult:
        seconds = self._services.settings.operation_timeout
        try:
            async with asyncio.timeout(seconds):
                result = execute(
                    self._schema,
                    operation.document,
                    context_value=operation.context,
                    variable_values=dict(operation.variables),
                    operation_name=operation.name,
                    executor_class=self._executor,
                    hide_suggestions=not self._services.settings.introspection,
                )
                return result if isinstance(result, ExecutionResult) else await result
        except TimeoutError:
            return ExecutionResult(
                None, [CodedError(Code.UNAVAILABLE, f"The operation took longer than {seconds:g} seconds.")]
            )

    async def stream(self, operation: Operation) -> AsyncGenerator[Payload, None]:
        """A subscription's results. Raises RequestError where it cannot begin, or where its source fails for good."""
        SUBSCRIPTIONS.inc()
        outcome = "cancelled"
        try:
            async with aclosing(await self._subscribe(operation)) as results:
                async for result in results:
                    DELIVERIES.inc()
                    yield self._payload(result, operation.context)
                    operation.context.renew()
            outcome = "ok"
        except RequestError:
            outcome = "error"
            raise
        finally:
            SUBSCRIPTIONS.dec()
            OPERATIONS.labels(operation.type.value, outcome).inc()

    async def _subscribe(self, operation: Operation) -> AsyncGenerator[ExecutionResult, None]:
        begun = subscribe(
            self._schema,
            operation.document,
            context_value=operation.context,
            variable_values=dict(operation.variables),
            operation_name=operation.name,
            executor_class=self._executor,
            hide_suggestions=not self._services.settings.introspection,
        )
        source = await begun if not isinstance(begun, ExecutionResult | AsyncIterator) else begun
        if isinstance(source, ExecutionResult):
            raise RequestError(source.errors or [])
        return _failing_as_request_error(source)

    def _payload(self, result: ExecutionResult, context: RequestContext) -> Payload:
        # Errors without data and without a path mean that execution never began: then there is no data entry at all.
        if result.data is None and result.errors and all(error.path is None for error in result.errors):
            raise RequestError(result.errors)
        payload: Payload = {"data": result.data}
        if result.errors:
            payload["errors"] = [format_error(error, context.request_id) for error in result.errors]
        if context.extensions:
            payload["extensions"] = dict(context.extensions)
        return payload


async def _failing_as_request_error(source: AsyncIterator[ExecutionResult]) -> AsyncGenerator[ExecutionResult, None]:
    try:
        async for result in source:
            yield result
    except GraphQLError as error:
        raise RequestError([error]) from error
    except Exception as error:
        raise RequestError([GraphQLError(str(error), path=[], original_error=error)]) from error
    finally:
        if isinstance(source, AsyncGenerator):
            await source.aclose()


def _unknown_operation(name: str | None) -> str:
    return (
        f"There is no operation named {name!r}."
        if name
        else "There are several operations: say which with operationName."
    )
