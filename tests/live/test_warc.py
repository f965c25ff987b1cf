"""A backfill from a WARC file that is killed repeatedly: every article arrives, and is indexed once."""

from __future__ import annotations

import gzip
import json
import random
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest
from kafka import KafkaConsumer, TopicPartition

from schemas.article import RawArticle
from schemas.identity import article_id
from schemas.reading import read_record
from schemas.topics import ARTICLES_RAW
from services.producer.store import read_states
from services.runtime.reading import read_to_end
from tests.live.harness import Pipeline, judge, wait_until

WORDS = """river council harvest bridge market school winter report minister railway garden doctor museum signal
    weather village budget engine teacher harbour forest station window letter worker theatre company island
    kitchen library mountain captain painting bicycle election hospital factory orchestra passenger festival"""

RUN_SECONDS = 8
"""How long a run without kills would send, at its rate: long enough for several checkpoints."""

CHECKPOINT_SECONDS = "0.5"


@dataclass(frozen=True)
class Archive:
    """A WARC file, and its articles by the offset of their records. No other file has an article of these ids."""

    path: Path
    articles: dict[int, RawArticle]

    @property
    def by_id(self) -> dict[str, RawArticle]:
        return {article_id(article): article for article in self.articles.values()}


def archive(path: Path, records: int) -> Archive:
    """Short articles, each unlike all others; every tenth record is an error page or no HTML."""
    suffix = uuid.uuid4().hex
    random_ = random.Random(records)
    articles: dict[int, RawArticle] = {}
    with path.open("wb") as file:
        for number in range(records):
            kind, status = "text/html", "200 OK"
            if number % 10 == 3:
                kind, status = ("text/html", "404 Not Found") if number % 20 == 3 else ("application/pdf", "200 OK")
            host = f"paper{number % 7}-{suffix}.example"
            url = f"https://www.{host}/news/{number}"
            page = html(random_, number)
            answer = f"HTTP/1.1 {status}\r\nContent-Type: {kind}\r\n\r\n{page}".encode()
            head = (
                f"WARC/1.0\r\nWARC-Type: response\r\nWARC-Record-ID: <urn:uuid:{number}>\r\n"
                f"WARC-Target-URI: {url}\r\nWARC-Date: 2026-01-31T08:00:00Z\r\n"
                "Content-Type: application/http; msgtype=response\r\n"
                f"Content-Length: {len(answer)}\r\n\r\n"
            )
            if (kind, status) == ("text/html", "200 OK"):
                articles[file.tell()] = RawArticle(publisher=host, url=url, html=page)
            file.write(gzip.compress(head.encode() + answer + b"\r\n\r\n", 1))
    return Archive(path, articles)


def html(random_: random.Random, number: int) -> str:
    texts = [" ".join(random_.choices(WORDS.split(), k=25)).capitalize() + f" {number}." for _ in range(2)]
    return (
        f"<html><head><title>Report {number}</title></head><body><article><p>{'</p><p>'.join(texts)}</p></article>"
    )


@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    ("records", "kills"), [(500, 2), pytest.param(10_000, 5, marks=pytest.mark.slow, id="full scale")]
)
def test_killed_backfill_loses_nothing(module_pipeline: Pipeline, tmp_path: Path, records: int, kills: int) -> None:
    made = archive(tmp_path / "news.warc.gz", records)
    backfill(module_pipeline, made, kills)


@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    ("records", "kills"), [(60, 1), pytest.param(1_000, 5, marks=pytest.mark.slow, id="full scale")]
)
def test_killed_backfill_is_indexed_once(running: Pipeline, tmp_path: Path, records: int, kills: int) -> None:
    made = archive(tmp_path / "news.warc.gz", records)
    places = backfill(running, made, kills)
    running.wait_idle(400)
    judge(running, made.articles.values(), places=places)


def backfill(pipeline: Pipeline, made: Archive, kills: int) -> list[str]:
    """Send the archive, kill the producer so often, send the rest, and check what is on `articles-raw`.

    Returns the `topic/partition/offset` of each record.
    """
    random_ = random.Random(7)
    before = count_raw(pipeline)
    bound = 0
    for turn in range(kills):
        start(pipeline, made, f"--rate {len(made.articles) / RUN_SECONDS}")
        # A point in each part of the file, so that each run goes a part of the way.
        point = int(len(made.articles) * (turn + random_.uniform(0.2, 0.8)) / kills)
        wait_until(
            partial(has_stored, pipeline, before + point + bound),
            120,
            lambda: f"it does not send:\n{pipeline.log('producer')}",
            0.01,
        )
        kill_with_children(pipeline)
        bound += beyond_checkpoint(pipeline, made)
    start(pipeline, made)
    assert pipeline.wait_exit("producer", 300) == 0, pipeline.log("producer")

    sent = raw_records(pipeline, made)
    expected = made.by_id
    twice = len(sent) - len(expected)
    print(f"{len(expected)} articles; sent twice: {twice}, of at most {bound} not checkpointed")
    assert {record.key for record in sent} == set(expected)
    changed = [record.key for record in sent if record.article.html != expected[record.key].html]
    assert changed == []
    assert {record.article.revision for record in sent} == {1_769_846_400_000}
    assert twice <= bound
    assert checkpoint(pipeline, made) == made.path.stat().st_size
    return [record.place for record in sent]


def start(pipeline: Pipeline, made: Archive, options: str = "") -> None:
    module = f"services.cli produce warc {made.path} {options}"
    pipeline.start("producer", module=module, wait=False, PRODUCER_CHECKPOINT_SECONDS=CHECKPOINT_SECONDS)


def count_raw(pipeline: Pipeline) -> int:
    """Records that were ever written to `articles-raw`."""
    name = pipeline.name(ARTICLES_RAW.name)
    consumer = KafkaConsumer(bootstrap_servers=pipeline.kafka, group_id=None, enable_auto_commit=False)
    try:
        ends: dict[TopicPartition, int] = consumer.end_offsets(
            [TopicPartition(name, number) for number in range(ARTICLES_RAW.partitions)]
        )
        return sum(ends.values())
    finally:
        consumer.close(autocommit=False)


def has_stored(pipeline: Pipeline, count: int) -> bool:
    return count_raw(pipeline) >= count


@dataclass(frozen=True)
class Stored:
    """A record on `articles-raw`; its place is `topic/partition/offset`."""

    place: str
    key: str
    article: RawArticle


def raw_records(pipeline: Pipeline, made: Archive) -> list[Stored]:
    """The records of this archive that are on `articles-raw` now."""
    keys = {key.encode() for key in made.by_id}
    return [
        Stored(
            f"{record.topic}/{record.partition}/{record.offset}",
            record.key.decode(),
            read_record(ARTICLES_RAW, record.value),
        )
        for record in read_to_end(pipeline.settings, pipeline.name(ARTICLES_RAW.name))
        if record.key in keys
    ]


def checkpoint(pipeline: Pipeline, made: Archive) -> int:
    """The offset in the file at which a new run would go on."""
    found = [state.checkpoint for state in read_states(pipeline.settings) if state.part == str(made.path)]
    at: int = json.loads(found[0] or "{}").get("at", 0) if found else 0
    return at


def kill_with_children(pipeline: Pipeline) -> None:
    """Kill the producer by SIGKILL; its child processes end soon after."""
    producer = pipeline.running["producer"]
    started = [pid for pid, parent in processes() if parent == producer.pid]
    assert producer.poll() is None, f"it ended before it was killed: {pipeline.log('producer')}"
    pipeline.kill("producer")
    assert len(started) >= 2, "no child process was reading"
    wait_until(
        lambda: not {pid for pid, _ in processes()} & set(started),
        10,
        lambda: "a child process outlived its parent",
    )


def processes() -> Iterator[tuple[int, int]]:
    """The id of each process that runs, and of its parent."""
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = status.read_text().rsplit(")", 1)[1].split()
        except OSError:
            continue
        if fields[0] != "Z":
            yield int(status.parent.name), int(fields[1])


def beyond_checkpoint(pipeline: Pipeline, made: Archive) -> int:
    """Articles that Kafka has, and that no checkpoint covers yet."""
    at = checkpoint(pipeline, made)
    uncovered = {article_id(article) for offset, article in made.articles.items() if offset >= at}
    return len({record.key for record in raw_records(pipeline, made)} & uncovered)
