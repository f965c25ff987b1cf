"""A backfill from a WARC file that is killed again and again: every article arrives, and is indexed once."""

from __future__ import annotations

import gzip
import json
import random
from collections.abc import Callable, Iterator
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
from tests.live.harness import SERVICES, Pipeline, judge, wait_until

WORDS = """river council harvest bridge market school winter report minister railway garden doctor museum signal
    weather village budget engine teacher harbour forest station window letter worker theatre company island
    kitchen library mountain captain painting bicycle election hospital factory orchestra passenger festival"""

KILLS = 5
RUN_SECONDS = 8
"""How long a run without kills would send, at the rate that it is given: long enough for several checkpoints."""


@dataclass(frozen=True)
class Archive:
    """A WARC file, its articles by the offset of their records, and how many records are none."""

    path: Path
    articles: dict[int, RawArticle]
    others: int


def archive(path: Path, records: int) -> Archive:
    """Short articles, each unlike all others; every tenth record is an error page or no HTML."""
    random_ = random.Random(records)
    articles: dict[int, RawArticle] = {}
    with path.open("wb") as file:
        for number in range(records):
            kind, status = "text/html", "200 OK"
            if number % 10 == 3:
                kind, status = ("text/html", "404 Not Found") if number % 20 == 3 else ("application/pdf", "200 OK")
            host, url = f"paper{number % 7}.example", f"https://www.paper{number % 7}.example/news/{number}"
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
    return Archive(path, articles, records - len(articles))


def html(random_: random.Random, number: int) -> str:
    texts = [" ".join(random_.choices(WORDS.split(), k=25)).capitalize() + f" {number}." for _ in range(2)]
    return (
        f"<html><head><title>Report {number}</title></head><body><article><p>{'</p><p>'.join(texts)}</p></article>"
    )


@pytest.mark.timeout(900)
@pytest.mark.parametrize(("records", "indexed"), [(10_000, False), (1_000, True)])
def test_a_backfill_killed_five_times_loses_nothing(
    new_pipeline: Callable[[], Pipeline], records: int, indexed: bool
) -> None:
    """All 10,000 are looked for on `articles-raw`; 1,000 go through the whole pipeline, which takes its time."""
    pipeline = new_pipeline()
    made = archive(pipeline.folder / "news.warc.gz", records)
    random_ = random.Random(7)
    if indexed:
        pipeline.start(*SERVICES)
    bound = 0
    for turn in range(KILLS):
        start(pipeline, made)
        # A point in each fifth of the file, so that each run goes a part of the way.
        point = int(len(made.articles) * (turn + random_.uniform(0.2, 0.8)) / KILLS)
        wait_until(
            partial(has_stored, pipeline, point + bound),
            120,
            lambda: f"it does not send:\n{pipeline.log('producer')}",
            0.01,
        )
        kill_with_children(pipeline)
        bound += beyond_checkpoint(pipeline, made)
    start(pipeline, made)
    assert pipeline.wait_exit("producer", 300) == 0, pipeline.log("producer")

    sent = list(raw_records(pipeline))
    expected = {article_id(article): article for article in made.articles.values()}
    twice = len(sent) - len(expected)
    print(f"{records} records, {len(expected)} articles; sent twice: {twice}, of at most {bound} not checkpointed")
    assert {key for key, _ in sent} == set(expected)
    assert all(article.html == expected[key].html for key, article in sent)
    assert {article.revision for _, article in sent} == {1_769_846_400_000}
    assert twice <= bound
    (state,) = read_states(pipeline.settings)
    assert json.loads(state.checkpoint or "")["at"] == made.path.stat().st_size
    if indexed:
        pipeline.wait_idle(400)
        judge(pipeline, expected.values())


def start(pipeline: Pipeline, made: Archive) -> None:
    rate = len(made.articles) / RUN_SECONDS
    pipeline.start("producer", module=f"services.cli produce warc {made.path} --rate {rate}", wait=False)


def has_stored(pipeline: Pipeline, count: int) -> bool:
    """Whether `articles-raw` has as many records."""
    reading = consumer(pipeline)
    try:
        ends: dict[TopicPartition, int] = reading.end_offsets(list(reading.assignment()))
        return sum(ends.values()) >= count
    finally:
        reading.close(autocommit=False)


def consumer(pipeline: Pipeline) -> KafkaConsumer:
    name = pipeline.name(ARTICLES_RAW.name)
    made = KafkaConsumer(bootstrap_servers=pipeline.kafka, group_id=None, enable_auto_commit=False)
    made.assign([TopicPartition(name, number) for number in range(ARTICLES_RAW.partitions)])
    return made


def raw_records(pipeline: Pipeline) -> Iterator[tuple[str, RawArticle]]:
    """The key and the article of each record on `articles-raw`."""
    reading = consumer(pipeline)
    try:
        reading.seek_to_beginning()
        ends = reading.end_offsets(list(reading.assignment()))
        while any(reading.position(each) < end for each, end in ends.items()):
            for records in reading.poll(timeout_ms=5_000).values():
                for record in records:
                    yield record.key.decode(), read_record(ARTICLES_RAW, record.value)
    finally:
        reading.close(autocommit=False)


def kill_with_children(pipeline: Pipeline) -> None:
    """kill -9; what it started is gone soon after."""
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
    states = read_states(pipeline.settings)
    at = json.loads(states[0].checkpoint or "{}").get("at", 0) if states else 0
    uncovered = {article_id(article) for offset, article in made.articles.items() if offset >= at}
    return len({key for key, _ in raw_records(pipeline)} & uncovered)
