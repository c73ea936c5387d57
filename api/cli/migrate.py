"""``tidings migrate``: makes what the stores need."""

from api import stores
from api.cli.running import begin, console, run
from api.secrets import load_secrets


def migrate() -> None:
    """Make keyspaces, tables, collections, indexes and shard keys where they are not there yet. May be repeated; run it in one place at a time."""
    settings = begin()
    run(stores.migrate(settings, load_secrets(settings)))
    console.print("The stores have all that they need.")
