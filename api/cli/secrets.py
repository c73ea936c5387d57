"""``tidings secrets``: keys for a cluster."""

import typer

from api.secrets import new_key


def secrets() -> None:
    """Print three fresh secrets as environment variables. Keep them: without MASTER_KEY and SERVER_KEY a log cannot be read or written again."""
    for variable in ("MASTER_KEY", "SERVER_KEY", "TOKEN_KEYS"):
        typer.echo(f"{variable}={new_key()}")
