"""Facets and lengths of texts as people type them."""

import unicodedata

import pytest
import regex
from hypothesis import given
from hypothesis import strategies as st

from domain.text import (
    MAX_MARKS,
    blank,
    facets,
    flaw,
    fold_tag,
    graphemes,
    mentions_of,
    normalise,
    spans,
    tags_of,
    weighted_length,
)
from domain.words import words


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
        ("https://. http://?! https://) https:///", []),
        ("https://ex.org//", [("link", "https://ex.org//")]),
        ("HTTPS://Ex.org/A", [("link", "HTTPS://Ex.org/A")]),
        ("(https://пример.рф/путь?к=в).", [("link", "https://пример.рф/путь?к=в")]),
        ("見て https://ex.org/日本。", [("link", "https://ex.org/日本")]),
        ("https://xn--e1afmkfd.example/" + "y" * 2_000, [("link", "https://xn--e1afmkfd.example/" + "y" * 2_000)]),
        ("https://ex.org\u200d\u202f#tea", [("link", "https://ex.org"), ("tag", "tea")]),
        ("https://ex.org/😀#top", [("link", "https://ex.org/😀#top")]),
        (
            "#כותרת، #وسم #हिन्दी #ไทย #русский #Ελληνικά",
            [("tag", t) for t in ["כותרת", "وسم", "हिन्दी", "ไทย", "русский", "ελληνικά"]],
        ),
        ("#می\u200cخواهم #میخواهم", [("tag", "میخواهم"), ("tag", "میخواهم")]),
        ("#ﬁne #ＦＩＮＥ #fine", [("tag", "fine")] * 3),
        ("#e\u0301te\u0301 #été", [("tag", "été")] * 2),
        ("#tea\u200d #t\u200dea #tea\ufe0f #\u200dtea", [("tag", "tea")] * 4),
        ("#\ufe0f\u20e3hello #️⃣hello #\u0301x", []),
        ("#\u3164 #1\u3164 #\u115f", []),
        ("#love👩‍🚀 👩‍🚀#love 🇨🇭#swiss #🇨🇭", [("tag", "love"), ("tag", "love"), ("tag", "swiss")]),
        (
            '@ann, @bob: (@cyd) "@dan" @eve\'s @fay… @gus-@hal',
            [("mention", h) for h in ["ann", "bob", "cyd", "dan", "eve", "fay", "gus", "hal"]],
        ),
        ("@annさん @ann님 @ann的 👩‍🚀@ann @ann👩‍🚀", [("mention", "ann")] * 5),
        ("@annа @annß @anna\u0301 @ann１ x@ann @ann@ex.org .@ann", []),
        ("\u200f@ann\u200f \u2068", [("mention", "ann")]),
        ("@" + "a" * 31 + " @" + "b" * 30, [("mention", "b" * 30)]),
    ],
    ids=ascii,
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


FLAWED = {
    "NUL": "a\x00b",
    "escape": "a\x1bb",
    "delete": "a\x7f",
    "a C1 control": "a\x9fb",
    "half a surrogate pair": "\ud800",
    "an override": "\u202egnp.exe",
    "an embedding": "\u202bx\u202c",
    "an isolate": "\u2066x\u2069",
    "a stack of marks": "z" + "\u0301" * (MAX_MARKS + 1),
    "a stack of many marks": "z" + "\u0301\u0323\u0489" * MAX_MARKS,
    "a stack by compatibility": "z" + "\u0301\uff9e" * MAX_MARKS,
}
SOUND = {
    "lines and tabs": "a\nb\tc",
    "a family": "👩‍👩‍👧",
    "a skin tone": "👍🏽",
    "a flag of a country": "🇨🇭",
    "a flag of a region": "🏴\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f",
    "a keycap": "1️⃣",
    "both presentations": "❤\ufe0e❤️",
    "Hebrew with points": "שָׁלוֹם",
    "Arabic with its marks": "مَرْحَبًا",
    "marks of direction": "\u200fעברית (abc)\u200e \u061c",
    "a mark of its own": "e\u0301",
    "as many marks as may be": "z" + "\u0301" * MAX_MARKS,
    "joiners": "\u200dx\u200cy\u200bz",
    "Devanagari": "क्षत्रिय",
    "Tibetan": "བསྒྲུབས",
    "a decomposed syllable": "\u1112\u1161\u11ab",
}


@pytest.mark.parametrize("text", FLAWED.values(), ids=FLAWED)
def test_what_no_text_may_have_is_named(text: str) -> None:
    assert flaw(text)
    assert flaw(normalise(text))


@pytest.mark.parametrize("text", SOUND.values(), ids=SOUND)
def test_what_people_write_is_sound(text: str) -> None:
    assert not flaw(text)
    assert not blank(text)


@pytest.mark.parametrize(
    "text",
    ["", " \n", "\u200b", "\u200d\ufeff\u2060", "\u3164\u115f\uffa0", "\u2800 ", "\u00ad\u034f", "\u2028", "\u200f"],
)
def test_a_text_without_anything_to_be_seen_is_blank(text: str) -> None:
    assert blank(text)


@pytest.mark.parametrize(
    ("text", "clusters"),
    [
        ("👩‍👩‍👧", 1),
        ("👩🏽‍🚀", 1),
        ("🇨🇭🇯🇵", 2),
        ("🏴\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f", 1),
        ("1️⃣", 1),
        ("❤️", 1),
        ("z" + "\u0301" * MAX_MARKS, 1),
        ("é" + "e\u0301", 2),
        ("각" + "\u1100\u1161\u11a8", 2),
        ("\u200bx", 2),
        ("x\u200d", 1),
        ("a\r\nb", 3),
    ],
    ids=ascii,
)
def test_a_length_is_what_people_count(text: str, clusters: int) -> None:
    assert graphemes(text) == clusters


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("é", "e\u0301"),
        ("각", "\u1100\u1161\u11a8"),
        ("Å", "\u212b"),
        ("q\u0307\u0323", "q\u0323\u0307"),
        ("a\r\nb\r", "a\nb"),
    ],
    ids=ascii,
)
def test_two_spellings_of_one_text_are_stored_as_one(one: str, other: str) -> None:
    assert normalise(one) == normalise(other)
    assert words(one) == words(other)


# What stands before and behind, and how it shifts bytes and clusters.
BEFORE = [
    "",
    "x ",
    "👩‍👩‍👧 ",
    "🇨🇭🇯🇵",
    "1️⃣",
    "e\u0301 ",
    "z" + "\u0301" * MAX_MARKS + " ",
    "\u200b",
    "\u200fשלום ",
    "क्ष ",
    "a\nb\t",
    "日本。",
]
PIECES = {"#tag": "tag", "@ann": "mention", "https://ex.org/ä": "link", "#हिन्दी": "tag"}


@pytest.mark.parametrize("before", BEFORE, ids=ascii)
@pytest.mark.parametrize("piece", PIECES, ids=ascii)
@pytest.mark.parametrize("behind", ["", " y", "! 👩‍🚀", "\n#more"], ids=ascii)
def test_a_range_holds_what_was_found_in_bytes_and_in_clusters(before: str, piece: str, behind: str) -> None:
    text = normalise(before + piece + behind)
    facet = facets(text, spans(text), {"ann": "id"})[0]
    assert facet.kind == PIECES[piece]
    assert text.encode()[facet.byte_start : facet.byte_end].decode() == piece
    clusters = regex.findall(r"\X", text)
    assert "".join(clusters[facet.grapheme_start : facet.grapheme_end]) == piece


def test_a_cluster_that_a_facet_has_part_of_is_in_its_range() -> None:
    text = "\u0600#tag"
    (facet,) = facets(text, spans(text), {})
    assert (facet.grapheme_start, facet.grapheme_end) == (0, 4)


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
def test_folding_a_tag_twice_is_folding_it_once(text: str) -> None:
    for span in spans(f"#{text}"):
        assert span.kind != "tag" or fold_tag(span.value) == span.value


@given(st.text(alphabet=st.characters(codec="utf-8")))
def test_normalising_twice_is_normalising_once(text: str) -> None:
    assert normalise(normalise(text)) == normalise(text)


@pytest.mark.parametrize(
    "text", ["#" * 5_000, "@a" * 2_500, "http://" * 700, "#a" * 2_500, "(" * 5_000, "https://x" + ")" * 4_900]
)
def test_hostile_texts_find_an_end(text: str) -> None:
    assert len(spans(text)) <= len(text)


@pytest.mark.parametrize(
    "marks",
    [
        "\u0301\u0323",
        "\u0301" * 2_000 + "\u0323" * 2_000,
        "\u0301\uff9e\u0323",
        "\u0315" * 30 + "\u200d" + "\u0327" * 30 + "\u200d",
    ],
)
def test_marks_without_number_are_never_brought_into_order(marks: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """That takes the square of their number. What is normalised has short runs of them alone."""
    text = "#a" + marks * (30_000 // len(marks))
    normal = unicodedata.normalize

    def watched(form: str, given: str) -> str:
        assert max(map(len, regex.findall(r"[\p{M}\uff9e\uff9f]+", given)), default=0) <= MAX_MARKS
        return normal(form, given)  # type: ignore[arg-type]

    monkeypatch.setattr(unicodedata, "normalize", watched)
    assert normalise(text) == text
    assert flaw(text) or "\u200d" in marks
    assert words(text)[0] == "a"
    assert fold_tag(text)
    assert spans(text)
