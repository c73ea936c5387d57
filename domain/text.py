"""Text as people type it: lengths in grapheme clusters, and the hashtags, mentions and links in it as facets.

Facets are found once, when the command is handled, and stored; nobody parses a text again. Links count 23 graphemes whatever their length
(Mastodon, status_length_validator.rb), so that a long address costs no words.
"""

import unicodedata
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import regex

from domain.events import Facet

URL_GRAPHEMES: Final = 23
MAX_TAG_GRAPHEMES: Final = 64
MAX_MARKS: Final = 30
"""Combining marks on one letter, as in the Stream-Safe Text Format (UAX #15 §13): no language comes near it. Bringing marks into their order takes the square of
their number: 100,000 on one letter held a core for minutes."""

_LINK = r"(?P<link>(?i:https?)://[^\s<>\"'\x60{}|\\^\p{C}]+)"
# A tag has at least one letter, so that #1 is a number and not a tag; middle dots and joiners stand in words of several scripts. A mark behind # makes
# another character of it, such as the keycap.
_TAG = r"(?<![\p{L}\p{N}_/&])[#\uff03](?!\p{M})(?P<tag>[\p{L}\p{M}\p{N}_·\u200c\u200d]*\p{L}[\p{L}\p{M}\p{N}_·\u200c\u200d]*)"
# Scripts that are written without spaces, or with endings behind a name, may go on right behind a handle; with other letters it would be another name.
_GOES_ON = r"[\p{Han}\p{Hiragana}\p{Katakana}\p{Hangul}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}]"
_MENTION = rf"(?<![\p{{L}}\p{{N}}_/@.])@(?P<mention>[A-Za-z0-9_]{{3,30}})(?![\p{{M}}\p{{N}}_@]|[\p{{L}}--{_GOES_ON}])"
_FACETS: Final = regex.compile(f"{_LINK}|{_TAG}|{_MENTION}", regex.VERSION1)
_GRAPHEME: Final = regex.compile(r"\X", regex.VERSION1)
_LETTER: Final = regex.compile(r"\p{L}", regex.VERSION1)
# Of ASCII, then full stops, commas and the like of East Asia, and closing quotes and brackets.
_LINK_TAIL: Final = (
    ".,:;!?*_~'\"\u3002\u3001\uff0c\uff0e\uff1a\uff1b\uff01\uff1f\u2026\u2019\u201d\u00bb\u300d\u300f\u3011\u300b\uff09"
)
# NUL and other controls break storage and terminals.
_CONTROL: Final = regex.compile(r"[\p{Cc}\p{Cs}--[\n\t]]", regex.VERSION1)
# These make a text read as what it is not (CVE-2021-42574).
_OVERRIDE: Final = regex.compile(r"[\u202a-\u202e\u2066-\u2069]", regex.VERSION1)
# The two halfwidth sound marks of kana become combining ones in compatibility forms.
_STACK: Final = regex.compile(rf"[\p{{M}}\uff9e\uff9f]{{{MAX_MARKS + 1},}}", regex.VERSION1)
_IGNORABLE: Final = regex.compile(r"\p{Default_Ignorable_Code_Point}+", regex.VERSION1)
_SEEN: Final = regex.compile(r"[^\s\p{Default_Ignorable_Code_Point}\u2800]", regex.VERSION1)


@dataclass(frozen=True, slots=True)
class Span:
    """What was found, before mentions are resolved: ``value`` is the folded tag, the handle in lower case, or the address."""

    kind: str
    start: int
    end: int
    value: str


def graphemes(text: str) -> int:
    """Number of extended grapheme clusters (UAX #29)."""
    return len(text) if text.isascii() and "\r" not in text else len(_GRAPHEME.findall(text))


def normalise(text: str) -> str:
    """NFC, line ends as LF, outer white space gone: what is stored and measured. What has a ``flaw`` by its marks is left as it is, to be refused."""
    if _STACK.search(text):
        return text
    return unicodedata.normalize("NFC", text.replace("\r\n", "\n").replace("\r", "\n")).strip()


def unstacked(text: str) -> str:
    """At most 30 marks on a letter: what takes any normal form in a time that grows with its length alone."""
    return _STACK.sub(lambda marks: marks[0][:MAX_MARKS], text)


def flaw(text: str) -> str:
    """What a text has that none may have, in words; empty where it is sound. Lone surrogates, which have no UTF-8, count as controls."""
    if _CONTROL.search(text):
        return "control characters"
    if _OVERRIDE.search(text):
        return "characters that turn the direction of the writing"
    return f"more than {MAX_MARKS} marks on one letter" if _STACK.search(text) else ""


def blank(text: str) -> bool:
    """Whether there is nothing to be seen: white space, joiners, fillers and the like alone."""
    return _SEEN.search(text) is None


def fold_tag(tag: str) -> str:
    """The form under which a tag is one: NFKC, case-folded, without # and without what cannot be seen (UAX #31's NFKC_Casefold)."""
    # What cannot be seen goes first: marks that it kept apart are a stack without it.
    plain = unicodedata.normalize("NFKC", unstacked(_IGNORABLE.sub("", tag.lstrip("#\uff03")))).casefold()
    return unicodedata.normalize("NFKC", unstacked(_IGNORABLE.sub("", plain)))


def spans(text: str) -> tuple[Span, ...]:
    """Links, tags and mentions in order of appearance; they never overlap."""
    found: list[Span] = []
    for match in _FACETS.finditer(text):
        kind = match.lastgroup or ""
        start, end = match.span()
        value = match.group(kind)
        if kind == "link":
            value = _trim_link(value)
            end = start + len(value)
            if value.rstrip("/").endswith(":"):
                continue
        elif kind == "tag":
            value = fold_tag(value)
            if not _LETTER.search(value) or graphemes(value) > MAX_TAG_GRAPHEMES:
                continue
        else:
            value = value.lower()
        found.append(Span(kind, start, end, value))
    return tuple(found)


def _trim_link(link: str) -> str:
    """A sentence's own punctuation is not the link's, nor is a closing bracket that opened outside of it."""
    end, unopened = len(link), link.count(")") - link.count("(")
    while link[end - 1] in _LINK_TAIL or (link[end - 1] == ")" and unopened > 0):
        unopened -= link[end - 1] == ")"
        end -= 1
    return link[:end]


def weighted_length(text: str, found: tuple[Span, ...]) -> int:
    """Graphemes of the text with every link counted as 23."""
    length = graphemes(text)
    for span in found:
        if span.kind == "link":
            length += URL_GRAPHEMES - graphemes(text[span.start : span.end])
    return length


def facets(text: str, found: tuple[Span, ...], mentioned: dict[str, str]) -> tuple[Facet, ...]:
    """Facets of ``found``; a mention whose handle is not in ``mentioned`` (handle → account) stays plain text. A cluster that a facet has part of is in its range."""
    starts = _cluster_starts(text) if found else ()
    result: list[Facet] = []
    place = at = 0
    for span in found:
        at += len(text[place : span.start].encode())
        place = span.start
        target = mentioned.get(span.value, "") if span.kind == "mention" else span.value if span.kind == "tag" else ""
        if span.kind == "mention" and not target:
            continue
        result.append(
            Facet(
                kind=span.kind,
                byte_start=at,
                byte_end=at + len(text[span.start : span.end].encode()),
                grapheme_start=bisect_right(starts, span.start) - 1,
                grapheme_end=bisect_left(starts, span.end),
                target=target,
            )
        )
    return tuple(result)


def _cluster_starts(text: str) -> Sequence[int]:
    """Where grapheme clusters begin, in characters."""
    if text.isascii() and "\r" not in text:
        return range(len(text))
    return [match.start() for match in _GRAPHEME.finditer(text)]


def tags_of(found: tuple[Span, ...]) -> tuple[str, ...]:
    """Folded tags, each once, in order of appearance."""
    return tuple(dict.fromkeys(span.value for span in found if span.kind == "tag"))


def mentions_of(found: tuple[Span, ...]) -> tuple[str, ...]:
    """Mentioned handles in lower case, each once, in order of appearance."""
    return tuple(dict.fromkeys(span.value for span in found if span.kind == "mention"))
