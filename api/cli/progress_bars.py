"""Progress of long work: how fast it goes, and on the documents a bar for each stage, with how long it will take."""

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.text import Text


class Rate(ProgressColumn):
    """A second, lately."""

    def render(self, task: Task) -> Text:
        return Text(f"{task.speed or 0:,.0f}/s")


class Bars:
    """A Watcher (projections.runtime.rebuilding) on a terminal."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._task = progress.add_task("beginning", total=None)

    def stage(self, name: str, total: int) -> None:
        self._progress.remove_task(self._task)
        self._task = self._progress.add_task(name, total=total or None)

    def advance(self, done: int) -> None:
        self._progress.update(self._task, advance=done)


@contextmanager
def bars() -> Iterator[Bars]:
    """On standard error, so that what is printed can be piped; nothing where that is no terminal."""
    columns = (TextColumn("{task.description:<32}"), BarColumn(), MofNCompleteColumn(), Rate(), TimeRemainingColumn())
    errors = Console(stderr=True)
    with Progress(*columns, console=errors, transient=True, disable=not errors.is_terminal) as progress:
        yield Bars(progress)
