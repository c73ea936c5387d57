"""Texts in all scripts and of all kinds of characters: stored as they were typed, found by search, with facets where they stand."""

from collections.abc import AsyncIterator
from typing import Any, Final
from unicodedata import normalize

import pytest
import regex

from tests.product_kit import Person, Product, embedded_settings, product, settled

pytestmark = pytest.mark.slow

SOUND: Final = {
    "family": "👩‍👩‍👧‍👦 family",
    "skin tones": "👍🏽👍🏿 tones",
    "flags": "🇨🇭🇯🇵🏴\U000e0067\U000e0062\U000e0073\U000e0063\U000e0074\U000e007f flags",
    "keycaps": "1️⃣ #️⃣ *️⃣ keycaps",
    "presentations": "❤\ufe0e ❤\ufe0f presentations",
    "Hebrew": "שָׁלוֹם עולם",
    "Arabic": "مَرْحَبًا بالعالم",
    "both directions": "\u200fעברית (abc) 123\u200f עוד",
    "marks": "Z\u030a\u0323e\u0301 marked",
    "as many marks as may be": "z" + "\u0301" * 30 + " stacked",
    "decomposed": "Cafe\u0301 \u1112\u1161\u11ab",
    "Devanagari": "क्षत्रिय नमस्ते",
    "Thai": "สวัสดีชาวโลก",
    "Japanese": "日本語のテスト",
    "joiners": "می\u200cخواهم zero\u200bwidth",
    "beyond the first plane": "𝔘𝔫𝔦𝔠𝔬𝔡𝔢 𐍈 𠜎",
    "what is code elsewhere": "'; DROP -- <script>a</script> {$gt: 1}",
}
PROFILE: Final = "query U($id: ID!) { user(id: $id) { displayName bio } }"
POST: Final = (
    "query P($id: ID!) { post(id: $id) { ... on Post { text facets "
    "{ kind byteStart byteEnd graphemeStart graphemeEnd target } } } }"
)
SEARCH: Final = "query S($q: String!) { search(query: $q, first: 100) { nodes { ... on Post { id } } } }"
NAMED: Final = "query S($q: String!) { search(query: $q, type: USER, first: 100) { nodes { ... on User { id } } } }"


@pytest.fixture(scope="module")
async def served(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Product]:
    async with product(embedded_settings(tmp_path_factory.mktemp("texts"))) as running:
        yield running


@pytest.fixture(scope="module")
async def ann(served: Product) -> Person:
    return await served.register("ann")


@pytest.mark.parametrize("text", SOUND.values(), ids=SOUND)
async def test_a_text_comes_back_as_it_was_typed_and_is_found(served: Product, ann: Person, text: str) -> None:
    stored = normalize("NFC", text)
    post = await ann.post(text)
    await ann.done("updateProfile", displayName=text, bio=text)
    assert (await ann.ask(POST, id=post))["post"]["text"] == stored
    assert (await ann.ask(PROFILE, id=ann.id))["user"] == {"displayName": stored, "bio": stored}
    await settled(served)
    for word in regex.findall(r"[\p{L}\p{N}][\p{L}\p{M}\p{N}]*", text)[:3]:
        for spelt in (word, normalize("NFD", word), word.upper()):
            found = (await ann.ask(SEARCH, q=spelt))["search"]["nodes"]
            assert {"id": post} in found, spelt
    [begun, *_] = regex.findall(r"\p{L}[\p{L}\p{M}]*", text)
    assert {"id": ann.id} in (await ann.ask(NAMED, q=begun))["search"]["nodes"]


async def test_people_are_found_by_several_words_of_their_name(served: Product) -> None:
    people = {
        "Ada Okafor": await served.register("ada_o"),
        "Ada Novak": await served.register("ada_n"),
        "山田太郎": await served.register("taro"),
    }
    for name, person in people.items():
        await person.done("updateProfile", displayName=name)
    await settled(served)
    for query, name in {
        "ada oka": "Ada Okafor",
        "Novak, Ada": "Ada Novak",
        "okafor ADA_O": "Ada Okafor",
        "山田太": "山田太郎",
        "田太郎": "山田太郎",
    }.items():
        found = (await people[name].ask(NAMED, q=query))["search"]["nodes"]
        assert found == [{"id": people[name].id}], query
    assert (await people["山田太郎"].ask(NAMED, q="山太"))["search"]["nodes"] == []


@pytest.mark.slow
async def test_a_name_is_found_among_many_that_begin_as_it_does(served: Product) -> None:
    people = [await served.register(f"noor_{number}") for number in range(30)]
    for number, person in enumerate(people):
        await person.done("updateProfile", displayName=f"Noor {'Quill' if number > 26 else 'Common'}")
    await settled(served)
    wanted = {person.id for person in people[27:]}
    suggested = await people[0].ask('{ typeahead(query: "Noor Qui", first: 3) { ... on User { id } } }')
    assert {one["id"] for one in suggested["typeahead"]} == wanted
    listed, after = set(), None
    for _ in range(10):
        page = 'query S($a: String) { search(query: "noor qui", type: USER, first: 1, after: $a) { nodes { ... on User { id } } pageInfo { hasNextPage endCursor } } }'
        found = (await people[0].ask(page, a=after))["search"]
        listed |= {node["id"] for node in found["nodes"]}
        after = found["pageInfo"]["endCursor"]
        if not found["pageInfo"]["hasNextPage"]:
            break
    assert listed == wanted


async def test_a_hashtag_is_found_with_its_joiner_and_without(served: Product, ann: Person) -> None:
    await ann.post("#می\u200cخواهم")
    await settled(served)
    for spelt in ("#می\u200cخواهم", "می\u200cخو", "#میخواهم"):
        found = await ann.ask(
            "query T($q: String!) { search(query: $q, type: TAG) { nodes { ... on Hashtag { name } } } }", q=spelt
        )
        assert found["search"]["nodes"] == [{"name": "میخواهم"}], spelt
    assert (await ann.ask("query F($n: String!) { hashtagFeed(name: $n) { nodes { id } } }", n="می\u200cخواهم"))[
        "hashtagFeed"
    ]["nodes"]


async def test_a_hashtag_without_end_is_refused_before_it_is_folded(served: Product, ann: Person) -> None:
    name = "a" + ("\u0315" * 30 + "\u200d") * 4_000
    answer = await served.ask(
        "query F($n: String!) { hashtagFeed(name: $n) { nodes { id } } }", {"n": name}, ann.headers
    )
    assert [error["extensions"]["code"] for error in answer["errors"]] == ["INVALID"]


FACETED: Final = (
    "👩‍👩‍👧 @ann, 🇨🇭#caf\u00e9! 1️⃣ (https://пример.рф/путь) #हिन्दी",
    "\u200fשלום @ann\u200f #כותרת, https://ex.org/" + "ä" * 400,
    "z" + "\u0301" * 30 + "\n\t@ann: #日本語。#e\u0301te\u0301 http://xn--e1afmkfd.example/?q=😀",
)


@pytest.mark.parametrize("text", FACETED, ids=["emoji", "right to left", "marks"])
async def test_facets_stand_where_bytes_and_clusters_are_counted(ann: Person, text: str) -> None:
    post = (await ann.ask(POST, id=await ann.post(text)))["post"]
    raw, clusters = post["text"].encode(), regex.findall(r"\X", post["text"])
    pieces: list[tuple[str, str]] = []
    for facet in post["facets"]:
        piece = raw[facet["byteStart"] : facet["byteEnd"]].decode()
        assert piece == "".join(clusters[facet["graphemeStart"] : facet["graphemeEnd"]])
        assert target(facet, piece, ann) == facet["target"]
        pieces.append((facet["kind"], piece))
    assert {"MENTION", "TAG", "LINK"} == {kind for kind, _ in pieces}
    assert ("MENTION", "@ann") in pieces


def target(facet: dict[str, Any], piece: str, ann: Person) -> str:
    match facet["kind"]:
        case "MENTION":
            return ann.id
        case "TAG":
            return normalize("NFKC", piece[1:])
    return piece
