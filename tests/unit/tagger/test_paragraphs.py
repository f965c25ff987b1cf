"""Cutting texts so that a paragraph is read the same wherever it stands between the same words."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.tagger.paragraphs import LONGEST_REACH, Piece, parts_of, pieces_of

TEXTS = st.lists(st.sampled_from(["\n\n", "\n\n\n", "\n", ". ", ".", " ", "a", "über", "bc"])).map("".join)


@given(text=TEXTS, reach=st.integers(0, 4), longest=st.integers(1, 9))
def test_parts_are_short_and_hold_every_word(text: str, reach: int, longest: int) -> None:
    parts = parts_of(text, reach, longest)
    assert all(0 < part.end - part.start <= longest for part in parts)
    assert all(one.end <= other.start for one, other in pairwise(parts))
    held = "".join(text[part.start : part.end] for part in parts)
    assert "".join(held.split()) == "".join(text.split())


@given(text=TEXTS, reach=st.integers(0, 4))
def test_beside_a_part_stand_as_many_words_as_have_a_say(text: str, reach: int) -> None:
    for part in parts_of(text, reach, 1000):
        assert text[part.before : part.start].split() == text[: part.start].split()[-reach or len(text) :]
        assert text[part.end : part.after].split() == text[part.end :].split()[:reach]


@given(one=TEXTS, other=TEXTS, reach=st.integers(0, 4))
def test_one_key_is_one_text_between_the_same_words(one: str, other: str, reach: int) -> None:
    def known(text: str) -> dict[bytes | None, tuple[str, str, str]]:
        return {
            part.key: (
                text[part.before : part.start], text[part.start : part.end], text[part.end : part.after]
            )
            for part in parts_of(text, reach, 1000)
        }  # fmt: skip

    first, second = known(one), known(other)
    assert all(first[key] == second[key] for key in first.keys() & second.keys())
    assert {first[key] for key in first.keys() - second.keys()}.isdisjoint(second.values())


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("One. Two\n\nThree", ["One. Two", "Three"]),
        ("One. Two three", ["One.", " Two three"]),
        ("One two threefour", ["One two", " threefour"]),
        ("Onetwothreefour", ["Onetwothre", "efour"]),
        ("\n\nOne two\nthree", ["One two\n", "three"]),
        (" \n\n\n ", []),
    ],
)
def test_a_text_is_cut_where_it_hurts_least(text: str, parts: list[str]) -> None:
    found = parts_of(text, 4, 10)
    assert [text[part.start : part.end] for part in found] == parts
    assert [part.key is None for part in found] == [len(text.strip().split("\n\n")[0]) > 10] * len(parts)


def test_a_word_without_end_beside_a_part_is_cut() -> None:
    text = f"{'a' * 10_000}\n\nb\n\n{'c' * 10_000}"
    part = parts_of(text, 4, 20_000)[1]
    assert (part.start - part.before, part.after - part.end) == (LONGEST_REACH, LONGEST_REACH)


@pytest.mark.parametrize(
    ("known", "pieces"),
    [
        ("....", [(0, 2), (2, 4)]),
        (".k..", [(0, 1), (2, 4)]),
        ("k..k", [(1, 3)]),
        ("..k.", [(0, 2), (3, 4)]),
        ("kkkk", []),
    ],
)
def test_what_is_not_known_is_read_in_pieces(known: str, pieces: list[tuple[int, int]]) -> None:
    parts = parts_of("\n\n".join(["four", "four", "four", "four"]), 4, 10)
    answers = [None if each == "." else each for each in known]
    assert list(pieces_of(7, parts, answers, 10)) == [Piece(7, first, behind) for first, behind in pieces]
