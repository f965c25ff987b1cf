from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.cleaner.text import repair, split_paragraphs

BROKEN = st.sampled_from(
    [
        *("&", "amp;", "&amp;", "&#38;", "lt;", "&nbsp;", "&#10;", "&Atilde;&copy;", "&am", "p;"),
        *("Ã©", "â€œ", "â€\x9d", "Â", "ï»¿", "\x85", "\x92", "\x1b[31m", "\x00"),
        *("\u200b", "\u200c", "\u200d", "\xad", "\u202e", "\ufeff", "\u2060", "\U000e0067", "\U000e007f"),
        *("\n", "\n\n", "\r\n", "\u2028", "\u2029", "\xa0", "\u202f", "\u3000", "\t", " "),
        *("👨", "👩", "🏴", "\ufe0f", "ی", "क्", "e", "\u0301", "İ", "ﬁ", "Word", "word", "|"),
    ]
)
TEXTS = st.lists(BROKEN | st.text(max_size=5), max_size=30).map("".join)


@pytest.mark.parametrize(
    ("broken", "whole"),
    [
        pytest.param("â€œTalks wonâ€™t failâ€\x9d, he said", "“Talks won’t fail”, he said", id="mojibake"),
        pytest.param("Ð¡Ð°Ð¼Ð¼Ð¸Ñ‚", "Саммит", id="mojibake-cyrillic"),
        pytest.param("l\x92été\x85", "l’été…", id="windows-1252-in-latin-1"),
        pytest.param("Marks &amp; Spencer &ndash; caf&eacute;", "Marks & Spencer – café", id="entities"),
        pytest.param("&amp;amp;quot;Yes&amp;quot;", '"Yes"', id="entities-twice-escaped"),
        pytest.param("&Atilde;&copy;t&Atilde;&copy;", "été", id="entities-that-spell-mojibake"),
        pytest.param("&am&#112;;lt; b", "< b", id="entities-that-spell-entities"),
        pytest.param("cafe\u0301", "café", id="nfc"),
        pytest.param("Po\xadli\xadtik", "Politik", id="soft-hyphens"),
        pytest.param("\ufeffThe\u200b start\u2060", "The start", id="zero-width"),
        pytest.param("\u202eevil\u202c \u2066name\u2069", "evil name", id="bidi"),
        pytest.param("a\x00b\x07c\x7f \x1b[31mred", "abc red", id="controls"),
        pytest.param("seen\U000e0061\U000e0062 twice", "seen twice", id="hidden-tags"),
        pytest.param("10\u202f000\xa0€\u2009net", "10 000 € net", id="odd-spaces"),
        pytest.param("  one\t two \n three ", "one two three", id="white-space-runs"),
        pytest.param("x\u200dy \u200cz", "xy z", id="joiners-between-latin-letters"),
    ],
)
def test_puts_right_what_transport_broke(broken: str, whole: str) -> None:
    assert repair(broken) == whole


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("“Curly” ‘quotes’ and \"straight\" 'ones'", id="quotes"),
        pytest.param("ﬁne ｆｕｌｌ ½ ² №", id="no-compatibility-folding"),
        pytest.param("R&D at AT&T; see a?b=1&copy=2", id="ampersands-that-are-no-entities"),
        pytest.param("می\u200cخواهم", id="persian-non-joiner"),
        pytest.param("क्\u200dष श्री\u200cराम", id="hindi-joiners"),
        pytest.param("👨\u200d👩\u200d👧 ❤️\u200d🔥", id="emoji-joiners"),
        pytest.param("🏴\U000e0067\U000e0062\U000e0077\U000e006c\U000e0073\U000e007f", id="flag-of-wales"),
        pytest.param("L’ÉTÉ à São Tomé, Łódź, Ürümqi", id="accents"),
    ],
)
def test_leaves_what_the_author_wrote(text: str) -> None:
    assert repair(text) == text


def test_a_deep_nest_of_entities_takes_no_pass_for_each_level() -> None:
    assert repair("&" + "amp;" * 200_000 + "lt;") == "<"


@settings(max_examples=100, deadline=None)
@given(TEXTS)
def test_repair_is_idempotent(text: str) -> None:
    assert repair(repair(text)) == repair(text)


@settings(max_examples=100, deadline=None)
@given(TEXTS)
def test_splitting_is_idempotent_and_gives_no_empty_paragraph(text: str) -> None:
    paragraphs = list(split_paragraphs(text))

    assert all(paragraphs)
    assert list(split_paragraphs("\n\n".join(paragraphs))) == paragraphs


@pytest.mark.parametrize(
    ("body", "paragraphs"),
    [
        pytest.param("One.\nTwo.\nthree.", ["One.", "Two.", "three."], id="lines"),
        pytest.param("One.\r\nTwo.\rThree.", ["One.", "Two.", "Three."], id="any-line-end"),
        pytest.param("One.\n\nTwo.\n \nThree.", ["One.", "Two.", "Three."], id="blank-lines"),
        pytest.param("One goes\non.\n\u200b\nTwo.", ["One goes on.", "Two."], id="a-line-nobody-sees-is-blank"),
        pytest.param("One.\n&nbsp;\nTwo.", ["One.", "Two."], id="an-escaped-blank-line"),
        pytest.param("One.\u2029Two\u2028goes on.", ["One.", "Two goes on."], id="unicode-separators"),
        pytest.param("It broke\n\nTwo.\x85 Three", ["It broke", "Two.… Three"], id="next-line-is-an-ellipsis"),
        pytest.param("", [], id="empty"),
        pytest.param(" \n\u200b\n ", [], id="nothing-visible"),
    ],
)
def test_splits_plain_text(body: str, paragraphs: list[str]) -> None:
    assert list(split_paragraphs(body)) == paragraphs


def test_puts_a_wrapped_paragraph_on_one_line() -> None:
    body = (
        "MOSCOW - A train thought to be carrying the leader has departed\n"
        "for Russia for a possible meeting with the president, South\n"
        "Korean media reported.\n"
        "\n"
        "Officials denied it."
    )

    assert list(split_paragraphs(body)) == [
        "MOSCOW - A train thought to be carrying the leader has departed for Russia for a possible meeting with "
        "the president, South Korean media reported.",
        "Officials denied it.",
    ]


def test_lines_that_were_not_wrapped_stay_apart_beside_blank_lines() -> None:
    first = "A paragraph on a line of its own, as long as paragraphs in the news are. " * 3
    body = f"{first}\nFollow us on Facebook\nThe next paragraph starts here and is not short.\n\nThe end."

    assert list(split_paragraphs(body)) == [
        first.strip(),
        "Follow us on Facebook",
        "The next paragraph starts here and is not short.",
        "The end.",
    ]


def test_a_short_line_stays_apart_where_the_next_word_had_room() -> None:
    body = "Winners\nThe orchestra of the city took the prize\n\nLosers"

    assert list(split_paragraphs(body)) == ["Winners", "The orchestra of the city took the prize", "Losers"]
