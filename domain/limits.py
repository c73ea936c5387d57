"""Limits of the domain; configurable, and shown by ``instance.limits``. Sources: product.md's table, from Mastodon and Bluesky."""

import msgspec


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """Text limits are in extended grapheme clusters and in bytes of UTF-8; times in seconds."""

    text_graphemes: int = 500
    text_bytes: int = 5_000
    content_warning_graphemes: int = 200
    content_warning_bytes: int = 2_000
    media: int = 4
    media_url_bytes: int = 2_048
    alt_graphemes: int = 1_500
    alt_bytes: int = 10_000
    pins: int = 5
    edits: int = 100
    restore_window: int = 30 * 86_400
    ancestors: int = 40
    display_name_graphemes: int = 40
    display_name_bytes: int = 400
    bio_graphemes: int = 500
    bio_bytes: int = 5_000
    handle_min: int = 3
    handle_max: int = 30
    email_bytes: int = 254
    password_min: int = 8
    password_bytes: int = 1_024
    search_bytes: int = 500
    mentions: int = 30
    follows: int = 7_500
    tags: int = 30
    idempotency_key_bytes: int = 128
    claim_takeover: int = 600
    handle_rest: int = 30 * 86_400
    handle_changes: int = 60
    profile_fields: int = 4
    profile_field_graphemes: int = 255
    profile_field_bytes: int = 2_550
    session_lifetime: int = 30 * 86_400


DEFAULT_LIMITS = Limits()
