"""What the demo world shows besides plain posts: quotes, pictures with their descriptions, warnings, edits, a long thread, many scripts, bookmarks and pins.

A pure function of the world. It has numbers and idempotency keys of its own, so that it changes nothing of what was asked for by number.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, TypedDict, Unpack

from api.demo.world import DEMO_LOGINS, World
from domain.events import Media

_PICTURES: Final = "https://pictures.tidings.example"
_BLURHASH: Final = "LEHV6nWB2yk8pyo0adR*.7kCMdnj"


@dataclass(frozen=True, slots=True)
class ShownPost:
    """``reply_to`` is the number of an earlier one of these, ``quote`` that of a plain post of the world. ``edited``: the text that it gets afterwards."""

    number: int
    author: int
    text: str
    reply_to: int | None = None
    quote: int | None = None
    media: tuple[Media, ...] = ()
    content_warning: str = ""
    language: str = "en"
    edited: str = ""


class _Extra(TypedDict, total=False):
    reply_to: int | None
    quote: int
    media: tuple[Media, ...]
    content_warning: str
    language: str
    edited: str


@dataclass(frozen=True, slots=True)
class Showcase:
    """``bookmarks`` are (account, plain post), ``pins`` (account, shown post); all numbers."""

    posts: Sequence[ShownPost] = ()
    bookmarks: Sequence[tuple[int, int]] = ()
    pins: Sequence[tuple[int, int]] = ()

    @property
    def edits(self) -> Sequence[ShownPost]:
        return [post for post in self.posts if post.edited]

    @property
    def size(self) -> int:
        """Number of commands that load it."""
        return len(self.posts) + len(self.edits) + len(self.bookmarks) + len(self.pins)


_THREAD: Final = (
    "Which small thing made your week better? I start: the baker now opens at six. #smalljoys",
    "A neighbour lent me a ladder, and stayed for tea.",
    "What tea?",
    "Lapsang, far too strong.",
    "There is no too strong.",
    "There is, and it removes varnish.",
    "Then it is the right tea for a ladder.",
    "I have screenshots of this conversation.",
    "Please frame them.",
    "Next to the ladder.",
    "Under the varnish.",
    "And that is how a museum begins. #smalljoys",
)
"""Each answers the one before it."""
_BRANCHES: Final = (
    (0, "My train was on time. Twice!"),
    (0, "I found the other glove."),
    (0, "The cat forgave me."),
    (1, "We should all lend more ladders."),
    (6, "Citation needed."),
    (11, "I would pay to get in."),
)
"""Place in the thread and what answers there."""
_QUOTES: Final = (
    "This. Read it twice.",
    "Saying it better than I could:",
    "Gentle disagreement: it depends on the weather.",
    "Still thinking of this one.",
    "For everyone who asked me yesterday:",
)
_SHOWN: Final = (
    (
        "Morning at the lake.",
        (
            Media(
                url=f"{_PICTURES}/lake.jpg",
                mime_type="image/jpeg",
                alt="A flat grey lake before sunrise; a red rowing boat lies upside down on the shore.",
                width=1600,
                height=1067,
                blurhash=_BLURHASH,
            ),
        ),
    ),
    (
        "Two attempts at the same loaf. #sourdough",
        (
            Media(
                url=f"{_PICTURES}/loaf-1.jpg",
                mime_type="image/jpeg",
                alt="A flat, pale loaf of bread on a wooden board.",
                width=1200,
                height=900,
            ),
            Media(
                url=f"{_PICTURES}/loaf-2.jpg",
                mime_type="image/jpeg",
                alt="The same board with a round, dark loaf, its crust torn open along a cross.",
                width=1200,
                height=900,
            ),
        ),
    ),
    (
        "Thirty seconds of rain on a tin roof. Sound on.",
        (
            Media(
                url=f"{_PICTURES}/rain.mp4",
                mime_type="video/mp4",
                alt="Rain runs down a corrugated roof; a gutter overflows at its corner.",
                width=1280,
                height=720,
                duration=30_000,
            ),
        ),
    ),
    (
        "The bell tower at noon. #radio",
        (
            Media(
                url=f"{_PICTURES}/bells.ogg",
                mime_type="audio/ogg",
                alt="Twelve strokes of a large bell, with pigeons taking off after the first.",
                duration=41_000,
            ),
        ),
    ),
)
_WARNED: Final = (
    ("Spoiler: the end of the film", "The gardener is the narrator. I did not see it coming. #film"),
    ("Food", "Cold pizza for breakfast, and no regrets."),
)
_SCRIPTS: Final = (
    ("ar", "صباح الخير من الشرفة ☕ #قهوة"),
    ("he", "סוף סוף גשם ראשון 🌧️ #גשם"),
    ("hi", "आज की चाय सबसे अच्छी थी 🫖 #चाय"),
    ("ja", "川沿いの図書館に行ってきました 📚 #図書館"),
    ("el", "Καλημέρα από το λιμάνι ⛵ #θάλασσα"),
    ("en", "Crew of the week 👩🏽‍🚀👨‍👩‍👧‍👦 from 🇨🇭 and 🏴󠁧󠁢󠁳󠁣󠁴󠁿: 1️⃣ boat, no oars."),
)
_EDITED: Final = (
    ("The market opens at nien. #market", "The market opens at nine. #market"),
    ("Lost: one umbrella, blue.", "Lost: one umbrella, blue. Found! Thank you all."),
)
_BOOKMARKS: Final = 6
_AUTHORS: Final = 8


def build_showcase(world: World) -> Showcase:
    """Written by the first account and those whom it follows."""
    circle = [0, *dict.fromkeys(followee for follower, followee in world.follows if follower == 0)][:_AUTHORS]
    quoted = [post.number for post in reversed(world.posts) if post.reply_to is None]
    posts: list[ShownPost] = []

    def write(text: str, **more: Unpack[_Extra]) -> None:
        posts.append(ShownPost(len(posts), circle[len(posts) % len(circle)], text, **more))

    for place, text in enumerate(_THREAD):
        write(text, reply_to=place - 1 if place else None)
    for place, text in _BRANCHES:
        write(text, reply_to=place)
    for text, number in zip(_QUOTES, quoted, strict=False):
        write(text, quote=number)
    for text, media in _SHOWN:
        write(text, media=media)
    for warning, text in _WARNED:
        write(text, content_warning=warning)
    for language, text in _SCRIPTS:
        write(text, language=language)
    for text, edited in _EDITED:
        write(text, edited=edited)
    return Showcase(
        posts=posts,
        bookmarks=[(reader, number) for reader in range(DEMO_LOGINS) for number in quoted[reader::2][:_BOOKMARKS]],
        pins=[(posts[0].author, 0)],
    )
