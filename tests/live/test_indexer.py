"""The indexer on the real Kafka and the real Elasticsearch, with a fault proxy between the two.

Each test names the line that breaks what it holds; `make faults` breaks it and sees the test fail.
"""

from __future__ import annotations

import json
import threading
import time
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from elasticsearch import Elasticsearch

from schemas.article import Paragraph, TaggedArticle
from schemas.dead_letter import REPLAYED
from schemas.document import DEAD_LETTERS_ALIAS, INDEX_ALIAS, STANDBY_ALIAS, STORIES_ALIAS, first_index
from schemas.reading import write_record
from schemas.story import Story
from schemas.topics import ARTICLES_DLQ, ARTICLES_STORIES, ARTICLES_TAGGED
from services.cli.kafka_admin import lags
from services.embedded.servers import KafkaServer
from tests.live.fault_proxy import NO_ANSWER, FaultProxy, Reply, Request, error
from tests.live.harness import Pipeline, wait_until
from tests.live.stack import Servers


def tagged(name: str, text: str = "A text.", revision: int = 1, language: str = "en") -> TaggedArticle:
    return TaggedArticle(
        id=name,
        revision=revision,
        received=datetime(2026, 1, 1, tzinfo=UTC),
        publisher="p.example",
        language=language,
        language_confidence=1,
        kept=(Paragraph(index=0, text=text),),
    )


def send(pipeline: Pipeline, articles: list[TaggedArticle]) -> None:
    pipeline.send(
        [write_record(article) for article in articles],
        topic=ARTICLES_TAGGED.name,
        keys=[article.id.encode() for article in articles],
    )


def ids(count: int) -> list[str]:
    return [f"article-{number:04}" for number in range(count)]


def lag(pipeline: Pipeline) -> int:
    return next(each.lag for each in lags(pipeline.settings) if each.topic.endswith(ARTICLES_TAGGED.name))


def test_a_correction_replaces_and_an_older_copy_loses(pipeline: Pipeline) -> None:
    """Break: leave out `version` and `version_type` of the bulk action."""
    send(pipeline, [tagged("a", "first", 5), tagged("b", "first", 5), tagged("c", "first", 5)])
    pipeline.start("indexer")
    pipeline.wait_idle(groups=["indexer"])
    send(pipeline, [tagged("a", "corrected", 6), tagged("b", "older", 4), tagged("c", "first", 5)])
    pipeline.wait_idle(groups=["indexer"])
    bodies = {name: source["body"] for name, source in pipeline.documents().items()}
    assert bodies == {"a": "corrected", "b": "first", "c": "first"}
    assert pipeline.dead() == []


def test_a_word_before_a_narrow_space_is_found(pipeline: Pipeline) -> None:
    """Break: leave out `.translate(PLAIN_SPACES)` of the body: the tokenizer takes that space for a letter."""
    send(pipeline, [tagged("a", "Rien n’est sûr\u202f! Ils ont 10\u202f000\u00a0€.", language="fr")])
    pipeline.start("indexer")
    pipeline.wait_idle(groups=["indexer"])
    with Elasticsearch(pipeline.elasticsearch) as client:
        client.indices.refresh(index=pipeline.name(INDEX_ALIAS))
        for query in ("sûr", "10 000"):
            found = client.count(index=pipeline.name(INDEX_ALIAS), query={"match_phrase": {"body": query}})
            assert found["count"] == 1, query


def test_t2_killed_between_the_bulk_and_the_commit(pipeline: Pipeline, proxy: FaultProxy) -> None:
    """Break: commit before the bulk (`enable_auto_commit=True`), or an `op_type` of create."""

    def kill_after_the_first(request: Request) -> Reply | None:
        if not request.is_bulk or len(proxy.bulks) > 1:
            return None
        proxy.forward(request)
        pipeline.kill("indexer")
        return NO_ANSWER

    send(pipeline, [tagged(name) for name in ids(60)])
    proxy.fault = kill_after_the_first
    pipeline.start("indexer", wait=False)
    wait_until(lambda: "indexer" not in pipeline.running, 60, pipeline.tails)
    assert lag(pipeline) == 60
    pipeline.start("indexer")
    pipeline.wait_idle(groups=["indexer"])
    assert pipeline.documents().keys() == set(ids(60))
    assert pipeline.dead() == []


def test_t6_an_elasticsearch_that_takes_nothing(pipeline: Pipeline, proxy: FaultProxy) -> None:
    """503, 429, a reset connection and an answer that never comes, each in turn; the bulk may have been applied.

    Break: in `failure_of` or around `bulk`, let `TransportError` through as it is: the indexer dies.
    """
    gate = threading.Event()

    def fault(request: Request) -> Reply | None:
        if not request.is_bulk:
            return None
        number = len(proxy.bulks)
        if number == 1:
            return error(503, "unavailable_shards_exception")
        if number == 2:
            return error(429, "circuit_breaking_exception")
        if number == 3:
            return NO_ANSWER
        if number == 4:
            proxy.forward(request)
            gate.wait(4)
        return None

    proxy.fault = fault
    send(pipeline, [tagged(name) for name in ids(50)])
    pipeline.start("indexer", wait=False, INDEXER_BULK_TIMEOUT_SECONDS="2")

    def red() -> bool:
        health = pipeline.health_of("indexer")
        return bool(health and health["reason"] and "Elasticsearch" in health["reason"])

    wait_until(red, 30, pipeline.tails, every=0.05)
    pipeline.wait_idle(groups=["indexer"])
    gate.set()
    assert pipeline.documents().keys() == set(ids(50))
    assert pipeline.dead() == []
    pipeline.wait_healthy("indexer")
    assert pipeline.log("indexer").count("Successfully joined group") <= 1, "the group was rebalanced"


def test_t7_every_item_has_its_own_verdict(pipeline: Pipeline, proxy: FaultProxy) -> None:
    """A status of 200 with items of 201, 429, 400 and 409. Break: in `verdict_on` return WRITTEN for a 429."""
    names = ids(40)
    busy, seen = set(names[:10]), Counter[str]()

    def fault(request: Request) -> Reply | None:
        if not request.is_bulk:
            return None
        refused = [name for action, _ in request.documents if (name := action["_id"]) in busy and not seen[name]]
        seen.update(action["_id"] for action, _ in request.documents)
        taken = [(action, source) for action, source in request.documents if action["_id"] not in refused]
        # Elasticsearch refuses a bulk of nothing: a poll may have brought busy ones alone.
        told = proxy.forward(request.only(taken)).json["items"] if taken else []
        answers = {each["index"]["_id"]: each for each in told}
        for name in refused:
            cause = {"type": "es_rejected_execution_exception", "reason": "queue full"}
            answers[name] = {"index": {"_id": name, "status": 429, "error": cause}}
        items = [answers[action["_id"]] for action, _ in request.documents]
        return Reply(200, json.dumps({"errors": True, "took": 1, "items": items}).encode())

    proxy.fault = fault
    too_long = "x" * 40_000  # a term of more than 32,766 bytes: Elasticsearch itself answers 400
    newer = tagged(names[20], "newer", 9)
    articles = [tagged(name, language=too_long if name in names[10:15] else "en") for name in names]
    send(pipeline, [newer, *articles])
    pipeline.start("indexer")
    pipeline.wait_idle(groups=["indexer"])
    documents = pipeline.documents()
    assert documents.keys() == set(names) - set(names[10:15])
    assert documents[names[20]]["body"] == "newer"
    assert [each.letter.reason for each in pipeline.dead()] == ["refused_by_index"] * 5
    assert all("400" in each.letter.error for each in pipeline.dead())
    assert {each.key for each in pipeline.dead()} == {name.encode() for name in names[10:15]}
    again = [name for name, count in seen.items() if count > 1 and name != names[20]]
    assert sorted(again) == sorted(busy), "only the busy ones are sent again"


def test_t8_a_request_that_is_too_large_is_split(pipeline: Pipeline, proxy: FaultProxy) -> None:
    """Break: in `_write` treat `TooLarge` as a dead letter for the whole request."""

    def fault(request: Request) -> Reply | None:
        return error(413, "content_too_long") if request.is_bulk and len(request.body) > 20_000 else None

    proxy.fault = fault
    names = ids(50)
    send(pipeline, [*[tagged(name, "word " * 200) for name in names], tagged("giant", "word " * 10_000)])
    pipeline.start("indexer")
    pipeline.wait_idle(groups=["indexer"])
    assert pipeline.documents().keys() == set(names)
    assert [(each.key, each.letter.reason) for each in pipeline.dead()] == [(b"giant", "refused_by_index")]


@pytest.mark.parametrize("block", ["read_only_allow_delete", "write"])
def test_t9_a_full_disk_blocks_and_is_cleared(pipeline: Pipeline, block: str) -> None:
    """The first block is the flood stage's (429), the second answers 403 as the flood stage once did.

    Break: take `cluster_block_exception` out of `NOT_THE_DOCUMENT`.
    """
    with Elasticsearch(pipeline.elasticsearch) as client:
        alias = pipeline.name(INDEX_ALIAS)
        # Elasticsearch looks at the disk every 30 s, and lifts the block itself where there is room.
        client.cluster.put_settings(transient={"cluster.info.update.interval": "1h"})

        def blocked() -> None:
            client.indices.put_settings(index=alias, settings={f"index.blocks.{block}": True})

        def waits() -> bool:
            blocked()
            return "waiting for Elasticsearch" in pipeline.log("indexer")

        blocked()
        send(pipeline, [tagged(name) for name in ids(30)])
        pipeline.start("indexer", wait=False)
        wait_until(waits, 60, pipeline.tails)
        assert lag(pipeline) == 30
        client.indices.put_settings(index=alias, settings={f"index.blocks.{block}": None})
        client.cluster.put_settings(transient={"cluster.info.update.interval": None})
    pipeline.wait_idle(groups=["indexer"])
    assert pipeline.documents().keys() == set(ids(30))
    assert pipeline.dead() == []


def test_a_missing_alias_is_no_fault_of_the_documents(pipeline: Pipeline) -> None:
    """Break: take `index_not_found_exception` out of `NOT_THE_DOCUMENT`."""
    alias = pipeline.name(INDEX_ALIAS)

    def delete() -> None:
        with Elasticsearch(pipeline.elasticsearch) as client:
            client.indices.delete(index=next(iter(client.indices.get_alias(name=alias))))

    pipeline.start("indexer")
    delete()
    send(pipeline, [tagged(name) for name in ids(10)])
    wait_until(lambda: "waiting for Elasticsearch" in pipeline.log("indexer"), 30, pipeline.tails)
    pipeline.set_up()
    pipeline.wait_idle(groups=["indexer"])
    assert pipeline.documents().keys() == set(ids(10))
    assert pipeline.dead() == []


def test_an_indexer_without_an_index_says_what_to_do_and_waits(pipeline: Pipeline) -> None:
    """Break: leave out `_wait_for_the_index`: with an index of an older version all articles are dead letters."""
    alias = pipeline.name(INDEX_ALIAS)
    with Elasticsearch(pipeline.elasticsearch) as client:
        index = next(iter(client.indices.get_alias(name=alias)))
        made = client.indices.get(index=index)[index]
        client.indices.delete(index=index)
        client.indices.delete_index_template(name=alias)
        # As an older version had made it.
        fields = {name: field for name, field in made["mappings"]["properties"].items() if name != "history"}
        client.indices.create(
            index=index,
            aliases={alias: {"is_write_index": True}},
            mappings=made["mappings"] | {"properties": fields},
            settings={"analysis": made["settings"]["index"]["analysis"]},
        )
    send(pipeline, [tagged(name) for name in ids(10)])
    pipeline.start("indexer", wait=False)
    wait_until(lambda: "run newsflow setup" in pipeline.log("indexer"), 30, pipeline.tails)
    assert "history" in pipeline.log("indexer")
    pipeline.set_up()
    pipeline.wait_idle(groups=["indexer"])
    assert pipeline.documents().keys() == set(ids(10))
    assert pipeline.dead() == []


@pytest.mark.parametrize("status", [401, 403])
def test_t10_without_rights_it_stops_and_commits_nothing(
    pipeline: Pipeline, proxy: FaultProxy, status: int
) -> None:
    """Break: in `failure_of` treat 401 and 403 as `Unavailable`, or as a dead letter."""
    proxy.fault = lambda request: error(status, "security_exception") if request.is_bulk else None
    send(pipeline, [tagged(name) for name in ids(10)])
    pipeline.start("indexer", wait=False)
    assert pipeline.wait_exit("indexer", 30) == 77
    assert "ELASTICSEARCH_API_KEY" in pipeline.log("indexer")
    assert lag(pipeline) == 10
    assert pipeline.dead() == []


def test_what_does_not_decode_is_a_dead_letter(pipeline: Pipeline) -> None:
    """Break: in `_prepare` let `Refused` through."""
    send(pipeline, [tagged("a")])
    pipeline.send([b"{", b'{"id": "b"}', None], topic=ARTICLES_TAGGED.name)
    send(pipeline, [tagged("c")])
    pipeline.start("indexer")
    pipeline.wait_idle(groups=["indexer"])
    assert pipeline.documents().keys() == {"a", "c"}
    dead = sorted((each.letter.reason, each.value or b"") for each in pipeline.dead())
    assert dead == [("empty", b""), ("invalid_json", b"{"), ("invalid_record", b'{"id": "b"}')]


def test_t11_a_broker_that_is_away_for_5_s(
    broker_pipeline: Pipeline, broker: KafkaServer, servers: Servers
) -> None:
    """Break: let a `KafkaError` out of `_commit`."""
    proxy = FaultProxy(servers.elasticsearch)
    broker_pipeline.environment["ELASTICSEARCH_URL"] = proxy.url
    proxy.fault = lambda request: time.sleep(0.05) if request.is_bulk else None
    send(broker_pipeline, [tagged(name) for name in ids(400)])
    broker_pipeline.start("indexer", INDEXER_BULK_RECORDS="5")
    wait_until(lambda: len(proxy.bulks) > 5, 30, broker_pipeline.tails)
    broker.kill()
    time.sleep(5)  # the fault itself
    broker.start()
    broker_pipeline.wait_idle(60, groups=["indexer"])
    assert broker_pipeline.documents().keys() == set(ids(400))
    assert broker_pipeline.dead() == []
    proxy.close()


def test_t3_a_stop_finishes_the_bulk_in_flight(pipeline: Pipeline, proxy: FaultProxy) -> None:
    """Break: exit at once on SIGTERM (leave out the signal handler): the exit status is not 0."""
    started = threading.Event()

    def slow(request: Request) -> Reply | None:
        if request.is_bulk:
            started.set()
            time.sleep(4)
        return None

    proxy.fault = slow
    send(pipeline, [tagged(name) for name in ids(20)])
    pipeline.start("indexer", wait=False)
    assert started.wait(30)
    assert pipeline.terminate("indexer") == 0
    done = 20 - lag(pipeline)
    proxy.fault = lambda _: None
    assert len(pipeline.documents()) >= done > 0
    pipeline.start("indexer")
    pipeline.wait_idle(groups=["indexer"])
    assert pipeline.documents().keys() == set(ids(20))


def test_a_rebalance_while_elasticsearch_is_away(pipeline: Pipeline, proxy: FaultProxy) -> None:
    """A second indexer joins while the first one waits. Break: leave out `on_partitions_revoked`'s `gone`."""
    away = threading.Event()
    proxy.fault = lambda request: error(503) if request.is_bulk and not away.is_set() else None
    send(pipeline, [tagged(name) for name in ids(100)])
    pipeline.start("indexer#1", wait=False)
    wait_until(lambda: "waiting for Elasticsearch" in pipeline.log("indexer#1"), 30, pipeline.tails)
    pipeline.start("indexer#2", wait=False)
    wait_until(lambda: "waiting for Elasticsearch" in pipeline.log("indexer#2"), 40, pipeline.tails)
    away.set()
    pipeline.wait_idle(60, groups=["indexer"])
    assert pipeline.documents().keys() == set(ids(100))
    assert pipeline.dead() == []


# ---------------------------------------------------------------- the story of an article

COPY, ORIGINAL = "c" * 32, "0" * 32


def story(name: str = COPY, story_id: str = ORIGINAL, originality: float = 0.25) -> Story:
    first = None if name == story_id else ORIGINAL
    return Story(id=name, story_id=story_id, duplicate_of=first, originality=originality)


def tell(pipeline: Pipeline, *stories: Story) -> None:
    pipeline.send(
        [each.model_dump_json().encode() for each in stories],
        topic=ARTICLES_STORIES.name,
        keys=[each.id.encode() for each in stories],
    )


def told(pipeline: Pipeline, name: str = COPY) -> tuple[str, str, float | None, str]:
    document = pipeline.documents()[name]
    found = document["pipeline"]
    return found["dedup"], found["story_id"], found.get("originality"), document["body"]


def test_an_article_has_its_story_whichever_comes_first(pipeline: Pipeline) -> None:
    """Break: write articles without the story that is kept (`stories.get(each.content.id)` -> `None`), or leave out
    the documents that are there (`self._retold(kept)` -> `[]`)."""
    other = "d" * 32
    pipeline.start("indexer")
    tell(pipeline, story())
    send(pipeline, [tagged(other)])
    pipeline.wait_idle(groups=["indexer"])
    assert told(pipeline, other) == ("partial", other, None, "A text.")
    send(pipeline, [tagged(COPY)])
    tell(pipeline, story(other, originality=0.5))
    pipeline.wait_idle(groups=["indexer"])
    assert told(pipeline) == ("linked", ORIGINAL, 0.25, "A text.")
    assert told(pipeline, other) == ("linked", ORIGINAL, 0.5, "A text.")
    tell(pipeline, story(story_id=COPY, originality=1.0))
    pipeline.wait_idle(groups=["indexer"])
    assert told(pipeline) == ("linked", COPY, 1.0, "A text.")
    assert "duplicate_of" not in pipeline.documents()[COPY]["pipeline"]
    assert pipeline.dead() == []


def test_a_correction_keeps_its_story_and_a_late_revision_loses(pipeline: Pipeline) -> None:
    """Break: write a document that is told its story under a newer version (`document.revision` -> `+ 1`)."""
    pipeline.start("indexer")
    send(pipeline, [tagged(COPY, "first", 5)])
    pipeline.wait_idle(groups=["indexer"])
    tell(pipeline, story())
    pipeline.wait_idle(groups=["indexer"])
    assert told(pipeline) == ("linked", ORIGINAL, 0.25, "first")
    send(pipeline, [tagged(COPY, "older", 4), tagged(COPY, "first again", 5)])
    pipeline.wait_idle(groups=["indexer"])
    assert told(pipeline) == ("linked", ORIGINAL, 0.25, "first again")
    send(pipeline, [tagged(COPY, "corrected", 6)])
    pipeline.wait_idle(groups=["indexer"])
    assert told(pipeline) == ("linked", ORIGINAL, 0.25, "corrected")


def test_the_story_survives_a_kill_between_its_two_writes(pipeline: Pipeline, proxy: FaultProxy) -> None:
    """Break: commit story records before the documents are written (`enable_auto_commit=True`)."""
    pipeline.start("indexer")
    send(pipeline, [tagged(COPY)])
    pipeline.wait_idle(groups=["indexer"])
    bulks = len(proxy.bulks)

    def kill_before_the_document(request: Request) -> Reply | None:
        if request.is_bulk and len(proxy.bulks) > bulks + 1 and "indexer" in pipeline.running:
            pipeline.kill("indexer")
            return NO_ANSWER
        return None

    proxy.fault = kill_before_the_document
    tell(pipeline, story())
    wait_until(lambda: "indexer" not in pipeline.running, 60, pipeline.tails)
    assert told(pipeline)[0] == "partial"
    proxy.fault = lambda _: None
    pipeline.start("indexer")
    pipeline.wait_idle(groups=["indexer"])
    assert told(pipeline) == ("linked", ORIGINAL, 0.25, "A text.")


def test_stories_that_cannot_be_read_are_waited_for(pipeline: Pipeline, proxy: FaultProxy) -> None:
    """Break: in `ElasticsearchIndex.read` take an error for nothing found: the article loses its story."""
    pipeline.start("indexer")
    tell(pipeline, story())
    pipeline.wait_idle(groups=["indexer"])
    refused = 0

    def busy(request: Request) -> Reply | None:
        nonlocal refused
        if "_mget" not in request.path or refused >= 3:
            return None
        refused += 1
        return error(503, "unavailable_shards_exception")

    proxy.fault = busy
    send(pipeline, [tagged(COPY)])
    pipeline.wait_idle(groups=["indexer"])
    assert refused == 3
    assert told(pipeline) == ("linked", ORIGINAL, 0.25, "A text.")
    assert pipeline.dead() == []


# ---------------------------------------------------------------- what is kept for how long


OLD, NEW, LATE, NEWER = ("1" * 32, "2" * 32, "3" * 32, "4" * 32)


def dated(name: str, days_ago: float) -> TaggedArticle:
    return tagged(name).model_copy(update={"published": datetime.now(UTC) - timedelta(days=days_ago)})


def test_articles_past_their_retention_go_and_come_in_no_more(pipeline: Pipeline) -> None:
    """Break: in `Retention.sweep` look for nothing. That none comes in is held by a unit test."""
    standby = first_index(pipeline.name(INDEX_ALIAS)).replace("000001", "000002")
    with Elasticsearch(pipeline.elasticsearch) as client:
        client.indices.create(index=standby, aliases={pipeline.name(STANDBY_ALIAS): {"is_write_index": True}})
        pipeline.start("indexer")
        send(pipeline, [dated(OLD, 3), dated(NEW, 0.1)])
        tell(pipeline, story(OLD), story(NEW))
        pipeline.wait_idle(groups=["indexer"])
        assert pipeline.documents().keys() == {OLD, NEW}, "all are kept where nobody says for how long"
        assert pipeline.terminate("indexer") == 0
        pipeline.start("indexer", INDEXER_RETENTION_DAYS="2", INDEXER_RETENTION_LOOK_SECONDS="0.5")
        wait_until(lambda: pipeline.documents().keys() == {NEW}, 30, pipeline.tails)
        send(pipeline, [dated(LATE, 3), dated(NEWER, 0)])
        pipeline.wait_idle(groups=["indexer"])
        assert pipeline.documents().keys() == {NEW, NEWER}
        assert pipeline.dead() == []
        for index in (pipeline.name(STANDBY_ALIAS), pipeline.name(STORIES_ALIAS)):
            client.indices.refresh(index=index)
            hits = client.search(index=index, query={"match_all": {}})["hits"]["hits"]
            assert OLD not in {hit["_id"] for hit in hits}, index
            assert NEW in {hit["_id"] for hit in hits}, index


def test_an_open_dead_letter_is_shown_in_the_index_until_it_is_replayed(pipeline: Pipeline) -> None:
    """Break: in `_read` pass over `articles-dlq`, or in `_letters` write a closed one too."""

    def shown() -> list[dict[str, Any]]:
        with Elasticsearch(pipeline.elasticsearch) as client:
            client.indices.refresh(index=pipeline.name(DEAD_LETTERS_ALIAS))
            hits = client.search(index=pipeline.name(DEAD_LETTERS_ALIAS))["hits"]["hits"]
            return [hit["_source"] for hit in hits]

    pipeline.start("indexer")
    pipeline.send([b"{not json"], topic=ARTICLES_TAGGED.name)
    pipeline.wait_idle(groups=["indexer"])
    wait_until(lambda: len(shown()) == 1, 30, pipeline.tails)
    (letter,) = shown()
    assert (letter["stage"], letter["reason"], letter["text"]) == ("indexer", "invalid_json", "{not json")
    (dead,) = pipeline.dead()
    assert letter["id"] == dead.letter.id
    marker = [(REPLAYED, dead.letter.id.encode())]
    producer = pipeline.producer()
    producer.send(pipeline.name(ARTICLES_DLQ.name), key=b"k", value=b"", headers=marker).get(timeout=30)
    producer.close()
    wait_until(lambda: shown() == [], 30, pipeline.tails)
