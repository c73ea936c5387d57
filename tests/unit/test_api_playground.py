"""The playground's operations fit the schema that it plays on."""

import re

import pytest

from api.playground import STATIC, _sockets
from api.preparing import Preparer
from api.schema.schema import schema
from api.settings import load_settings

SCRIPT = (STATIC / "playground.js").read_text()
OPERATIONS = re.findall(r"`((?:#[^`]*|\s*)(?:query|mutation|subscription) [^`]*)`", SCRIPT)


def test_there_is_an_example_of_everything_one_would_try_first() -> None:
    named = {
        name for operation in OPERATIONS for name in re.findall(r"(?:query|mutation|subscription) (\w+)", operation)
    }
    assert named >= {
        *("Register", "SignIn", "CreatePost", "HomeFeed", "LiveHomeFeed", "Trends"),
        *(
            "Thread",
            "Quote",
            "CreatePostWithMedia",
            "Notifications",
            "Search",
            "BookmarkPost",
            "Revisions",
            "MuteUser",
            "BlockUser",
        ),
        *("LiveNotifications", "LivePublicFeed", "LiveHashtag", "LivePost", "LiveTrends"),
    }


@pytest.mark.parametrize("operation", OPERATIONS)
def test_operation_of_the_playground_fits_the_schema(operation: str) -> None:
    plain = re.sub(r"\$\{[^}]*\}", "x", operation)
    Preparer(schema._schema, load_settings()).prepare(plain)


def test_script_reaches_for_no_other_host() -> None:
    # The picture of an example is an address that the server stores, and nobody loads.
    assert not re.search(r"https?://(?!\$|pictures\.tidings\.example/)", SCRIPT)


@pytest.mark.parametrize("host", ["127.0.0.1:8000", "[::1]:8000", "tidings.example"])
def test_sockets_of_the_own_host_are_allowed(host: str) -> None:
    assert _sockets(host) == f" ws://{host} wss://{host}"


@pytest.mark.parametrize("host", ["", "x; script-src *", "x y", "*", "é", "x'"])
def test_host_that_is_none_is_left_out(host: str) -> None:
    assert _sockets(host) == ""
