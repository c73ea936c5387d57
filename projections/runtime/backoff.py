"""Back-off for what goes on for ever: whatever fails is waited for, never given up and never silent."""

from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

import structlog
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception, wait_random_exponential

from domain.errors import LogError, UnavailableError
from projections.documents.port import FencedError
from projections.runtime import metrics
from projections.runtime.faults import HaltedError, describe

T = TypeVar("T")

LONGEST: Final = 5.0
"""Seconds between two tries at most: an outage is noticed to be over within them."""

_log = structlog.get_logger("tidings.runtime")


def passing(error: BaseException) -> bool:
    """Whether trying again can help: not for a log that cannot be read on, and not for a lease that is lost."""
    return isinstance(error, Exception) and not isinstance(error, LogError | FencedError | HaltedError)


async def persist(
    work: Callable[[], Awaitable[T]],
    what: str,
    *,
    retry: Callable[[BaseException], bool] = passing,
    longest: float = LONGEST,
) -> T:
    """The answer of ``work``, however often it takes; raises what ``retry`` says is not worth another try, and CancelledError."""

    def before_sleep(state: RetryCallState) -> None:
        error = state.outcome.exception() if state.outcome is not None else None
        if error is None:
            return
        metrics.RETRIES.labels(what=what).inc()
        if state.attempt_number == 1 or not isinstance(error, UnavailableError):
            _log.warning("trying again", what=what, attempt=state.attempt_number, error=describe(error))

    # Nearly always the first try is the only one, and is spared the machinery.
    try:
        return await work()
    except BaseException as error:
        if not retry(error):
            raise
        failed: BaseException | None = error

    async def attempt() -> T:
        nonlocal failed
        if failed is not None:
            first, failed = failed, None
            raise first
        return await work()

    retrying = AsyncRetrying(
        retry=retry_if_exception(retry),
        wait=wait_random_exponential(multiplier=0.02, max=longest),
        before_sleep=before_sleep,
        reraise=True,
    )
    answer: T = await retrying(attempt)
    attempts = retrying.statistics.get("attempt_number", 1)
    if attempts > 1:
        _log.info("works again", what=what, attempts=attempts)
    return answer
