"""Which adapter a store's address names, and what to say when nothing answers there."""

from api.secrets import Secrets
from api.settings import Settings, without_password
from domain.errors import UnavailableError
from domain.log.port import EventLog
from projections.documents.port import Documents


class StoreError(Exception):
    """A store is not there at start: names its address and the variable that sets it."""

    def __init__(self, variable: str, address: str, reason: object) -> None:
        super().__init__(
            f"nothing usable answers at {without_password(address)} ({reason}). Set {variable} to where it is."
        )
        self.variable = variable


async def open_log(settings: Settings, secrets: Secrets) -> EventLog:
    try:
        raise UnavailableError("not wired yet")
    except UnavailableError as error:
        raise StoreError("LOG_URL", settings.log_address, error) from error


async def open_documents(settings: Settings) -> Documents:
    try:
        raise UnavailableError("not wired yet")
    except UnavailableError as error:
        raise StoreError("DOCUMENTS_URL", settings.documents_address, error) from error
