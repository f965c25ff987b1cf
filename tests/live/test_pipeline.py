"""The whole pipeline on the real Kafka and the real Elasticsearch, judged by the oracle of the harness."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from schemas.article import RawArticle
from schemas.identity import article_id
from services.embedded.servers import KafkaServer
from tests.bench.articles import distinct_texts
from tests.live.harness import ROOT, SERVICES, Pipeline, judge, steady, wait_until

ARTICLES = int(os.environ.get("NEWSFLOW_TEST_ARTICLES", "250"))
"""How many go through the runs with kills; NEWSFLOW_TEST_ARTICLES=4950 makes it a long one (10 minutes)."""

BROKEN: list[bytes | None] = [
    b"not json",
    b'{"publisher": "p.example"}',
    b'{"publisher": "p.example", "body": "x", "hedline": "y"}',
    b'{"publisher": "p.example", "body": "\xff"}',
    b'{"publisher": "p.example", "body": "   "}',
]


def articles(count: int) -> list[RawArticle]:
    """Each published at a time of its own: which of two copies is the first does not hang on when they came in."""
    start = datetime(2026, 3, 1, tzinfo=UTC)
    return [
        RawArticle(
            publisher=f"p{number % 7}.example",
            id=str(number),
            body=text,
            headline=f"Article {number}",
            published=start + timedelta(minutes=number),
        )
        for number, text in enumerate(distinct_texts(count))
    ]


def newsflow(
    pipeline: Pipeline, *arguments: str, stdin: bytes = b"", status: int = 0
) -> subprocess.CompletedProcess[bytes]:
    done = subprocess.run(
        [sys.executable, "-c", "from services.cli.app import main; main()", *arguments],
        cwd=ROOT,
        input=stdin,
        capture_output=True,
        check=False,
        timeout=120,
        env={
            **os.environ,
            "KAFKA_BOOTSTRAP_SERVERS": pipeline.kafka,
            "ELASTICSEARCH_URL": pipeline.elasticsearch,
            "NEWSFLOW_PREFIX": pipeline.prefix,
        },
    )
    assert done.returncode == status, done.stderr.decode()
    return done


@pytest.mark.timeout(900)
def test_kill_each_service_in_turn(new_pipeline: Callable[[], Pipeline]) -> None:
    """T1 and T2: nothing is lost, nothing is twice, and each document equals that of a run without a kill."""
    good = articles(ARTICLES)
    every = len(good) // 10
    mixed: list[RawArticle | bytes | None] = []
    broken = [value + b" " * number if value else value for number, value in enumerate(BROKEN * 2)]
    for number, article in enumerate(good):
        if number % every == 0:
            mixed.append(broken[number // every])
        mixed.append(article)

    calm = new_pipeline()
    calm.start(*SERVICES)
    calm.send(mixed)
    calm.wait_idle(300)
    judge(calm, good, broken)
    expected = steady(calm.documents())
    calm.stop()

    rough = new_pipeline()
    rough.start(*SERVICES)
    rough.send(mixed)
    for number, service in enumerate(SERVICES, start=1):
        wait_until(lambda at=number: len(rough.documents()) >= at * len(good) // 8, 200, rough.tails)  # type: ignore[misc]
        rough.kill(service)
        rough.start(service, wait=False)
    rough.wait_idle(400)
    judge(rough, good, broken, expected)


def test_a_rerun_a_correction_and_a_late_copy(pipeline: Pipeline, tmp_path: Path) -> None:
    text = "\n".join(["The council met on Monday in Lisbon.", "Mayor Carlos Moedas spoke.", "The vote was close."])
    file = tmp_path / "council.txt"
    file.write_text(text)
    pipeline.start(*SERVICES)
    for _ in range(2):
        done = newsflow(pipeline, "produce", "seeds", str(file), "--json")
        answer = json.loads(done.stdout)
        assert (answer["confirmed"], answer["failed"]) == (1, [])
        pipeline.wait_idle()
        assert [source["body"] for source in pipeline.documents().values()] == [text.replace("\n", "\n\n")]
    file.write_text(text.replace("close", "postponed"))
    newsflow(pipeline, "produce", "seeds", str(file))
    pipeline.wait_idle()
    assert ["postponed" in source["body"] for source in pipeline.documents().values()] == [True]
    late = RawArticle(publisher="local-files", id="council.txt", body="An older copy of the text.", revision=1)
    pipeline.send([late])
    pipeline.wait_idle()
    assert ["postponed" in source["body"] for source in pipeline.documents().values()] == [True]
    answer = json.loads(newsflow(pipeline, "search", "council vote", "--json").stdout)
    assert answer["total"] == 1
    assert "<em>" in " ".join(answer["hits"][0]["highlights"])
    assert "Carlos Moedas" in answer["hits"][0]["people"]
    # A word in the headline is found in any form, and shown.
    pipeline.send([RawArticle(publisher="p.example", id="1", headline="Bridges reopened", body="Traffic flows.")])
    pipeline.wait_idle()
    answer = json.loads(newsflow(pipeline, "search", "bridge reopens", "--json").stdout)
    assert answer["hits"][0]["highlights"] == ["<em>Bridges</em> <em>reopened</em>"]


def test_t12_poison_is_a_dead_letter_and_can_be_replayed(pipeline: Pipeline) -> None:
    good = articles(6)
    pipeline.start(*SERVICES)
    places = pipeline.send([good[0], *BROKEN, *good[1:]])
    pipeline.wait_idle()
    judge(pipeline, good, BROKEN)
    lines = [json.loads(line) for line in newsflow(pipeline, "dlq", "list", "--json").stdout.splitlines()]
    assert sorted(line["id"] for line in lines) == sorted(places[1 : 1 + len(BROKEN)])
    unknown = next(line for line in lines if "hedline" in line["error"])
    assert (unknown["stage"], unknown["reason"], unknown["attempt"]) == ("cleaner", "invalid_record", 1)
    assert newsflow(pipeline, "dlq", "show", unknown["id"], "--raw").stdout == BROKEN[2]
    newsflow(pipeline, "dlq", "replay", unknown["id"])
    pipeline.wait_idle()
    again = [json.loads(line) for line in newsflow(pipeline, "dlq", "list", "--json").stdout.splitlines()]
    assert [line["attempt"] for line in again if "hedline" in line["error"]] == [2]
    assert len(again) == len(lines)
    status = json.loads(newsflow(pipeline, "status", "--json").stdout)
    assert (status["indexed"], status["dead_letters"]) == (len(good), len(BROKEN))
    assert {topic["lag"] for topic in status["topics"]} == {0}


@pytest.mark.parametrize("codec", ["gzip", "snappy", "lz4", "zstd"])
def test_t13_every_codec_comes_through(pipeline: Pipeline, codec: str) -> None:
    good = articles(3)
    pipeline.start(*SERVICES)
    pipeline.send(good, codec=codec)
    pipeline.wait_idle()
    judge(pipeline, good)


def test_t11_a_broker_that_is_away_under_the_whole_pipeline(broker_pipeline: Pipeline, broker: KafkaServer) -> None:
    good = articles(120)
    broker_pipeline.start(*SERVICES)
    broker_pipeline.send(good)
    wait_until(lambda: len(broker_pipeline.documents()) > 20, 60, broker_pipeline.tails)
    broker.kill()
    broker.start()
    broker_pipeline.wait_idle(120)
    judge(broker_pipeline, good)


def test_the_producer_says_what_kafka_did_not_take(pipeline: Pipeline) -> None:
    lines = [
        json.dumps({"publisher": "p.example", "body": "One good article.", "id": "1"}),
        "{",
        json.dumps({"publisher": "p.example", "body": "x", "hedline": "y"}),
        json.dumps({"publisher": "p.example", "body": "word " * 250_000}),
    ]
    done = newsflow(pipeline, "produce", "-", "--json", stdin="\n".join(lines).encode(), status=1)
    answer = json.loads(done.stdout)
    assert answer["confirmed"] == 1
    assert [each["origin"] for each in answer["failed"]] == [f"standard input:{line}" for line in (2, 3, 4)]
    assert "hedline" in done.stderr.decode()


def test_the_producer_fails_when_no_broker_answers(pipeline: Pipeline) -> None:
    pipeline.kafka = "127.0.0.1:1"
    line = json.dumps({"publisher": "p.example", "body": "An article."}).encode()
    done = newsflow(pipeline, "produce", "-", stdin=line, status=1)
    assert b"127.0.0.1:1" in done.stderr or b"not sent" in done.stderr


def test_two_processes_of_a_stage_share_the_work(pipeline: Pipeline) -> None:
    good = articles(60)
    pipeline.start("cleaner#1", "deduper", "linker", "tagger", "indexer#1")
    # The second ones as a person starts them.
    pipeline.start("cleaner#2", module="services.cli worker cleaner")
    pipeline.start("indexer#2", module="services.cli indexer")
    pipeline.send(good)
    pipeline.wait_idle(120)
    judge(pipeline, good)
    assert {article_id(article) for article in good} == pipeline.documents().keys()
