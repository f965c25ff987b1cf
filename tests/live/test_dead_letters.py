"""Dead letters on the real Kafka: from failure to replay or purge, and what the queue holds then.

Each test names the line that breaks what it holds; `make faults` breaks it and sees the test fail.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import uuid
from collections import Counter
from datetime import UTC, datetime
from itertools import chain

import pytest
import requests
from elasticsearch import Elasticsearch
from kafka import KafkaConsumer, TopicPartition

from schemas.article import CleanArticle, Paragraph, RawArticle, TaggedArticle
from schemas.dead_letter import dead_letter_headers
from schemas.document import DEAD_LETTERS_ALIAS, INDEX_ALIAS, first_index
from schemas.identity import article_id
from schemas.reading import write_record
from schemas.topics import ARTICLES_CLEAN, ARTICLES_DLQ, ARTICLES_RAW, ARTICLES_TAGGED, MAX_INNER_BYTES
from services.cli.kafka_admin import shrink
from tests.live.harness import ROOT, Pipeline, wait_until
from tests.live.test_boilerplate import records

FAULTY = "tests.live.stages"

CORRECTED = (
    "The harbour of Vaasa has been open again since Monday, the port authority said, after nine weeks of ice."
)


def newsflow(pipeline: Pipeline, *words: str, script: str = "") -> subprocess.CompletedProcess[bytes]:
    """The command in a process of its own; `script` is run in it before."""
    return subprocess.run(
        [sys.executable, "-c", f"{script}\nfrom services.cli.app import main\nmain()", *words],
        cwd=ROOT,
        capture_output=True,
        check=False,
        timeout=300,
        env={
            **os.environ,
            "KAFKA_BOOTSTRAP_SERVERS": pipeline.kafka,
            "ELASTICSEARCH_URL": pipeline.elasticsearch,
            "NEWSFLOW_PREFIX": pipeline.prefix,
        },
    )


def said(done: subprocess.CompletedProcess[bytes]) -> dict[str, object]:
    assert done.returncode == 0, done.stderr.decode(errors="replace")[-3_000:]
    answer: dict[str, object] = json.loads(done.stdout)
    return answer


def queue_ends(pipeline: Pipeline) -> tuple[int, int]:
    """The first offset that is still in the queue, and the one behind the last."""
    place = TopicPartition(pipeline.name(ARTICLES_DLQ.name), 0)
    consumer = KafkaConsumer(bootstrap_servers=pipeline.kafka, group_id=None)
    try:
        return consumer.beginning_offsets([place])[place], consumer.end_offsets([place])[place]
    finally:
        consumer.close(autocommit=False)


def shown(pipeline: Pipeline) -> set[str]:
    """The ids of the dead letters that the index shows."""
    with Elasticsearch(pipeline.elasticsearch) as client:
        alias = pipeline.name(DEAD_LETTERS_ALIAS)
        client.indices.refresh(index=alias)
        return {hit["_id"] for hit in client.search(index=alias, size=2_000, source=False)["hits"]["hits"]}


def letters(pipeline: Pipeline, count: int) -> list[str]:
    """Dead letters of records that nobody sent; returns their ids."""
    producer = pipeline.producer()
    for offset in range(count):
        headers = dead_letter_headers(
            topic=pipeline.name(ARTICLES_RAW.name),
            partition=0,
            offset=offset,
            stage="cleaner",
            reason="invalid_json",
            error="EOF",
            headers=[],
            null=False,
        )
        producer.send(pipeline.name(ARTICLES_DLQ.name), key=b"k", value=b"{", headers=headers)
    producer.flush()
    producer.close()
    return [f"{pipeline.name(ARTICLES_RAW.name)}/0/{offset}" for offset in range(count)]


# ---------------------------------------------------------------- replay


def test_replayed_article_loses_to_its_correction(running: Pipeline) -> None:
    """Break: in `_record` of services/runtime/stage.py take the record's own time alone."""
    number = uuid.uuid4().int
    first = RawArticle(publisher="replayed.example", id=str(number), body="Too short.")
    name = article_id(first)
    topic, offset, early = running.name(ARTICLES_RAW.name), number % 10**12, time.time_ns() // 10**6
    headers = dead_letter_headers(
        topic=topic,
        partition=0,
        offset=offset,
        stage="cleaner",
        reason="too_short",
        error="Too short.",
        headers=[],
        null=False,
        timestamp=early,
    )
    producer = running.producer()
    value = first.model_dump_json(exclude_defaults=True).encode()
    producer.send(running.name(ARTICLES_DLQ.name), key=name.encode(), value=value, headers=headers).get(timeout=30)
    producer.close()
    running.send([first.model_copy(update={"body": CORRECTED})], keys=[name.encode()])
    corrected = running.wait_indexed([name])[name]
    assert early < corrected["revision"]
    done = said(newsflow(running, "dlq", "replay", f"{topic}/0/{offset}", "--json"))
    assert done == {"replayed": 1, "failed": 0}
    running.wait_idle()
    document = running.get([name])[name]
    assert (document["body"], document["revision"]) == (CORRECTED, corrected["revision"])
    assert running.dead([f"{topic}/0/{offset}"]) == []


def test_repeated_failure_keeps_first_times(pipeline: Pipeline) -> None:
    """Break: leave `x-dlq-timestamp` out of `CARRIED` in schemas/dead_letter.py."""
    before = time.time_ns() // 10**6
    pipeline.send([RawArticle(publisher="p.example", id="1", body="raise")])
    after = time.time_ns() // 10**6
    pipeline.start("cleaner", module=FAULTY)
    pipeline.wait_idle(groups=["cleaner"])
    (first,) = pipeline.dead()
    assert before <= first.letter.timestamp <= after, "the record's own time"
    for attempt in (2, 3):
        assert said(newsflow(pipeline, "dlq", "replay", "--all", "--json")) == {"replayed": 1, "failed": 0}
        wait_until(lambda: len(pipeline.dead()) == 1, 30, pipeline.tails)
        (again,) = pipeline.dead()
        assert again.letter.attempt == attempt
        assert again.letter.id != first.letter.id
        assert (again.letter.timestamp, again.letter.first_time) == (
            first.letter.timestamp,
            first.letter.first_time,
        )
        assert again.letter.partition == first.letter.partition
        assert len(again.headers) == len(first.headers)


FEW = {"failed": 10, "timeout": 1, "crashed": 2, "memory": 1, "result_too_large": 4, "refused_by_index": 42}
MANY = {"failed": 80, "timeout": 2, "crashed": 3, "memory": 2, "result_too_large": 13, "refused_by_index": 900}
"""Dead letters by kind; those that end a process are few, since each costs the start of another."""

WORDS = {"failed": "raise", "timeout": "hang", "crashed": "die", "memory": "fill", "result_too_large": "grow"}
"""The beginning of a body that makes the stage of tests/live/stages.py fail so."""

KILLED = """
import os, signal
from services.cli import dlq
dlq.WINDOW_RECORDS = {window}
confirmed, calls = dlq.Closing._confirmed, 0
def killed(self, window, send):
    global calls
    calls += 1
    if calls == 6:
        os.kill(os.getpid(), signal.SIGKILL)
    return confirmed(self, window, send)
dlq.Closing._confirmed = killed
"""
"""A replay that is killed when its third window is published and not yet marked."""


@pytest.mark.skipif(sys.platform != "linux", reason="no other system holds the limit of memory")
@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    ("kinds", "window"),
    [pytest.param(FEW, 12, id="60"), pytest.param(MANY, 200, id="1000", marks=pytest.mark.slow)],
)
def test_replay_killed_midway_delivers_every_dead_letter(
    pipeline: Pipeline, kinds: dict[str, int], window: int
) -> None:
    """Of six kinds; called again, it leaves none, and each article is in the index once.

    Break: in `Closing.close` of services/cli/dlq.py mark a window before its records are published.
    """
    raw = [
        RawArticle(publisher="p.example", id=f"{reason}-{number}", body=f"{WORDS[reason]} {number}")
        for reason, count in kinds.items()
        if reason in WORDS
        for number in range(count)
    ]
    tagged = [ready(number) for number in range(kinds["refused_by_index"])]
    index = first_index(pipeline.name(INDEX_ALIAS))
    with Elasticsearch(pipeline.elasticsearch) as client:
        client.indices.delete(index=index)
        client.indices.create(
            index=index,
            aliases={pipeline.name(INDEX_ALIAS): {"is_write_index": True}},
            mappings={"properties": {"headline": {"type": "long"}}},
        )
    pipeline.send(raw)
    pipeline.send(
        [write_record(article) for article in tagged],
        topic=ARTICLES_TAGGED.name,
        keys=[article.id.encode() for article in tagged],
    )
    pipeline.start("indexer")
    limits = {
        "FAULTY_DOCUMENT_LIMIT_SECONDS": "5",
        "FAULTY_CHILD_MEMORY_MB": "256",
        "FAULTY_CHUNK_RECORDS": "4",
    }
    pipeline.environment |= limits
    pipeline.start("cleaner", module=FAULTY)
    pipeline.wait_idle(180, ["cleaner", "indexer"])
    assert Counter(dead.letter.reason for dead in pipeline.dead()) == kinds
    assert shown(pipeline) == {dead.letter.id for dead in pipeline.dead()}
    assert pipeline.documents() == {}

    for name in ("cleaner", "indexer"):
        pipeline.terminate(name)
    with Elasticsearch(pipeline.elasticsearch) as client:
        client.indices.delete(index=index)
    pipeline.set_up()
    pipeline.start("indexer")
    pipeline.start("cleaner", module=FAULTY, FAULTY_REPAIRED="1")
    killed = newsflow(pipeline, "dlq", "replay", "--all", script=KILLED.format(window=window))
    assert killed.returncode == -signal.SIGKILL
    pipeline.wait_idle(180, ["cleaner", "indexer"])
    count = sum(kinds.values()) - 2 * window
    assert len(pipeline.dead()) == count, "of the third window all are published and none is marked"
    done = said(newsflow(pipeline, "dlq", "replay", "--all", "--json"))
    assert done == {"replayed": count, "failed": 0}
    pipeline.wait_idle(180, ["cleaner", "indexer"])

    assert pipeline.dead() == []
    assert cleaned(pipeline) == set(map(article_id, raw))
    assert pipeline.documents().keys() == {article.id for article in tagged}
    assert said(newsflow(pipeline, "status", "--json"))["dead_letters"] == 0
    assert shown(pipeline) == set()
    shrink(pipeline.settings)
    begin, end = queue_ends(pipeline)
    assert begin == end, "nothing is left in the queue"


def cleaned(pipeline: Pipeline) -> set[str]:
    """The ids of the articles on articles-clean."""
    found = [record for record in records(pipeline, ARTICLES_CLEAN) if isinstance(record, CleanArticle)]
    return {article.id for article in found}


def ready(number: int) -> TaggedArticle:
    return TaggedArticle(
        id=f"{number:032x}",
        revision=1,
        received=datetime(2026, 1, 1, tzinfo=UTC),
        publisher="q.example",
        headline=f"Bulletin {number}",
        language="en",
        language_confidence=1,
        kept=(Paragraph(index=0, text=f"Bulletin {number} of the harbour."),),
    )


# ---------------------------------------------------------------- the queue


def test_queue_shrinks_to_oldest_open_dead_letter(pipeline: Pipeline) -> None:
    """Break: in `shrink` of services/cli/kafka_admin.py take the end of the queue, whatever waits."""
    ids = letters(pipeline, 10)
    assert said(newsflow(pipeline, "dlq", "purge", *ids[:3], ids[4], "--yes", "--json")) == {
        "purged": 4,
        "failed": 0,
    }
    assert queue_ends(pipeline) == (3, 14)
    assert [each.letter.offset for each in pipeline.dead()] == [3, 5, 6, 7, 8, 9]
    assert said(newsflow(pipeline, "dlq", "purge", ids[3], "--yes", "--json")) == {"purged": 1, "failed": 0}
    assert queue_ends(pipeline) == (5, 15)
    assert said(newsflow(pipeline, "dlq", "purge", "--all", "--yes", "--json")) == {"purged": 5, "failed": 0}
    begin, end = queue_ends(pipeline)
    assert (begin, end) == (20, 20)
    assert letters(pipeline, 1) == [each.letter.id for each in pipeline.dead()], "it goes on as before"


def test_stopped_indexer_learns_what_was_closed(pipeline: Pipeline) -> None:
    """Break: in `_read_up_to` of services/cli/kafka_admin.py return `end` at once."""
    ids = letters(pipeline, 6)
    pipeline.start("indexer")
    pipeline.wait_idle(groups=["indexer"])
    assert shown(pipeline) == set(ids)
    pipeline.terminate("indexer")
    assert said(newsflow(pipeline, "dlq", "purge", *ids[:4], "--yes", "--json"))["purged"] == 4
    assert queue_ends(pipeline) == (4, 10), "what it has read is gone, the markers are not"
    assert said(newsflow(pipeline, "dlq", "purge", ids[4], ids[5], "--yes", "--json"))["purged"] == 2
    assert queue_ends(pipeline) == (6, 12), "the markers wait for it"
    pipeline.start("indexer")
    pipeline.wait_idle(groups=["indexer"])
    assert shown(pipeline) == set()
    assert shrink(pipeline.settings) == 6
    more = letters(pipeline, 1)
    pipeline.wait_idle(groups=["indexer"])
    assert shown(pipeline) == set(more), "it goes on behind what was deleted"


def test_new_indexer_reads_shrunk_queue(pipeline: Pipeline) -> None:
    """An indexer that has read nothing yet begins where the queue begins."""
    ids = letters(pipeline, 6)
    assert said(newsflow(pipeline, "dlq", "purge", *ids[:4], "--yes", "--json"))["purged"] == 4
    pipeline.start("indexer")
    pipeline.wait_idle(groups=["indexer"])
    assert shown(pipeline) == set(ids[4:])
    raw = newsflow(pipeline, "dlq", "show", ids[5], "--raw")
    assert (raw.returncode, raw.stdout) == (0, b"{")


# ---------------------------------------------------------------- the limit


def gauge(pipeline: Pipeline, name: str) -> float:
    """`newsflow_dead_letters_waiting` of a service; -1 while nothing answers."""
    lines = [line for line in pipeline.log(name).splitlines() if "health endpoint" in line]
    if not lines:
        return -1
    port = next(part.split("=")[1] for part in lines[-1].split() if part.startswith("port="))
    page = requests.get(f"http://127.0.0.1:{port}/metrics", timeout=5).text
    found = [line for line in page.splitlines() if line.startswith("newsflow_dead_letters_waiting ")]
    return float(found[0].split()[1])


def test_full_queue_stops_stage_and_loses_nothing(pipeline: Pipeline) -> None:
    """All of a stream fails. Break: leave out `take_room` in `_conclude` of services/runtime/stage.py."""
    bodies = list(chain.from_iterable((f"raise {number}", f"text {number}") for number in range(15)))
    articles = [RawArticle(publisher="p.example", id=body, body=body) for body in bodies]
    pipeline.send(articles)
    pipeline.environment |= {"DLQ_LIMIT_RECORDS": "5"}
    for _ in range(2):
        pipeline.start("cleaner", module=FAULTY, wait=False)
        assert pipeline.wait_exit("cleaner", 60) == 70
        assert queue_ends(pipeline)[1] <= 5, "not with any restart"
    assert "newsflow dlq purge" in pipeline.log("cleaner")
    assert list(pipeline.lags(["cleaner"]).values()) == [30]
    pipeline.environment |= {"DLQ_LIMIT_RECORDS": "1000", "DLQ_ALARM_RECORDS": "10"}
    pipeline.start("cleaner", module=FAULTY)
    pipeline.wait_idle(groups=["cleaner"])
    dead = [json.loads(each.value or b"")["body"] for each in pipeline.dead()]
    assert Counter(dead) == Counter(body for body in bodies if body.startswith("raise"))
    wait_until(lambda: gauge(pipeline, "cleaner") == queue_ends(pipeline)[1], 30, pipeline.tails)
    assert "many dead letters wait" in pipeline.log("cleaner")


def test_full_queue_stops_indexer(pipeline: Pipeline) -> None:
    """Break: leave out `take_room` in `write_dead_letter` of services/runtime/group.py."""
    letters(pipeline, 3)
    pipeline.send([b"{"] * 4, topic=ARTICLES_TAGGED.name)
    pipeline.start("indexer", wait=False, DLQ_LIMIT_RECORDS="3")
    assert pipeline.wait_exit("indexer", 60) == 70
    assert "newsflow dlq purge" in pipeline.log("indexer")
    assert queue_ends(pipeline) == (0, 3)
    pipeline.start("indexer")
    pipeline.wait_idle(groups=["indexer"])
    assert len(pipeline.dead()) == 7


# ---------------------------------------------------------------- what a record carries


def test_record_with_many_headers_is_dead_lettered_with_its_whole_value(running: Pipeline) -> None:
    """Break: in `_within` of schemas/dead_letter.py let each header have room."""
    value = b"x" * (MAX_INNER_BYTES - 600_000)
    producer = running.producer("gzip")
    headers = [("trace", b"17"), *((f"h{number}", b"y" * 1_000) for number in range(900))]
    sent = producer.send(running.name(ARTICLES_TAGGED.name), key=b"k", value=value, headers=headers).get(timeout=60)
    producer.close()
    (dead,) = running.wait_dead([f"{sent.topic}/{sent.partition}/{sent.offset}"])
    assert dead.value == value
    assert ("trace", b"17") in dead.headers
    raw = newsflow(running, "dlq", "show", dead.letter.id, "--raw")
    assert raw.stdout == value


def test_record_too_large_unpacked_is_dead_lettered(running: Pipeline) -> None:
    """It was packed small enough for its topic, and holds nothing up.

    Break: let `producer_max_request_size` of services/runtime/stage.py be what the topics take unpacked.
    """
    value = b"x" * 6_000_000
    good = RawArticle(publisher="packed.example", id=uuid.uuid4().hex, body="A lorry with pears arrived at noon.")
    places = running.send([value, good], codec="gzip", keys=[b"k", b"k"])
    (dead,) = running.wait_dead(places[:1])
    assert (dead.letter.reason, dead.value) == ("too_large", value)
    running.wait_indexed([article_id(good)])
