"""What every adapter of the documents must do. An adapter's test module imports all of it and brings a fixture ``documents_factory``."""

from tests.contract.documents_control import *  # noqa: F403 -- the contract is the sum of its parts
from tests.contract.documents_convergence import *  # noqa: F403
from tests.contract.documents_kit import *  # noqa: F403
from tests.contract.documents_pages import *  # noqa: F403
from tests.contract.documents_rows import *  # noqa: F403
from tests.contract.documents_state import *  # noqa: F403
