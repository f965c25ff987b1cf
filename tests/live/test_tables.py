"""Tables and ninjs documents through the real command and the real pipeline; a kill in the middle of an archive."""

from __future__ import annotations

import csv
import json
from collections import Counter
from pathlib import Path
from typing import Any

from kafka import KafkaConsumer

from schemas.topics import ARTICLES_RAW
from services.producer.settings import ProducerSettings
from services.producer.store import read_states
from tests.live.harness import SERVICES, Pipeline, wait_until
from tests.live.test_pipeline import articles, newsflow

LINES = 5_000

RATE = 1_500
"""Articles a second of the run that is killed: it lasts long enough to be killed in the middle."""


def produce(pipeline: Pipeline, *arguments: str, status: int = 0) -> dict[str, Any]:
    report: dict[str, Any] = json.loads(newsflow(pipeline, "produce", *arguments, "--json", status=status).stdout)
    return report


def stored(pipeline: Pipeline) -> Counter[str]:
    """How often each article's own id is on articles-raw."""
    consumer = KafkaConsumer(
        pipeline.name(ARTICLES_RAW.name),
        bootstrap_servers=pipeline.kafka,
        auto_offset_reset="earliest",
        enable_auto_commit=False,
        consumer_timeout_ms=3_000,
    )
    try:
        return Counter(json.loads(record.value)["id"] for record in consumer)
    finally:
        consumer.close()


def sent(pipeline: Pipeline) -> int:
    """Articles whose confirmation has been written down."""
    settings = ProducerSettings(kafka_bootstrap_servers=pipeline.kafka, newsflow_prefix=pipeline.prefix)
    return sum(state.sent for state in read_states(settings))


def test_tables_and_ninjs_come_into_the_index(pipeline: Pipeline, tmp_path: Path) -> None:
    found = articles("table", 6, first=300)
    table = tmp_path / "archive.csv"
    with table.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow(("key", "title", "text", "date", "desk"))
        for each in found[:2]:
            writer.writerow((each.id, each.headline, each.body, "31.01.2026", "port"))
        writer.writerow(("short",))
    lines = tmp_path / "archive.jsonl"
    lines.write_text(
        "".join(
            json.dumps({"id": each.id, "meta": {"title": each.headline}, "body": each.body}) + "\n"
            for each in found[2:4]
        )
        + "no json\n"
    )
    wire = tmp_path / "wire"
    wire.mkdir()
    for each, name in zip(found[4:], ("versioncreated", "versionCreated"), strict=True):
        document = {
            "uri": each.id,
            name: "2026-01-31T08:00:00Z",
            "headlines": [{"value": each.headline}],
            "bodies": [{"value": each.body}],
            "infosources": [{"name": "harbour-agency.example"}],
        }
        (wire / f"{each.id}.json").write_text(json.dumps(document))
    (wire / "canceled.json").write_text(json.dumps({"uri": "a:9", "pubStatus": "canceled"}))

    pipeline.start(*SERVICES)
    maps = ("--map", "id=key", "--map", "headline=title", "--map", "body=text", "--map", "published=date")
    constants = ("--set", "publisher=harbour-post.example", "--time-format", "%d.%m.%Y")
    report = produce(pipeline, "csv", str(table), *maps, "--map", "extra.desk=desk", *constants, status=1)
    assert (report["confirmed"], report["refused"]) == (2, {"ragged": 1})
    report = produce(
        pipeline, "jsonl", str(lines), "--map", "headline=meta.title", "--set", "publisher=b.example", status=1
    )
    assert (report["confirmed"], report["refused"]) == (2, {"invalid_json": 1})
    assert report["failed"][0]["origin"] == f"{lines}:3"
    report = produce(pipeline, "ninjs", str(wire))
    assert (report["confirmed"], report["skipped"]) == (2, {"canceled": 1})

    pipeline.wait_idle()
    documents = {source["headline"]: source for source in pipeline.documents().values()}
    assert documents.keys() == {each.headline for each in found}
    assert {(source["publisher"]["name"], source["producer"]) for source in documents.values()} == {
        ("harbour-post.example", "csv"),
        ("b.example", "jsonl"),
        ("harbour-agency.example", "ninjs"),
    }
    assert documents["Article 0"]["extra"] == {"desk": "port"}
    assert documents["Article 0"]["revision"] == 1769817600000
    assert documents["Article 5"]["revision"] == 1769846400000

    # All of it was confirmed: a second run sends nothing.
    report = produce(pipeline, "csv", str(table), *maps, *constants)
    assert (report["confirmed"], report["refused"]) == (0, {})
    assert produce(pipeline, "ninjs", str(wire))["confirmed"] == 0


def test_a_wrong_column_sends_nothing(pipeline: Pipeline, tmp_path: Path) -> None:
    table = tmp_path / "archive.csv"
    table.write_text("title,body\nFerry sails,The ferry sails.\n")
    failed = newsflow(pipeline, "produce", "csv", str(table), "--map", "hedline=title", status=2)
    assert "'hedline' is no field" in failed.stderr.decode()
    given = ("csv", str(table), "--map", "headline=titel", "--set", "publisher=harbour-post.example")
    report = produce(pipeline, *given, status=1)
    assert report["confirmed"] == 0
    assert "no column 'titel'; there are 'title', 'body'" in report["troubles"][0]["error"]


def test_a_killed_run_of_an_archive_goes_on(pipeline: Pipeline, tmp_path: Path) -> None:
    """Every article is on articles-raw, and twice at the most what was sent since the last checkpoint."""
    file = tmp_path / "archive.jsonl"
    ids = [f"a{number}" for number in range(LINES)]
    file.write_text("".join(json.dumps({"id": each, "body": f"Text of {each}."}) + "\n" for each in ids))
    given = ["jsonl", str(file), "--set", "publisher=harbour-post.example"]
    command = " ".join(["services.cli", "produce", *given, "--rate", str(RATE)])

    pipeline.start("produce", module=command, wait=False)
    wait_until(lambda: sent(pipeline) > 0, 60, pipeline.tails)
    pipeline.kill("produce")
    known = sent(pipeline)
    before = stored(pipeline)
    assert 0 < len(before) < LINES
    report = produce(pipeline, *given)
    assert report["resumed"]
    after = stored(pipeline)
    assert after.keys() == set(ids)
    # The second run sent just what the checkpoint did not stand for.
    assert report["confirmed"] == LINES - known
    assert after.total() == before.total() + LINES - known
    assert max(after.values()) <= 2
