"""The linker on the real Kafka: the same stories whatever the order, the machines and the faults.

Each test names the line that breaks what it holds; `make faults` breaks it and sees the test fail.
"""

from __future__ import annotations

import random
import shutil
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

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


STREAM = [
    article(1, range(6), 1),  # the original
    article(2, range(1, 6), 2),  # cut
    article(3, [5, 3, 1, 2, 30], 3),  # reordered, with an end of its own
    article(4, range(10, 15), 1),  # another story
    article(5, [10, 11, 12], 4),
    article(6, range(20, 25), 2),  # no copy
]


def send(pipeline: Pipeline, articles: Sequence[DedupedArticle]) -> None:
    pipeline.send(
        [write_record(each) for each in articles],
        topic=ARTICLES_DEDUPED.name,
        keys=[each.id.encode() for each in articles],
    )


def stories(pipeline: Pipeline) -> dict[int, tuple[int, int | None, float]]:
    """Article -> story, leader, originality, as last written."""
    last = {each.id: each for each in records(pipeline, ARTICLES_STORIES) if isinstance(each, Story)}
    return {
        int(each.id, 16): (
            int(each.story_id, 16),
            int(each.duplicate_of, 16) if each.duplicate_of else None,
            each.originality,
        )
        for each in last.values()
    }


def wait_idle(pipeline: Pipeline) -> None:
    pipeline.wait_idle(groups=["linker"])
    pipeline.wait_idle(groups=["linker"])  # a record may have been between two topics


def test_copies_are_of_one_story_in_any_order(pipeline: Pipeline) -> None:
    """Break: in `Shard.take` leave out the overlaps of later articles (`*(self._overlap(each) …)`)."""
    pipeline.start("linker")
    send(pipeline, STREAM[::-1])
    wait_idle(pipeline)
    found = stories(pipeline)
    assert {number: story for number, (story, _, _) in found.items()} == {1: 1, 2: 1, 3: 1, 4: 4, 5: 4, 6: 6}
    assert {number: leader for number, (_, leader, _) in found.items() if leader} == {2: 1, 3: 1, 5: 4}
    assert found[1][2] == found[4][2] == found[6][2] == 1.0
    assert found[2][2] == found[5][2] == 0.0
    assert 0 < found[3][2] < 0.4
    assert pipeline.dead() == []


def test_t15_delivered_three_times_and_shuffled_is_as_if_once(pipeline: Pipeline) -> None:
    pipeline.start("linker")
    send(pipeline, STREAM)
    wait_idle(pipeline)
    once = stories(pipeline)
    written = len(records(pipeline, ARTICLES_STORIES))
    again = [*STREAM, *STREAM]
    random.Random(6).shuffle(again)
    send(pipeline, again)
    wait_idle(pipeline)
    assert stories(pipeline) == once
    assert len(records(pipeline, ARTICLES_STORIES)) == written


def test_a_correction_may_leave_its_story(pipeline: Pipeline) -> None:
    """Break: in `Shard.take` keep what is gone (`for value in old | new` -> `for value in new`)."""
    pipeline.start("linker")
    send(pipeline, STREAM)
    wait_idle(pipeline)
    send(pipeline, [article(1, range(30, 35), 1, revision=2)])
    wait_idle(pipeline)
    found = stories(pipeline)
    assert found[1][0] == 1
    assert {number: found[number][0] for number in (2, 3)} == {2: 2, 3: 2}


def test_a_killed_linker_on_another_machine_finds_the_same(pipeline: Pipeline, tmp_path: Path) -> None:
    """Break: in `_take_over` begin at the last commit (`position = max(committed, start)` for every topic)."""
    folder = tmp_path / "state"
    pipeline.environment["STATE_FOLDER"] = str(folder)
    pipeline.start("linker")
    send(pipeline, [*STREAM[:1], STREAM[3]])
    wait_idle(pipeline)
    pipeline.kill("linker")
    shutil.rmtree(folder)
    pipeline.start("linker#2", "linker#3")
    send(pipeline, STREAM[1:])
    wait_idle(pipeline)
    found = stories(pipeline)
    assert {number: story for number, (story, _, _) in found.items()} == {1: 1, 2: 1, 3: 1, 4: 4, 5: 4, 6: 6}
    said = (pipeline.log("linker#2") + pipeline.log("linker#3")).splitlines()
    assert any("memory is behind" in line for line in said)
    print("\n".join(line for line in said if "memory made again" in line))
    assert any("memory made again" in line for line in said)


def test_what_cannot_be_read_is_a_dead_letter_and_costs_nothing_else(pipeline: Pipeline) -> None:
    pipeline.start("linker")
    pipeline.send([b"{", None, write_record(STREAM[0])], topic=ARTICLES_DEDUPED.name, keys=[b"a", b"b", b"c"])
    wait_idle(pipeline)
    assert sorted(each.letter.reason for each in pipeline.dead()) == ["empty", "invalid_json"]
    assert stories(pipeline) == {1: (1, None, 1.0)}
