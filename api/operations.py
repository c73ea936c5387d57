"""How an operation is run, whatever brought it: prepared, charged, executed, its errors formatted.

HTTP, server-sent events and WebSocket all come through here, so that limits, codes and metrics are the same on each.
"""

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Collection, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Final

import strawberry
from graphql import (
    DocumentNode,
    ExecutionResult,
    GraphQLError,
    GraphQLSchema,
    OperationType,
    create_source_event_stream,
    execute,
    execute_subscription_event,
    map_source_to_response_event,
)
from graphql.execution import RootSelectionSetExecutor

from api.auth.access import Viewer
from api.context import RequestContext
from api.errors import CodedError, RequestCode, RequestError, format_error
from api.limits.budget import Standing
from api.limits.cost import CostPlan
from api.live.guards import Guards
from api.metrics import DELIVERIES, OPERATION_SECONDS, OPERATIONS, SUBSCRIPTIONS
from api.preparing import Preparer
from api.rendering import render_once
from api.services import Services
from api.signing import Purpose
from domain.errors import Code, Refusal, UnavailableError

MISPLACED: Final = {
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
    """Who asks and from where. ``token``: the consistency token that came with the request or the socket. ``last_event_id``: of who comes back to a stream."""

    viewer: Viewer | None
    network: str
    request_id: str
    token: str | None = None
    traceparent: str | None = None
    user_agent: str = ""
    last_event_id: str | None = None

    @property
    def payer(self) -> str:
        """Who the costs are charged to."""
        return self.viewer.account if self.viewer else self.network


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation, charged and ready to run."""

    document: DocumentNode
    name: str | None
    type: OperationType
    variables: Mapping[str, object]
    context: RequestContext


class Engine:
    """Runs operations of one schema."""

    def __init__(self, services: Services, schema: strawberry.Schema) -> None:
        self._services = services
        self._settings = services.settings
        self._schema: GraphQLSchema = schema._schema  # noqa: SLF001 (strawberry has no other way to it)
        self._executor = schema.execution_context_class
        self._preparer = Preparer(self._schema, services.settings)
        self._guards = Guards(services.documents, services.live)

    def begin(self, params: Params, caller: Caller, allowed: Collection[OperationType]) -> Operation:
        """Everything before execution. RequestError where the operation is refused, which costs one point."""
        try:
            standing = self._services.budget.standing(caller.payer)
            if standing.limit and not standing.remaining:
                raise self._spent(standing)
            return self._begin(params, caller, allowed)
        except RequestError:
            self._services.budget.take(caller.payer, 1)
            OPERATIONS.labels("unknown", "refused").inc()
            raise

    def check(self, caller: Caller) -> None:
        """RequestError where the caller's consistency token is none of this log's."""
        self._seen(caller.token)

    def _begin(self, params: Params, caller: Caller, allowed: Collection[OperationType]) -> Operation:
        prepared = self._preparer.prepare(params.query)
        node, plan = prepared.operation(params.operation_name)
        if node.operation not in allowed:
            raise RequestError([CodedError(RequestCode.BAD_REQUEST, MISPLACED[node.operation])], misplaced=True)
        edition = self._services.editions.current
        context = RequestContext(
            services=self._services.at(edition),
            edition=edition,
            viewer=caller.viewer,
            seen=self._seen(params.extensions.get("consistencyToken") or caller.token),
            request_id=caller.request_id,
            network=caller.network,
            traceparent=caller.traceparent,
            user_agent=caller.user_agent,
            last_event_id=caller.last_event_id,
        )
        self._charge(context, plan, params.variables)
        return Operation(prepared.document, params.operation_name, node.operation, params.variables, context)

    def _seen(self, token: object) -> dict[int, int]:
        if not isinstance(token, str) or not token:
            return {}
        try:
            return self._services.signer.read_vector(Purpose.CONSISTENCY, token)
        except Refusal as refusal:
            raise RequestError([CodedError(Code.CURSOR_INVALID, f"consistency token: {refusal}")]) from None

    def _charge(self, context: RequestContext, plan: CostPlan, variables: Mapping[str, object]) -> None:
        context.nodes = plan.nodes(variables)
        context.cost = plan.points(context.nodes)
        most = self._settings.max_nodes
        if context.nodes > most:
            message = f"The operation asks for {context.nodes} nodes; {most} are allowed. Ask for smaller pages."
            raise RequestError([CodedError(RequestCode.COST_EXCEEDED, message)])
        paid = self._services.budget.take(context.payer, context.cost)
        standing = context.standing()
        if not paid:
            raise self._spent(standing)
        context.extensions["cost"] = {
            "points": context.cost,
            "nodes": context.nodes,
            "limit": standing.limit,
            "remaining": standing.remaining,
        }

    def _spent(self, standing: Standing) -> RequestError:
        seconds = -(-(standing.resets_at - self._services.now()) // 1_000_000)
        message = f"The hour's budget of {standing.limit} points is spent, or too small for this; it is renewed in {seconds} seconds."
        cost = {"limit": standing.limit, "remaining": standing.remaining}
        return RequestError([CodedError(RequestCode.COST_EXCEEDED, message, cost=cost, retryAfter=seconds)])

    async def run(self, operation: Operation) -> Payload:
        """Executes a query or mutation. RequestError where its variables do not fit."""
        started = time.perf_counter()
        outcome = "cancelled"
        try:
            async with asyncio.timeout(self._settings.operation_timeout):
                result = await self._execute(operation)
                await self._require_edition(operation)
            outcome = "error" if result.errors else "ok"
            return self._payload(result, operation.context)
        except UnavailableError as error:
            outcome = "error"
            gone = CodedError(Code.UNAVAILABLE, str(error))
            return {"data": None, "errors": [format_error(gone, operation.context.request_id)]}
        except TimeoutError:
            outcome = "timeout"
            late = CodedError(
                Code.UNAVAILABLE, f"The operation took longer than {self._settings.operation_timeout:g} seconds."
            )
            return {"data": None, "errors": [format_error(late, operation.context.request_id)]}
        finally:
            OPERATIONS.labels(operation.type.value, outcome).inc()
            OPERATION_SECONDS.labels(operation.type.value).observe(time.perf_counter() - started)

    async def _require_edition(self, operation: Operation) -> None:
        """UnavailableError where the versions that a query has read may have been dropped under it, for this process stood still for long."""
        if operation.type is not OperationType.QUERY:
            return
        if not await self._services.editions.still(operation.context.edition):
            raise UnavailableError("The documents were exchanged while they were read: ask again.")

    async def _execute(self, operation: Operation) -> ExecutionResult:
        result = execute(
            self._schema,
            operation.document,
            context_value=operation.context,
            variable_values=dict(operation.variables),
            operation_name=operation.name,
            executor_class=self._executor,
            hide_suggestions=not self._settings.introspection,
        )
        return result if isinstance(result, ExecutionResult) else await result

    async def stream(self, operation: Operation) -> AsyncGenerator[Payload, None]:
        """A subscription's results. Raises RequestError where it cannot begin, or where its source fails for good."""
        SUBSCRIPTIONS.inc()
        outcome = "cancelled"
        try:
            async with aclosing(self._guarded(operation)) as results:
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

    async def _guarded(self, operation: Operation) -> AsyncGenerator[ExecutionResult, None]:
        """A subscription's results, for as long as the session of who has subscribed lasts."""
        viewer = operation.context.viewer
        if viewer is None:
            async with aclosing(await self._subscribe(operation)) as results:
                async for result in results:
                    yield result
            return
        async with (
            self._guards.watching(viewer) as guard,
            aclosing(await self._subscribe(operation)) as results,
            aclosing(guard.pass_on(results)) as passed,
        ):
            async for result in passed:
                yield result

    async def _subscribe(self, operation: Operation) -> AsyncGenerator[ExecutionResult, None]:
        executor = self._executor.build(
            self._schema,
            operation.document,
            context_value=operation.context,
            raw_variable_values=dict(operation.variables),
            operation_name=operation.name,
            hide_suggestions=not self._settings.introspection,
        )
        if isinstance(executor, list):
            raise RequestError(executor)
        begun = create_source_event_stream(executor)
        source = begun if isinstance(begun, ExecutionResult | AsyncIterable) else await begun
        if isinstance(source, ExecutionResult):
            raise RequestError(source.errors or [])
        render: RootSelectionSetExecutor = execute_subscription_event
        if operation.context.viewer is None:
            render = render_once(self._services.live.company, operation.document, operation.name, operation.variables)
        return _failing_as_request_error(map_source_to_response_event(executor, source, render))

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
        raise RequestError([GraphQLError(str(error), original_error=error)]) from error
    finally:
        if isinstance(source, AsyncGenerator):
            await source.aclose()
