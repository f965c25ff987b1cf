"""An index filled again from Kafka, on the real servers with the real indexer beside it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from elasticsearch import Elasticsearch

from schemas.article import Entity, Retagged, TaggedArticle, digest_of_body
from schemas.document import INDEX_ALIAS, STANDBY_ALIAS, STORIES_ALIAS
from schemas.reading import write_record
from schemas.retraction import Retraction
from schemas.story import Story
from schemas.topics import ARTICLES_RETAGGED, ARTICLES_RETRACTED, ARTICLES_STORIES, ARTICLES_TAGGED
from services.indexer.migration import Done, Stopped, back, migrate
from services.indexer.rebuild import rebuild
from services.indexer.settings import IndexerSettings
from tests.live.harness import VOLATILE, Pipeline
from tests.live.migrating import Hook, behind, once, put, soon, source, stored, working
from tests.unit.indexer.articles import tagged

__all__ = ["soon"]

LATER = datetime.now(UTC) + timedelta(hours=1)


def run(pipeline: Pipeline, hook: Hook = lambda *_: None) -> Done:
    settings = IndexerSettings(
        kafka_bootstrap_servers=pipeline.kafka,
        elasticsearch_url=pipeline.elasticsearch,
        newsflow_prefix=pipeline.prefix,
    )
    return rebuild(working(pipeline, hook=hook), settings)


def send(pipeline: Pipeline, topic: str, *records: Any) -> None:
    pipeline.send(
        [write_record(each) for each in records], topic=topic, keys=[each.id.encode() for each in records]
    )


def name(number: int) -> str:
    """The id of an article."""
    return f"{number:032x}"


def other_entities(article: TaggedArticle) -> Retagged:
    return Retagged(
        id=article.id,
        revision=article.revision,
        body_digest=digest_of_body(article.body),
        versions={"model": "en-9", "tagger": "9"},
        people=(Entity(id="person:ada", name="Ada", count=1),),
    )


def say(pipeline: Pipeline) -> set[str]:
    """Articles, a correction, a late copy, a story, other entities, and two that were taken out."""
    names = [name(number) for number in range(40)]
    articles = [tagged(each) for each in names]
    send(pipeline, ARTICLES_STORIES.name, *[Story(id=each, story_id=names[0]) for each in names[:20]])
    send(pipeline, ARTICLES_TAGGED.name, *articles, tagged(names[1], "Corrected.", 5), tagged(names[1], "Late.", 3))
    pipeline.wait_idle(groups=["indexer"])
    send(pipeline, ARTICLES_RETAGGED.name, other_entities(articles[2]))
    send(
        pipeline,
        ARTICLES_RETRACTED.name,
        Retraction(id=names[3], time=LATER, by="producer"),
        Retraction(id=names[4], time=LATER, by="newsflow retract", hold=True),
        Retraction(id=name(99), time=LATER, by="producer"),
    )
    pipeline.wait_idle(groups=["indexer"])
    return set(names) - {names[3], names[4]}


def steady(documents: dict[str, tuple[int, Any]]) -> dict[str, tuple[int, Any]]:
    return {
        name: (version, {key: value for key, value in found.items() if key not in VOLATILE})
        for name, (version, found) in documents.items()
    }


def lose(client: Elasticsearch, pipeline: Pipeline, *aliases: str) -> None:
    for alias in aliases:
        client.indices.delete(index=behind(client, pipeline.name(alias)))
    pipeline.set_up()


@pytest.mark.usefixtures("soon")
def test_lost_index_is_rebuilt(pipeline: Pipeline, client: Elasticsearch) -> None:
    """The stories with it, and what was taken out is out.

    Break: in `ORDER` read other entities before the articles; leave out the retractions in `fill`.
    """
    alias, standby = pipeline.name(INDEX_ALIAS), pipeline.name(STANDBY_ALIAS)
    pipeline.start("indexer")
    visible = say(pipeline)
    before = stored(client, behind(client, alias))
    assert "retracted" in before[name(3)][1]
    lose(client, pipeline, INDEX_ALIAS, STORIES_ALIAS)
    # It comes in again, though it is held back: the index that the indexer looks into has lost the trace.
    send(pipeline, ARTICLES_TAGGED.name, tagged(name(4), "Again.", 2**62), tagged("later"))
    pipeline.wait_idle(groups=["indexer"])
    compared: list[dict[str, tuple[int, Any]]] = []
    done = run(pipeline, once(lambda: compared.append(stored(client, standby)), "compare"))
    assert done.state == "switched"
    assert done.kafka[ARTICLES_TAGGED.name] == 44
    after = stored(client, behind(client, alias))
    assert after == compared[0], "all was as it should be before the switch"
    assert "retracted" in after.pop(name(4))[1], "it is held back"
    before.pop(name(4))
    after.pop("later")
    assert steady(after) == steady(before)
    assert after[name(2)][1]["people"] == [{"id": "person:ada", "name": "Ada", "count": 1}]
    assert after[name(1)][1]["history"][0]["revision"] == 3
    assert after[name(5)][1]["pipeline"]["story_id"] == name(0)
    assert pipeline.documents().keys() == visible | {"later"}
    # And back: the other one gets what it had lost.
    assert back(working(pipeline)).state == "switched back"
    assert pipeline.documents().keys() == visible | {"later"}
    assert pipeline.dead() == []


@pytest.mark.usefixtures("soon")
def test_retracted_article_written_meanwhile_is_retracted_after_switch(
    pipeline: Pipeline, client: Elasticsearch
) -> None:
    """As the indexer would write it to both, from an index that has lost the trace.

    Break: leave out the retractions at the end of `rebuild`.
    """
    alias, standby = pipeline.name(INDEX_ALIAS), pipeline.name(STANDBY_ALIAS)
    send(pipeline, ARTICLES_RETRACTED.name, Retraction(id=name(4), time=LATER, by="newsflow retract", hold=True))

    def let_in() -> None:
        put(client, alias, source(name(4), revision=7))
        put(client, standby, source(name(4), revision=7))

    assert run(pipeline, once(let_in, "compare")).state == "switched"
    for index in behind(client, alias), behind(client, standby):
        assert "retracted" in stored(client, index)[name(4)][1]
    assert pipeline.documents() == {}


@pytest.mark.usefixtures("soon")
def test_document_that_kafka_lacks_is_copied(pipeline: Pipeline, client: Elasticsearch) -> None:
    """Break: leave out `self.work.copy` in `fill`."""
    alias = pipeline.name(INDEX_ALIAS)
    pipeline.start("indexer")
    visible = say(pipeline)
    old = [f"before-{number:02}" for number in range(30)]
    put(client, alias, *[source(name) for name in old])
    trace = {"id": "left", "revision": 7, "retracted": {"time": "2026-01-01T00:00:00Z", "by": "producer"}}
    put(client, alias, trace)
    before = stored(client, behind(client, alias))
    done = run(pipeline)
    # With what is left of one that Kafka never had.
    assert (done.state, done.copied) == ("switched", len(old) + 2)
    assert done.there == len(before) - done.copied
    assert steady(stored(client, behind(client, alias))) == steady(before)
    assert pipeline.documents().keys() == visible | set(old)


@pytest.mark.usefixtures("soon")
def test_retraction_and_story_that_kafka_lacks_are_kept(pipeline: Pipeline, client: Elasticsearch) -> None:
    """Kafka has neither any more. Break: `behind_as_rebuilt` returns False for equal versions."""
    alias = pipeline.name(INDEX_ALIAS)
    send(pipeline, ARTICLES_TAGGED.name, tagged("out", revision=7), tagged("copy"), tagged("plain"))
    out = {"id": "out", "revision": 7, "retracted": {"time": "2026-01-01T00:00:00Z", "by": "producer"}}
    linked = source("copy")
    linked["pipeline"] |= {"dedup": "linked", "story_id": "first"}
    put(client, alias, out, linked, source("plain"))
    done = run(pipeline)
    assert (done.state, done.rounds[0].copied) == ("switched", 2)
    after = stored(client, behind(client, alias))
    assert after["out"][1] == out
    assert after["copy"][1]["pipeline"]["story_id"] == "first"


@pytest.mark.usefixtures("soon")
def test_unreadable_record_is_reported_and_skipped(pipeline: Pipeline, client: Elasticsearch) -> None:
    (place,) = pipeline.send([b"{"], topic=ARTICLES_TAGGED.name)
    send(pipeline, ARTICLES_TAGGED.name, tagged("good"))
    done = run(pipeline)
    assert (done.state, done.refused_records, list(done.refused)) == ("switched", 1, [place])
    assert pipeline.documents().keys() == {"good"}
    assert pipeline.dead() == [], "it is a dead letter already, wherever it was read first"


@pytest.mark.usefixtures("soon")
def test_interrupted_rebuild_resumes(
    pipeline: Pipeline, client: Elasticsearch, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed while Kafka is read, it reads it again; killed later, it does not."""

    class Killed(BaseException):
        pass

    told: list[str] = []

    def kill(at: str) -> Hook:
        def hook(what: str, _: int) -> None:
            told.append(what)
            if what == at:
                raise Killed

        told.clear()
        return hook

    send(pipeline, ARTICLES_TAGGED.name, *[tagged(f"article-{number:04}") for number in range(20)])
    put(client, pipeline.name(INDEX_ALIAS), source("before"))
    for at, read in ((ARTICLES_TAGGED.name, True), ("copy", True), ("compare", False)):
        with pytest.raises(Killed):
            run(pipeline, kill(at))
        assert (ARTICLES_TAGGED.name in told) is read
    with pytest.raises(Stopped, match="begun by newsflow index rebuild"):
        migrate(working(pipeline))
    done = run(pipeline)
    assert (done.state, done.kafka) == ("switched", {})
    assert len(pipeline.documents()) == 21
