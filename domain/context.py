"""What a handler is given besides its command: who asks, when, and where ids and names come from."""

from collections.abc import Sequence
from dataclasses import dataclass

from domain.envelope import Metadata
from domain.events import Event
from domain.ids import Entropy, Namer, mint_id
from domain.limits import DEFAULT_LIMITS, Limits
from domain.log.port import Draft


@dataclass(frozen=True, slots=True)
class Context:
    """``actor`` is the signed-in account (None: a guest, or a reactor); ``now`` microseconds since the epoch; ``occurred_at`` is set by imports only."""

    namer: Namer
    entropy: Entropy
    now: int
    command_id: str
    actor: str | None = None
    limits: Limits = DEFAULT_LIMITS
    correlation_id: str = ""
    causation_id: str | None = None
    traceparent: str | None = None
    occurred_at: int | None = None

    def metadata(self, input_hmac: str | None = None) -> Metadata:
        return Metadata(
            command_id=self.command_id,
            actor=self.actor,
            correlation_id=self.correlation_id or self.command_id,
            causation_id=self.causation_id,
            traceparent=self.traceparent,
            input_hmac=input_hmac,
        )

    def mint(self, slot: int) -> str:
        return mint_id(slot, self.entropy)

    def drafts(self, stream: str, events: Sequence[Event]) -> tuple[Draft, ...]:
        return tuple(Draft(stream, event, self.occurred_at) for event in events)
