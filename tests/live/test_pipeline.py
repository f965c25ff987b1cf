"""The whole pipeline on the real Kafka and the real Elasticsearch, judged by the oracle of the harness."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from kafka import KafkaAdminClient

from schemas.article import RawArticle
from schemas.identity import article_id
from services.embedded.servers import KafkaServer
from tests.bench.articles import distinct_texts
from tests.live.harness import ROOT, SERVICES, Pipeline, judge, steady, wait_until

BROKEN: list[bytes | None] = [
    b"not json",
    b'{"publisher": "p.example"}',
    b'{"publisher": "p.example", "body": "x", "hedline": "y"}',
    b'{"publisher": "p.example", "body": "\xff"}',
    b'{"publisher": "p.example", "body": "   "}',
]

CODECS = ("gzip", "snappy", "lz4", "zstd")


def articles(name: str, count: int, first: int = 0) -> list[RawArticle]:
    """Articles of seven publishers named for a test; `first` is the number of their first text.

    Tests that share a pipeline take other texts, so that none is a copy of another test's. Each is published at a
    time of its own: which of two copies is the first does not depend on which came first.
    """
    start = datetime(2026, 3, 1, tzinfo=UTC)
    return [
        RawArticle(
            publisher=f"p{number % 7}.{name}.example",
            id=str(number),
            body=text,
            headline=f"Article {number}, {name}",
            published=start + timedelta(minutes=number),
        )
        for number, text in enumerate(distinct_texts(first + count)[first:], start=first)
    ]


def newsflow(
    pipeline: Pipeline, *arguments: str, stdin: bytes = b"", status: int = 0, **environment: str
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
            **environment,
        },
    )
    assert done.returncode == status, done.stderr.decode()
    return done


@pytest.mark.timeout(900)
@pytest.mark.parametrize("count", [40, pytest.param(250, marks=pytest.mark.slow)])
def test_kill_of_each_service_loses_and_doubles_nothing(running: Pipeline, pipeline: Pipeline, count: int) -> None:
    """Each document equals that of a run without a kill."""
    good = articles(f"kill{count}", count, first=1000 + count)
    interval = len(good) // 10
    mixed: list[RawArticle | bytes | None] = []
    broken = [value + b" " * number if value else value for number, value in enumerate(BROKEN * 2)]
    for number, article in enumerate(good):
        if number % interval == 0:
            mixed.append(broken[number // interval])
        mixed.append(article)

    places = running.send(mixed)
    running.wait_idle(300)
    judge(running, good, broken, places=places)
    expected = steady(running.get([article_id(article) for article in good]))

    pipeline.start(*SERVICES)
    pipeline.send(mixed)
    for number, service in enumerate(SERVICES, start=1):
        least = number * len(good) // 8
        wait_until(lambda least=least: len(pipeline.documents()) >= least, 200, pipeline.tails)  # type: ignore[misc]
        pipeline.kill(service)
        pipeline.start(service, wait=False)
    pipeline.wait_idle(400)
    judge(pipeline, good, broken, expected)


def test_correction_replaces_and_rerun_and_late_copy_change_nothing(running: Pipeline, tmp_path: Path) -> None:
    text = "\n".join(["The council met in Ostrevant.", "Mayor Carlos Moedas spoke.", "The vote was close."])
    file = tmp_path / "ostrevant-council.txt"
    late = RawArticle(publisher="local-files", id=file.name, body="An older copy of the text.", revision=1)
    name = article_id(late)

    def body() -> str:
        found: str = running.wait_indexed([name])[name]["body"]
        return found

    file.write_text(text)
    for _ in range(2):
        done = newsflow(running, "produce", "seeds", str(file), "--json")
        answer = json.loads(done.stdout)
        assert (answer["confirmed"], answer["failed"]) == (1, [])
        running.wait_idle()
        assert body() == text.replace("\n", "\n\n")
    file.write_text(text.replace("close", "postponed"))
    newsflow(running, "produce", "seeds", str(file))
    wait_until(lambda: "postponed" in body(), 60, running.tails)
    running.send([late])
    running.wait_idle()
    assert "postponed" in body()
    answer = json.loads(newsflow(running, "search", "Ostrevant council vote", "--json").stdout)
    assert answer["total"] == 1
    assert "<em>" in " ".join(answer["hits"][0]["highlights"])
    assert "Carlos Moedas" in answer["hits"][0]["people"]


def test_headline_word_is_found_in_any_form_and_shown(running: Pipeline) -> None:
    article = RawArticle(publisher="form.example", id="1", headline="Viaducts reopened", body="Traffic flows.")
    running.send([article])
    running.wait_indexed([article_id(article)])

    def highlights() -> list[str]:
        hits = json.loads(newsflow(running, "search", "viaduct reopens", "--json").stdout)["hits"]
        return hits[0]["highlights"] if hits else []

    # Elasticsearch shows a document to searches after its next refresh.
    wait_until(lambda: highlights() == ["<em>Viaducts</em> <em>reopened</em>"], 30, lambda: str(highlights()))


def test_poison_is_a_dead_letter_and_can_be_replayed(running: Pipeline) -> None:
    good = articles("poison", 6, first=200)
    places = running.send([good[0], *BROKEN, *good[1:]])
    running.wait_idle()
    judge(running, good, BROKEN, places=places)

    def listed() -> list[dict[str, object]]:
        lines = map(json.loads, newsflow(running, "dlq", "list", "--json").stdout.splitlines())
        return [line for line in lines if line["id"] in places]

    lines = listed()
    assert sorted(str(line["id"]) for line in lines) == sorted(places[1 : 1 + len(BROKEN)])
    unknown = next(line for line in lines if "hedline" in str(line["error"]))
    assert (unknown["stage"], unknown["reason"], unknown["attempt"]) == ("cleaner", "invalid_record", 1)
    letter = str(unknown["id"])
    assert newsflow(running, "dlq", "show", letter, "--raw").stdout == BROKEN[2]
    newsflow(running, "dlq", "replay", letter)
    running.wait_idle()
    assert letter not in [line["id"] for line in listed()], "the replayed record has an offset of its own"
    again = [json.loads(line) for line in newsflow(running, "dlq", "list", "--json").stdout.splitlines()]
    assert [line["attempt"] for line in again if line["attempt"] == 2 and "hedline" in line["error"]] == [2]
    status = json.loads(newsflow(running, "status", "--json").stdout)
    assert (status["indexed"], status["dead_letters"]) == (len(running.documents()), len(again))
    assert {topic["lag"] for topic in status["topics"]} == {0}


def test_record_of_every_codec_is_indexed(running: Pipeline) -> None:
    good = articles("codec", len(CODECS) * 2, first=220)
    places = []
    for number, codec in enumerate(CODECS):
        places += running.send(good[2 * number : 2 * number + 2], codec=codec)
    running.wait_indexed([article_id(article) for article in good])
    judge(running, good, places=places)


def test_second_process_of_a_stage_shares_the_work(running: Pipeline) -> None:
    """The second ones start as a person starts them."""
    admin = KafkaAdminClient(bootstrap_servers=running.kafka)
    groups = [running.name(name) for name in ("cleaner", "indexer")]

    def members() -> list[int]:
        found = admin.describe_groups(groups)
        return [len(found[group]["members"]) if found[group]["group_state"] == "Stable" else 0 for group in groups]

    good = articles("share", 40, first=240)
    running.start("cleaner#2", module="services.cli worker cleaner")
    running.start("indexer#2", module="services.cli indexer")
    try:
        wait_until(lambda: members() == [2, 2], 60, lambda: str(members()))
        places = running.send(good)
        running.wait_indexed([article_id(article) for article in good])
        judge(running, good, places=places)
    finally:
        admin.close()
        assert [running.terminate("cleaner#2"), running.terminate("indexer#2")] == [0, 0]


def test_broker_restart_under_the_whole_pipeline_loses_nothing(
    broker_pipeline: Pipeline, broker: KafkaServer
) -> None:
    good = articles("restart", 60)
    broker_pipeline.start(*SERVICES)
    broker_pipeline.send(good)
    wait_until(lambda: len(broker_pipeline.documents()) > 10, 60, broker_pipeline.tails)
    broker.kill()
    broker.start()
    broker_pipeline.wait_idle(120)
    judge(broker_pipeline, good)


def test_producer_reports_what_kafka_did_not_take(pipeline: Pipeline) -> None:
    lines = [
        json.dumps({"publisher": "p.example", "body": "One good article.", "id": "1"}),
        "{",
        json.dumps({"publisher": "p.example", "body": "x", "hedline": "y"}),
        json.dumps({"publisher": "p.example", "body": "word " * 250_000}),
    ]
    done = newsflow(pipeline, "produce", "-", "--json", stdin="\n".join(lines).encode(), status=1)
    answer = json.loads(done.stdout)
    assert answer["confirmed"] == 1
    assert [failed["origin"] for failed in answer["failed"]] == [f"standard input:{line}" for line in (2, 3, 4)]
    assert "hedline" in done.stderr.decode()


def test_producer_fails_when_no_broker_answers(tmp_path: Path) -> None:
    nowhere = Pipeline("127.0.0.1:1", "http://127.0.0.1:1", "", tmp_path)
    line = json.dumps({"publisher": "p.example", "body": "An article."}).encode()
    done = newsflow(nowhere, "produce", "-", stdin=line, status=1, KAFKA_BOOTSTRAP_TIMEOUT_SECONDS="2")
    assert b"127.0.0.1:1" in done.stderr
