"""``tidings work``: folds and reactors, in as many processes as wanted."""

from api.affinity.taking_part import taking_part
from api.cli.running import begin, run, stopping, tell
from api.services import open_services
from api.settings import Settings
from api.workers import running_workers


def work() -> None:
    """Fold events into documents. Run as many as you like: they share the shards among themselves, and one that dies is replaced."""
    run(_work(begin()))


async def _work(settings: Settings) -> None:
    with stopping() as stop:
        async with (
            open_services(settings) as services,
            taking_part(services, listens=False) as served,
            running_workers(served),
        ):
            tell("Working. Ctrl-C stops it.")
            await stop.wait()
