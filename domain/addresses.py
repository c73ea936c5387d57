"""Addresses of what lies elsewhere on the web: which may be shown to others."""

from typing import Final
from urllib.parse import urlsplit

import regex

_ALLOWED: Final = regex.compile(r"[!#-;=?-\[\]_a-z~]+")
"""What an address is written with (RFC 3986 §2): everything else stands percent-encoded in it, also what would end an attribute in double
quotes, or begin an element, of a page that shows it."""


def is_web_address(value: str, most: int) -> bool:
    """Whether ``value`` is an absolute https address of at most ``most`` bytes, with a host and without a user or a password.

    Only https: a page that is served by it may show nothing else, and no client is to be led to ``javascript:`` or ``data:``.
    """
    if len(value) > most or not _ALLOWED.fullmatch(value):
        return False
    try:
        parts = urlsplit(value)
        host, _ = parts.hostname, parts.port
    except ValueError:
        return False
    return parts.scheme == "https" and bool(host) and "@" not in parts.netloc
