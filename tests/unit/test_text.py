"""Facets and lengths of texts as people type them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.text import facets, forbidden, graphemes, mentions_of, normalise, spans, tags_of, weighted_length


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("#one and #two", [("tag", "one"), ("tag", "two")]),
        ("#1 is a number, #1st is not", [("tag", "1st")]),
        ("issue/#12a a#b &#38a; x_#y", []),
        ("#Straße #STRASSE", [("tag", "strasse"), ("tag", "strasse")]),
        ("＃日本語 works", [("tag", "日本語")]),
        ("@ada, @Bob_1! mail@example.org @ab", [("mention", "ada"), ("mention", "bob_1")]),
        ("(see https://ex.org/a_(b)).", [("link", "https://ex.org/a_(b)")]),
        ("https://ex.org/#frag @ada", [("link", "https://ex.org/#frag"), ("mention", "ada")]),
        ("http://ex.org, then http://ex.org.", [("link", "http://ex.org"), ("link", "http://ex.org")]),
        ("nothing # @ https://", []),
    ],
)
def test_what_is_found(text: str, found: list[tuple[str, str]]) -> None:
    assert [(span.kind, span.value) for span in spans(text)] == found


def test_ranges_count_bytes_and_graphemes() -> None:
    text = "👩‍👩‍👧 é #tag"
    (facet,) = facets(text, spans(text), {})
    assert text.encode()[facet.byte_start : facet.byte_end] == b"#tag"
    assert (facet.grapheme_start, facet.grapheme_end) == (4, 8)


def test_a_mention_of_nobody_stays_text() -> None:
    text = "@ada @nobody"
    assert [facet.target for facet in facets(text, spans(text), {"ada": "id-of-ada"})] == ["id-of-ada"]


def test_a_link_counts_23() -> None:
    text = "see https://example.org/" + "x" * 400
    assert weighted_length(text, spans(text)) == 4 + 23


@pytest.mark.parametrize("text", ["a\x00b", "a\x1bb", "\u202egnp.exe", "\u2066x", "\ud800", "a\x7f"])
def test_controls_are_forbidden(text: str) -> None:
    assert forbidden(text)


@pytest.mark.parametrize("text", ["a\nb\tc", "👩‍👩‍👧", "עברית", "e\u0301", "\u200dx"])
def test_what_people_write_is_not_forbidden(text: str) -> None:
    assert not forbidden(text)


@given(st.text())
def test_facets_lie_in_order_inside_the_text(text: str) -> None:
    text = normalise(text.encode(errors="ignore").decode())
    found = spans(text)
    end = 0
    for span in found:
        assert end <= span.start < span.end <= len(text)
        end = span.end
    raw = text.encode()
    for facet in facets(text, found, dict.fromkeys(mentions_of(found), "x")):
        assert 0 <= facet.byte_start < facet.byte_end <= len(raw)
        raw[facet.byte_start : facet.byte_end].decode()
        assert facet.grapheme_start < facet.grapheme_end <= graphemes(text)
    assert len(set(tags_of(found))) == len(tags_of(found))


@given(st.text(alphabet=st.characters(codec="utf-8")))
def test_normalising_twice_is_normalising_once(text: str) -> None:
    assert normalise(normalise(text)) == normalise(text)


@pytest.mark.parametrize(
    "text", ["#" * 5_000, "@a" * 2_500, "http://" * 700, "#a" * 2_500, "(" * 5_000, "https://x" + ")" * 4_900]
)
def test_hostile_texts_find_an_end(text: str) -> None:
    assert len(spans(text)) <= len(text)
