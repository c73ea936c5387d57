"""An event loop in virtual time, shared by several simulated processes: its clock jumps from one due callback to the next.

Whatever is scheduled from within a process's context belongs to that process, so that one can be frozen or killed between any two steps.
"""

import asyncio
import contextlib
import heapq
from collections import deque
from collections.abc import Callable, Coroutine, Generator
from contextvars import Context, ContextVar, copy_context
from typing import Any, Final, TypeVar, TypeVarTuple

T = TypeVar("T")
Ts = TypeVarTuple("Ts")


class Process:
    """One simulated process. ``skew`` is what its wall clock is ahead, in microseconds. After ``dies_at`` more steps it is killed."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.alive = True
        self.skew = 0
        self.steps = 0
        self.dies_at: int | None = None
        self.frozen: list[tuple[Process | None, asyncio.Handle]] | None = None
        self.killed: Callable[[], None] = lambda: None

    def kill(self) -> None:
        """Nothing of it runs any more; what it has sent is on its way."""
        if self.alive:
            self.alive = False
            self.killed()


PROCESS: Final[ContextVar[Process | None]] = ContextVar("process", default=None)


class StuckError(Exception):
    """Nothing is scheduled any more, or so much that the run does not end."""


class _Task(asyncio.Task[T]):
    """Tasks and futures stand in sets, which are ordered by hashes: those must not be addresses."""

    def __init__(self, coro: Coroutine[Any, Any, T], loop: "VirtualLoop", context: Context | None = None) -> None:
        self._serial = loop.next_serial()
        self.context = context if context is not None else copy_context()
        super().__init__(coro, loop=loop, context=self.context)

    def __hash__(self) -> int:
        return self._serial

    def __eq__(self, other: object) -> bool:
        return self is other


class _Future(asyncio.Future[T]):
    def __init__(self, loop: "VirtualLoop") -> None:
        self._serial = loop.next_serial()
        super().__init__(loop=loop)

    def __hash__(self) -> int:
        return self._serial

    def __eq__(self, other: object) -> bool:
        return self is other


class VirtualLoop(asyncio.BaseEventLoop):
    """``limit`` bounds the steps of a run."""

    def __init__(self, limit: int) -> None:
        super().__init__()
        self.steps = 0
        self.complaints: list[dict[str, Any]] = []
        self.tasks: list[_Task[Any]] = []
        self._now = 0.0
        self._limit = limit
        self._serial = 0
        self._soon: deque[tuple[Process | None, asyncio.Handle]] = deque()
        self._later: list[tuple[float, int, Process | None, asyncio.TimerHandle]] = []
        self.set_task_factory(self._make_task)

    def next_serial(self) -> int:
        self._serial += 1
        return self._serial

    def time(self) -> float:
        return self._now

    def call_soon(
        self, callback: Callable[[*Ts], object], *args: *Ts, context: Context | None = None
    ) -> asyncio.Handle:
        context = context if context is not None else copy_context()
        handle = asyncio.Handle(callback, args, self, context)
        self._soon.append((context.get(PROCESS), handle))
        return handle

    def call_soon_threadsafe(
        self, callback: Callable[[*Ts], object], *args: *Ts, context: Context | None = None
    ) -> asyncio.Handle:
        return self.call_soon(callback, *args, context=context)

    def call_at(
        self, when: float, callback: Callable[[*Ts], object], *args: *Ts, context: Context | None = None
    ) -> asyncio.TimerHandle:
        context = context if context is not None else copy_context()
        handle = asyncio.TimerHandle(when, callback, args, self, context)
        heapq.heappush(self._later, (when, self.next_serial(), context.get(PROCESS), handle))
        return handle

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        """Cancelled timers are dropped when they are due."""

    def create_future(self) -> asyncio.Future[Any]:
        return _Future(self)

    def _make_task(
        self,
        _loop: asyncio.AbstractEventLoop,
        coro: Coroutine[Any, Any, Any] | Generator[Any, None, Any],
        context: Context | None = None,
    ) -> asyncio.Task[Any]:
        assert isinstance(coro, Coroutine)
        task: _Task[Any] = _Task(coro, self, context)
        self.tasks.append(task)
        return task

    def run_in_executor(self, _executor: object, func: Callable[..., T], *args: Any) -> "asyncio.Future[T]":  # type: ignore[override]
        """There are no threads here: it runs in the next step."""
        future: asyncio.Future[T] = self.create_future()

        def run() -> None:
            try:
                future.set_result(func(*args))
            except Exception as error:  # noqa: BLE001 -- whoever awaits it is to have it
                future.set_exception(error)

        self.call_soon(run)
        return future

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        self.complaints.append(context)

    def freeze(self, process: Process, seconds: float) -> None:
        """Nothing of it runs for so long; then all at once that has become due."""
        if process.frozen is None:
            process.frozen = []
            self.call_at(self._now + seconds, self._thaw, process, context=Context())

    def _thaw(self, process: Process) -> None:
        held, process.frozen = process.frozen or [], None
        self._soon.extend(held)

    def _run_once(self) -> None:
        if not self._soon:
            self._jump()
        for _ in range(len(self._soon)):
            process, handle = self._soon.popleft()
            if handle.cancelled():
                continue
            if process is not None and not self._may_run(process, handle):
                continue
            self.steps += 1
            handle._run()
        if self.steps > self._limit:
            raise StuckError(f"no end after {self.steps} steps, at {self._now:.3f} s")

    def _jump(self) -> None:
        """To the moment at which something is due."""
        later = self._later
        while later and later[0][3].cancelled():
            heapq.heappop(later)
        if not later:
            raise StuckError(f"nothing is left to happen, at {self._now:.3f} s")
        self._now = max(self._now, later[0][0])
        while later and later[0][0] <= self._now:
            _, _, process, handle = heapq.heappop(later)
            self._soon.append((process, handle))

    def _may_run(self, process: Process, handle: asyncio.Handle) -> bool:
        if not process.alive:
            return False
        if process.frozen is not None:
            process.frozen.append((process, handle))
            return False
        process.steps += 1
        if process.dies_at is not None and process.steps >= process.dies_at:
            process.kill()
            return False
        return True

    def dispose(self) -> None:
        """Lets go of all that has not ended, without a word."""
        self._soon.clear()
        self._later.clear()
        for task in self.tasks:
            if not task.done():
                task._log_destroy_pending = False  # type: ignore[attr-defined]
                coro = task.get_coro()
                assert coro is not None
                with contextlib.suppress(Exception):  # what it does while it is being closed is nobody's business
                    task.context.run(coro.close)
            elif not task.cancelled():
                task.exception()
        self.tasks.clear()
        self._soon.clear()
        self.close()
