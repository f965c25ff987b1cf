"""What holds for any plain text, however broken."""

from __future__ import annotations

import random
from itertools import product

from hypothesis import given
from hypothesis import strategies as st

from schemas.article import Change
from services.cleaner.text import repair, repair_line, split_paragraphs, split_text

BROKEN = st.sampled_from(
    [
        *(
            "&",
            "amp;",
            "&amp;",
            "lt;",
            "&lt;",
            "gt;",
            "&#92;n",
            "br>",
            "&nbsp;",
            "&#10;",
            "&shy;",
            "&Atilde;&copy;",
        ),
        *("Ã©", "â€œ", "â€\x9d", "Â", "ï»¿", "\x85", "\x92", "\x1b[31m", "\x00", "\uffff"),
        *("\u200b", "\u200c", "\u200d", "\xad", "\u202e", "\ufeff", "\U000e0067", "\U000e007f", "\ud83d", "\ude00"),
        *("\n", "\n\n", "\r\n", "\r", "\x0c", "\u2028", "\u2029", "\xa0", "\u202f", "\u3000", "\t", " ", "    "),
        *("> ", ">", "- ", "• ", "1. ", "2. ", "a) ", "-\n", "\xad\n", "–\n", "\\n", "\\r\\n", "\\", ".\\nA"),
        *("<", "<b>", "</b>", "<br>", "<p>", "</p>", "<p class='x'", "<br", "/>", "<a href='x'>", "</a>", "<br />"),
        *("👨", "🏴", "\ufe0f", "ی", "क्", "e", "\u0301", "\u0316", "\u0f73", "İ", "ﬁ", "中", "。", "|"),
        *(
            "Word",
            "word",
            "A sentence that is quite long ends here.",
            "some words that go on and on for a line",
            ".",
        ),
    ]
)
TEXTS = st.lists(BROKEN | st.text(max_size=4), max_size=30).map("".join)
WRAPPED = st.lists(
    st.tuples(
        st.sampled_from(["", "> ", "  ", "\t", "- ", "3. "]),
        st.sampled_from(["the ministers of four countries met and", "The talks on trade took the whole of inter-"]),
        st.sampled_from(["", ".", " at", " now,"]),
        st.sampled_from(["\n", "\n", "\n", "\n\n", "\r\n", "<br>", "\\n"]),
    ),
    max_size=12,
).map(lambda lines: "".join(map("".join, lines)))
BODIES = TEXTS | WRAPPED


def split(body: str) -> list[str]:
    return [text for text, _ in split_text(body)]


@given(TEXTS)
def test_repairs_are_idempotent(text: str) -> None:
    line, done = repair_line(text)

    assert repair_line(line) == (line, ())
    assert repair(repair(text)) == repair(text)
    assert len(done) == len(set(done))
    assert "\n" not in line


@given(TEXTS)
def test_a_line_of_which_nothing_is_stated_lost_only_white_space_around_it(text: str) -> None:
    line, done = repair_line(text)

    assert done or line == text.strip()


@given(BODIES, st.randoms(use_true_random=False))
def test_what_is_kept_of_a_text_comes_back_unchanged(body: str, chance: random.Random) -> None:
    paragraphs = split(body)
    kept = [text for text in paragraphs if chance.random() < 0.7]

    assert all(paragraphs)
    for some in (paragraphs, kept):
        assert list(split_text("\n\n".join(some))) == [(text, ()) for text in some]


@given(BODIES)
def test_html_folds_what_plain_text_keeps(body: str) -> None:
    paragraphs = list(split_paragraphs(body))

    assert paragraphs == [repair(text) for text in split(body)]
    assert list(split_paragraphs("\n\n".join(paragraphs))) == paragraphs


@given(
    st.lists(st.sampled_from(["Rates", "rose", "by", "half", "a", "point", "in", "Example", "City"]), min_size=1)
)
def test_wrapping_loses_no_word(words: list[str]) -> None:
    for width, end in product((30, 72), ("\n", "\r\n", "\r", "\u2028")):
        lines = [""]
        for word in words:
            lines[-1] += f" {word}" if len(lines[-1]) + len(word) < width else ""
            if not lines[-1].endswith(word):
                lines.append(word)
        assert " ".join(split(end.join(lines))).split() == " ".join(lines).split()


def test_changes_of_all_kinds_are_stated_once() -> None:
    assert repair_line("Ã©  caf&eacute;\u200b e\u0301  Ã©")[1] == (
        Change.ENTITIES,
        Change.MOJIBAKE,
        Change.INVISIBLE,
        Change.NORMALIZED,
        Change.SPACES,
    )
