"""Which lines are learned of a publisher, and from what."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.article import DedupedArticle, Kind, Paragraph, Reason
from schemas.boilerplate import Line, Ruling
from services.deduper.boilerplate import line_of, sight
from services.deduper.memory import MOST_CARRIERS, Found, Memory
from services.store import MemoryStore

SYLLABLES = ("ba", "cor", "dun", "el", "fen", "gar", "hol", "in", "jor", "kel", "lum", "mar", "nor", "os", "per")
NAMES = ["".join(parts).capitalize() for parts in product(SYLLABLES, repeat=3)]
LINE = "Sign up for the morning letter of the Harbour Post."
START = datetime(2026, 3, 1, tzinfo=UTC)


def article(
    number: int, *lines: str, story: int | None = None, days: float | None = None, revision: int = 1
) -> DedupedArticle:
    names = NAMES[(number if story is None else story) * 8 :][:8]
    texts = [
        f"{names[0]} met {names[1]} and {names[2]} at {names[3]}.",
        f"So said {' and '.join(names[4:])}.",
        *lines,
    ]
    time = START + timedelta(days=number / 24 if days is None else days)
    return DedupedArticle(
        id=f"{number:032x}",
        revision=revision,
        received=time,
        publisher="harbour-post.example",
        published=time,
        language="en",
        language_confidence=1,
        kept=tuple(Paragraph(index=index, text=text) for index, text in enumerate(texts)),
    )


class Partition:
    """A memory and the offsets of what went through it."""

    def __init__(self) -> None:
        self.store = MemoryStore()
        self.memory = Memory(self.store, least=3, within=timedelta(days=14), likeness=0.3)
        self.offset = -1
        self.results: dict[str, DedupedArticle] = {}
        self.log: list[DedupedArticle] = []
        self.learned: list[Line] = []

    def take(self, each: DedupedArticle) -> Found:
        self.offset += 1
        self.log.append(each)
        found = self._one(each, self.offset)
        for offset in found.again:
            self._one(self.log[offset], offset)
        return found

    def _one(self, each: DedupedArticle, offset: int) -> Found:
        found = self.memory.take(sight(each, min_words=4), offset, lambda: each)
        now = found.article or each
        before = self.results.get(each.id)
        if before is None or now.revision >= before.revision:
            self.results[each.id] = now
        self.learned += found.facts
        return found

    @property
    def left(self) -> set[int]:
        """The articles that have the line still."""
        return {int(name, 16) for name, each in self.results.items() if LINE in each.body}


def test_the_third_article_teaches_and_the_first_two_come_again() -> None:
    partition = Partition()
    assert partition.take(article(0, LINE)).article is None
    assert partition.take(article(1, LINE)).article is None
    found = partition.take(article(2, LINE))
    assert found.again == (0, 1)
    (line,) = found.facts
    assert (line.text, line.ruling, line.articles) == (LINE, Ruling.LEARNED, tuple(f"{n:032x}" for n in range(3)))
    assert found.article is not None
    (dropped,) = found.article.dropped
    assert (dropped.text, dropped.reason, dropped.rule) == (LINE, Reason.BOILERPLATE, "learned")
    assert dropped.seen_first == "0" * 32
    assert partition.left == set()
    assert partition.take(article(3, LINE)).facts == ()
    assert partition.left == set()


def test_articles_of_one_story_count_once() -> None:
    partition = Partition()
    for number in range(10):
        partition.take(article(number, LINE, story=1))
    partition.take(article(20, LINE, story=2))
    assert partition.learned == []
    partition.take(article(21, LINE, story=3))
    assert len(partition.learned) == 1
    assert partition.left == set()


def test_articles_weeks_apart_teach_nothing() -> None:
    partition = Partition()
    for number in range(6):
        partition.take(article(number, LINE, days=number * 8))
    assert partition.learned == []


def test_a_redelivery_or_a_correction_counts_once_and_an_older_one_changes_nothing() -> None:
    partition = Partition()
    for revision in (2, 2, 3, 1):
        partition.take(article(0, LINE, revision=revision))
        partition.take(article(1, LINE, revision=revision))
    assert partition.learned == []
    partition.take(article(2, LINE))
    assert partition.left == set()


@given(st.integers(0, 2**32), st.integers(1, 3))
def test_the_findings_depend_on_the_set_of_articles_alone(seed: int, times: int) -> None:
    background = "The bridge has been closed since a crack was found in April."
    articles = [article(number, LINE) for number in range(5)]
    articles += [article(number, background, story=9) for number in range(10, 16)]
    articles += [article(30, LINE, days=40)]
    stream = articles * times
    random.Random(seed).shuffle(stream)
    partition = Partition()
    for each in stream:
        partition.take(each)
    assert {line.text for line in partition.learned} == {LINE}
    assert partition.left - {30} == set(), "weeks earlier or later it was no boilerplate yet, or is it still"


def test_the_state_comes_back_from_its_store_and_what_was_told() -> None:
    partition = Partition()
    partition.take(article(0, LINE))
    partition.take(article(1, LINE))
    again = Partition()
    again.memory = Memory(partition.store, least=3, within=timedelta(days=14), likeness=0.3)
    found = again.memory.take(sight(article(2, LINE), min_words=4), 2, lambda: article(2, LINE))
    assert found.again == (0, 1)
    fresh = Partition()
    fresh.memory.told(found.facts[0])
    fresh.take(article(3, LINE))
    assert fresh.left == set()


@pytest.mark.parametrize(
    ("said", "stays"), [(Ruling.ALLOWED, True), (Ruling.DENIED, False), (Ruling.WITHDRAWN, False)]
)
def test_a_persons_word_is_before_what_was_learned(said: Ruling, stays: bool) -> None:
    partition = Partition()
    for number in range(3):
        partition.take(article(number, LINE))
    line = partition.learned[0]
    partition.memory.told(line.model_copy(update={"ruling": Ruling.ALLOWED}))
    partition.memory.told(line.model_copy(update={"ruling": said}))
    partition.take(article(4, LINE))
    assert (4 in partition.left) is stays


def test_a_denied_line_goes_from_its_first_article_on() -> None:
    partition = Partition()
    line = line_of("harbour-post.example", LINE, min_words=4)
    assert line
    partition.memory.told(
        Line(publisher="harbour-post.example", line=line, text=LINE, ruling=Ruling.DENIED, time=START)
    )
    found = partition.take(article(0, LINE))
    assert found.article is not None
    assert [(each.rule, each.seen_first) for each in found.article.dropped] == [("denied", None)]


def test_a_line_of_one_long_story_is_bounded() -> None:
    partition = Partition()
    for number in range(MOST_CARRIERS + 20):
        partition.take(article(number, LINE, story=1, days=number / 100))
    line = line_of("harbour-post.example", LINE, min_words=4)
    assert line
    carriers = partition.store.get(b"l" + bytes.fromhex(line))
    assert carriers
    assert carriers.count(b'"') == 2 * MOST_CARRIERS


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("Printed on 3 May 2026 in Aldport.", "printed on 14 May 2027, in ALDPORT", False),
        ("Printed on 3 May 2026 in Aldport.", "Printed on 4 May 2027 in Aldport!", True),
        ("Printed on 3 May 2026 in Aldport.", "Printed on 3 May 2026 in Brackwater.", False),
    ],
)
def test_letter_case_punctuation_and_digits_make_no_difference(one: str, other: str, same: bool) -> None:
    assert (line_of("p", one, min_words=4) == line_of("p", other, min_words=4)) is same


def test_a_line_belongs_to_its_publisher() -> None:
    assert line_of("p", LINE, min_words=4) != line_of("q", LINE, min_words=4)


@pytest.mark.parametrize(
    "text",
    ["Read more here", "12 34 56 78", "“We will never close the old bridge,” she said.", '"No," he said to them.'],
)
def test_few_words_and_quotations_are_no_lines(text: str) -> None:
    assert line_of("p", text, min_words=4) is None


def test_headings_and_the_articles_own_headline_are_no_lines() -> None:
    each = article(0, LINE).model_copy(update={"headline": LINE})
    assert LINE not in [each.kept[index].text for index, _ in sight(each, min_words=4).lines]
    heading = Paragraph(index=0, text="What we know so far", kind=Kind.HEADING)
    assert sight(each.model_copy(update={"kept": (heading,)}), min_words=4).lines == ()


def test_scripts_without_capitals_are_told_apart_too() -> None:
    texts = [
        "سافر الوزير إلى المدينة الساحلية صباح الاثنين للقاء الصيادين",
        "أعلنت الشركة عن افتتاح مصنع جديد للزجاج في الضاحية الشمالية",
        "فاز الفريق بالمباراة النهائية أمام جمهور كبير من المشجعين",
    ]
    line = "اشترك في نشرتنا الصباحية لتصلك الأخبار"
    partition = Partition()
    for number, text in enumerate(texts):
        each = article(number).model_copy(
            update={"kept": (Paragraph(index=0, text=text), Paragraph(index=1, text=line))}
        )
        partition.take(each)
    assert [each.text for each in partition.learned] == [line]
