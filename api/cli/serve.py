"""``tidings serve``: the API, and when embedded everything else too."""

import asyncio
import socket
from contextlib import AsyncExitStack
from functools import partial
from typing import Annotated

import typer

from api.affinity.taking_part import taking_part
from api.app import create_app
from api.cli.running import begin, run, tell
from api.cli.seed import DEMO_PASSWORD, Sizes, demo_handles, load_demo
from api.health import NAMES
from api.playground import Prefill
from api.server import Server, bind, url_of
from api.services import open_services
from api.settings import Settings
from api.workers import ALONE, running_workers
from projections.families import ALL
from projections.runtime.identity import require_same_log
from projections.runtime.versions import adopt


def serve(
    host: Annotated[str | None, typer.Option(help="Address to listen on; HOST.")] = None,
    port: Annotated[int | None, typer.Option(help="Port to listen on; PORT.")] = None,
    *,
    demo: Annotated[
        bool, typer.Option("--demo", help="Load a small demo world first, where it is not loaded yet.")
    ] = False,
) -> None:
    """Serve the API and the playground. With embedded stores this one process is all there is to run."""
    settings = begin(host=host, port=port)
    # Bound before anything is opened: a taken port is told at once.
    with bind(settings) as sock:
        run(_serve(settings, sock, demo))


async def _serve(settings: Settings, sock: socket.socket, demo: bool) -> None:
    from api.schema.schema import schema  # noqa: PLC0415 (built when it is served: the other commands start without it)

    async with AsyncExitStack() as stack:
        services = await stack.enter_async_context(open_services(settings))
        await adopt(services.log, services.documents, ALL)
        await stack.enter_async_context(services.editions.watched())
        services = await stack.enter_async_context(taking_part(services, listens=True))
        if settings.runs_workers:
            services = await stack.enter_async_context(running_workers(services, ALONE if settings.embedded else None))
        else:
            # As the workers do: what is served must have been folded from this log, and from no more of it than there is.
            await require_same_log(services.log, services.documents, NAMES)
        prefill = None
        if demo:
            await load_demo(services, Sizes(showcase=True), once=True)
            prefill = Prefill(demo_handles()[0], DEMO_PASSWORD)
        closing = asyncio.Event()
        greet = partial(_greet, url_of(sock), settings, prefill)
        server = Server(create_app(services, schema, closing, prefill), settings, closing, greet)
        await server.serve(sockets=[sock])


def _greet(url: str, settings: Settings, prefill: Prefill | None) -> None:
    tell(f"[bold]Tidings[/] answers at {url}/graphql")
    if settings.playground:
        tell(f"  playground   {url}/graphql  (in a browser)")
    if prefill is not None:
        tell(f"  sign in as   {' or '.join(demo_handles())}  (password: {DEMO_PASSWORD})")
    if settings.embedded:
        tell(f"  data in      {settings.data_dir.resolve()}")
    if not settings.runs_workers:
        tell("  projections  not in this process: run `tidings work`")
    tell("  Ctrl-C stops it.")
