"""Text as people type it: lengths in grapheme clusters, and the hashtags, mentions and links in it as facets.

Facets are found once, when the command is handled, and stored; nobody parses a text again. Links count 23 graphemes whatever their length
(Mastodon, status_length_validator.rb), so that a long address costs no words.
"""

import unicodedata
from dataclasses import dataclass
from typing import Final

import regex

from domain.events import Facet

URL_GRAPHEMES: Final = 23
MAX_TAG_GRAPHEMES: Final = 64

_LINK = r"(?P<link>https?://[^\s<>\"'\x60{}|\\^\p{C}]+)"
# A tag has at least one letter, so that #1 is a number and not a tag; middle dots and joiners stand in words of several scripts.
_TAG = r"(?<![\p{L}\p{N}_/&])[#\uff03](?P<tag>[\p{L}\p{M}\p{N}_·\u200c\u200d]*\p{L}[\p{L}\p{M}\p{N}_·\u200c\u200d]*)"
_MENTION = r"(?<![\p{L}\p{N}_/@.])@(?P<mention>[A-Za-z0-9_]{3,30})(?![A-Za-z0-9_@])"
_FACETS: Final = regex.compile(f"{_LINK}|{_TAG}|{_MENTION}", regex.VERSION1)
_GRAPHEME: Final = regex.compile(r"\X", regex.VERSION1)
_LINK_TAIL: Final = ".,:;!?*_~'\""
# NUL and other controls break storage and terminals; bidirectional overrides make a text read as what it is not (CVE-2021-42574).
_FORBIDDEN: Final = regex.compile(r"[\p{Cc}\p{Cs}\u202a-\u202e\u2066-\u2069--[\n\t]]", regex.VERSION1)


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
    """NFC, line ends as LF, outer white space gone: what is stored and measured."""
    return unicodedata.normalize("NFC", text.replace("\r\n", "\n").replace("\r", "\n")).strip()


def forbidden(text: str) -> bool:
    """Whether it has control characters, lone surrogates or bidirectional overrides."""
    return _FORBIDDEN.search(text) is not None


def fold_tag(tag: str) -> str:
    """The form under which a tag is one: NFKC, case-folded, without #."""
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", tag.lstrip("#\uff03")).casefold())


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
        elif kind == "tag":
            value = fold_tag(value)
            if graphemes(value) > MAX_TAG_GRAPHEMES:
                continue
        else:
            value = value.lower()
        found.append(Span(kind, start, end, value))
    return tuple(found)


def _trim_link(link: str) -> str:
    """A sentence's own punctuation is not the link's, nor is a closing bracket that opened outside of it."""
    while link[-1] in _LINK_TAIL or (link[-1] == ")" and link.count(")") > link.count("(")):
        link = link[:-1]
    return link


def weighted_length(text: str, found: tuple[Span, ...]) -> int:
    """Graphemes of the text with every link counted as 23."""
    length = graphemes(text)
    for span in found:
        if span.kind == "link":
            length += URL_GRAPHEMES - graphemes(text[span.start : span.end])
    return length


def facets(text: str, found: tuple[Span, ...], mentioned: dict[str, str]) -> tuple[Facet, ...]:
    """Facets of ``found``; a mention whose handle is not in ``mentioned`` (handle → account) stays plain text."""
    result: list[Facet] = []
    for span in found:
        target = mentioned.get(span.value, "") if span.kind == "mention" else span.value if span.kind == "tag" else ""
        if span.kind == "mention" and not target:
            continue
        byte_start, grapheme_start = len(text[: span.start].encode()), graphemes(text[: span.start])
        piece = text[span.start : span.end]
        result.append(
            Facet(
                kind=span.kind,
                byte_start=byte_start,
                byte_end=byte_start + len(piece.encode()),
                grapheme_start=grapheme_start,
                grapheme_end=grapheme_start + graphemes(piece),
                target=target,
            )
        )
    return tuple(result)


def tags_of(found: tuple[Span, ...]) -> tuple[str, ...]:
    """Folded tags, each once, in order of appearance."""
    return tuple(dict.fromkeys(span.value for span in found if span.kind == "tag"))


def mentions_of(found: tuple[Span, ...]) -> tuple[str, ...]:
    """Mentioned handles in lower case, each once, in order of appearance."""
    return tuple(dict.fromkeys(span.value for span in found if span.kind == "mention"))
