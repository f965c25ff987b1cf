"""What the deduper learns of a publisher, on the real Kafka.

Each test names the line that breaks what it holds; `make faults` breaks it and sees the test fail.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from itertools import count, product
from pathlib import Path

import pytest
from kafka import KafkaConsumer, TopicPartition

from schemas.article import CleanArticle, DedupedArticle, Paragraph, Reason
from schemas.boilerplate import Line, Ruling
from schemas.reading import read_record, write_record
from schemas.topics import ARTICLES_CLEAN, ARTICLES_DEDUPED, PUBLISHER_BOILERPLATE, Topic, publisher_partition
from tests.live.harness import Pipeline, wait_until

PROMOTION = "Sign up for the morning letter of the Harbour Post."
BACKGROUND = "The Lindgren bridge has been closed to lorries since a crack was found in April."

SYLLABLES = ("ba", "cor", "dun", "el", "fen", "gar", "hol", "in", "jor", "kel", "lum", "mar", "nor", "os", "per")
NAMES = ["".join(parts).capitalize() for parts in product(SYLLABLES, repeat=3)]


def article(
    number: int,
    *lines: str,
    publisher: str = "harbour-post.example",
    revision: int = 1,
    story: int | None = None,
) -> CleanArticle:
    """An article with seven names of its own, or those of its story, and these lines at its end."""
    first = (number if story is None else story) * 7
    where, *who = NAMES[first : first + 7]
    texts = [
        f"In {where} the council met {who[0]} and {who[1]} about plan number {number} for the old quarter.",
        f"It heard {who[2]} and {who[3]} on what the plan would cost, and put the vote off by {number + 2} weeks.",
        f"Nobody had asked {who[4]} and {who[5]}, who own {number + 3} houses there, what they thought of it.",
        *lines,
    ]
    time = datetime(2026, 3, 1, tzinfo=UTC) + timedelta(hours=number)
    return CleanArticle(
        id=hashlib.sha256(publisher.encode()).hexdigest()[:24] + f"{number:08x}",
        revision=revision,
        received=time,
        publisher=publisher,
        published=time,
        language="en",
        language_confidence=1,
        kept=tuple(Paragraph(index=index, text=text) for index, text in enumerate(texts)),
    )


def send(pipeline: Pipeline, articles: Sequence[CleanArticle]) -> None:
    """As the cleaner does: to the partition of the publisher."""
    producer = pipeline.producer()
    futures = [
        producer.send(
            pipeline.name(ARTICLES_CLEAN.name),
            key=each.id.encode(),
            value=write_record(each),
            partition=publisher_partition(each.publisher, ARTICLES_CLEAN.partitions),
        )
        for each in articles
    ]
    producer.flush()
    for future in futures:
        future.get(timeout=60)
    producer.close()


def records(pipeline: Pipeline, topic: Topic) -> list[object]:
    """All records of a topic, each partition in its order."""
    consumer = KafkaConsumer(bootstrap_servers=pipeline.kafka, enable_auto_commit=False)
    places = [TopicPartition(pipeline.name(topic.name), number) for number in range(topic.partitions)]
    consumer.assign(places)
    consumer.seek_to_beginning(*places)
    ends = consumer.end_offsets(places)
    found: list[object] = []
    while any(consumer.position(place) < ends[place] for place in places):
        for polled in consumer.poll(timeout_ms=500).values():
            found += [read_record(topic, each.value) for each in polled if each.value is not None]
    consumer.close()
    return found


def results(pipeline: Pipeline, *publishers: str) -> dict[str, DedupedArticle]:
    """Of each article of these publishers, or of all, the last record of its highest revision."""
    found: dict[str, DedupedArticle] = {}
    for record in records(pipeline, ARTICLES_DEDUPED):
        assert isinstance(record, DedupedArticle)
        newer = record.id not in found or record.revision >= found[record.id].revision
        if newer and (not publishers or record.publisher in publishers):
            found[record.id] = record
    return found


def learned(pipeline: Pipeline, *publishers: str) -> set[tuple[str, str]]:
    """Publisher and text of each line learned of these publishers, or of all."""
    lines = [record for record in records(pipeline, PUBLISHER_BOILERPLATE) if isinstance(record, Line)]
    return {
        (line.publisher, line.text)
        for line in lines
        if line.ruling is Ruling.LEARNED and (not publishers or line.publisher in publishers)
    }


def texts(article: DedupedArticle) -> list[str]:
    return [paragraph.text for paragraph in article.kept]


@pytest.fixture(scope="module")
def deduping(module_pipeline: Pipeline) -> Pipeline:
    """One deduper for this file; tests are told apart by publishers, since it learns of each by itself."""
    module_pipeline.start("deduper")
    return module_pipeline


def test_line_of_three_different_articles_is_dropped_from_all(deduping: Pipeline) -> None:
    """Break: leave out the records that the memory wants sent again (`memories.fetch(again)` -> `[]`)."""
    three, two = "harbour-post.example", "inland-echo.example"
    send(deduping, [article(number, PROMOTION, publisher=three) for number in range(2)])
    send(deduping, [article(number, PROMOTION, publisher=two) for number in range(2)])
    deduping.wait_idle(groups=["deduper"])
    assert learned(deduping, three, two) == set()
    assert all(texts(result)[-1] == PROMOTION for result in results(deduping, three, two).values())
    send(deduping, [article(number, PROMOTION, publisher=three) for number in range(2, 5)])
    deduping.wait_idle(groups=["deduper"])
    assert learned(deduping, three, two) == {(three, PROMOTION)}
    for result in results(deduping, three, two).values():
        assert (PROMOTION in texts(result)) is (result.publisher == two)
        if result.publisher != two:
            (dropped,) = result.dropped
            assert (dropped.reason, dropped.rule) == (Reason.BOILERPLATE, "learned")
            assert dropped.seen_first == article(0, publisher=three).id
    assert deduping.dead() == []


def test_background_of_one_story_stays(deduping: Pipeline) -> None:
    """However often it comes. Break: count every article (`_likeness(one, other, line) < likeness` -> `True`)."""
    publisher = "background.example"
    send(deduping, [article(number, BACKGROUND, publisher=publisher, story=7) for number in range(8)])
    deduping.wait_idle(groups=["deduper"])
    assert learned(deduping, publisher) == set()
    found = results(deduping, publisher)
    assert len(found) == 8
    assert all(BACKGROUND in texts(result) for result in found.values())


def test_redelivery_and_correction_are_counted_once(deduping: Pipeline) -> None:
    """Break: count without looking who it was (`if name != note.id` left out, and the names in a plain list)."""
    publisher = "corrected.example"
    for revision in (1, 1, 2, 3):
        send(deduping, [article(number, PROMOTION, publisher=publisher, revision=revision) for number in range(2)])
    deduping.wait_idle(groups=["deduper"])
    assert learned(deduping, publisher) == set()
    found = results(deduping, publisher)
    assert len(found) == 2
    assert all(PROMOTION in texts(result) and result.revision == 3 for result in found.values())


def test_three_deliveries_give_same_result_as_one(deduping: Pipeline) -> None:
    found = []
    for publisher, deliveries in (("once.example", 1), ("thrice.example", 3)):
        articles = [article(number, PROMOTION, BACKGROUND, publisher=publisher) for number in range(6)]
        send(deduping, [*articles, *reversed(articles), *articles][: deliveries * len(articles)])
        deduping.wait_idle(groups=["deduper"])
        lines = {text for _, text in learned(deduping, publisher)}
        assert len(lines) == 2
        found.append((lines, {result.id[24:]: texts(result) for result in results(deduping, publisher).values()}))
    assert found[0] == found[1]


def test_ruling_of_person_overrides_learned_line(deduping: Pipeline) -> None:
    """Break: leave out `memories.listen` in `_batch_with_memory`."""
    publisher = "allowed.example"
    send(deduping, [article(number, PROMOTION, publisher=publisher) for number in range(4)])
    deduping.wait_idle(groups=["deduper"])
    lines = [record for record in records(deduping, PUBLISHER_BOILERPLATE) if isinstance(record, Line)]
    line = next(line for line in lines if line.publisher == publisher)
    allowed = line.model_copy(update={"ruling": Ruling.ALLOWED})
    producer = deduping.producer()
    producer.send(
        deduping.name(PUBLISHER_BOILERPLATE.name),
        key=allowed.key.encode(),
        value=write_record(allowed),
        partition=publisher_partition(allowed.publisher, PUBLISHER_BOILERPLATE.partitions),
    ).get(timeout=30)
    producer.close()
    numbers = count(4)

    def stays() -> bool:
        latest = article(next(numbers), PROMOTION, publisher=publisher)
        send(deduping, [latest])
        deduping.wait_idle(groups=["deduper"])
        return PROMOTION in texts(results(deduping, publisher)[latest.id])

    wait_until(stays, 20, lambda: "the line is dropped though a person allowed it")


def test_lost_state_is_restored_from_kafka(pipeline: Pipeline, tmp_path: Path) -> None:
    """Also by the process that gets the partition.

    Break: leave out `catch_up` in `_batch_with_memory`: the two articles before the loss are not counted.
    """
    publisher = "harbour-post.example"
    folder = tmp_path / "state"
    pipeline.environment["STATE_FOLDER"] = str(folder)
    pipeline.start("deduper")
    send(pipeline, [article(number, PROMOTION) for number in range(2)])
    pipeline.wait_idle(groups=["deduper"])
    pipeline.kill("deduper")
    shutil.rmtree(folder)
    pipeline.start("deduper#2")
    send(pipeline, [article(2, PROMOTION)])
    pipeline.wait_idle(groups=["deduper"])
    assert learned(pipeline, publisher) == {(publisher, PROMOTION)}
    found = results(pipeline, publisher)
    assert len(found) == 3
    assert not any(PROMOTION in texts(result) for result in found.values())
    (line,) = [line for line in pipeline.log("deduper#2").splitlines() if "memory made again" in line]
    assert "records=2" in line
