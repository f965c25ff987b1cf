"""What the deduper learns of publishers, on a labelled stream and on news in which every author is a publisher."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from hashlib import md5

import pytest

from schemas.article import CleanArticle, DedupedArticle, Paragraph
from schemas.boilerplate import Line
from services.deduper.app import create_memory
from services.deduper.boilerplate import sight
from services.deduper.core import drop_repeats
from services.deduper.memory import Memory
from services.deduper.settings import DeduperSettings
from services.store import MemoryStore
from tests.quality.data import rows

SETTINGS = DeduperSettings(kafka_bootstrap_servers="not needed here")


def article(name: str, publisher: str, time: datetime, texts: Sequence[str]) -> CleanArticle:
    return CleanArticle(
        id=md5(name.encode(), usedforsecurity=False).hexdigest(),
        revision=1,
        received=time,
        published=time,
        publisher=publisher,
        language="en",
        language_confidence=1,
        kept=tuple(Paragraph(index=index, text=text) for index, text in enumerate(texts)),
    )


def stream(articles: Sequence[CleanArticle]) -> tuple[list[set[int]], list[Line], Memory]:
    """For each article the paragraphs that are dropped as it comes by, and all lines learned."""
    memory = Memory(
        MemoryStore(),
        least=SETTINGS.boilerplate_articles,
        within=SETTINGS.window,
        likeness=SETTINGS.boilerplate_likeness,
    )
    dropped: list[set[int]] = []
    learned: list[Line] = []
    for offset, each in enumerate(articles):
        deduped = DedupedArticle(**dict(each))
        found = memory.take(sight(each, min_words=SETTINGS.boilerplate_words), offset, lambda d=deduped: d)  # type: ignore[misc]
        gone = {one.index for one in found.article.dropped} if found.article else set()
        dropped.append(gone)
        learned += found.facts
    return dropped, learned, memory


def test_a_publishers_own_lines() -> None:
    labelled = list(rows("dedup/boilerplate.jsonl.gz"))
    articles = [
        article(
            row["id"],
            row["publisher"],
            datetime.fromisoformat(row["published"]),
            [text for text, _ in row["paragraphs"]],
        )
        for row in labelled
    ]
    by_order: dict[str, set[tuple[str, str]]] = {}
    for name, order in (("in order", articles), ("backwards", articles[::-1])):
        dropped, learned, _ = stream(order)
        by_order[name] = {(line.publisher, line.line) for line in learned}
        if name == "backwards":
            continue
        times: dict[tuple[str, str], int] = {}
        due = hit = true = lost = 0
        for each, row, gone in zip(articles, labelled, dropped, strict=True):
            lines = dict(sight(each, min_words=1).lines)
            for index, (_, kind) in enumerate(row["paragraphs"]):
                if kind == "text":
                    true += 1
                    lost += index in gone
                    continue
                line = (each.publisher, lines[index])
                times[line] = times.get(line, 0) + 1
                if times[line] > SETTINGS.boilerplate_articles:
                    due += 1
                    hit += index in gone
        print(
            f"\nlearned boilerplate: {len(learned)} lines; recall after the third {hit / due:.4f} of {due}; "
            f"true paragraphs lost {lost} of {true}"
        )
        assert hit / due >= 0.99
        assert lost * 2000 <= true
    assert by_order["in order"] == by_order["backwards"]


@pytest.mark.parametrize("publishers", ["an author each", "one for all"])
def test_background_and_quotations_of_running_stories_stay(publishers: str) -> None:
    """Nothing here is labelled: each line learned was looked at. All but those counted are bylines and the like."""
    news = list(rows("corpus/c50.jsonl.gz"))
    start = datetime(2026, 1, 1, tzinfo=UTC)
    articles = [
        article(
            row["id"],
            row["author"] if publishers == "an author each" else "agency",
            start + timedelta(minutes=4 * number),
            row["text"].split("\n\n"),
        )
        for number, row in enumerate(news)
    ]
    dropped, learned, _ = stream(articles)
    paragraphs = sum(len(each.kept) for each in articles)
    contact = ("newsroom", "newsdesk", "bureau", "news room", "consensus", "estimate", "qtr")
    other = [line.text for line in learned if not any(word in line.text.lower() for word in contact)]
    lost = sum(map(len, dropped))
    print(f"\nnews, {publishers}: {len(learned)} lines learned, {lost} of {paragraphs} paragraphs; others: {other}")
    assert len(other) * 10_000 <= paragraphs


def test_the_apps_memory_is_the_one_measured() -> None:
    assert isinstance(create_memory(SETTINGS, MemoryStore()), Memory)  # type: ignore[arg-type]


def test_a_deduped_article_keeps_its_indices() -> None:
    one = article("a", "p", datetime(2026, 1, 1, tzinfo=UTC), ["The same words stand here two times over."] * 2)
    assert [each.index for each in drop_repeats(one).kept] == [0]
