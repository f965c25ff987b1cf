"""Indexers that are killed, stopped, joined by another, refused or configured, each test with its own.

Each test names the line that breaks what it holds; `make faults` breaks it and sees the test fail.
"""

from __future__ import annotations

import threading
import time
from datetime import UTC, datetime, timedelta

import pytest
from elasticsearch import Elasticsearch

from schemas.article import TaggedArticle
from schemas.document import INDEX_ALIAS, STANDBY_ALIAS, STORIES_ALIAS, first_index
from schemas.story import Story
from services.embedded.servers import KafkaServer
from tests.live.articles import indexer_lag, new_ids, send_stories, send_tagged, tagged
from tests.live.fault_proxy import NO_ANSWER, FaultProxy, Reply, Request, error
from tests.live.harness import Pipeline, wait_until
from tests.live.stack import Servers


@pytest.mark.usefixtures("through_proxy")
def test_kill_between_bulk_and_commit_loses_nothing(pipeline: Pipeline, proxy: FaultProxy) -> None:
    """Break: commit before the bulk (`enable_auto_commit=True`), or an `op_type` of create."""

    def kill_after_the_first(request: Request) -> Reply | None:
        if not request.is_bulk or len(proxy.bulks) > 1:
            return None
        proxy.forward(request)
        pipeline.kill("indexer")
        return NO_ANSWER

    ids = new_ids(60)
    send_tagged(pipeline, list(map(tagged, ids)))
    proxy.fault = kill_after_the_first
    pipeline.start("indexer", wait=False)
    wait_until(lambda: "indexer" not in pipeline.running, 60, pipeline.tails)
    assert indexer_lag(pipeline) == 60
    pipeline.start("indexer")
    pipeline.wait_idle(groups=["indexer"])
    assert pipeline.documents().keys() == set(ids)
    assert pipeline.dead() == []


@pytest.mark.usefixtures("through_proxy")
def test_kill_between_story_and_document_keeps_story(pipeline: Pipeline, proxy: FaultProxy) -> None:
    """Break: commit story records before the documents are written (`enable_auto_commit=True`)."""
    copy, original = new_ids(2)
    pipeline.start("indexer")
    send_tagged(pipeline, [tagged(copy)])
    pipeline.wait_idle(groups=["indexer"])
    bulks = len(proxy.bulks)

    def kill_before_the_document(request: Request) -> Reply | None:
        if request.is_bulk and len(proxy.bulks) > bulks + 1 and "indexer" in pipeline.running:
            pipeline.kill("indexer")
            return NO_ANSWER
        return None

    proxy.fault = kill_before_the_document
    send_stories(pipeline, Story(id=copy, story_id=original, duplicate_of=original, originality=0.25))
    wait_until(lambda: "indexer" not in pipeline.running, 60, pipeline.tails)
    assert pipeline.get([copy])[copy]["pipeline"]["dedup"] == "partial"
    proxy.fault = lambda _: None
    pipeline.start("indexer")
    pipeline.wait_idle(groups=["indexer"])
    document = pipeline.get([copy])[copy]
    found = document["pipeline"]
    assert (found["dedup"], found["story_id"], found["originality"]) == ("linked", original, 0.25)
    assert document["body"] == "A text."


@pytest.mark.usefixtures("through_proxy")
def test_stop_completes_bulk_in_flight(pipeline: Pipeline, proxy: FaultProxy) -> None:
    """Break: exit at once on SIGTERM (leave out the signal handler): the exit status is not 0."""
    started = threading.Event()

    def slow(request: Request) -> Reply | None:
        if request.is_bulk:
            started.set()
            time.sleep(2)  # the fault itself
        return None

    proxy.fault = slow
    ids = new_ids(20)
    send_tagged(pipeline, list(map(tagged, ids)))
    pipeline.start("indexer", wait=False)
    assert started.wait(30)
    assert pipeline.terminate("indexer") == 0
    done = 20 - indexer_lag(pipeline)
    proxy.fault = lambda _: None
    assert len(pipeline.documents()) >= done > 0
    pipeline.start("indexer")
    pipeline.wait_idle(groups=["indexer"])
    assert pipeline.documents().keys() == set(ids)


@pytest.mark.usefixtures("through_proxy")
def test_rebalance_during_outage_loses_nothing(pipeline: Pipeline, proxy: FaultProxy) -> None:
    """A second indexer joins while the first one waits. Break: leave out `on_partitions_revoked`'s `gone`."""
    returned = threading.Event()
    proxy.fault = lambda request: error(503) if request.is_bulk and not returned.is_set() else None
    ids = new_ids(100)
    send_tagged(pipeline, list(map(tagged, ids)))
    pipeline.start("indexer#1", wait=False)
    wait_until(lambda: "waiting for Elasticsearch" in pipeline.log("indexer#1"), 30, pipeline.tails)
    pipeline.start("indexer#2", wait=False)
    wait_until(lambda: "waiting for Elasticsearch" in pipeline.log("indexer#2"), 40, pipeline.tails)
    returned.set()
    pipeline.wait_idle(60, groups=["indexer"])
    assert pipeline.documents().keys() == set(ids)
    assert pipeline.dead() == []


def test_broker_outage_of_5_s_loses_nothing(
    broker_pipeline: Pipeline, broker: KafkaServer, servers: Servers
) -> None:
    """Break: let a `KafkaError` out of `_commit`."""
    proxy = FaultProxy(servers.elasticsearch)
    broker_pipeline.environment["ELASTICSEARCH_URL"] = proxy.url
    proxy.fault = lambda request: time.sleep(0.05) if request.is_bulk else None
    ids = new_ids(400)
    send_tagged(broker_pipeline, list(map(tagged, ids)))
    broker_pipeline.start("indexer", INDEXER_BULK_RECORDS="5")
    wait_until(lambda: len(proxy.bulks) > 5, 30, broker_pipeline.tails)
    broker.kill()
    time.sleep(5)  # the fault itself
    broker.start()
    broker_pipeline.wait_idle(60, groups=["indexer"])
    assert broker_pipeline.documents().keys() == set(ids)
    assert broker_pipeline.dead() == []
    proxy.close()


@pytest.mark.usefixtures("through_proxy")
def test_forbidden_indexer_exits_without_commit(pipeline: Pipeline, proxy: FaultProxy) -> None:
    """Break: in `failure_of` treat 401 and 403 as `Unavailable`, or as a dead letter."""
    send_tagged(pipeline, list(map(tagged, new_ids(10))))
    for status in (401, 403):
        name = f"indexer#{status}"

        def refuse(request: Request, status: int = status) -> Reply | None:
            return error(status, "security_exception") if request.is_bulk else None

        proxy.fault = refuse
        pipeline.start(name, wait=False)
        assert pipeline.wait_exit(name, 40) == 77, status
        assert "ELASTICSEARCH_API_KEY" in pipeline.log(name)
        assert indexer_lag(pipeline) == 10
        assert pipeline.dead() == []


def test_index_of_older_version_is_waited_for(pipeline: Pipeline) -> None:
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
    ids = new_ids(10)
    send_tagged(pipeline, list(map(tagged, ids)))
    pipeline.start("indexer", wait=False)
    wait_until(lambda: "run newsflow setup" in pipeline.log("indexer"), 30, pipeline.tails)
    assert "history" in pipeline.log("indexer")
    pipeline.set_up()
    pipeline.wait_idle(groups=["indexer"])
    assert pipeline.documents().keys() == set(ids)
    assert pipeline.dead() == []


def dated(name: str, days_ago: float) -> TaggedArticle:
    return tagged(name).model_copy(update={"published": datetime.now(UTC) - timedelta(days=days_ago)})


def test_expired_articles_are_deleted_and_not_indexed(pipeline: Pipeline) -> None:
    """Break: in `Retention.sweep` look for nothing. That none is indexed is held by a unit test."""
    old, new, late, newer = new_ids(4)
    standby = first_index(pipeline.name(INDEX_ALIAS)).replace("000001", "000002")
    with Elasticsearch(pipeline.elasticsearch) as client:
        client.indices.create(index=standby, aliases={pipeline.name(STANDBY_ALIAS): {"is_write_index": True}})
        pipeline.start("indexer")
        send_tagged(pipeline, [dated(old, 3), dated(new, 0.1)])
        send_stories(pipeline, *[Story(id=name, story_id="0" * 32) for name in (old, new)])
        pipeline.wait_idle(groups=["indexer"])
        assert pipeline.documents().keys() == {old, new}, "without a retention all are kept"
        assert pipeline.terminate("indexer") == 0
        pipeline.start("indexer", INDEXER_RETENTION_DAYS="2", INDEXER_RETENTION_LOOK_SECONDS="0.5")
        wait_until(lambda: pipeline.documents().keys() == {new}, 30, pipeline.tails)
        send_tagged(pipeline, [dated(late, 3), dated(newer, 0)])
        pipeline.wait_idle(groups=["indexer"])
        assert pipeline.documents().keys() == {new, newer}
        assert pipeline.dead() == []
        for index in (pipeline.name(STANDBY_ALIAS), pipeline.name(STORIES_ALIAS)):
            client.indices.refresh(index=index)
            hits = client.search(index=index, query={"match_all": {}})["hits"]["hits"]
            assert old not in {hit["_id"] for hit in hits}, index
            assert new in {hit["_id"] for hit in hits}, index
