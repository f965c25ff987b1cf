"""The linker on the real Kafka: the same stories whatever the order, the machines and the faults.

Each test names the line that breaks what it holds; `make faults` breaks it and sees the test fail.
"""

from __future__ import annotations

import random
import shutil
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from schemas.article import DedupedArticle, Paragraph
from schemas.reading import write_record
from schemas.story import Story
from schemas.topics import ARTICLES_DEDUPED, ARTICLES_STORIES
from tests.live.harness import Pipeline
from tests.live.test_boilerplate import NAMES, records


def paragraph(number: int) -> str:
    names = NAMES[number * 20 : number * 20 + 20]
    return f"{names[0]} said that {' '.join(names[1:10])} would be told of {' '.join(names[10:])} in spring."


def article(number: int, paragraphs: Sequence[int], hours: float = 0, revision: int = 1) -> DedupedArticle:
    time = datetime(2026, 3, 1, tzinfo=UTC) + timedelta(hours=hours)
    return DedupedArticle(
        id=f"{number:032x}",
        revision=revision,
        received=time,
        publisher=f"paper-{number}.example",
        published=time,
        language="en",
        language_confidence=1,
        kept=tuple(Paragraph(index=place, text=paragraph(each)) for place, each in enumerate(paragraphs)),
    )


SPACING = 40
"""Paragraphs that a test has for itself: the linker finds copies in all of a pipeline."""


def stream(test: int) -> list[DedupedArticle]:
    """Six articles of two stories and one of none, whose numbers and paragraphs no other `test` has."""
    first, number = SPACING * test, 10 * test
    return [
        article(number + 1, range(first, first + 6), 1),  # the original
        article(number + 2, range(first + 1, first + 6), 2),  # cut
        article(number + 3, [first + place for place in (5, 3, 1, 2, 30)], 3),  # reordered, with an end of its own
        article(number + 4, range(first + 10, first + 15), 1),  # another story
        article(number + 5, range(first + 10, first + 13), 4),
        article(number + 6, range(first + 20, first + 25), 2),  # no copy
    ]


STORIES = {1: 1, 2: 1, 3: 1, 4: 4, 5: 4, 6: 6}
"""Article -> story of a stream."""


def send(pipeline: Pipeline, articles: Sequence[DedupedArticle]) -> None:
    pipeline.send(
        [write_record(each) for each in articles],
        topic=ARTICLES_DEDUPED.name,
        keys=[each.id.encode() for each in articles],
    )


def written(pipeline: Pipeline, test: int) -> list[Story]:
    """All stories that were written of a test's articles."""
    found = [record for record in records(pipeline, ARTICLES_STORIES) if isinstance(record, Story)]
    return [story for story in found if int(story.id, 16) // 10 == test]


def stories(pipeline: Pipeline, test: int) -> dict[int, tuple[int, int | None, float]]:
    """Article -> story, leader, originality, as last written; numbers as in the stream of test 0."""
    last = {story.id: story for story in written(pipeline, test)}

    def number(name: str) -> int:
        return int(name, 16) - 10 * test

    return {
        number(story.id): (
            number(story.story_id),
            number(story.duplicate_of) if story.duplicate_of else None,
            story.originality,
        )
        for story in last.values()
    }


def wait_idle(pipeline: Pipeline) -> None:
    pipeline.wait_idle(groups=["linker"])
    pipeline.wait_idle(groups=["linker"])  # a record may have been between two topics


@pytest.fixture(scope="module")
def linking(module_pipeline: Pipeline) -> Pipeline:
    """One linker for this file."""
    module_pipeline.start("linker")
    return module_pipeline


def test_copies_join_one_story_in_any_order(linking: Pipeline) -> None:
    """Break: in `Shard.take` leave out the overlaps of later articles (`*(self._overlap(each) …)`)."""
    send(linking, stream(0)[::-1])
    wait_idle(linking)
    found = stories(linking, 0)
    assert {number: story for number, (story, _, _) in found.items()} == STORIES
    assert {number: leader for number, (_, leader, _) in found.items() if leader} == {2: 1, 3: 1, 5: 4}
    assert found[1][2] == found[4][2] == found[6][2] == 1.0
    assert found[2][2] == found[5][2] == 0.0
    assert 0 < found[3][2] < 0.4
    assert linking.dead() == []


def test_redeliveries_in_any_order_write_no_story(linking: Pipeline) -> None:
    articles = stream(1)
    send(linking, articles)
    wait_idle(linking)
    once, count = stories(linking, 1), len(written(linking, 1))
    assert {number: story for number, (story, _, _) in once.items()} == STORIES
    again = [*articles, *articles]
    random.Random(6).shuffle(again)
    send(linking, again)
    wait_idle(linking)
    assert stories(linking, 1) == once
    assert len(written(linking, 1)) == count


def test_corrected_article_leaves_its_story(linking: Pipeline) -> None:
    """Break: in `Shard.take` keep what is gone (`for value in old | new` -> `for value in new`)."""
    send(linking, stream(2))
    wait_idle(linking)
    first = SPACING * 2
    send(linking, [article(21, range(first + 30, first + 35), 1, revision=2)])
    wait_idle(linking)
    found = stories(linking, 2)
    assert found[1][0] == 1
    assert {number: found[number][0] for number in (2, 3)} == {2: 2, 3: 2}


def test_unreadable_record_is_dead_lettered(linking: Pipeline) -> None:
    (good, *_) = stream(3)
    places = linking.send([b"{", None, write_record(good)], topic=ARTICLES_DEDUPED.name, keys=[b"a", b"b", b"c"])
    wait_idle(linking)
    assert sorted(dead.letter.reason for dead in linking.wait_dead(places[:2])) == ["empty", "invalid_json"]
    assert stories(linking, 3) == {1: (1, None, 1.0)}


def test_killed_linker_is_replaced_on_another_machine(pipeline: Pipeline, tmp_path: Path) -> None:
    """It finds the same stories without the state of the first.

    Break: in `_take_over` begin at the last commit (`position = max(committed, start)` for every topic).
    """
    folder = tmp_path / "state"
    pipeline.environment["STATE_FOLDER"] = str(folder)
    pipeline.start("linker")
    articles = stream(0)
    send(pipeline, [articles[0], articles[3]])
    wait_idle(pipeline)
    pipeline.kill("linker")
    shutil.rmtree(folder)
    pipeline.start("linker#2", "linker#3")
    send(pipeline, articles[1:])
    wait_idle(pipeline)
    assert {number: story for number, (story, _, _) in stories(pipeline, 0).items()} == STORIES
    lines = (pipeline.log("linker#2") + pipeline.log("linker#3")).splitlines()
    assert any("memory is behind" in line for line in lines)
    assert any("memory made again" in line for line in lines)
