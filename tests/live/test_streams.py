"""Streams of articles through the deduper and the linker: their findings do not depend on the number of processes.

The slow stream is labelled: Reuters C50 (UCI, CC BY 4.0), made into copies and given publishers' lines; see
tests/quality.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from hashlib import md5
from itertools import islice
from typing import Any

import pytest

from schemas.article import CleanArticle, Paragraph, Reason
from schemas.story import Story
from schemas.topics import ARTICLES_STORIES
from tests.bench.generated import generate_articles
from tests.live.harness import Pipeline, wait_until
from tests.live.test_boilerplate import learned, records, results, send
from tests.quality.data import rows
from tests.quality.test_copies import pairs

GROUPS = ("deduper", "linker")


def article(row: dict[str, Any], texts: list[str]) -> CleanArticle:
    published = datetime.fromisoformat(row["published"])
    return CleanArticle(
        id=md5(row["id"].encode(), usedforsecurity=False).hexdigest(),
        revision=1,
        received=published,
        published=published,
        publisher=row["publisher"],
        language="en",
        language_confidence=1,
        kept=tuple(Paragraph(index=index, text=text) for index, text in enumerate(texts)),
    )


def generated(count: int) -> list[CleanArticle]:
    """Articles with copies of each other and with lines of their publishers, a minute apart."""
    start = datetime(2026, 3, 1, tzinfo=UTC)
    return [
        article(
            {
                "id": str(number),
                "publisher": made.publisher,
                "published": (start + timedelta(minutes=number)).isoformat(),
            },
            list(made.paragraphs),
        )
        for number, made in enumerate(islice(generate_articles(), count))
    ]


def story_pairs(pipeline: Pipeline) -> set[tuple[str, str]]:
    last = {story.id: story for story in records(pipeline, ARTICLES_STORIES) if isinstance(story, Story)}
    groups = defaultdict(list)
    for story in last.values():
        groups[story.story_id].append(story.id)
    return pairs(groups)


def run(pipeline: Pipeline, articles: list[CleanArticle], workers: int, kill: bool) -> None:
    """All articles through this many processes of each; with `kill` one of each dies on the way and comes back."""
    names = [f"{group}#{number}" for group in GROUPS for number in range(workers)]
    pipeline.start(*names)
    half = len(articles) // 2
    send(pipeline, articles[:half])
    if kill:
        wait_until(lambda: len(results(pipeline)) > len(articles) // 8, 60, pipeline.tails)
        for group in GROUPS:
            pipeline.kill(f"{group}#1")
        send(pipeline, articles[half:])
        pipeline.start(*(f"{group}#9" for group in GROUPS))
    else:
        send(pipeline, articles[half:])
    for _ in range(2):  # a record may have been between two topics
        pipeline.wait_idle(240, groups=GROUPS)


def test_findings_do_not_depend_on_the_number_of_processes(new_pipeline: Callable[[], Pipeline]) -> None:
    stream = generated(240)
    found = []
    for workers, kill in ((1, False), (2, True)):
        pipeline = new_pipeline()
        run(pipeline, stream, workers, kill)
        assert pipeline.dead() == []
        found.append((learned(pipeline), story_pairs(pipeline)))
        pipeline.stop()
    assert found[0] == found[1]
    assert all(found[0]), "the stream has lines to be learned, and copies"


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_labelled_stream_has_the_same_findings_with_more_processes(
    new_pipeline: Callable[[], Pipeline],
) -> None:
    """Break: let `Memory.take` count within a process only (a `MemoryStore` for the partition's store)."""
    copies = [(row, article(row, row["body"].split("\n\n"))) for row in rows("dedup/copies.jsonl.gz")]
    lines = list(rows("dedup/boilerplate.jsonl.gz"))
    stream = [copy for _, copy in copies]
    stream += [article(row, [text for text, _ in row["paragraphs"]]) for row in lines]
    stories = defaultdict(list)
    for row, copy in copies:
        stories[row["story"]].append(copy.id)
    gold = pairs(stories)
    copied = {copy.id for _, copy in copies}
    found = []
    for workers, kill in ((1, False), (3, True)):
        pipeline = new_pipeline()
        began = time.monotonic()
        run(pipeline, stream, workers, kill)
        seconds = time.monotonic() - began
        of_copies = {pair for pair in story_pairs(pipeline) if copied.issuperset(pair)}
        # Every publisher's line that stands in three articles and more; a page's date makes no other line of it.
        after = results(pipeline)
        boilerplate = true = left = lost = 0
        for row in lines:
            dropped = after[md5(row["id"].encode(), usedforsecurity=False).hexdigest()].dropped
            gone = {paragraph.index for paragraph in dropped if paragraph.reason is Reason.BOILERPLATE}
            for index, (_, kind) in enumerate(row["paragraphs"]):
                if kind == "boilerplate":
                    boilerplate += 1
                    left += index not in gone
                else:
                    true += 1
                    lost += index in gone
        right = len(of_copies & gold)
        print(
            f"\n{workers} of each{', one killed' if kill else ''}: {len(stream)} articles in {seconds:.0f} s; "
            f"copies: precision {right / len(of_copies):.4f}, recall {right / len(gold):.4f} of {len(gold)} pairs; "
            f"lines: recall {1 - left / boilerplate:.4f} of {boilerplate}, {lost} of {true} true paragraphs lost"
        )
        assert pipeline.dead() == []
        assert right >= 0.95 * len(of_copies)
        assert right >= 0.90 * len(gold)
        assert left <= 0.05 * boilerplate
        assert lost * 2000 <= true
        found.append((learned(pipeline), story_pairs(pipeline)))
        pipeline.stop()
    (one_lines, one), (other_lines, other) = found
    print(f"agreement of the stories {len(one & other) / len(one | other):.4f}")
    assert len(one & other) >= 0.995 * len(one | other)
    assert one_lines == other_lines
