"""What every adapter of the event log must do. An adapter's test module imports all of it and brings two fixtures, ``log_factory`` and ``snapshot_store``.

The factory opens *the same* store again at every call, as another process would: own caches, own connections. It closes what it has opened,
and gives every test a store of its own. ``queue_limit`` bounds the commands that wait for an answer.
"""

from tests.contract.log_appending import *  # noqa: F403 -- the contract is the sum of its parts
from tests.contract.log_closing import *  # noqa: F403
from tests.contract.log_deciding import *  # noqa: F403
from tests.contract.log_forgetting import *  # noqa: F403
from tests.contract.log_kit import *  # noqa: F403
from tests.contract.log_life import *  # noqa: F403
from tests.contract.log_reading import *  # noqa: F403
from tests.contract.log_snapshots import *  # noqa: F403
