"""Given/when/then for deciders: events that were, a decision, events that follow or the code of a refusal."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

from domain import deciders
from domain.envelope import Metadata, Recorded
from domain.errors import Code, Refusal
from domain.events import Event


def recorded(
    event: Event, *, version: int = 1, at: int = 1_000, stream: str = "", input_hmac: str | None = None
) -> Recorded:
    """An envelope around ``event``, as the log would give it back."""
    return Recorded(
        event_id=f"event-{version}",
        stream=stream,
        version=version,
        event=event,
        metadata=Metadata(command_id=f"command-{version}", input_hmac=input_hmac),
        occurred_at=at,
        recorded_at=at,
        attempt_id="attempt",
        generation=1,
        shard=0,
        position=version,
    )


@dataclass
class Given:
    """The state of one stream after ``events``."""

    category: str
    events: Sequence[Event] = ()
    input_hmac: str | None = None
    _decide: Callable[[Any], Sequence[Event]] | None = field(default=None, init=False)

    def state(self) -> Any:
        state = deciders.initial(f"{self.category}-x")
        for version, happened in enumerate(self.events, 1):
            state = deciders.evolve(
                f"{self.category}-x", state, recorded(happened, version=version, input_hmac=self.input_hmac)
            )
        return state

    def when(self, decide: Callable[[Any], Sequence[Event]]) -> "Given":
        self._decide = decide
        return self

    def then(self, *expected: Event) -> None:
        assert self._decide is not None
        assert tuple(self._decide(self.state())) == expected

    def refused(self, code: Code) -> None:
        assert self._decide is not None
        with pytest.raises(Refusal) as refusal:
            self._decide(self.state())
        assert refusal.value.code == code


def given(category: str, *events: Event, input_hmac: str | None = None) -> Given:
    return Given(category, events, input_hmac)
