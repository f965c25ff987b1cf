"""Tables and ninjs documents through the real command and the real pipeline; a kill in the middle of an archive."""

from __future__ import annotations

import csv
import json
import uuid
from collections import Counter
from pathlib import Path
from typing import Any

from schemas.article import RawArticle
from schemas.identity import article_id
from schemas.topics import ARTICLES_RAW
from services.producer.settings import ProducerSettings
from services.producer.store import read_states
from services.runtime.reading import read_to_end
from tests.live.harness import Pipeline, wait_until
from tests.live.test_pipeline import newsflow

LINES = 500

RATE = 50
"""Articles a second of the run that is killed: it lasts long enough to be killed in the middle."""

TOPICS = ("cable car", "swimming hall", "fish market", "night bus", "city archive", "botanical garden")


def produce(pipeline: Pipeline, *arguments: str, status: int = 0) -> dict[str, Any]:
    report: dict[str, Any] = json.loads(newsflow(pipeline, "produce", *arguments, "--json", status=status).stdout)
    return report


def stored(pipeline: Pipeline, publisher: str) -> Counter[str]:
    """How often each of this publisher's articles is on articles-raw, by their own ids."""
    records = (
        json.loads(record.value) for record in read_to_end(pipeline.settings, pipeline.name(ARTICLES_RAW.name))
    )
    return Counter(record["id"] for record in records if record["publisher"] == publisher)


def sent(pipeline: Pipeline, file: Path) -> int:
    """Articles of this file whose confirmation has been written down."""
    settings = ProducerSettings(kafka_bootstrap_servers=pipeline.kafka, newsflow_prefix=pipeline.prefix)
    return sum(state.sent for state in read_states(settings) if state.part == str(file))


def articles(publishers: list[str]) -> list[RawArticle]:
    """Two articles of each publisher."""
    return [
        RawArticle(
            publisher=publishers[number // 2],
            id=f"{publishers[number // 2]}-{number}",
            headline=f"Decision on the {topic}",
            body=f"The {topic} opens {number + 3} hours later from Monday, as the town council decided last night.",
        )
        for number, topic in enumerate(TOPICS)
    ]


def test_table_and_ninjs_articles_are_indexed(running: Pipeline, tmp_path: Path) -> None:
    suffix = uuid.uuid4().hex
    publishers = [f"{name}-{suffix}.example" for name in ("csv", "jsonl", "ninjs")]
    found = articles(publishers)
    table = tmp_path / "archive.csv"
    with table.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow(("key", "title", "text", "date", "desk"))
        for article in found[:2]:
            writer.writerow((article.id, article.headline, article.body, "31.01.2026", "port"))
        writer.writerow(("short",))
    lines = tmp_path / "archive.jsonl"
    lines.write_text(
        "".join(
            json.dumps({"id": article.id, "meta": {"title": article.headline}, "body": article.body}) + "\n"
            for article in found[2:4]
        )
        + "no json\n"
    )
    wire = tmp_path / "wire"
    wire.mkdir()
    for article, name in zip(found[4:], ("versioncreated", "versionCreated"), strict=True):
        document = {
            "uri": article.id,
            name: "2026-01-31T08:00:00Z",
            "headlines": [{"value": article.headline}],
            "bodies": [{"value": article.body}],
            "infosources": [{"name": publishers[2]}],
        }
        (wire / f"{article.id}.json").write_text(json.dumps(document))
    (wire / "canceled.json").write_text(json.dumps({"uri": "a:9", "pubStatus": "canceled"}))

    maps = ("--map", "id=key", "--map", "headline=title", "--map", "body=text", "--map", "published=date")
    constants = ("--set", f"publisher={publishers[0]}", "--time-format", "%d.%m.%Y")
    report = produce(running, "csv", str(table), *maps, "--map", "extra.desk=desk", *constants, status=1)
    assert (report["confirmed"], report["refused"]) == (2, {"ragged": 1})
    report = produce(
        running,
        "jsonl",
        str(lines),
        "--map",
        "headline=meta.title",
        "--set",
        f"publisher={publishers[1]}",
        status=1,
    )
    assert (report["confirmed"], report["refused"]) == (2, {"invalid_json": 1})
    assert report["failed"][0]["origin"] == f"{lines}:3"
    report = produce(running, "ninjs", str(wire))
    assert (report["confirmed"], report["skipped"]) == (2, {"canceled": 1})

    ids = [article_id(article) for article in found]
    documents = running.wait_indexed(ids)
    assert running.documents(publishers).keys() == set(ids)
    sources = zip(ids, found, ("csv", "csv", "jsonl", "jsonl", "ninjs", "ninjs"), strict=True)
    expected = {id_: (article.headline, article.publisher, source) for id_, article, source in sources}
    assert expected == {
        id_: (document["headline"], document["publisher"]["name"], document["producer"])
        for id_, document in documents.items()
    }
    assert documents[ids[0]]["extra"] == {"desk": "port"}
    assert documents[ids[0]]["revision"] == 1769817600000
    assert documents[ids[5]]["revision"] == 1769846400000

    # All of it was confirmed: a second run sends nothing.
    report = produce(running, "csv", str(table), *maps, *constants)
    assert (report["confirmed"], report["refused"]) == (0, {})
    assert produce(running, "ninjs", str(wire))["confirmed"] == 0


def test_wrong_column_sends_nothing(module_pipeline: Pipeline, tmp_path: Path) -> None:
    table = tmp_path / "archive.csv"
    table.write_text("title,body\nFerry sails,The ferry sails.\n")
    failed = newsflow(module_pipeline, "produce", "csv", str(table), "--map", "hedline=title", status=2)
    assert "'hedline' is no field" in failed.stderr.decode()
    given = ("csv", str(table), "--map", "headline=titel", "--set", "publisher=harbour-post.example")
    report = produce(module_pipeline, *given, status=1)
    assert report["confirmed"] == 0
    assert "no column 'titel'; there are 'title', 'body'" in report["troubles"][0]["error"]


def test_killed_archive_run_resumes(module_pipeline: Pipeline, tmp_path: Path) -> None:
    """Every article is on articles-raw; only those sent since the last checkpoint are there twice."""
    publisher = f"archive-{uuid.uuid4().hex}.example"
    file = tmp_path / "archive.jsonl"
    ids = [f"a{number}" for number in range(LINES)]
    file.write_text("".join(json.dumps({"id": id_, "body": f"Text of {id_}."}) + "\n" for id_ in ids))
    given = ["jsonl", str(file), "--set", f"publisher={publisher}"]
    command = " ".join(["services.cli", "produce", *given, "--rate", str(RATE)])

    module_pipeline.start("produce", module=command, wait=False, PRODUCER_CHECKPOINT_SECONDS="0.3")
    wait_until(lambda: sent(module_pipeline, file) > 0, 60, module_pipeline.tails)
    module_pipeline.kill("produce")
    known = sent(module_pipeline, file)
    before = stored(module_pipeline, publisher)
    assert 0 < len(before) < LINES
    report = produce(module_pipeline, *given)
    assert report["resumed"]
    after = stored(module_pipeline, publisher)
    assert after.keys() == set(ids)
    # The second run sent just what no checkpoint covered.
    assert report["confirmed"] == LINES - known
    assert after.total() == before.total() + LINES - known
    assert max(after.values()) <= 2
