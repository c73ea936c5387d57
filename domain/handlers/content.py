"""What a post says and shows: checked, and with the mentions, hashtags and links that were found in it."""

from collections.abc import Sequence
from typing import Final

import msgspec
import regex

from domain.addresses import is_web_address
from domain.context import Context
from domain.errors import Code, Problem, Refusal
from domain.events import Media, PostPrivate
from domain.handlers.mentions import claims_on, holders
from domain.limits import Limits
from domain.log.port import EventLog, View
from domain.text import Span, blank, flaw, graphemes, mentions_of, normalise, spans, tags_of, weighted_length

# BCP 47 in the shapes that people write: language, optional script, optional region.
_LANGUAGE: Final = regex.compile(r"[a-z]{2,3}(-[A-Z][a-z]{3})?(-([A-Z]{2}|[0-9]{3}))?")
_MIME_TYPE: Final = regex.compile(r"(image|video|audio)/[a-z0-9][a-z0-9.+-]{0,63}")
_BLURHASH: Final = regex.compile(r"[0-9A-Za-z#$%*+,\-.:;=?@\[\]^_{|}~]{6,100}")
"""The alphabet of base 83 (woltapp/blurhash, Algorithm.md)."""
_PIXELS: Final = 100_000
_DURATION: Final = 86_400_000
"""Milliseconds: a day."""


class Content:
    """A checked text with what was found in it and what is shown with it. Refusal for what breaks a limit; ``extra`` is what is wrong besides.

    Without a ``content_warning`` or ``media`` the post keeps those that it has when this is decided.
    """

    def __init__(
        self,
        text: str,
        content_warning: str | None,
        language: str | None,
        media: Sequence[Media] | None,
        context: Context,
        extra: Sequence[Problem] = (),
    ) -> None:
        self.text, self.language = normalise(text), language
        self.content_warning = None if content_warning is None else normalise(content_warning)
        self.media = None
        if media is not None:
            self.media = tuple(msgspec.structs.replace(one, alt=normalise(one.alt)) for one in media)
        self.spans: tuple[Span, ...] = ()
        self.claims: dict[str, str] = {}
        # The size in bytes bounds all further work on the text.
        problems = [*self._sizes(context), *media_problems(self.media or (), context.limits), *extra]
        if not problems:
            self.spans = spans(self.text)
            self.handles = mentions_of(self.spans)
            self.tags = tags_of(self.spans)
            problems = self._counts(context)
        if problems:
            raise Refusal(problems)
        self.claims = claims_on(self.handles, context.namer)

    def _sizes(self, context: Context) -> list[Problem]:
        limits, problems, warning = context.limits, [], self.content_warning or ""
        if blank(self.text) and self.media is not None and not self.media:
            problems.append(_nothing_seen())
        # A lone surrogate has no UTF-8 and is refused below as a control.
        if len(self.text.encode(errors="surrogatepass")) > limits.text_bytes:
            problems.append(Problem(Code.TOO_LONG, f"A post has at most {limits.text_bytes} bytes.", ("text",)))
        elif fault := flaw(self.text):
            problems.append(Problem(Code.INVALID, f"The text has {fault}: take them out.", ("text",)))
        if len(warning.encode(errors="surrogatepass")) > limits.content_warning_bytes:
            problems.append(Problem(Code.TOO_LONG, "The content warning is too long.", ("contentWarning",)))
        elif fault := flaw(warning):
            message = f"The content warning has {fault}: take them out."
            problems.append(Problem(Code.INVALID, message, ("contentWarning",)))
        elif warning and blank(warning):
            message = "A content warning has something to be seen; leave it out for none."
            problems.append(Problem(Code.INVALID, message, ("contentWarning",)))
        elif graphemes(warning) > limits.content_warning_graphemes:
            message = f"A content warning has at most {limits.content_warning_graphemes} characters."
            problems.append(Problem(Code.TOO_LONG, message, ("contentWarning",)))
        if self.language is not None and not _LANGUAGE.fullmatch(self.language):
            problems.append(Problem(Code.INVALID, "A language is a BCP 47 tag such as en or pt-BR.", ("language",)))
        return problems

    def _counts(self, context: Context) -> list[Problem]:
        limits, problems = context.limits, []
        if weighted_length(self.text, self.spans) > limits.text_graphemes:
            problems.append(
                Problem(Code.TOO_LONG, f"A post has at most {limits.text_graphemes} characters.", ("text",))
            )
        if len(self.handles) > limits.mentions:
            problems.append(Problem(Code.TOO_MANY, f"A post mentions at most {limits.mentions} people.", ("text",)))
        if len(self.tags) > limits.tags:
            problems.append(Problem(Code.TOO_MANY, f"A post has at most {limits.tags} hashtags.", ("text",)))
        return problems

    def mentioned(self, view: View) -> dict[str, str]:
        """Handle → account of those mentioned handles that somebody holds."""
        return holders(self.claims, view)

    async def find_mentioned(self, log: EventLog) -> Sequence[str]:
        """The accounts that are mentioned as far as this process has seen, to know whose blocks a decision reads."""
        states = View(await log.states(tuple(self.claims.values())))
        return tuple(self.mentioned(states).values())

    def over(self, standing: PostPrivate | None) -> PostPrivate:
        """What is to be stored, with what the post keeps of ``standing``. TOO_SHORT where nothing of it would be seen."""
        warning, media = self.content_warning, self.media
        if warning is None:
            warning = standing.content_warning if standing else ""
        if media is None:
            media = standing.media if standing else ()
        if blank(self.text) and not media:
            raise Refusal([_nothing_seen()])
        return PostPrivate(text=self.text, content_warning=warning, media=media)


def _nothing_seen() -> Problem:
    return Problem(Code.TOO_SHORT, "A post needs some text, or something to show.", ("text",))


def media_problems(media: Sequence[Media], limits: Limits) -> list[Problem]:
    """What is wrong with what a post is to show; fields are paths: the list, the place in it from 0, the field."""
    if len(media) > limits.media:
        return [Problem(Code.TOO_MANY, f"A post shows at most {limits.media} things.", ("media",))]
    return [problem for place, one in enumerate(media) for problem in _problems_of(one, ("media", str(place)), limits)]


def _problems_of(media: Media, at: tuple[str, ...], limits: Limits) -> list[Problem]:
    problems = []
    if not is_web_address(media.url, limits.media_url_bytes):
        message = f"An address is https, absolute, and has at most {limits.media_url_bytes} bytes."
        problems.append(Problem(Code.INVALID, message, (*at, "url")))
    if not _MIME_TYPE.fullmatch(media.mime_type):
        problems.append(Problem(Code.INVALID, "A media type is image/…, video/… or audio/….", (*at, "mimeType")))
    if len(media.alt.encode(errors="surrogatepass")) > limits.alt_bytes:
        problems.append(Problem(Code.TOO_LONG, f"A description has at most {limits.alt_bytes} bytes.", (*at, "alt")))
    elif fault := flaw(media.alt):
        problems.append(Problem(Code.INVALID, f"The description has {fault}: take them out.", (*at, "alt")))
    elif graphemes(media.alt) > limits.alt_graphemes:
        message = f"A description has at most {limits.alt_graphemes} characters."
        problems.append(Problem(Code.TOO_LONG, message, (*at, "alt")))
    sizes = {
        "width": (media.width, _PIXELS),
        "height": (media.height, _PIXELS),
        "duration": (media.duration, _DURATION),
    }
    problems += [
        Problem(Code.INVALID, f"It lies between 0 and {most}.", (*at, name))
        for name, (value, most) in sizes.items()
        if not 0 <= value <= most
    ]
    if media.blurhash and not _BLURHASH.fullmatch(media.blurhash):
        problems.append(Problem(Code.INVALID, "This is not a blurhash.", (*at, "blurhash")))
    return problems
