"""Whether this process lives, and whether it can do its work."""

import asyncio
import time
from collections.abc import Awaitable, Sequence
from typing import Final

from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from api.services import Services
from projections.families import ALL
from projections.runtime.cascades import REACTORS
from projections.runtime.lag import Stillness, projection_status
from projections.runtime.reactors import reactor_name

CHECK_SECONDS: Final = 2.5
KEPT_SECONDS: Final = 2.0
NAMES: Final = (*(family.name for family in ALL), *(reactor_name(policy) for policy in REACTORS))


async def livez(_: Request) -> Response:
    """Only that the process answers: a store that is away is no reason to restart it."""
    return JSONResponse({"status": "ok"})


async def metrics(_: Request) -> Response:
    return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)


class Readiness:
    """Both stores answer, and the projections move. An answer is kept for two seconds, so that asking often costs the stores nothing."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._stillness = Stillness()
        self._lock = asyncio.Lock()
        self._kept: tuple[float, dict[str, list[str]]] = (float("-inf"), {})
        self._degraded: list[str] = []

    async def answer(self, _: Request) -> Response:
        faults = await self.faults()
        ready = not any(faults.values())
        parts = {part: "; ".join(reasons) or "ok" for part, reasons in faults.items()}
        if self._degraded:
            # Told, but no reason to turn requests away: every process would be out of rotation for one bad event.
            parts["degraded"] = "; ".join(self._degraded)
        return JSONResponse({"status": "ready" if ready else "not ready", **parts}, 200 if ready else 503)

    async def faults(self) -> dict[str, list[str]]:
        """What is wrong, by part."""
        async with self._lock:
            asked, faults = self._kept
            if time.monotonic() - asked > KEPT_SECONDS:
                faults = await self._look()
                self._kept = (time.monotonic(), faults)
            return faults

    async def _look(self) -> dict[str, list[str]]:
        log, documents = await asyncio.gather(
            _fault(self._services.log.head(0)), _fault(self._services.documents.ping())
        )
        if log or documents:
            return {"log": log, "documents": documents, "projections": ["not known"]}
        return {"log": [], "documents": [], "projections": await _fault(self._projections())}

    async def _projections(self) -> Sequence[str]:
        statuses = await projection_status(
            self._services.log, self._services.documents, NAMES, clock=self._services.now
        )
        self._degraded = [
            f"{status.name} of shard {status.shard} has {status.dead_letters} dead letters"
            for status in statuses
            if status.dead_letters
        ]
        runtime = self._services.runtime
        return self._stillness.faults(statuses, runtime.status().looked if runtime else None)


async def _fault(check: Awaitable[object]) -> list[str]:
    """Why the check fails, or what it finds."""
    try:
        async with asyncio.timeout(CHECK_SECONDS):
            found = await check
    except TimeoutError:
        return [f"no answer within {CHECK_SECONDS:g} s"]
    except Exception as error:  # noqa: BLE001 (whatever it is, this part is not ready)
        return [type(error).__name__]
    return list(found) if isinstance(found, list | tuple) else []
