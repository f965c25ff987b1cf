"""Records of another version, hostile content, and a dead letter queue that takes nothing: on the real servers.

Each test names the line that breaks what it holds; `make faults` breaks it and sees the test fail.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

import pytest
from elasticsearch import Elasticsearch
from kafka import KafkaAdminClient
from kafka.admin import ConfigResource, ConfigResourceType

from schemas.article import RawArticle, digest_of_body
from schemas.document import INDEX_ALIAS
from schemas.identity import article_id
from schemas.topics import (
    ARTICLES_CLEAN,
    ARTICLES_DEDUPED,
    ARTICLES_DLQ,
    ARTICLES_FINGERPRINTS,
    ARTICLES_OVERLAPS,
    ARTICLES_RETAGGED,
    ARTICLES_RETRACTED,
    ARTICLES_STORIES,
    ARTICLES_TAGGED,
    Topic,
    publisher_partition,
)
from services.cli.kafka_admin import lags
from tests.live.harness import ROOT, SERVICES, Pipeline, wait_until

PUBLISHER = "p.example"
TEXT = "The ferry sailed again on Monday."
NEWER = {"from_a_newer_stage": {"any": ["thing", 1]}, "rating": 5}
"""Fields that no version has yet."""


def name_of(number: int) -> str:
    return f"{number:032x}"


def article(name: str, text: str = TEXT) -> dict[str, Any]:
    """Only what a record of an inner topic must have; a newer version need not write more."""
    return {
        "id": name,
        "revision": 1,
        "received": "2026-01-01T00:00:00Z",
        "publisher": PUBLISHER,
        "language": "en",
        "language_confidence": 1,
        "kept": [{"index": 0, "text": text}],
    }


def newer(record: dict[str, Any]) -> dict[str, Any]:
    """The record as a newer version may write it."""
    if "kept" in record:
        record = record | {"kept": [each | NEWER for each in record["kept"]]}
    return record | NEWER


def write(pipeline: Pipeline, topic: Topic, value: Any, key: str | None = None) -> None:
    producer = pipeline.producer()
    partition = publisher_partition(PUBLISHER, topic.partitions) if topic is ARTICLES_CLEAN else None
    key = key if key is not None else value["id"]
    text = json.dumps(value).encode()
    producer.send(pipeline.name(topic.name), key=key.encode(), value=text, partition=partition).get(timeout=60)
    producer.close()


def mapping(pipeline: Pipeline) -> dict[str, Any]:
    with Elasticsearch(pipeline.elasticsearch) as client:
        return dict(client.indices.get_mapping(index=pipeline.name(INDEX_ALIAS)))


# ---------------------------------------------------------------- records of another version


def test_t21_records_of_a_newer_version_are_indexed(pipeline: Pipeline) -> None:
    """Break: refuse what is not known on an inner topic (`extra="ignore"` -> `extra="forbid"` of `Inner`)."""
    before = mapping(pipeline)
    pipeline.start(*SERVICES)
    clean, deduped, tagged, gone = (name_of(number) for number in range(4))
    write(pipeline, ARTICLES_CLEAN, newer(article(clean, "The harbour was open on Tuesday.")))
    write(pipeline, ARTICLES_DEDUPED, newer(article(deduped, "The market was closed on Friday.")))
    write(pipeline, ARTICLES_TAGGED, newer(article(tagged)))
    write(pipeline, ARTICLES_TAGGED, newer(article(gone)))
    prints = {"id": name_of(9), "revision": 1, "offset": 0, "time": "2026-01-01T00:00:00Z", "total": 0}
    write(pipeline, ARTICLES_FINGERPRINTS, [newer(prints | {"fingerprints": []})], "any")
    write(pipeline, ARTICLES_OVERLAPS, [newer({"kind": "follow", "id": name_of(8), "follower": name_of(9)})], "any")
    pipeline.wait_idle()
    person = newer({"id": "person:ada-marsh", "name": "Ada Marsh", "count": 1})
    found = {"id": tagged, "revision": 1, "body_digest": digest_of_body(TEXT), "versions": {"tagger": "9"}}
    write(pipeline, ARTICLES_RETAGGED, newer(found | {"people": [person]}))
    write(pipeline, ARTICLES_STORIES, newer({"id": tagged, "story_id": clean}))
    write(pipeline, ARTICLES_RETRACTED, newer({"id": gone, "time": "2026-01-02T00:00:00Z", "by": "producer"}))
    pipeline.wait_idle()
    documents = pipeline.documents()
    assert documents.keys() == {clean, deduped, tagged}
    assert [each["name"] for each in documents[tagged]["people"]] == ["Ada Marsh"]
    assert documents[tagged]["pipeline"]["story_id"] == clean
    assert "from_a_newer_stage" not in json.dumps(documents)
    assert pipeline.dead() == []
    assert mapping(pipeline) == before


RETYPED: list[tuple[Topic, Any, str]] = [
    (ARTICLES_CLEAN, article("1" * 32) | {"kept": "all of it"}, "kept"),
    (ARTICLES_DEDUPED, article("2" * 32) | {"language_confidence": "high"}, "language_confidence"),
    (ARTICLES_TAGGED, article("3" * 32) | {"revision": "second"}, "revision"),
    (ARTICLES_STORIES, {"id": "4" * 32, "story_id": ["5" * 32]}, "story_id"),
    (ARTICLES_RETAGGED, {"id": "6" * 32, "revision": 1, "body_digest": "x", "versions": "tagger 9"}, "versions"),
    (ARTICLES_RETRACTED, {"id": "7" * 32, "time": "2026-01-02T00:00:00Z", "by": {"name": "producer"}}, "by"),
]
"""A record of each topic that the way of an article goes through, with a field of another type."""


def test_t21_a_field_of_another_type_is_a_dead_letter_that_names_it(pipeline: Pipeline) -> None:
    """Break: read the reason without its field (in `_problem`, `f"{field[:SHOWN_NAME]}: {text}"` -> `text`)."""
    before = mapping(pipeline)
    pipeline.start(*SERVICES)
    good = name_of(1)
    for topic, record, _ in RETYPED:
        write(pipeline, topic, record)
    write(pipeline, ARTICLES_TAGGED, article(good))
    pipeline.wait_idle()
    told = {each.letter.topic.removeprefix(pipeline.prefix): each for each in pipeline.dead()}
    assert told.keys() == {topic.name for topic, _, _ in RETYPED}
    for topic, record, field in RETYPED:
        letter = told[topic.name]
        assert letter.letter.reason == "invalid_record"
        assert letter.letter.error.startswith(f"{field}: "), letter.letter.error
        assert json.loads(letter.value or b"") == record
    assert pipeline.documents().keys() == {good}
    assert mapping(pipeline) == before


def test_t21_a_newer_indexer_waits_for_an_index_of_an_older_version(pipeline: Pipeline) -> None:
    """It would else refuse every document: all articles would be dead letters.

    Break: in `Indexer.run` leave out `self._wait_for_the_index()`.
    """
    alias = pipeline.name(INDEX_ALIAS)
    with Elasticsearch(pipeline.elasticsearch) as client:
        ((index, made),) = client.indices.get(index=alias).items()
        fields = {key: made["mappings"]["properties"][key] for key in made["mappings"]["properties"]}
        older = {key: value for key, value in fields.items() if key not in ("history", "retracted")}
        client.indices.delete(index=index)
        client.indices.delete_index_template(name=alias)
        client.indices.create(
            index=index,
            mappings={"dynamic": "strict", "properties": older},
            settings={"analysis": made["settings"]["index"]["analysis"]},
            aliases={alias: {"is_write_index": True}},
        )
    corrected = article(name_of(1), "It sailed on Tuesday.") | {"revision": 2}
    for record in (article(name_of(1)), corrected, article(name_of(2))):
        write(pipeline, ARTICLES_TAGGED, record)
    write(pipeline, ARTICLES_RETRACTED, {"id": name_of(2), "time": "2026-01-02T00:00:00Z", "by": "producer"})
    pipeline.start("indexer", wait=False)

    def told() -> bool:
        health = pipeline.health_of("indexer")
        return bool(health and not health["ok"] and "history, retracted" in str(health["reason"]))

    wait_until(told, 60, lambda: f"{pipeline.health_of('indexer')} {pipeline.log('indexer')[-2000:]}")
    pipeline.set_up()
    pipeline.wait_healthy("indexer")
    pipeline.wait_idle(groups=["indexer"])
    documents = pipeline.documents()
    assert {name: each["body"] for name, each in documents.items()} == {name_of(1): "It sailed on Tuesday."}
    assert [each["body"] for each in documents[name_of(1)]["history"]] == [TEXT]
    assert pipeline.dead() == []


# ---------------------------------------------------------------- hostile content

LONG = "x" * 40_000
SCRIPT = "<script>alert(1)</script>"
BIDI = "\u202egnihton\u202c \u2066and\u2069 \u061cthis\x9b2J"

HOSTILE: dict[str, dict[str, Any]] = {
    "many keys": {"extra": {f"key-{number}": f"value {number}" for number in range(5_000)}},
    "dotted keys": {"extra": {"a.b": "1", "a.b.c": "2", "a": "3"}},
    "keys with empty parts": {"extra": {"a..b": "1", ".": "2", " ": "3", "..": "4", "a.": "5", ".a": "6"}},
    "keys of ours": {
        "extra": {"_id": "1", "_source": "2", "*": "3", "__proto__": "4", "body": "5", "@timestamp": "6"}
    },
    "a null byte in a key": {"extra": {"a\0b": "1"}},
    "a null byte in a value": {"extra": {"a": "1\x002"}},
    "a long key": {"extra": {LONG: "1"}},
    "a long value": {"extra": {"a": LONG}},
    "a long subject": {"subjects": ("short", LONG)},
    "a long byline": {"byline": LONG},
    "a long publisher": {"publisher": LONG},
    "a long address": {"url": f"https://p.example/{LONG}"},
    "a long host": {"url": f"https://{'h.' * 20_000}example/"},
    "a long producer": {"producer": LONG},
    "a long id": {"id": "i" * 600},
    "a long word in headline and text": {"headline": LONG, "body": f"Zebra {LONG} end."},
    "markup and bidi": {"headline": f"Zebra {SCRIPT} {BIDI}", "body": f"Zebra {SCRIPT} {BIDI} <b>bold</b>."},
}


def raw(name: str, **other: Any) -> RawArticle:
    fields = {"publisher": PUBLISHER, "id": name, "headline": f"About {name}", "body": f"A text about {name}."}
    return RawArticle(**fields | other)


def search(pipeline: Pipeline, *words: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "services.cli", "search", *words],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
        env=os.environ
        | {
            "KAFKA_BOOTSTRAP_SERVERS": pipeline.kafka,
            "ELASTICSEARCH_URL": pipeline.elasticsearch,
            "NEWSFLOW_PREFIX": pipeline.prefix,
            "COLUMNS": "200",
        },
    )
    return done.stdout


@pytest.mark.timeout(300)
def test_t23_hostile_content_is_indexed_or_told_and_changes_nothing_else(pipeline: Pipeline) -> None:
    """Break: map `extra` as an object that takes any key (`"type": "flattened"` in news-mappings.json)."""
    before = mapping(pipeline)
    hostile = {name: raw(name, **fields) for name, fields in HOSTILE.items()}
    neighbours = [raw(f"neighbour {number}") for number in range(len(hostile))]
    pipeline.start(*SERVICES)
    pids = {name: process.pid for name, process in pipeline.running.items()}
    values = [each for pair in zip(hostile.values(), neighbours, strict=True) for each in pair]
    pipeline.send(values, keys=[article_id(each).encode() for each in values])
    pipeline.wait_idle()
    documents = pipeline.documents()
    dead = {(each.key or b"").decode(): each.letter for each in pipeline.dead()}
    assert {article_id(each) for each in neighbours} <= documents.keys()
    names = {article_id(each): name for name, each in hostile.items()}
    assert documents.keys().isdisjoint(dead)
    assert documents.keys() | dead.keys() == {article_id(each) for each in values}, dead
    refused = {names[each]: letter for each, letter in dead.items()}
    assert {name: letter.reason for name, letter in refused.items()} == {
        "a long key": "refused_by_index",
        "a null byte in a key": "refused_by_index",
    }
    assert all("extra" in letter.error for letter in refused.values()), refused
    for name, each in hostile.items():
        if article_id(each) not in dead:
            # The cleaner takes such characters out of every text.
            expected = {key: value.replace("\0", "") for key, value in each.extra.items()}
            assert documents[article_id(each)]["extra"] == expected, name
    assert mapping(pipeline) == before
    with Elasticsearch(pipeline.elasticsearch) as client:
        alias = pipeline.name(INDEX_ALIAS)
        assert client.cluster.health(index=alias)["status"] == "green"
        assert client.count(index=alias, query={"term": {"extra.key-4999": "value 4999"}})["count"] == 1
    for name, process in pipeline.running.items():
        assert (process.poll(), process.pid) == (None, pids[name]), pipeline.tails()

    (hit,) = (
        each for each in json.loads(search(pipeline, "zebra", "--json"))["hits"] if "script" in each["headline"]
    )
    highlights = "".join(hit["highlights"])
    assert "<em>Zebra</em>" in highlights
    assert "&lt;script&gt;" in highlights
    assert "<script" not in highlights
    shown = search(pipeline, "zebra")
    assert "<script>" in shown, "as text"
    assert not set(BIDI) & set(shown) - set("gnihton and this2J")


@pytest.mark.parametrize("name", ["i" * 600, "", "\0", "é" * 300])
def test_t23_an_id_that_elasticsearch_does_not_take_costs_one_record(pipeline: Pipeline, name: str) -> None:
    """It refuses the whole request for it.

    Break: send such an id to Elasticsearch.
    """
    pipeline.start("indexer")
    for each in (name_of(1), name, name_of(2)):
        write(pipeline, ARTICLES_TAGGED, article(each), key="k")
    pipeline.wait_idle(groups=["indexer"])
    assert pipeline.documents().keys() - {name} == {name_of(1), name_of(2)}
    assert len(pipeline.dead()) == (name not in pipeline.documents())
    assert pipeline.running["indexer"].poll() is None


# ---------------------------------------------------------------- a dead letter queue that takes nothing


def limit_dead_letters(pipeline: Pipeline, size: int) -> None:
    admin = KafkaAdminClient(bootstrap_servers=pipeline.kafka)
    name = pipeline.name(ARTICLES_DLQ.name)
    admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, name, {"max.message.bytes": str(size)})])
    admin.close()


def test_t5_a_dead_letter_that_cannot_be_written_stops_the_indexer(pipeline: Pipeline) -> None:
    """Break: in `Indexer._dead_letter` go on instead of `leave`."""
    limit_dead_letters(pipeline, 200)
    for value in (article(name_of(1)), article(name_of(2)) | {"kept": "lost"}, article(name_of(3))):
        write(pipeline, ARTICLES_TAGGED, value, key="k")
    pipeline.start("indexer", wait=False, INDEXER_DELIVER_LIMIT_SECONDS="2")
    assert pipeline.wait_exit("indexer", 60) == 70
    tagged = pipeline.name(ARTICLES_TAGGED.name)
    assert [each.lag for each in lags(pipeline.settings) if each.topic == tagged] == [3]
    limit_dead_letters(pipeline, ARTICLES_DLQ.max_bytes)
    pipeline.start("indexer")
    pipeline.wait_idle(groups=["indexer"])
    assert pipeline.documents().keys() == {name_of(1), name_of(3)}
    (dead,) = pipeline.dead()
    assert (dead.letter.reason, json.loads(dead.value or b"")["kept"]) == ("invalid_record", "lost")
