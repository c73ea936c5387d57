"""What the demo world consists of: a pure function of the graph, the sizes and a seed.

The same sizes and seed give the same accounts, follows, posts, replies, likes and reposts, in the same order, whoever asks and whenever.
"""

import gzip
import random
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from itertools import accumulate

from api.demo.words import FAMILY_NAMES, FIRST_NAMES, OPENINGS, REPLIES, SUBJECTS, TAGS

GRAPH_ACCOUNTS = 4_039
_REPLY_SHARE, _TAG_SHARE, _VIRAL_SHARE = 0.25, 0.6, 0.3
DEMO_LOGINS = 2
"""How many accounts, from number 0 on, can sign in."""


@dataclass(frozen=True, slots=True)
class DemoAccount:
    number: int
    handle: str
    email: str
    display_name: str


@dataclass(frozen=True, slots=True)
class DemoPost:
    """``author`` and ``reply_to`` are numbers: of an account, and of an earlier post."""

    number: int
    author: int
    text: str
    reply_to: int | None


@dataclass(frozen=True, slots=True)
class World:
    """``follows`` are (follower, followee), ``likes`` and ``reposts`` (account, post); all numbers, each pair once."""

    accounts: Sequence[DemoAccount]
    follows: Sequence[tuple[int, int]]
    posts: Sequence[DemoPost]
    likes: Sequence[tuple[int, int]]
    reposts: Sequence[tuple[int, int]]

    @property
    def size(self) -> int:
        """Number of commands that load it."""
        return len(self.accounts) + len(self.follows) + len(self.posts) + len(self.likes) + len(self.reposts)


@lru_cache(maxsize=1)
def friendships() -> tuple[tuple[int, int], ...]:
    """The undirected pairs of the graph, as they stand in the file."""
    text = gzip.decompress(files("api.demo").joinpath("ego-facebook.edges.gz").read_bytes()).decode()
    return tuple((int(a), int(b)) for a, b in (line.split() for line in text.splitlines()))


def build_world(*, accounts: int, posts: int, likes: int, reposts: int, seed: int = 1) -> World:
    """The first ``accounts`` people of the graph and what they write. ValueError for a size out of range."""
    if not DEMO_LOGINS <= accounts <= GRAPH_ACCOUNTS:
        raise ValueError(f"accounts must be between {DEMO_LOGINS} and {GRAPH_ACCOUNTS}")
    if min(posts, likes, reposts) < 0:
        raise ValueError("posts, likes and reposts cannot be negative")
    people = [_account(number) for number in range(accounts)]
    friends: list[list[int]] = [[] for _ in people]
    follows: list[tuple[int, int]] = []
    for a, b in friendships():
        if a < accounts and b < accounts:
            friends[a].append(b)
            friends[b].append(a)
            follows += [(a, b), (b, a)]
    written = _posts(posts, people, friends, _rng(seed, "posts"))
    return World(
        accounts=people,
        follows=follows,
        posts=written,
        likes=_pairs(likes, written, friends, _rng(seed, "likes")),
        reposts=_pairs(reposts, written, friends, _rng(seed, "reposts")),
    )


def _rng(seed: int, purpose: str) -> random.Random:
    return random.Random(f"{seed}:{purpose}")  # noqa: S311 - a reproducible world, not a secret


def _account(number: int) -> DemoAccount:
    first = FIRST_NAMES[number % len(FIRST_NAMES)]
    family = FAMILY_NAMES[number // len(FIRST_NAMES) % len(FAMILY_NAMES)]
    # The number ends the handle, so that no two handles look alike whatever the names are.
    handle = first.lower() if number < DEMO_LOGINS else f"{first.lower()}_{number}"
    return DemoAccount(number, handle, f"{handle}@tidings.example", f"{first} {family}")


def _posts(
    count: int, people: Sequence[DemoAccount], friends: Sequence[Sequence[int]], rng: random.Random
) -> list[DemoPost]:
    """Who has more friends writes more; every fourth post answers a recent one of a friend, where there is one."""
    weights = list(accumulate(len(circle) ** 0.5 + 1 for circle in friends))
    tag_weights = list(accumulate(1 / rank for rank in range(1, len(TAGS) + 1)))
    newest: dict[int, int] = {}
    written: list[DemoPost] = []
    for number, author in enumerate(rng.choices(range(len(people)), cum_weights=weights, k=count)):
        answered = None
        if rng.random() < _REPLY_SHARE and friends[author]:
            answered = newest.get(rng.choice(friends[author]))
        if answered is not None:
            text = f"@{people[written[answered].author].handle} {rng.choice(REPLIES)}"
        else:
            text = f"{rng.choice(OPENINGS)} {rng.choice(SUBJECTS)}"
        if rng.random() < _TAG_SHARE:
            text = f"{text} #{rng.choices(TAGS, cum_weights=tag_weights)[0]}"
        newest[author] = number
        written.append(DemoPost(number, author, text, answered))
    return written


def _pairs(
    count: int, posts: Sequence[DemoPost], friends: Sequence[Sequence[int]], rng: random.Random
) -> list[tuple[int, int]]:
    """(account, post) pairs: friends react to what friends write, to a few posts much more often than to the rest."""
    chosen: dict[tuple[int, int], None] = {}
    if not posts:
        return []
    # A world too small for so many distinct pairs gets fewer; the bound on tries keeps the loop finite.
    for _ in range(count * 4):
        if len(chosen) >= count:
            break
        post = (
            posts[min(int(rng.paretovariate(1.1) - 1), len(posts) * 8) * 7_919 % len(posts)]
            if rng.random() < _VIRAL_SHARE
            else rng.choice(posts)
        )
        circle = friends[post.author]
        if circle:
            chosen[rng.choice(circle), post.number] = None
    return list(chosen)
