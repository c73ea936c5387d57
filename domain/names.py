"""Handles and e-mail addresses: their valid forms, and the one spelling under which each is unique."""

import re
from typing import Final

from domain.errors import Code, Problem
from domain.ids import Namer
from domain.limits import Limits

_HANDLE: Final = re.compile(r"[a-z0-9_]+")
# What reads alike in the handle's alphabet, by the prototypes of Unicode's confusables.txt (UTS #39) in lower case.
_ALIKE: Final = (("m", "rn"), ("0", "o"), ("1", "l"))


def fold_handle(handle: str) -> str:
    """As it is stored and shown: without @, in lower case."""
    return handle.strip().removeprefix("@").lower()


def handle_skeleton(handle: str) -> str:
    """Two handles with one skeleton look alike, and only one of them can be taken."""
    for char, prototype in _ALIKE:
        handle = handle.replace(char, prototype)
    return handle


def handle_claim(namer: Namer, handle: str) -> str:
    """The id of the claim on a folded handle, and on all that look like it."""
    return namer.claim_id("handle", handle_skeleton(handle))


def handle_problems(handle: str, limits: Limits, field: str = "handle") -> list[Problem]:
    """What is wrong with a folded handle."""
    if len(handle) < limits.handle_min:
        return [Problem(Code.TOO_SHORT, f"A handle has at least {limits.handle_min} characters.", (field,))]
    if len(handle) > limits.handle_max:
        return [Problem(Code.TOO_LONG, f"A handle has at most {limits.handle_max} characters.", (field,))]
    if not _HANDLE.fullmatch(handle):
        return [Problem(Code.INVALID, "A handle is made of the letters a to z, digits and _.", (field,))]
    return []


def fold_email(email: str) -> str:
    """The spelling under which an address is unique. Providers tell upper case apart nowhere, so nor does this."""
    return email.strip().casefold()


def email_problems(email: str, limits: Limits, field: str = "email") -> list[Problem]:
    """A coarse check of a folded address; the edge checks its full syntax."""
    if len(email.encode()) > limits.email_bytes:
        return [Problem(Code.TOO_LONG, f"An e-mail address has at most {limits.email_bytes} bytes.", (field,))]
    local, at, host = email.rpartition("@")
    if not (local and at and host) or any(c.isspace() or not c.isprintable() for c in email):
        return [Problem(Code.INVALID, "This is not an e-mail address.", (field,))]
    return []
