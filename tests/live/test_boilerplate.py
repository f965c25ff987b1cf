"""What the deduper learns of a publisher, on the real Kafka.

Each test names the line that breaks what it holds; `make faults` breaks it and sees the test fail.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from itertools import product
from pathlib import Path

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
        id=f"{publisher[0]}{number:031x}",
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


def results(pipeline: Pipeline) -> dict[str, DedupedArticle]:
    """What stands in the index in the end: of each article the last record of its highest revision."""
    found: dict[str, DedupedArticle] = {}
    for each in records(pipeline, ARTICLES_DEDUPED):
        assert isinstance(each, DedupedArticle)
        if each.id not in found or each.revision >= found[each.id].revision:
            found[each.id] = each
    return found


def learned(pipeline: Pipeline) -> set[tuple[str, str]]:
    lines = [each for each in records(pipeline, PUBLISHER_BOILERPLATE) if isinstance(each, Line)]
    return {(each.publisher, each.text) for each in lines if each.ruling is Ruling.LEARNED}


def texts(article: DedupedArticle) -> list[str]:
    return [paragraph.text for paragraph in article.kept]


def test_a_line_in_three_different_articles_is_dropped_from_all_of_them(pipeline: Pipeline) -> None:
    """Break: leave out the records that the memory wants sent again (`memories.fetch(again)` -> `[]`)."""
    pipeline.start("deduper")
    other = "inland-echo.example"
    send(pipeline, [article(number, PROMOTION) for number in range(2)])
    send(pipeline, [article(number, PROMOTION, publisher=other) for number in range(2)])
    pipeline.wait_idle(groups=["deduper"])
    assert learned(pipeline) == set()
    assert all(texts(each)[-1] == PROMOTION for each in results(pipeline).values())
    send(pipeline, [article(number, PROMOTION) for number in range(2, 5)])
    pipeline.wait_idle(groups=["deduper"])
    assert learned(pipeline) == {("harbour-post.example", PROMOTION)}
    for each in results(pipeline).values():
        assert (PROMOTION in texts(each)) is (each.publisher == other)
        if each.publisher != other:
            (dropped,) = each.dropped
            assert (dropped.reason, dropped.rule) == (Reason.BOILERPLATE, "learned")
            assert dropped.seen_first == article(0).id
    assert pipeline.dead() == []


def test_background_of_one_story_stays_however_often_it_comes(pipeline: Pipeline) -> None:
    """Break: count every article (`_likeness(one, other, line) < likeness` -> `True`)."""
    pipeline.start("deduper")
    send(pipeline, [article(number, BACKGROUND, story=7) for number in range(8)])
    pipeline.wait_idle(groups=["deduper"])
    assert learned(pipeline) == set()
    assert all(BACKGROUND in texts(each) for each in results(pipeline).values())


def test_t15_a_redelivery_or_a_correction_is_never_counted_twice(pipeline: Pipeline) -> None:
    """Break: count without looking who it was (`if name != note.id` left out, and the names in a plain list)."""
    pipeline.start("deduper")
    for revision in (1, 1, 2, 3):
        send(pipeline, [article(number, PROMOTION, revision=revision) for number in range(2)])
    pipeline.wait_idle(groups=["deduper"])
    assert learned(pipeline) == set()
    assert all(PROMOTION in texts(each) and each.revision == 3 for each in results(pipeline).values())


def test_t15_everything_delivered_three_times_is_as_if_once(new_pipeline: Callable[[], Pipeline]) -> None:
    articles = [article(number, PROMOTION, BACKGROUND) for number in range(6)]
    found = []
    for deliveries in (articles, [*articles, *reversed(articles), *articles]):
        pipeline = new_pipeline()
        pipeline.start("deduper")
        send(pipeline, deliveries)
        pipeline.wait_idle(groups=["deduper"])
        found.append((learned(pipeline), {each: texts(result) for each, result in results(pipeline).items()}))
        pipeline.stop()
    assert found[0] == found[1]
    assert len(found[0][0]) == 2


def test_what_a_person_says_is_stronger(pipeline: Pipeline) -> None:
    """Break: leave out `memories.listen` in `_batch_with_memory`."""
    pipeline.start("deduper")
    send(pipeline, [article(number, PROMOTION) for number in range(4)])
    pipeline.wait_idle(groups=["deduper"])
    line = next(each for each in records(pipeline, PUBLISHER_BOILERPLATE) if isinstance(each, Line))
    said = line.model_copy(update={"ruling": Ruling.ALLOWED})
    producer = pipeline.producer()
    producer.send(
        pipeline.name(PUBLISHER_BOILERPLATE.name),
        key=said.key.encode(),
        value=write_record(said),
        partition=publisher_partition(said.publisher, PUBLISHER_BOILERPLATE.partitions),
    ).get(timeout=30)
    producer.close()

    def stays() -> bool:
        stays.number += 1  # type: ignore[attr-defined]
        latest = article(stays.number, PROMOTION)  # type: ignore[attr-defined]
        send(pipeline, [latest])
        pipeline.wait_idle(groups=["deduper"])
        return PROMOTION in texts(results(pipeline)[latest.id])

    stays.number = 4  # type: ignore[attr-defined]
    wait_until(stays, 20, lambda: "the line is dropped though a person allowed it")


def test_a_lost_folder_and_a_moved_partition_are_made_again_from_kafka(pipeline: Pipeline, tmp_path: Path) -> None:
    """Break: leave out `catch_up` in `_batch_with_memory`: the two articles before the loss are not counted."""
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
    assert learned(pipeline) == {("harbour-post.example", PROMOTION)}
    assert not any(PROMOTION in texts(each) for each in results(pipeline).values())
    (said,) = [line for line in pipeline.log("deduper#2").splitlines() if "memory made again" in line]
    print(said)
    assert "records=2" in said
