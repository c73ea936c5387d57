"""How histories and events look on a terminal."""

from collections.abc import Mapping
from typing import Final

import msgspec
from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.panel import Panel
from rich.pretty import Pretty
from rich.table import Table
from rich.text import Text

from api.history import REDACTED, SECRET, History, Moment, leaves

_LONG: Final = 200
_INDENT: Final = (0, 0, 0, 4)


def render_history(console: Console, found: History) -> None:
    """Every event, then the state after the last."""
    for one in found.moments:
        console.print(_headline(one))
        console.print(Padding(_who(one), _INDENT))
        console.print(Padding(_fields(one.data), _INDENT))
        if one.changes is not None:
            console.print(Padding(_changes(one.changes), _INDENT))
    last = found.moments[-1].version if found.moments else 0
    body: RenderableType = Pretty(found.state, expand_all=True)
    console.print(Panel(body, title=Text(f"{found.stream} at version {last}"), title_align="left", border_style="dim"))


def render_line(console: Console, one: Moment) -> None:
    """An event on one line."""
    line = Text.assemble(
        (one.recorded_at.replace("T", " "), "dim"),
        " ",
        (f"{one.type:<22}", "bold cyan"),
        " ",
        (f"{one.stream} v{one.version}", ""),
        (f" by {one.actor}" if one.actor else "", "green"),
        (f" at {one.position}", "dim"),
    )
    console.print(line)


def _headline(one: Moment) -> Text:
    return Text.assemble(
        (f"v{one.version}", "bold"), "  ", (one.type, "bold cyan"), "  ", (one.recorded_at.replace("T", " "), "dim")
    )


def _who(one: Moment) -> RenderableType:
    said = {
        "by": one.actor,
        "command": one.command_id,
        "correlation": one.correlation_id if one.correlation_id != one.command_id else None,
        "caused by": one.causation_id,
        "trace": one.traceparent,
        "event": f"{one.event_id} at {one.position}",
        "took effect": one.occurred_at.replace("T", " ") if one.occurred_at != one.recorded_at else None,
    }
    return Text.assemble(*((f"{name} {value}   ", "dim") for name, value in said.items() if value))


def _fields(data: object) -> RenderableType:
    table = Table.grid(padding=(0, 2))
    for path, value in leaves(data).items() if data else ():
        table.add_row(Text(path, style="dim"), _value(value))
    return table


def _changes(changes: Mapping[str, tuple[object, object]]) -> RenderableType:
    if not changes:
        return Text("changes nothing", style="dim italic")
    lines = []
    for path, (before, after) in changes.items():
        if before is not None:
            lines.append(Text.assemble((f"- {path}: ", "red"), _value(before)))
        if after is not None:
            lines.append(Text.assemble((f"+ {path}: ", "green"), _value(after)))
    return Group(*lines)


def _value(value: object) -> Text:
    if value in (REDACTED, SECRET):
        return Text(str(value), style="magenta")
    text = value if isinstance(value, str) else msgspec.json.encode(value).decode()
    return Text(text if len(text) <= _LONG else f"{text[:_LONG]}…")
