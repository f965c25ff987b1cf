"""One indexer on the real Kafka, with a fault proxy between it and the real Elasticsearch; it is never restarted.

Each test names the line that breaks what it holds; `make faults` breaks it and sees the test fail.
"""

from __future__ import annotations

import json
import threading
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
from elasticsearch import Elasticsearch

from schemas.dead_letter import REPLAYED
from schemas.document import DEAD_LETTERS_ALIAS, INDEX_ALIAS
from schemas.story import Story
from schemas.topics import ARTICLES_DLQ, ARTICLES_TAGGED
from tests.live.articles import indexer_lag, new_ids, send_stories, send_tagged, tagged
from tests.live.fault_proxy import NO_ANSWER, FaultProxy, Reply, Request, error
from tests.live.harness import Pipeline, wait_until
from tests.live.stack import Servers


@pytest.fixture(scope="module")
def _proxy(servers: Servers, module_pipeline: Pipeline) -> Iterator[FaultProxy]:
    proxy = FaultProxy(servers.elasticsearch)
    module_pipeline.environment["ELASTICSEARCH_URL"] = proxy.url
    module_pipeline.start("indexer", INDEXER_BULK_TIMEOUT_SECONDS="2")
    yield proxy
    module_pipeline.stop()
    proxy.close()


@pytest.fixture
def proxy(_proxy: FaultProxy, module_pipeline: Pipeline) -> Iterator[FaultProxy]:
    """Between the indexer and Elasticsearch, without a fault at the start of each test."""
    module_pipeline.wait_healthy("indexer")
    _proxy.requests.clear()
    yield _proxy
    _proxy.fault = lambda _: None


@pytest.fixture
def pipeline(module_pipeline: Pipeline, proxy: FaultProxy) -> Pipeline:
    return module_pipeline


def wait_unavailable(pipeline: Pipeline) -> None:
    """Until the indexer reports that it waits for Elasticsearch."""

    def reported() -> bool:
        health = pipeline.health_of("indexer")
        return bool(health and "Elasticsearch" in (health["reason"] or ""))

    wait_until(reported, 30, pipeline.tails, every=0.05)


def bodies(pipeline: Pipeline, ids: list[str]) -> list[str]:
    found = pipeline.wait_indexed(ids)
    return [found[name]["body"] for name in ids]


def test_correction_replaces_and_older_copy_loses(pipeline: Pipeline) -> None:
    """Break: leave out `version` and `version_type` of the bulk action."""
    corrected, older, same = ids = new_ids(3)
    sent = send_tagged(pipeline, [tagged(name, "first", 5) for name in ids])
    pipeline.wait_indexed(ids)
    sent += send_tagged(
        pipeline, [tagged(corrected, "corrected", 6), tagged(older, "older", 4), tagged(same, "first", 5)]
    )
    pipeline.wait_idle(groups=["indexer"])
    assert bodies(pipeline, ids) == ["corrected", "first", "first"]
    assert pipeline.dead(sent) == []


def test_version_written_meanwhile_is_not_overwritten(pipeline: Pipeline, proxy: FaultProxy) -> None:
    """As by an indexer that has lost its partitions. Break: as in the test before."""
    (name,) = new_ids(1)
    written: list[str] = []

    def write_newer(request: Request) -> Reply | None:
        for action, source in request.documents if request.is_bulk and not written else ():
            if action["_id"] == name:
                newer = json.loads(source) | {"body": "newer", "revision": 9}
                with Elasticsearch(pipeline.elasticsearch) as client:
                    alias = pipeline.name(INDEX_ALIAS)
                    client.index(index=alias, id=name, document=newer, version=9, version_type="external_gte")
                written.append(name)
        return None

    proxy.fault = write_newer
    sent = send_tagged(pipeline, [tagged(name, "older", 4)])
    pipeline.wait_idle(groups=["indexer"])
    assert written == [name]
    assert bodies(pipeline, [name]) == ["newer"]
    assert pipeline.dead(sent) == []


def test_word_before_narrow_space_is_found(pipeline: Pipeline) -> None:
    """Break: leave out `.translate(PLAIN_SPACES)` of the body: the tokenizer takes that space for a letter."""
    ids = new_ids(1)
    send_tagged(pipeline, [tagged(ids[0], "Rien n’est sûr\u202f! Ils ont 10\u202f000\u00a0€.", language="fr")])
    pipeline.wait_indexed(ids)
    with Elasticsearch(pipeline.elasticsearch) as client:
        client.indices.refresh(index=pipeline.name(INDEX_ALIAS))
        for words in ("sûr", "10 000"):
            query = {"bool": {"must": [{"match_phrase": {"body": words}}, {"term": {"id": ids[0]}}]}}
            assert client.count(index=pipeline.name(INDEX_ALIAS), query=query)["count"] == 1, words


# ---------------------------------------------------------------- an Elasticsearch with a fault


def test_unavailable_elasticsearch_is_retried_until_it_answers(pipeline: Pipeline, proxy: FaultProxy) -> None:
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
    ids = new_ids(50)
    sent = send_tagged(pipeline, list(map(tagged, ids)))
    wait_unavailable(pipeline)
    pipeline.wait_indexed(ids)
    gate.set()
    pipeline.wait_idle(groups=["indexer"])
    assert pipeline.dead(sent) == []
    pipeline.wait_healthy("indexer")
    assert pipeline.log("indexer").count("Successfully joined group") <= 1, "the group was rebalanced"


def test_bulk_items_have_their_own_results(pipeline: Pipeline, proxy: FaultProxy) -> None:
    """A status of 200 with items of 201, 429, 400 and 409. Break: in `verdict_on` return WRITTEN for a 429."""
    ids = new_ids(40)
    busy, seen = set(ids[:10]), Counter[str]()

    def fault(request: Request) -> Reply | None:
        if not request.is_bulk:
            return None
        rejected = [name for action, _ in request.documents if (name := action["_id"]) in busy and not seen[name]]
        seen.update(action["_id"] for action, _ in request.documents)
        accepted = [(action, source) for action, source in request.documents if action["_id"] not in rejected]
        # Elasticsearch refuses a bulk of nothing: a poll may have brought busy ones alone.
        results = proxy.forward(request.only(accepted)).json["items"] if accepted else []
        answers = {result["index"]["_id"]: result for result in results}
        for name in rejected:
            cause = {"type": "es_rejected_execution_exception", "reason": "queue full"}
            answers[name] = {"index": {"_id": name, "status": 429, "error": cause}}
        items = [answers[action["_id"]] for action, _ in request.documents]
        return Reply(200, json.dumps({"errors": True, "took": 1, "items": items}).encode())

    proxy.fault = fault
    too_long = "x" * 40_000  # a term of more than 32,766 bytes: Elasticsearch itself answers 400
    refused, newer = ids[10:15], ids[20]
    articles = [tagged(name, language=too_long if name in refused else "en") for name in ids]
    sent = send_tagged(pipeline, [tagged(newer, "newer", 9), *articles])
    pipeline.wait_idle(groups=["indexer"])
    found = pipeline.get(ids)
    assert found.keys() == set(ids) - set(refused)
    assert found[newer]["body"] == "newer"
    dead = pipeline.dead(sent)
    assert [record.letter.reason for record in dead] == ["refused_by_index"] * 5
    assert all("400" in record.letter.error for record in dead)
    assert {record.key for record in dead} == {name.encode() for name in refused}
    repeated = {name for name, count in seen.items() if count > 1 and name != newer}
    assert repeated == busy, "only the busy ones are sent again"


def test_too_large_request_is_split(pipeline: Pipeline, proxy: FaultProxy) -> None:
    """Break: in `_write` treat `TooLarge` as a dead letter for the whole request."""

    def fault(request: Request) -> Reply | None:
        return error(413, "content_too_long") if request.is_bulk and len(request.body) > 20_000 else None

    proxy.fault = fault
    *ids, giant = new_ids(51)
    sent = send_tagged(pipeline, [*[tagged(name, "word " * 200) for name in ids], tagged(giant, "word " * 10_000)])
    pipeline.wait_indexed(ids)
    dead = pipeline.wait_dead(sent[-1:])
    assert [(record.key, record.letter.reason) for record in dead] == [(giant.encode(), "refused_by_index")]
    assert pipeline.get([giant]) == {}
    assert pipeline.dead(sent[:-1]) == []


def test_blocked_index_is_waited_for(pipeline: Pipeline) -> None:
    """The first block is the flood stage's (429), the second answers 403 as the flood stage once did.

    Break: take `cluster_block_exception` out of `NOT_THE_DOCUMENT`.
    """
    alias = pipeline.name(INDEX_ALIAS)
    with Elasticsearch(pipeline.elasticsearch) as client:
        # Elasticsearch checks the disk every 30 s, and lifts the block itself where there is room.
        client.cluster.put_settings(transient={"cluster.info.update.interval": "1h"})
        for block in ("read_only_allow_delete", "write"):
            pipeline.wait_healthy("indexer")
            client.indices.put_settings(index=alias, settings={f"index.blocks.{block}": True})
            ids = new_ids(30)
            sent = send_tagged(pipeline, list(map(tagged, ids)))
            wait_unavailable(pipeline)
            assert indexer_lag(pipeline) == 30, block
            client.indices.put_settings(index=alias, settings={f"index.blocks.{block}": None})
            pipeline.wait_indexed(ids)
            assert pipeline.dead(sent) == [], block
        client.cluster.put_settings(transient={"cluster.info.update.interval": None})


def test_missing_alias_is_waited_for(pipeline: Pipeline, proxy: FaultProxy) -> None:
    """Its index is deleted before a bulk. Break: take `index_not_found_exception` out of `NOT_THE_DOCUMENT`."""

    def delete_index(request: Request) -> Reply | None:
        if request.is_bulk and len(proxy.bulks) == 1:
            with Elasticsearch(pipeline.elasticsearch) as client:
                client.indices.delete(index=next(iter(client.indices.get_alias(name=pipeline.name(INDEX_ALIAS)))))
        return None

    proxy.fault = delete_index
    ids = new_ids(10)
    sent = send_tagged(pipeline, list(map(tagged, ids)))
    wait_unavailable(pipeline)
    pipeline.set_up()
    pipeline.wait_indexed(ids)
    assert pipeline.dead(sent) == []


def test_no_record_is_fetched_during_outage(pipeline: Pipeline, proxy: FaultProxy) -> None:
    """Break: leave out `self.consumer.pause` in `_pause`: fetched records pile up, or are skipped."""
    first, *ids = new_ids(301)
    proxy.fault = lambda request: error(429, "busy") if request.is_bulk else None
    send_tagged(pipeline, [tagged(first)])
    wait_unavailable(pipeline)
    for start in range(0, len(ids), 50):
        send_tagged(pipeline, list(map(tagged, ids[start : start + 50])))
    assert {action["_id"] for bulk in proxy.bulks for action, _ in bulk.documents} == {first}
    proxy.fault = lambda _: None
    pipeline.wait_indexed([first, *ids])


# ---------------------------------------------------------------- dead letters


def test_undecodable_record_is_dead_lettered(pipeline: Pipeline) -> None:
    """Break: in `_prepare` let `Refused` through."""
    before, behind = new_ids(2)
    send_tagged(pipeline, [tagged(before)])
    sent = pipeline.send([b"{", b'{"id": "b"}', None], topic=ARTICLES_TAGGED.name)
    send_tagged(pipeline, [tagged(behind)])
    dead = pipeline.wait_dead(sent)
    pipeline.wait_indexed([before, behind])
    assert sorted((record.letter.reason, record.value or b"") for record in dead) == [
        ("empty", b""),
        ("invalid_json", b"{"),
        ("invalid_record", b'{"id": "b"}'),
    ]


def test_open_dead_letter_is_indexed_until_replayed(pipeline: Pipeline) -> None:
    """Break: in `_read` pass over `articles-dlq`, or in `_letters` write a closed one too."""
    (place,) = pipeline.send([b"{not json"], topic=ARTICLES_TAGGED.name)

    def indexed() -> list[dict[str, Any]]:
        with Elasticsearch(pipeline.elasticsearch) as client:
            client.indices.refresh(index=pipeline.name(DEAD_LETTERS_ALIAS))
            query = {"ids": {"values": [place]}}
            hits = client.search(index=pipeline.name(DEAD_LETTERS_ALIAS), query=query)["hits"]["hits"]
            return [hit["_source"] for hit in hits]

    (dead,) = pipeline.wait_dead([place])
    wait_until(lambda: len(indexed()) == 1, 30, pipeline.tails)
    (letter,) = indexed()
    assert (letter["stage"], letter["reason"], letter["text"]) == ("indexer", "invalid_json", "{not json")
    marker = [(REPLAYED, dead.letter.id.encode())]
    producer = pipeline.producer()
    producer.send(pipeline.name(ARTICLES_DLQ.name), key=b"k", value=b"", headers=marker).get(timeout=30)
    producer.close()
    wait_until(lambda: indexed() == [], 30, pipeline.tails)


# ---------------------------------------------------------------- the story of an article


def story(name: str, story_id: str, originality: float = 0.25) -> Story:
    first = None if name == story_id else story_id
    return Story(id=name, story_id=story_id, duplicate_of=first, originality=originality)


def story_of(pipeline: Pipeline, name: str) -> tuple[str, str, float | None, str]:
    document = pipeline.get([name])[name]
    found = document["pipeline"]
    return found["dedup"], found["story_id"], found.get("originality"), document["body"]


def test_article_gets_its_story_in_either_order(pipeline: Pipeline) -> None:
    """Break: write articles without the story that is kept (`stories.get(each.content.id)` -> `None`), or leave out
    the documents that are there (`self._retold(kept)` -> `[]`)."""
    copy, other, original = new_ids(3)
    send_stories(pipeline, story(copy, original))
    sent = send_tagged(pipeline, [tagged(other)])
    pipeline.wait_idle(groups=["indexer"])
    assert story_of(pipeline, other) == ("partial", other, None, "A text.")
    sent += send_tagged(pipeline, [tagged(copy)])
    send_stories(pipeline, story(other, original, originality=0.5))
    pipeline.wait_idle(groups=["indexer"])
    assert story_of(pipeline, copy) == ("linked", original, 0.25, "A text.")
    assert story_of(pipeline, other) == ("linked", original, 0.5, "A text.")
    send_stories(pipeline, story(copy, copy, originality=1.0))
    pipeline.wait_idle(groups=["indexer"])
    assert story_of(pipeline, copy) == ("linked", copy, 1.0, "A text.")
    assert "duplicate_of" not in pipeline.get([copy])[copy]["pipeline"]
    assert pipeline.dead(sent) == []


def test_correction_keeps_its_story_and_late_revision_loses(pipeline: Pipeline) -> None:
    """Break: write a document that gets its story under a newer version (`document.revision` -> `+ 1`)."""
    copy, original = new_ids(2)
    send_tagged(pipeline, [tagged(copy, "first", 5)])
    pipeline.wait_indexed([copy])
    send_stories(pipeline, story(copy, original))
    pipeline.wait_idle(groups=["indexer"])
    assert story_of(pipeline, copy) == ("linked", original, 0.25, "first")
    send_tagged(pipeline, [tagged(copy, "older", 4), tagged(copy, "first again", 5)])
    pipeline.wait_idle(groups=["indexer"])
    assert story_of(pipeline, copy) == ("linked", original, 0.25, "first again")
    send_tagged(pipeline, [tagged(copy, "corrected", 6)])
    pipeline.wait_idle(groups=["indexer"])
    assert story_of(pipeline, copy) == ("linked", original, 0.25, "corrected")


def test_unreadable_stories_are_waited_for(pipeline: Pipeline, proxy: FaultProxy) -> None:
    """Break: in `ElasticsearchIndex.read` take an error for nothing found: the article loses its story."""
    copy, original = new_ids(2)
    send_stories(pipeline, story(copy, original))
    pipeline.wait_idle(groups=["indexer"])
    refused = 0

    def busy(request: Request) -> Reply | None:
        nonlocal refused
        if "_mget" not in request.path or refused >= 3:
            return None
        refused += 1
        return error(503, "unavailable_shards_exception")

    proxy.fault = busy
    sent = send_tagged(pipeline, [tagged(copy)])
    pipeline.wait_indexed([copy])
    assert refused == 3
    assert story_of(pipeline, copy) == ("linked", original, 0.25, "A text.")
    assert pipeline.dead(sent) == []
