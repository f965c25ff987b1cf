from __future__ import annotations

import subprocess
import sys

import pytest

from schemas.article import Dropped, Reason
from services.deduper import repeats
from services.deduper.core import VERSION, drop_repeats

from .articles import article

TALK = (
    "US officials released intelligence last week that North Korea and Russia were arranging a meeting between "
    "their leaders that would take place within this month."
)
DOUBT = "Whether they will pass the plan is another matter, since the opposition has promised to vote against it."
EXACT, NEAR = Reason.EXACT_DUPLICATE, Reason.NEAR_DUPLICATE


def dropped(*paragraphs: str) -> list[tuple[int, Reason, int | None]]:
    return [(one.index, one.reason, one.repeats) for one in drop_repeats(article(paragraphs)).dropped]


def test_drops_a_paragraph_that_comes_again() -> None:
    result = drop_repeats(article([TALK, DOUBT, TALK]))

    assert [one.index for one in result.kept] == [0, 1]
    assert result.dropped == (Dropped(index=2, text=TALK, reason=EXACT, repeats=0),)


@pytest.mark.parametrize(
    "again",
    [
        pytest.param(TALK.upper(), id="letter-case"),
        pytest.param(TALK.replace(" ", "\xa0 "), id="spaces"),
        pytest.param(f"“{TALK}”", id="quotation-marks"),
        pytest.param(TALK.replace("week", "week,").rstrip("."), id="punctuation"),
    ],
)
def test_letter_case_punctuation_quotes_and_spaces_do_not_matter(again: str) -> None:
    assert dropped(TALK, again) == [(1, EXACT, 0)]


@pytest.mark.parametrize(
    "again",
    [
        pytest.param(TALK.replace("released", "made public"), id="a-word-changed"),
        pytest.param(TALK.replace("last week ", ""), id="words-left-out"),
        pytest.param(f"NEW YORK, March 3 - {TALK}", id="dateline"),
        pytest.param(f"{TALK} (Reporting by our London newsroom)", id="agency-line"),
        pytest.param(TALK[: len(TALK) * 3 // 4], id="cut-off"),
        pytest.param(TALK.replace("intelligence", "intellignece").replace("Korea", "Koera"), id="letters-swapped"),
        pytest.param(TALK.replace("Russia", "Russia’s allies"), id="a-name-and-more"),
        pytest.param(TALK.replace("US", "U.S."), id="an-abbreviation"),
        pytest.param(TALK.replace("that North", "that, in 1,950 pages, North"), id="words-added"),
    ],
)
def test_drops_what_was_only_edited(again: str) -> None:
    assert dropped(TALK, DOUBT, again) == [(2, NEAR, 0)]


def test_punctuation_inside_a_number_does_not_matter() -> None:
    line = "The carmaker shipped 4,400 of them in the spring, more than in any quarter before, it wrote."

    assert dropped(line, line.replace("4,400", "4400")) == [(1, NEAR, 0)]


def test_knows_words_where_no_spaces_separate_them() -> None:
    line = "部长们星期二在首都开会三个小时，就一项两国议会仍须批准的计划达成一致。"

    assert dropped(line, line.replace("一致", "共识")) == [(1, NEAR, 0)]


def test_compares_with_the_most_similar_of_many() -> None:
    line = "Shares of {} rose {} on Monday in heavy trading on the exchange after the company reported its results."
    names = ["Apple", "Nokia", "Bayer", "Renault", "Barclays"]
    lines = [line.format(name, "sharply") for name in names]

    assert dropped(*lines, line.format("Barclays", "strongly")) == [(5, NEAR, 4)]


def test_names_the_most_similar_earlier_paragraph() -> None:
    once = "The plan is to be put before both houses of parliament in the first week of the month of May."
    twice = "A plan may be put before the lower house of the parliament in the last week of this very month."

    assert dropped(once, twice, twice.replace("lower", "upper")) == [(2, NEAR, 1)]


@pytest.mark.parametrize(
    "short",
    [
        "“Yes.”",
        "—",
        "He declined to comment.",
        "“We will not give up.”",
        "2 | 3 | 4 | 5 | 6 | 7 | 8",
        "- - - - - - -",
    ],
)
def test_a_short_paragraph_may_come_twice(short: str) -> None:
    assert dropped(short, DOUBT, short) == []


def test_a_short_paragraph_with_another_word_says_something_else() -> None:
    assert dropped("Spilled a glass of water on the floor.", "Spilled a bucket of water on the floor.") == []


@pytest.mark.parametrize(
    ("line", "other"),
    [
        pytest.param(
            "Shares of Apple rose 3 percent on Monday in heavy trading on the exchange in New York.",
            "Shares of Nokia rose 4 percent on Monday in heavy trading on the exchange in New York.",
            id="name-and-number",
        ),
        pytest.param(
            "Shares of Apple rose sharply on Monday in heavy trading on the exchange in New York.",
            "Shares of Nokia rose sharply on Monday in heavy trading on the exchange in New York.",
            id="name",
        ),
        pytest.param(
            "Apple shares rose sharply on Monday in heavy trading on the exchange in New York.",
            "Nokia shares rose sharply on Monday in heavy trading on the exchange in New York.",
            id="name-at-the-start",
        ),
        pytest.param(
            "Shares of the carmaker rose 12 percent on Monday in heavy trading in New York.",
            "Shares of the carmaker rose 21 percent on Monday in heavy trading in New York.",
            id="number-with-the-same-digits",
        ),
        pytest.param(
            "Police said on Monday that two men had been arrested in connection with the case.",
            "Police said on Monday that three men had been arrested in connection with the case.",
            id="number-word",
        ),
        pytest.param(
            "It cost $5 more than the year before, the company said in its annual report.",
            "It cost €5 more than the year before, the company said in its annual report.",
            id="currency",
        ),
        pytest.param(
            "Die Aktien von Siemens stiegen am Montag in Frankfurt um drei Prozent auf 100 Euro.",
            "Die Aktien von Bayer stiegen am Montag in Frankfurt um drei Prozent auf 100 Euro.",
            id="german",
        ),
        pytest.param(
            "上海综合指数星期一在活跃的交易中上涨了百分之三，报收于三千点。",
            "上海综合指数星期一在活跃的交易中上涨了百分之四，报收于三千点。",
            id="chinese-number",
        ),
    ],
)
def test_another_number_or_name_is_another_paragraph(line: str, other: str) -> None:
    assert dropped(line, other) == []


def test_a_row_of_a_table_is_no_near_duplicate() -> None:
    row = "Tuesday | the first reading of the bill in the lower house of the parliament | open to all | {}"

    assert dropped(row.format("in the morning"), row.format("in the evening")) == []


def test_a_capital_at_the_start_makes_no_name() -> None:
    line = "The plan was put before both houses of parliament, and those who wrote it were there."

    assert dropped(line, line.replace("The plan", "Those plans")) == [(1, NEAR, 0)]


def test_a_paragraph_that_adds_a_sentence_stays() -> None:
    assert dropped(DOUBT, f"{DOUBT} “It is a serious setback for all of us,” the chairman said.") == []


def test_a_long_list_of_similar_lines_stays() -> None:
    lines = [
        f"Shares of Company{n} rose {n} percent on Monday in heavy trading on the exchange of the capital."
        for n in range(2_000)
    ]

    assert dropped(*lines, lines[1_500]) == [(2_000, EXACT, 1_500)]


def test_the_work_for_a_paragraph_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    compared = []

    def says_something_else(*wordings: object) -> bool:
        compared.append(wordings)
        return True

    monkeypatch.setattr(repeats, "says_something_else", says_something_else)
    drop_repeats(article([f"{DOUBT} {'x' * n}" for n in range(1, 101)]))

    assert len(compared) <= 100 * repeats.MOST_COMPARED


def test_carries_over_everything_else() -> None:
    before = article(
        [TALK, TALK], dropped=(Dropped(index=2, text="Share", reason=Reason.BOILERPLATE, rule="share-en"),)
    )
    unchanged = before.model_dump_json()

    result = drop_repeats(before)

    same = before.model_dump(exclude={"kept", "dropped", "versions"})
    assert result.model_dump(exclude={"kept", "dropped", "versions"}) == same
    assert result.versions == {"cleaner": "1", "deduper": VERSION}
    assert [one.index for one in result.kept] == [0]
    assert [(one.index, one.reason) for one in result.dropped] == [(1, EXACT), (2, Reason.BOILERPLATE)]
    assert before.model_dump_json() == unchanged


def test_a_repeat_across_a_dropped_paragraph_points_at_the_kept_one() -> None:
    assert dropped(TALK, TALK.upper(), TALK) == [(1, EXACT, 0), (2, EXACT, 0)]


def test_thresholds_are_settings() -> None:
    edited = TALK.replace("released", "made public")
    short = "He declined to comment."

    assert drop_repeats(article([TALK, edited]), threshold=1.0).dropped == ()
    assert drop_repeats(article([TALK, edited]), near_words=100).dropped == ()
    assert len(drop_repeats(article([short, short]), min_words=4).dropped) == 1


def test_the_result_does_not_hang_on_the_seed_of_hashes() -> None:
    """Of paragraphs that are equally similar the first is named, in every process."""
    program = (
        "from services.deduper.core import drop_repeats; from tests.unit.deduper.articles import article;"
        "one = 'the plan was put before both houses of parliament in spring';"
        "two = 'those who had written its many pages were there to listen';"
        "print(drop_repeats(article([one + ' but nobody could say how it would end so late', "
        "'for what it may be worth after all these years ' + two, one + ' ' + two]), threshold=0.3).dropped)"
    )
    results = {
        subprocess.run(
            [sys.executable, "-c", program],
            env={"PYTHONHASHSEED": seed, "PYTHONPATH": "."},
            capture_output=True,
            check=True,
            text=True,
        ).stdout
        for seed in ("0", "1", "2")
    }

    assert len(results) == 1
    assert "repeats=0" in results.pop()
