from __future__ import annotations

import pytest

from segagent.learning.policy.classes import architecture
from segagent.policies.embedded.lexicon import Lexicon, one_edit_away, other_number
from segagent.policies.embedded.tokens import UNKNOWN, Vocabulary


@pytest.fixture(scope="module")
def vocabulary() -> Vocabulary:
    return architecture(photographs=True).vocabulary


def test_no_known_word_is_read_as_another(vocabulary: Vocabulary) -> None:
    for word in vocabulary.words:
        assert vocabulary.encode(word) == [vocabulary.words.index(word) + 2], word
        assert not vocabulary.guesses(word)


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("the Man's T-Shirt", "the man tshirt"),
        ("puppies on lft", "puppy on left"),
        ("left-most GIRAFFE in img", "leftmost giraffe in image"),
        ("gal w/ umbrella\N{RIGHT SINGLE QUOTATION MARK}s", "woman with umbrella"),
        ("knives", "knife"),
        ("two women", "x people"),
    ],
)
def test_other_forms_of_known_words_mean_the_same(vocabulary: Vocabulary, text: str, read: str) -> None:
    assert vocabulary.encode(text) == vocabulary.encode(read)
    assert not vocabulary.guesses(text)


@pytest.mark.parametrize(
    ("word", "read"), [("terrier", "dog"), ("seagulls", "bird"), ("sailboat", "boat"), ("plumber", "person")]
)
def test_a_noun_is_read_as_what_it_is_a_kind_of_and_that_is_told(vocabulary: Vocabulary, word: str, read: str) -> None:
    assert vocabulary.encode(word) == vocabulary.encode(read)
    assert vocabulary.guesses(f"the {word}") == [(word, read)]
    assert vocabulary.unknown_words(word) == []


def test_misspellings_are_read_right_and_told_but_no_real_word_is_one(vocabulary: Vocabulary) -> None:
    for wrong, right in (("rigth", "right"), ("umbrela", "umbrella"), ("giraff", "giraffe"), ("brwon", "brown")):
        assert vocabulary.guesses(wrong) == [(wrong, right)]
    for word in ("skirt", "violin", "xylophone", "teh2", "sheer"):  # skirt is no shirt, sheer is no sheep
        assert vocabulary.encode(word) == [UNKNOWN]
        assert vocabulary.unknown_words(word) == [word]
    assert not one_edit_away("goat", {"coat", "boat"})  # too short to tell


def test_a_plural_is_not_cut_too_short() -> None:
    assert other_number("songs", {"son"}) is None
    assert other_number("buses", {"bus"}) == "bus"
    assert other_number("ladies", {"lady"}) == "lady"


def test_the_packaged_table_is_small_and_leads_to_known_words(vocabulary: Vocabulary) -> None:
    lexicon = Lexicon.packaged()
    assert {*lexicon.same.values(), *lexicon.kind.values()} <= set(vocabulary.words)
    assert not {*lexicon.same, *lexicon.kind, *lexicon.real} & set(vocabulary.words)


def test_what_people_said_makes_no_misspellings_of_other_words() -> None:
    assert Vocabulary(("towel",)).unknown_words("the tower") == ["the", "tower"]
