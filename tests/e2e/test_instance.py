"""What bounds a client is shown to it, as it stands."""

from dataclasses import fields
from pathlib import Path

import msgspec
from graphql import GraphQLObjectType

from api.schema.instance import InstanceLimits
from api.schema.schema import schema
from domain.limits import Limits
from tests.product_kit import embedded_settings, product

UNSHOWN = {"email_bytes", "claim_takeover", "restore_window", "session_lifetime"}
"""Of no use to a client, or shown under another name."""
GIVEN = {
    "textGraphemes": 500,
    "textBytes": 5_000,
    "displayNameGraphemes": 40,
    "bioGraphemes": 500,
    "handleMin": 3,
    "handleMax": 30,
    "media": 4,
    "pins": 5,
    "page": 100,
    "ids": 100,
    "homeFeed": 800,
    "homeActive": 7 * 86_400,
    "pushThreshold": 2_000,
    "unread": 100,
    "notificationWindow": 12 * 3_600,
    "sampleActors": 8,
    "replay": 36 * 3_600,
    "subscriptionQueue": 500,
    "subscriptions": 100,
    "heartbeat": 15,
    "trendsRefresh": 60,
    "tagHalfLife": 4 * 3_600,
    "postHalfLife": 3_600,
    "trendsAuthors": 5,
    "bodyBytes": 256 * 1_024,
    "aliases": 30,
    "tokens": 2_000,
    "operation": 10,
}


def test_every_limit_of_the_domain_is_shown_that_a_client_can_meet() -> None:
    assert set(msgspec.structs.asdict(Limits())) - {field.name for field in fields(InstanceLimits)} == UNSHOWN


async def test_limits_are_shown_as_they_stand(tmp_path: Path) -> None:
    kind = schema._schema.type_map["InstanceLimits"]
    assert isinstance(kind, GraphQLObjectType)
    async with product(embedded_settings(tmp_path, limits={"pins": 7}, max_depth=9), workers=False) as served:
        answer = await served.ask(f"{{ instance {{ name limits {{ {' '.join(kind.fields)} }} }} }}")
    shown = answer["data"]["instance"]["limits"]
    assert {name: shown[name] for name in GIVEN} == GIVEN | {"pins": 7}
    assert shown["depth"] == 9
