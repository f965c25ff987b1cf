from __future__ import annotations

import textwrap
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.article import Change
from services.cleaner import text as plain
from services.cleaner.text import repair, repair_line, split_paragraphs, split_text

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


@given(TEXTS)
def test_repair_is_idempotent(text: str) -> None:
    assert repair(repair(text)) == repair(text)


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


def test_short_paragraphs_of_whole_sentences_stay_apart_beside_blank_lines() -> None:
    body = "The ministers met in Example City on Tuesday.\nOfficials denied it.\n\nThe end."

    assert split(body) == ["The ministers met in Example City on Tuesday.", "Officials denied it.", "The end."]


def test_a_short_line_stays_apart_where_the_next_word_had_room() -> None:
    body = "Winners\nThe orchestra of the city took the prize\n\nLosers"

    assert list(split_paragraphs(body)) == ["Winners", "The orchestra of the city took the prize", "Losers"]


def split(body: str) -> list[str]:
    return [text for text, _ in split_text(body)]


WRAPPED = """\
The ministers of the four countries met in Example City on Tuesday and
agreed on a plan for the ports. They spoke for nine hours.
Officials said the work would start in the spring and take two years at
most. The cost was put at nine million.
Nobody from the port of Beispielstadt was there.
"""
WHOLE = [
    "The ministers of the four countries met in Example City on Tuesday and agreed on a plan for the ports. They "
    "spoke for nine hours.",
    "Officials said the work would start in the spring and take two years at most. The cost was put at "
    "nine million.",
    "Nobody from the port of Beispielstadt was there.",
]


@pytest.mark.parametrize(
    ("line", "whole", "done"),
    [
        pytest.param("  plain text \n", "plain text", (), id="nothing"),
        pytest.param("\ufffd\ufffd", "\ufffd\ufffd", (), id="what-was-lost-stays-lost"),
        pytest.param("a\t b", "a b", (Change.SPACES,), id="white-space-runs"),
        pytest.param("a\xa0\xa0b\xa0 c", "a b c", (Change.SPACES,), id="odd-space-runs"),
        pytest.param("\xa0« mot » 10\u202f000\xa0€ \u2009", "« mot » 10\u202f000\xa0€", (), id="odd-spaces"),
        pytest.param("&laquo;&nbsp;mot", "«\xa0mot", (Change.ENTITIES,), id="entities"),
        pytest.param("l&#146;&#x85;t", "l’…t", (Change.ENTITIES,), id="entities-of-windows-1252"),
        pytest.param("&amp;amp;eacute;", "é", (Change.ENTITIES,), id="entities-three-times-escaped"),
        pytest.param("wonâ€™t", "won’t", (Change.MOJIBAKE,), id="mojibake"),
        pytest.param("cafÃƒÂ©", "café", (Change.MOJIBAKE,), id="mojibake-twice"),
        pytest.param("РЎР°РјРјРёС‚", "Саммит", (Change.MOJIBAKE,), id="mojibake-by-cp1251"),
        pytest.param("caf√©", "café", (Change.MOJIBAKE,), id="mojibake-by-macroman"),
        pytest.param("it\x92s", "it’s", (Change.MOJIBAKE,), id="windows-1252-in-latin-1"),
        pytest.param("a\u200bb", "ab", (Change.INVISIBLE,), id="zero-width"),
        pytest.param("a\x00b\x1b[31mc", "abc", (Change.INVISIBLE,), id="controls"),
        pytest.param("cafe\u0301", "café", (Change.NORMALIZED,), id="nfc"),
        pytest.param("\ud83d\ude00 \ud83d", "😀 \ufffd", (Change.MOJIBAKE,), id="surrogates"),
    ],
)
def test_says_what_was_done_to_a_line(line: str, whole: str, done: tuple[Change, ...]) -> None:
    assert repair_line(line) == (whole, done)


def test_html_keeps_no_odd_space() -> None:
    assert repair("10\u202f000\xa0€") == "10 000 €"
    assert list(split_paragraphs("10\u202f000\xa0€\n\nnet")) == ["10 000 €", "net"]
    assert split("10\u202f000\xa0€\n\nnet") == ["10\u202f000\xa0€", "net"]


def test_says_what_was_done_to_each_paragraph() -> None:
    body = "All is well.\n\nSheâ€™s the first\nof the  two &amp; inter-\nnational.\n\n  The end.  "

    assert list(split_text(body)) == [
        ("All is well.", ()),
        (
            "She’s the first of the two & international.",
            (Change.MOJIBAKE, Change.LINES_JOINED, Change.ENTITIES, Change.SPACES, Change.HYPHENATION),
        ),
        ("The end.", ()),
    ]


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r", "\r\r\n", "\u2028", "\x0c", "\x85"])
def test_wrapped_text_without_blank_lines_is_put_together_whatever_ends_its_lines(end: str) -> None:
    assert split(WRAPPED.replace("\n", end)) == WHOLE


def test_an_indent_starts_a_paragraph_though_the_line_before_is_full() -> None:
    body = (
        "    The ministers of the four countries met in Example City on Tuesday\n"
        "and they agreed on the plan for the ports of the whole region at last.\n"
        "    Officials said that the work would start in the spring, but nobody\n"
        "could say how long it would take.\n"
    )

    assert [text.split()[0] for text in split(body)] == ["The", "Officials"]
    assert [text.split()[0] for text in split(body.replace("    ", "\u3000\u3000"))] == ["The", "Officials"]


def test_damage_inside_a_wrapped_line_does_not_change_where_paragraphs_end() -> None:
    body = WRAPPED.replace("The ministers", "“The” ministers").encode().decode("windows-1252", "replace")

    assert len(split(body)) == 3


def test_a_headline_above_wrapped_text_stays_apart() -> None:
    body = f"Ministers Agree On A Plan For The Ports\nBy A Reporter Of Example Herald\n\n{WRAPPED}"

    assert split(body) == ["Ministers Agree On A Plan For The Ports", "By A Reporter Of Example Herald", *WHOLE]


def test_chinese_lines_are_joined_without_a_space() -> None:
    line = "部长们周二在示例市会面并就港口计划达成一致工程将在春季开始持续两年费用为九百万元没有人"

    assert split(f"{line}\n{line}\n来自港口。\n\n完") == [f"{line}{line}来自港口。", "完"]


@pytest.mark.parametrize(
    ("body", "paragraphs"),
    [
        pytest.param(
            "> The talks went on\n> until the morning.\n>\n> No one left.",
            ["The talks went on until the morning.", "No one left."],
            id="every-line",
        ),
        pytest.param("&gt;&gt; One.\n&gt; &gt; Two.", ["One.", "Two."], id="twice-and-escaped"),
        pytest.param("He wrote:\n> One.\n> Two.", ["He wrote:", "> One.", "> Two."], id="not-every-line"),
        pytest.param("> One.\n\n> Two.", ["> One.", "> Two."], id="paragraphs-of-their-own"),
    ],
)
def test_takes_quote_marks_of_mail_off_where_every_line_has_them(body: str, paragraphs: list[str]) -> None:
    assert split(body) == paragraphs


@pytest.mark.parametrize(
    ("body", "paragraphs"),
    [
        pytest.param("The plan:\n\n- ports\n- rails", ["The plan:", "- ports", "- rails"], id="dashes"),
        pytest.param("Plan\n\n• one goes\non\n• two", ["Plan", "• one goes on", "• two"], id="bullets"),
        pytest.param("Plan\n\n1. one\n2. two\na) three", ["Plan", "1. one", "2. two", "a) three"], id="numbers"),
        pytest.param(
            "- the ports of the whole region\n  and the rails of it\n- the roads",
            ["- the ports of the whole region and the rails of it", "- the roads"],
            id="hanging-indent",
        ),
        pytest.param(
            "Die Minister der vier Staaten treffen sich in Beispielstadt am\n12. Mai zu Gesprächen.\n\nMehr folgt.",
            [
                "Die Minister der vier Staaten treffen sich in Beispielstadt am 12. Mai zu Gesprächen.",
                "Mehr folgt.",
            ],
            id="a-date-is-no-number-of-a-list",
        ),
        pytest.param(
            "The ministers agreed on these three points\n• the ports of the whole region\n• the rails\n\nEnd.",
            [
                "The ministers agreed on these three points",
                "• the ports of the whole region",
                "• the rails",
                "End.",
            ],
            id="a-bullet-behind-a-full-line",
        ),
        pytest.param(
            "1. The ports of the whole region\n2. The rails and the roads of it\n3. Money\n\nEnd.",
            ["1. The ports of the whole region", "2. The rails and the roads of it", "3. Money", "End."],
            id="numbers-behind-full-lines",
        ),
        pytest.param(
            "The ministers agreed on three points that\nwere left open in the spring of the year:\n"
            "– international ports\n\nEnd.",
            [
                "The ministers agreed on three points that were left open in the spring of the year:",
                "– international ports",
                "End.",
            ],
            id="a-dash-behind-a-colon",
        ),
    ],
)
def test_a_line_of_a_list_is_a_paragraph_of_its_own(body: str, paragraphs: list[str]) -> None:
    assert split(body) == paragraphs


@pytest.mark.parametrize(
    ("body", "paragraphs"),
    [
        pytest.param(r"One.\n\nTwo.\r\nThree.", ["One.", "Two.", "Three."], id="line-breaks"),
        pytest.param(r"One.&#92;n&#92;nTwo.", ["One.", "Two."], id="uncovered-by-a-repair"),
        pytest.param(r"See C:\new\notes for it.", [r"See C:\new\notes for it."], id="a-path"),
        pytest.param(r"One.\nTwo.", [r"One.\nTwo."], id="a-single-one"),
        pytest.param(r"One.\nTwo.\n\w", [r"One.\nTwo.\n\w"], id="other-escapes"),
    ],
)
def test_escaped_line_breaks_are_line_breaks_where_they_end_sentences(body: str, paragraphs: list[str]) -> None:
    assert split(body) == paragraphs


@pytest.mark.parametrize(
    ("body", "paragraphs"),
    [
        pytest.param("<p>One goes\non.</p>\n<p class='x'>Two.<P/>", ["One goes on.", "Two."], id="paragraphs"),
        pytest.param("One.<br>Two.<BR />\nThree.", ["One.", "Two.", "Three."], id="breaks"),
        pytest.param('A <b>bold</b> <a href="x">link</a>.', ["A bold link."], id="inline"),
        pytest.param("&lt;p&gt;One &lt;i&gt;x&lt;/i&gt;.&lt;/p&gt;Two.", ["One x.", "Two."], id="escaped"),
        pytest.param("<ul><li>One</li><li>Two</li></ul>", ["One", "Two"], id="lists"),
        pytest.param("a < b and b > c, <i think>, <3", ["a < b and b > c, <i think>, <3"], id="prose"),
        pytest.param("the <b> tag", ["the <b> tag"], id="a-tag-without-its-end"),
        pytest.param("One <b>x.\n\nTwo</b>.", ["One <b>x.", "Two</b>."], id="halves-in-two-paragraphs"),
        pytest.param("few <p values> of it", ["few <p values> of it"], id="words-are-no-attributes"),
        pytest.param("<unknown>x</unknown>", ["<unknown>x</unknown>"], id="no-tag-of-html"),
    ],
)
def test_takes_off_tags_that_were_left_in(body: str, paragraphs: list[str]) -> None:
    assert split(body) == paragraphs


@pytest.mark.parametrize(
    ("lines", "whole"),
    [
        pytest.param("the inter-\nnational talks", "the international talks", id="divided"),
        pytest.param("the inter\xad\nnational talks", "the international talks", id="soft-hyphen"),
        pytest.param("the inter&shy;\nNational talks", "the interNational talks", id="escaped-soft-hyphen"),
        pytest.param("the well-\nknown talks", "the well-known talks", id="an-opener"),
        pytest.param("the Beispielstadt-\nbased group", "the Beispielstadt-based group", id="a-closer"),
        pytest.param("state-of-the-\nart ports", "state-of-the-art ports", id="a-longer-compound"),
        pytest.param("port-\nwise, not portwise", "portwise, not portwise", id="the-text-has-the-word"),
        pytest.param("port-\nwise, not port-wise", "port-wise, not port-wise", id="the-text-has-the-compound"),
        pytest.param("half-\ntime, no halftime", "halftime, no halftime", id="the-text-knows-better"),
        pytest.param("Ein-\nund Ausfuhr", "Ein- und Ausfuhr", id="a-hyphen-for-the-rest"),
        pytest.param("a 5-\nyear plan", "a 5-year plan", id="behind-a-number"),
        pytest.param("the x-\nray", "the x-ray", id="one-letter"),
        pytest.param("the talks –\nfour of them", "the talks – four of them", id="en-dash"),
    ],
)
def test_makes_divided_words_whole_where_that_is_safe(lines: str, whole: str) -> None:
    ((text, done), _) = split_text(f"{lines}\n\nThe end.")

    assert text == whole
    assert (Change.HYPHENATION in done) == (not {"-", "–"} & set(whole))


def test_a_lone_hyphen_at_the_end_of_a_paragraph_stays() -> None:
    assert split("the inter-\n\nnational talks") == ["the inter-", "national talks"]


def test_a_single_broken_paragraph_is_repaired_in_a_good_text() -> None:
    assert split("L’été à São Tomé.\n\nlâ€™Ã©tÃ©\n\nŁódź 中文 Ð") == ["L’été à São Tomé.", "l’été", "Łódź 中文 Ð"]


def test_marks_that_pile_up_take_no_time_by_the_square() -> None:
    line = repair("e" + "\u0316\u0301" * 200_000)

    assert line[0] == "é"
    assert len(line) == 30


@pytest.mark.parametrize(
    "piece",
    ["\n", "\r", "&amp;", "-\n", "ab\xad\n", "\u200b", "Ã©", "<p ", "<b>", ">", "\\n", "\\r", " ", "\x85", "a <"],
)
def test_a_hostile_text_is_split(piece: str) -> None:
    paragraphs = split(piece * 40_000)

    assert sum(map(len, paragraphs)) <= 40_000 * len(piece)


def test_what_needs_no_closer_look_has_nothing_to_repair() -> None:
    ordinary = [chr(code) for code in range(0x110000) if not plain._NOT_ORDINARY.search(chr(code))]

    assert len(ordinary) > 30_000
    for character in ordinary:
        assert unicodedata.is_normalized("NFC", character)
        assert not unicodedata.combining(character)
        assert not plain._SUSPECT.search(character)
        assert not plain._FOR_FTFY.search(character)


def test_mojibake_of_a_short_line_is_told_by_that_of_the_others() -> None:
    long = "Mieszkańcy czekają na decyzję władz miasta już od piątku."
    broken = "\n\n".join(line.encode().decode("cp1252", "replace") for line in (long, "Kupcy są źli."))

    assert list(split_text("Kupcy sÄ… w domu.")) == [("Kupcy sÄ… w domu.", ())]
    assert next(iter(split_text(broken.replace("\ufffd", ""))))[1] == (Change.MOJIBAKE,)


def test_a_line_that_is_no_mojibake_among_others_that_are_stays() -> None:
    good = "Sie blieb in Zürich – ohne Geld."
    bad = "Das “Café” schließt früher.".encode().decode("latin-1")

    assert [text for text, _ in split_text(f"{bad}\n\n{good}")] == ["Das “Café” schließt früher.", good]


def test_a_tab_indents_by_eight_columns() -> None:
    first = (
        "The council met on Tuesday night and agreed after four hours of talks that the old bridge must be closed."
    )
    second = (
        "Nobody could say when it opens again, since the money for its repair has not been found by anyone yet."
    )
    wrapped = "\n".join(
        line
        for text in (first, second)
        for line in textwrap.wrap(
            text, 40, initial_indent="\t", replace_whitespace=False, tabsize=8, expand_tabs=False
        )
    )

    assert [text for text, _ in split_text(wrapped)] == [first, second]
