"""What posts show besides their text: media by their addresses. Files themselves are kept elsewhere."""

import strawberry

from domain import events


@strawberry.input(description="A picture, film or sound, by its address.")
class MediaInput:
    url: str = strawberry.field(description="Where it lies: an absolute https address of up to 2,048 bytes.")
    mime_type: str = strawberry.field(description="What it is: image/…, video/… or audio/….")
    alt: str | None = strawberry.field(
        default=None, description="What it shows, in words: up to 1,500 grapheme clusters and 10,000 bytes."
    )
    width: int | None = strawberry.field(default=None, description="Pixels.")
    height: int | None = strawberry.field(default=None, description="Pixels.")
    duration: int | None = strawberry.field(default=None, description="Milliseconds, of films and sounds.")
    blurhash: str | None = strawberry.field(default=None, description="To stand in its place until it is there.")


@strawberry.type(description="A picture, film or sound that a post shows.")
class MediaAttachment:
    url: str = strawberry.field(description="Where it lies.")
    mime_type: str = strawberry.field(description="What it is: image/…, video/… or audio/….")
    alt: str | None = strawberry.field(description="What it shows, in words; null where its author gave none.")
    width: int | None = strawberry.field(description="Pixels, where they are known.")
    height: int | None = strawberry.field(description="Pixels, where they are known.")
    duration: int | None = strawberry.field(description="Milliseconds, where they are known.")
    blurhash: str | None = strawberry.field(description="To stand in its place until it is there.")


def given_media(media: list[MediaInput]) -> tuple[events.Media, ...]:
    return tuple(
        events.Media(
            url=one.url,
            mime_type=one.mime_type,
            alt=one.alt or "",
            width=one.width or 0,
            height=one.height or 0,
            duration=one.duration or 0,
            blurhash=one.blurhash or "",
        )
        for one in media
    )


def present_media(media: events.Media) -> MediaAttachment:
    return MediaAttachment(
        url=media.url,
        mime_type=media.mime_type,
        alt=media.alt or None,
        width=media.width or None,
        height=media.height or None,
        duration=media.duration or None,
        blurhash=media.blurhash or None,
    )
