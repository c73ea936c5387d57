"""Identifiers, slots and stream names: from any id alone, which shard it lives in.

An id is 128 bits in 26 characters of lower-case base32 (RFC 4648, unpadded): 10 bits of slot, then 118 bits that are random or an HMAC.
Ten bits are exactly the first two characters, so a slot is read without decoding the rest. Ids are opaque and do not sort by time.
"""

import base64
import hashlib
import hmac
from collections.abc import Callable
from typing import Final

SLOTS: Final = 1024
ID_LENGTH: Final = 26
_ALPHABET: Final = "abcdefghijklmnopqrstuvwxyz234567"
_VALUE: Final = {char: value for value, char in enumerate(_ALPHABET)}

Entropy = Callable[[int], bytes]
"""``entropy(n)`` gives n unpredictable bytes (``os.urandom`` in production)."""


def _assemble(slot: int, tail: bytes) -> str:
    number = (slot << 118) | (int.from_bytes(tail[:15], "big") & ((1 << 118) - 1))
    return base64.b32encode(number.to_bytes(16, "big")).decode().rstrip("=").lower()


def mint_id(slot: int, entropy: Entropy) -> str:
    """A new random id in ``slot`` (0–1023)."""
    return _assemble(slot, entropy(15))


def is_id(text: str) -> bool:
    """Whether ``text`` has the exact form of an id; says nothing about existence."""
    # The last character carries three bits: its low two are padding and must be zero, or one id would have four spellings.
    return len(text) == ID_LENGTH and all(char in _VALUE for char in text) and _VALUE[text[-1]] & 3 == 0


def slot_of(id_: str) -> int:
    """The slot (0–1023) that an id carries in its first ten bits."""
    return (_VALUE[id_[0]] << 5) | _VALUE[id_[1]]


def shard_of(id_: str, shards: int) -> int:
    """shard = slot × shards // 1024: another shard count moves whole slots."""
    return slot_of(id_) * shards // SLOTS


class Namer:
    """Ids that are a keyed function of a name: claims and idempotent creates.

    The key is SERVER_KEY (32 bytes or more), fixed for the life of a log: with another key the same name would find another stream.
    """

    def __init__(self, server_key: bytes) -> None:
        self._key = server_key

    def _digest(self, *parts: str) -> bytes:
        # Length prefixes keep ("ab", "c") and ("a", "bc") apart.
        message = b"".join(len(p.encode()).to_bytes(4, "big") + p.encode() for p in parts)
        return hmac.new(self._key, message, hashlib.blake2b).digest()

    def claim_id(self, kind: str, name: str) -> str:
        """The id of the claim on ``name``; its slot is the name's, so no name stands in a key."""
        digest = self._digest("claim", kind, name)
        return _assemble(int.from_bytes(digest[-2:], "big") % SLOTS, digest)

    def idempotent_id(self, slot: int, actor: str, mutation: str, key: str) -> str:
        """The id that a create with this idempotency key has, whoever repeats it."""
        return _assemble(slot, self._digest("create", actor, mutation, key))

    def fingerprint(self) -> str:
        """Recorded in the log's metadata; a log opened under another key is refused."""
        return self._digest("fingerprint").hex()[:32]

    def input_hmac(self, *parts: str) -> str:
        """Of a command's input without its secrets: tells a repeat from another input under the same key."""
        return self._digest("input", *parts).hex()[:32]


def account_stream(account: str) -> str:
    return f"account-{account}"


def session_stream(session: str) -> str:
    return f"session-{session}"


def claim_stream(claim: str) -> str:
    return f"claim-{claim}"


def post_stream(post: str) -> str:
    return f"post-{post}"


def reaction_stream(post: str, actor: str) -> str:
    """Filed under the post: likes meet their post and its author's blocks in one shard."""
    return f"reaction-{post}-{actor}"


def repost_stream(actor: str, post: str) -> str:
    """Filed under the actor: what enters the timelines of X's followers is in X's shard."""
    return f"repost-{actor}-{post}"


def bookmark_stream(actor: str, post: str) -> str:
    """Filed under the actor, whom alone it concerns."""
    return f"bookmark-{actor}-{post}"


def pins_stream(author: str) -> str:
    """An author's pinned posts, in the shard of these posts."""
    return f"pins-{author}"


def marker_stream(account: str) -> str:
    """How far an account has read what it was told."""
    return f"marker-{account}"


def follow_stream(follower: str, followee: str) -> str:
    """Filed under the *followee*: every follow of X is in X's shard."""
    return f"follow-{follower}-{followee}"


def block_stream(actor: str, target: str) -> str:
    """Filed under who blocks: what others do to the actor meets the actor's blocks in one shard."""
    return f"block-{actor}-{target}"


def mute_stream(actor: str, target: str) -> str:
    """Filed under who mutes, whom alone it concerns."""
    return f"mute-{actor}-{target}"


def category_of(stream: str) -> str:
    return stream.partition("-")[0]


def filed_under(stream: str) -> str:
    """The id whose slot places the stream. A follow is filed under its last id, all others under their first."""
    category, _, rest = stream.partition("-")
    return rest.rpartition("-")[2] if category == "follow" else rest.partition("-")[0]


def stream_shard(stream: str, shards: int) -> int:
    """The shard of a stream, of ``shard-{n}`` (the log's own stream) included."""
    category, _, rest = stream.partition("-")
    return int(rest) if category == "shard" else shard_of(filed_under(stream), shards)
