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
from tests.live.harness import ROOT, Pipeline, wait_until

PUBLISHER = "p.example"
TEXT = "The ferry sailed again on Monday."
NEWER = {"from_a_newer_stage": {"any": ["thing", 1]}, "rating": 5}
"""Fields that no version has yet."""


def name_of(number: int, test: int = 0) -> str:
    """An article id; tests that share a pipeline have numbers of their own."""
    return f"{test:016x}{number:016x}"


def article(name: str, text: str = TEXT, publisher: str = PUBLISHER) -> dict[str, Any]:
    """Only what a record of an inner topic must have; a newer version need not write more."""
    return {
        "id": name,
        "revision": 1,
        "received": "2026-01-01T00:00:00Z",
        "publisher": publisher,
        "language": "en",
        "language_confidence": 1,
        "kept": [{"index": 0, "text": text}],
    }


def newer(record: dict[str, Any]) -> dict[str, Any]:
    """The record as a newer version may write it."""
    if "kept" in record:
        record = record | {"kept": [paragraph | NEWER for paragraph in record["kept"]]}
    return record | NEWER


def write(pipeline: Pipeline, topic: Topic, value: Any, key: str | None = None) -> str:
    """Returns the record's `topic/partition/offset`."""
    producer = pipeline.producer()
    partition = publisher_partition(value["publisher"], topic.partitions) if topic is ARTICLES_CLEAN else None
    key = key if key is not None else value["id"]
    text = json.dumps(value).encode()
    future = producer.send(pipeline.name(topic.name), key=key.encode(), value=text, partition=partition)
    place = future.get(timeout=60)
    producer.close()
    return f"{place.topic}/{place.partition}/{place.offset}"


def mapping(pipeline: Pipeline) -> dict[str, Any]:
    with Elasticsearch(pipeline.elasticsearch) as client:
        return dict(client.indices.get_mapping(index=pipeline.name(INDEX_ALIAS)))


# ---------------------------------------------------------------- records of another version


def test_record_of_a_newer_version_is_indexed(running: Pipeline) -> None:
    """Break: refuse what is not known on an inner topic (`extra="ignore"` -> `extra="forbid"` of `Inner`)."""
    publisher = "newer.example"
    before = mapping(running)
    clean, deduped, tagged, retracted, follower = (name_of(number, test=21) for number in range(5))
    prints = {"id": follower, "revision": 1, "offset": 0, "time": "2026-01-01T00:00:00Z", "total": 0}
    follow = {"kind": "follow", "id": name_of(8, test=21), "follower": follower}
    places = [
        write(running, ARTICLES_CLEAN, newer(article(clean, "The harbour was open on Tuesday.", publisher))),
        write(running, ARTICLES_DEDUPED, newer(article(deduped, "The market was closed on Friday.", publisher))),
        write(running, ARTICLES_TAGGED, newer(article(tagged, publisher=publisher))),
        write(running, ARTICLES_TAGGED, newer(article(retracted, publisher=publisher))),
        write(running, ARTICLES_FINGERPRINTS, [newer(prints | {"fingerprints": []})], "any"),
        write(running, ARTICLES_OVERLAPS, [newer(follow)], "any"),
    ]
    running.wait_idle()
    person = newer({"id": "person:ada-marsh", "name": "Ada Marsh", "count": 1})
    found = {"id": tagged, "revision": 1, "body_digest": digest_of_body(TEXT), "versions": {"tagger": "9"}}
    retraction = {"id": retracted, "time": "2026-01-02T00:00:00Z", "by": "producer"}
    places += [
        write(running, ARTICLES_RETAGGED, newer(found | {"people": [person]})),
        write(running, ARTICLES_STORIES, newer({"id": tagged, "story_id": clean})),
        write(running, ARTICLES_RETRACTED, newer(retraction)),
    ]
    running.wait_idle()
    documents = running.documents([publisher])
    assert documents.keys() == {clean, deduped, tagged}
    assert [person["name"] for person in documents[tagged]["people"]] == ["Ada Marsh"]
    assert documents[tagged]["pipeline"]["story_id"] == clean
    assert "from_a_newer_stage" not in json.dumps(documents)
    assert running.dead(places) == []
    assert mapping(running) == before


RETYPED: list[tuple[Topic, Any, str]] = [
    (ARTICLES_CLEAN, article("1" * 32) | {"kept": "all of it"}, "kept"),
    (ARTICLES_DEDUPED, article("2" * 32) | {"language_confidence": "high"}, "language_confidence"),
    (ARTICLES_TAGGED, article("3" * 32) | {"revision": "second"}, "revision"),
    (ARTICLES_STORIES, {"id": "4" * 32, "story_id": ["5" * 32]}, "story_id"),
    (ARTICLES_RETAGGED, {"id": "6" * 32, "revision": 1, "body_digest": "x", "versions": "tagger 9"}, "versions"),
    (ARTICLES_RETRACTED, {"id": "7" * 32, "time": "2026-01-02T00:00:00Z", "by": {"name": "producer"}}, "by"),
]
"""A record of each topic that the way of an article goes through, with a field of another type."""


def test_field_of_another_type_is_a_dead_letter_that_names_it(running: Pipeline) -> None:
    """Break: read the reason without its field (in `_problem`, `f"{field[:SHOWN_NAME]}: {text}"` -> `text`)."""
    before = mapping(running)
    good = name_of(1, test=22)
    places = [write(running, topic, record) for topic, record, _ in RETYPED]
    write(running, ARTICLES_TAGGED, article(good, publisher="retyped.example"))
    letters = {record.letter.topic.removeprefix(running.prefix): record for record in running.wait_dead(places)}
    assert letters.keys() == {topic.name for topic, _, _ in RETYPED}
    for topic, record, field in RETYPED:
        letter = letters[topic.name]
        assert letter.letter.reason == "invalid_record"
        assert letter.letter.error.startswith(f"{field}: "), letter.letter.error
        assert json.loads(letter.value or b"") == record
    running.wait_indexed([good])
    assert running.get([record["id"] for _, record, _ in RETYPED]) == {}
    assert mapping(running) == before


def test_newer_indexer_waits_for_an_index_of_an_older_version(pipeline: Pipeline) -> None:
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

    def is_named() -> bool:
        health = pipeline.health_of("indexer")
        return bool(health and not health["ok"] and "history, retracted" in str(health["reason"]))

    wait_until(is_named, 60, lambda: f"{pipeline.health_of('indexer')} {pipeline.log('indexer')[-2000:]}")
    pipeline.set_up()
    pipeline.wait_healthy("indexer")
    pipeline.wait_idle(groups=["indexer"])
    documents = pipeline.documents()
    assert {name: document["body"] for name, document in documents.items()} == {name_of(1): "It sailed on Tuesday."}
    assert [version["body"] for version in documents[name_of(1)]["history"]] == [TEXT]
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
def test_hostile_content_is_indexed_or_refused_and_changes_nothing_else(running: Pipeline) -> None:
    """Break: map `extra` as an object that takes any key (`"type": "flattened"` in news-mappings.json)."""
    before = mapping(running)
    hostile = {name: raw(name, **fields) for name, fields in HOSTILE.items()}
    neighbours = [raw(f"neighbour {number}") for number in range(len(hostile))]
    pids = {name: process.pid for name, process in running.running.items()}
    values = [value for pair in zip(hostile.values(), neighbours, strict=True) for value in pair]
    ids = [article_id(value) for value in values]
    running.send(values, keys=[name.encode() for name in ids])
    running.wait_idle()
    documents = running.get(ids)
    dead = {(record.key or b"").decode(): record.letter for record in running.dead()}
    dead = {name: letter for name, letter in dead.items() if name in ids}
    assert {article_id(neighbour) for neighbour in neighbours} <= documents.keys()
    names = {article_id(value): name for name, value in hostile.items()}
    assert documents.keys().isdisjoint(dead)
    assert documents.keys() | dead.keys() == set(ids), dead
    refused = {names[name]: letter for name, letter in dead.items()}
    assert {name: letter.reason for name, letter in refused.items()} == {
        "a long key": "refused_by_index",
        "a null byte in a key": "refused_by_index",
    }
    assert all("extra" in letter.error for letter in refused.values()), refused
    for name, value in hostile.items():
        if article_id(value) not in dead:
            # The cleaner takes such characters out of every text.
            expected = {key: text.replace("\0", "") for key, text in value.extra.items()}
            assert documents[article_id(value)]["extra"] == expected, name
    assert mapping(running) == before
    with Elasticsearch(running.elasticsearch) as client:
        alias = running.name(INDEX_ALIAS)
        assert client.cluster.health(index=alias)["status"] == "green"
        assert client.count(index=alias, query={"term": {"extra.key-4999": "value 4999"}})["count"] == 1
    for name, process in running.running.items():
        assert (process.poll(), process.pid) == (None, pids[name]), running.tails()

    (hit,) = (hit for hit in json.loads(search(running, "zebra", "--json"))["hits"] if "script" in hit["headline"])
    highlights = "".join(hit["highlights"])
    assert "<em>Zebra</em>" in highlights
    assert "&lt;script&gt;" in highlights
    assert "<script" not in highlights
    shown = search(running, "zebra")
    assert "<script>" in shown, "as text"
    assert not set(BIDI) & set(shown) - set("gnihton and this2J")


def test_id_that_elasticsearch_refuses_costs_one_record(pipeline: Pipeline) -> None:
    """It refuses the whole request for it.

    Break: send such an id to Elasticsearch.
    """
    pipeline.start("indexer")
    refused = ["i" * 600, "", "\0", "é" * 300]
    places = {}
    for number, name in enumerate(refused):
        write(pipeline, ARTICLES_TAGGED, article(name_of(2 * number)), key="k")
        places[name] = write(pipeline, ARTICLES_TAGGED, article(name), key="k")
        write(pipeline, ARTICLES_TAGGED, article(name_of(2 * number + 1)), key="k")
    pipeline.wait_idle(groups=["indexer"])
    documents = pipeline.documents()
    assert documents.keys() - set(refused) == {name_of(number) for number in range(2 * len(refused))}
    dead = {record.letter.id for record in pipeline.dead()}
    assert dead == {place for name, place in places.items() if name not in documents}
    assert pipeline.running["indexer"].poll() is None


# ---------------------------------------------------------------- a dead letter queue that takes nothing


def limit_dead_letters(pipeline: Pipeline, size: int) -> None:
    admin = KafkaAdminClient(bootstrap_servers=pipeline.kafka)
    name = pipeline.name(ARTICLES_DLQ.name)
    admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, name, {"max.message.bytes": str(size)})])
    admin.close()


def test_dead_letter_that_cannot_be_written_stops_the_indexer(pipeline: Pipeline) -> None:
    """Break: in `Indexer._dead_letter` go on instead of `leave`."""
    limit_dead_letters(pipeline, 200)
    for value in (article(name_of(1)), article(name_of(2)) | {"kept": "lost"}, article(name_of(3))):
        write(pipeline, ARTICLES_TAGGED, value, key="k")
    pipeline.start("indexer", wait=False, INDEXER_DELIVER_LIMIT_SECONDS="2")
    assert pipeline.wait_exit("indexer", 60) == 70
    assert pipeline.lags(["indexer"])[f"{ARTICLES_TAGGED.name} indexer"] == 3
    limit_dead_letters(pipeline, ARTICLES_DLQ.max_bytes)
    pipeline.start("indexer")
    pipeline.wait_idle(groups=["indexer"])
    assert pipeline.documents().keys() == {name_of(1), name_of(3)}
    (dead,) = pipeline.dead()
    assert (dead.letter.reason, json.loads(dead.value or b"")["kept"]) == ("invalid_record", "lost")
