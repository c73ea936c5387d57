"""Words: what a text can be found by. The same for what is written and for what is searched for, on every store."""

import unicodedata
from typing import Final

import regex

from domain.events import PostContent
from domain.text import unstacked

MAX_WORDS: Final = 300
"""Of one text: what comes later is not found."""
MAX_LETTERS: Final = 40
"""Of one word: what comes later makes no difference."""

_WORD: Final = regex.compile(r"[\p{L}\p{M}\p{N}_]+", regex.VERSION1)
# Scripts that are written without spaces.
_RUN: Final = regex.compile(
    r"[\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}]+|[^\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}]+",
    regex.VERSION1,
)
_UNSPACED: Final = regex.compile(
    r"[\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}]", regex.VERSION1
)
_ACCENTS: Final = regex.compile(r"\p{Mn}+", regex.VERSION1)


def fold_word(text: str) -> str:
    """The form in which texts are compared: compatibility forms, case and accents make no difference."""
    plain = unicodedata.normalize("NFKD", unicodedata.normalize("NFKC", unstacked(text)).casefold())
    return unicodedata.normalize("NFC", _ACCENTS.sub("", plain))


def words(text: str) -> tuple[str, ...]:
    """Each word once, in the order of appearance. A run without spaces is taken in pairs of letters (as Lucene's CJKBigramFilter)."""
    found: dict[str, None] = {}
    for word in _WORD.findall(fold_word(text)):
        for run in _RUN.findall(word):
            pairs = _pairs(run) if _UNSPACED.match(run) else (run[:MAX_LETTERS],)
            found.update(dict.fromkeys(pairs))
        if len(found) >= MAX_WORDS:
            break
    return tuple(found)[:MAX_WORDS]


def post_words(content: PostContent) -> tuple[str, ...]:
    """What a post is found by: its warning, its text, and what its media show."""
    return words("\n".join((content.content_warning, content.text, *(one.alt for one in content.media))))


def _pairs(run: str) -> tuple[str, ...]:
    return (run,) if len(run) == 1 else tuple(run[place : place + 2] for place in range(len(run) - 1))
