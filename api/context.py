"""What a resolver is given: one RequestContext for each operation, also on a socket that carries many."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from api.auth.access import Viewer
from api.limits.budget import Standing
from api.services import Services
from domain.errors import Code, refuse
from projections.runtime.editions import Edition


@dataclass(slots=True)
class RequestContext:
    """``services`` are those at ``edition``. ``seen``: the positions that the client's consistency token asks for, {shard: sequence}; a mutation's receipt merges them with its own.

    ``network`` stands for a guest in limits. ``last_event_id``: the cursor behind which a client goes on that comes back to a stream of server-sent events.
    ``extensions`` goes out with the response, under ``extensions``. ``cost`` is the operation's, in points.
    """

    services: Services
    edition: Edition
    viewer: Viewer | None
    seen: Mapping[int, int]
    request_id: str
    network: str
    traceparent: str | None = None
    user_agent: str = ""
    last_event_id: str | None = None
    cost: int = 0
    nodes: int = 0
    extensions: dict[str, object] = field(default_factory=dict)
    loaders: dict[str, object] = field(default_factory=dict)

    def require_viewer(self) -> Viewer:
        """The viewer, or Refusal UNAUTHENTICATED for a guest."""
        if self.viewer is None:
            raise refuse(
                Code.UNAUTHENTICATED, "this asks for a signed-in account: send Authorization: Bearer <accessToken>"
            )
        return self.viewer

    def count_sign_in(self) -> None:
        """To be called by every field that tries a password or makes an account: by field, for one request may hold many. Refusal RATE_LIMITED."""
        if not self.services.sign_ins.take(self.network, 1):
            raise refuse(Code.RATE_LIMITED, "too many sign-ins from this network: wait five minutes")

    @property
    def payer(self) -> str:
        """Who the operation's cost is charged to."""
        return self.viewer.account if self.viewer else self.network

    def standing(self) -> Standing:
        """What is left of the hour's budget after this operation was charged."""
        return self.services.budget.standing(self.payer)

    def renew(self) -> None:
        """Between two events of a subscription: what was loaded for one is no news to the next, nor are the versions that it was read from."""
        self.edition = self.services.editions.current
        self.services = self.services.at(self.edition)
        self.loaders.clear()
        self.extensions.clear()
