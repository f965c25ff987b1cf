"""What an article becomes when it is corrected, taken out and sent again: on the real servers.

Each test names the line that breaks what it holds; `make faults` breaks it and sees the test fail.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import requests
from elasticsearch import Elasticsearch, NotFoundError
from pydantic import BaseModel

from schemas.article import Paragraph, RawArticle, TaggedArticle
from schemas.document import INDEX_ALIAS, STORIES_ALIAS
from schemas.identity import article_id
from schemas.reading import write_record
from schemas.retraction import BY_PERSON, BY_PRODUCER, Retraction
from schemas.story import Story
from schemas.topics import ARTICLES_RAW, ARTICLES_RETRACTED, ARTICLES_STORIES, ARTICLES_TAGGED, Topic
from services.embedded.ports import choose_ports
from tests.live.fault_proxy import NO_ANSWER, FaultProxy, Reply, Request
from tests.live.harness import ROOT, SERVICES, Pipeline, steady, wait_until

BEGIN = datetime(2026, 1, 1, tzinfo=UTC)
"""When the first revision of an article was stored by Kafka."""

A, B, C, D = (letter * 32 for letter in "abcd")


def version(number: int, name: str = A, text: str | None = None, **other: Any) -> TaggedArticle:
    """The `number`th version of an article, of a minute after the one before it."""
    received = BEGIN + timedelta(minutes=number)
    paragraphs = (text or f"Version {number} of {name[:4]} says so.\n\nIt ends here.").split("\n\n")
    fields: dict[str, Any] = {
        "id": name,
        "revision": _ms(received),
        "received": received,
        "publisher": "p.example",
        "headline": f"Headline {number}",
        "language": "en",
        "language_confidence": 1,
        "kept": tuple(Paragraph(index=place, text=each) for place, each in enumerate(paragraphs)),
    }
    return TaggedArticle(**fields | other)


def _ms(moment: datetime) -> int:
    return int(moment.timestamp() * 1000)


def taken_out(minute: float, name: str = A, **other: Any) -> Retraction:
    """A producer's tombstone, `minute` minutes after the beginning."""
    fields: dict[str, Any] = {"id": name, "time": BEGIN + timedelta(minutes=minute), "by": BY_PRODUCER}
    return Retraction(**fields | other)


def topic_of(record: BaseModel) -> Topic:
    return next(
        topic
        for topic in (ARTICLES_TAGGED, ARTICLES_STORIES, ARTICLES_RETRACTED)
        if topic.record is not None and isinstance(record, topic.record)
    )


def send(pipeline: Pipeline, *records: TaggedArticle | Story | Retraction) -> None:
    """Each in this order, on its topic."""
    producer = pipeline.producer()
    for record in records:
        producer.send(pipeline.name(topic_of(record).name), key=record.id.encode(), value=write_record(record))
    producer.flush()
    producer.close()


def index(pipeline: Pipeline, *records: TaggedArticle | Story | Retraction) -> None:
    """Each is in the index before the next one is sent."""
    for record in records:
        send(pipeline, record)
        pipeline.wait_idle(groups=["indexer"])


def history(pipeline: Pipeline, name: str = A) -> list[str]:
    """The document's headline, and those of its earlier versions."""
    document = pipeline.documents()[name]
    return [document["headline"], *(each["headline"] for each in document["history"])]


def left(pipeline: Pipeline, name: str = A) -> dict[str, Any] | None:
    """Whatever the index has under the id, hits or not."""
    with Elasticsearch(pipeline.elasticsearch) as client:
        try:
            source: dict[str, Any] = client.get(index=pipeline.name(INDEX_ALIAS), id=name)["_source"]
        except NotFoundError:
            return None
        return source


def whole_index(pipeline: Pipeline) -> str:
    """All that the indices of articles and stories hold, past the filter of the alias."""
    with Elasticsearch(pipeline.elasticsearch) as client:
        names = [
            index
            for alias in (INDEX_ALIAS, STORIES_ALIAS)
            for index in client.indices.get_alias(name=pipeline.name(alias))
        ]
        client.indices.refresh(index=names)
        return json.dumps([hit["_source"] for hit in client.search(index=names, size=1000)["hits"]["hits"]])


def command(pipeline: Pipeline, *words: str, status: int = 0) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "services.cli", *words],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        env=os.environ
        | {
            "KAFKA_BOOTSTRAP_SERVERS": pipeline.kafka,
            "ELASTICSEARCH_URL": pipeline.elasticsearch,
            "NEWSFLOW_PREFIX": pipeline.prefix,
            "COLUMNS": "300",
        },
    )
    assert done.returncode == status, done.stderr + done.stdout
    return done.stdout


# ---------------------------------------------------------------- corrections


def test_a_correction_keeps_what_it_replaced(pipeline: Pipeline) -> None:
    """Break: store a document as it came in (in `correct`, no history)."""
    pipeline.start("indexer")
    first = version(1, text="The bridge is closed.\n\nNobody was hurt.", byline="By Ada Marsh")
    second = version(2, text="The bridge is open.\n\nNobody was hurt.", url="https://p.example/1")
    index(pipeline, first, second, version(3, text="The bridge is open."))
    document = pipeline.documents()[A]
    assert document["body"] == "The bridge is open."
    assert document["history"] == [
        {
            "revision": second.revision,
            "received": "2026-01-01T00:02:00Z",
            "headline": "Headline 2",
            "body": second.body,
            "url": "https://p.example/1",
        },
        {
            "revision": first.revision,
            "received": "2026-01-01T00:01:00Z",
            "headline": "Headline 1",
            "body": first.body,
            "byline": "By Ada Marsh",
        },
    ]
    with Elasticsearch(pipeline.elasticsearch) as client:
        found = client.count(index=pipeline.name(INDEX_ALIAS), query={"query_string": {"query": "closed"}})
        assert found["count"] == 0, "what an article no longer says does not find it"
    index(pipeline, Story(id=A, story_id=B))
    assert history(pipeline) == ["Headline 3", "Headline 2", "Headline 1"], "its story leaves it alone"
    told = json.loads(command(pipeline, "history", A, "--json"))
    changed = [each["changed"] for each in told["versions"]]
    assert changed[0]["removed"] == ["Nobody was hurt."]
    assert changed[1]["changed"] == [{"before": "The bridge is closed.", "after": "The bridge is open."}]
    assert changed[1]["fields"].keys() == {"headline", "byline", "url"}
    assert changed[2] is None
    assert pipeline.dead() == []


def test_an_article_that_is_sent_again_unchanged_has_no_history(pipeline: Pipeline) -> None:
    """Break: keep versions that say nothing else (in `_history`, `if _said(newer) != _said(each)` -> ``)."""
    pipeline.start("indexer")
    same = {"headline": "Headline", "text": "The same text."}
    index(pipeline, version(1, **same), version(2, **same), version(2, **same), version(3, **same))
    document = pipeline.documents()[A]
    assert (document["revision"], document["history"]) == (version(3).revision, [])


def run_once(pipeline: Pipeline, records: Sequence[TaggedArticle | Story | Retraction]) -> dict[str, Any]:
    """What comes of the records in this order, a few at a time; documents and what is left of others, by id."""
    pipeline.start("indexer", INDEXER_BULK_RECORDS="7", INDEXER_BULK_WAIT_SECONDS="0.05")
    send(pipeline, *records)
    pipeline.wait_idle(groups=["indexer"])
    assert pipeline.dead() == []
    found = steady(pipeline.documents())
    names = {each.id for each in records}
    traces = {name: each["retracted"] for name in names - found.keys() if (each := left(pipeline, name))}
    assert found.keys() | traces.keys() == {each.id for each in records if isinstance(each, TaggedArticle)}
    return found | traces


@pytest.mark.parametrize("settings", [{}, {"INDEXER_HISTORY_VERSIONS": "2"}, {"INDEXER_HISTORY_BYTES": "700"}])
def test_versions_in_any_order_give_the_same_document(
    new_pipeline: Callable[[], Pipeline], settings: dict[str, str]
) -> None:
    """Break: take what comes in later for the newer one (in `correct`, the sorting of `coming` or of `earlier`)."""
    records = [version(number, name) for name in (A, B, C, D) for number in range(1, 7)]
    shuffled = [*records] * 3
    random.Random(15).shuffle(shuffled)
    ordered, other = new_pipeline(), new_pipeline()
    ordered.environment |= settings
    other.environment |= settings
    assert run_once(ordered, records) == run_once(other, shuffled)
    headlines = [f"Headline {number}" for number in (6, 5, 4, 3, 2, 1)]
    expected = headlines[: 3 if "INDEXER_HISTORY_VERSIONS" in settings else 6]
    if "INDEXER_HISTORY_BYTES" not in settings:
        assert history(other, C) == expected


def test_history_is_bounded(pipeline: Pipeline) -> None:
    """Break: keep all (in `_history`, leave out `[: keep.versions]`, or do not count `left` down)."""
    pipeline.start("indexer", INDEXER_HISTORY_VERSIONS="2", INDEXER_HISTORY_BYTES="3000")
    index(pipeline, *[version(number) for number in range(1, 6)])
    assert history(pipeline) == ["Headline 5", "Headline 4", "Headline 3"]
    long = "word " * 380
    index(pipeline, *[version(number, B, f"{number} {long}") for number in range(1, 4)])
    assert history(pipeline, B) == ["Headline 3", "Headline 2"]
    index(pipeline, version(4, B, f"4 {long}{long}"), version(5, B, "5"))
    assert history(pipeline, B) == ["Headline 5"], "a version that alone is too long hides no older ones behind it"
    assert pipeline.terminate("indexer") == 0
    pipeline.start("indexer", INDEXER_HISTORY_VERSIONS="0")
    index(pipeline, version(1, C), version(2, C))
    assert history(pipeline, C) == ["Headline 2"]


# ---------------------------------------------------------------- retractions at the indexer


def test_what_is_left_of_an_article_is_nothing_of_its_text(pipeline: Pipeline) -> None:
    """Break: in `Writing._retractions` leave the story where it is, or write the trace beside the document."""
    pipeline.start("indexer")
    index(pipeline, version(1), version(2), version(1, B), Story(id=A, story_id=B), taken_out(3))
    assert pipeline.documents().keys() == {B}
    assert left(pipeline) == {
        "id": A,
        "revision": version(2).revision,
        "retracted": {"time": "2026-01-01T00:03:00Z", "by": "producer", "hold": False, "withdrawn": False},
    }
    held = whole_index(pipeline)
    for text in ("Version 1 of aaaa", "Version 2 of aaaa", "Headline 2"):
        assert text not in held
    assert held.count(A) == 1, "only what is left has its id, and no story"
    assert "Version 1 of bbbb" in held


def test_after_a_tombstone_an_older_copy_stays_out_and_a_newer_revision_comes_in(pipeline: Pipeline) -> None:
    """Break: in `_may_come` let everything in (`document.event.created > cleared` -> `True`)."""
    pipeline.start("indexer")
    index(pipeline, version(1), taken_out(3), version(1), version(2), Story(id=A, story_id=A))
    assert pipeline.documents() == {}
    index(pipeline, version(4))
    assert history(pipeline) == ["Headline 4"], "what was taken out is no history"
    # The tombstone again, as after a restart: it is older than the article.
    index(pipeline, taken_out(3))
    assert history(pipeline) == ["Headline 4"]


def test_what_a_person_took_out_stays_out_until_that_is_withdrawn(pipeline: Pipeline) -> None:
    """Break: in `_may_come` leave out `hold`."""
    pipeline.start("indexer")
    held = taken_out(3, by=BY_PERSON, reason="A court's order.", hold=True)
    index(pipeline, version(1), held, version(4), taken_out(5), version(6))
    assert pipeline.documents() == {}
    found = left(pipeline) or {}
    assert (found["retracted"]["hold"], found["retracted"]["reason"]) == (True, "A court's order.")
    index(pipeline, taken_out(7, by=BY_PERSON, withdrawn=True))
    assert pipeline.documents() == {}, "it comes in when it is sent again"
    index(pipeline, version(8))
    assert history(pipeline) == ["Headline 8"]


def test_a_tombstone_that_overtakes_its_article_keeps_it_out(pipeline: Pipeline) -> None:
    """Break: in `retract` answer None where there is no document."""
    pipeline.start("indexer")
    index(pipeline, taken_out(3), version(2), version(1, B))
    assert pipeline.documents().keys() == {B}
    index(pipeline, version(4))
    assert history(pipeline) == ["Headline 4"]


@pytest.mark.parametrize(
    "order", ["v1 v2 out v4 v5", "v1 v2 v4 v5 out", "out v5 v4 v2 v1", "v5 out v2 v4 v1", "v2 v4 out v1 v5"]
)
def test_versions_before_a_tombstone_are_no_history_of_those_behind_it(pipeline: Pipeline, order: str) -> None:
    """Whichever way the records of the two topics come: the text of before it is gone.

    Break: in `retract` answer None for a document that was received later, with its history as it is.
    """
    pipeline.start("indexer")
    index(pipeline, *[taken_out(3) if each == "out" else version(int(each[1])) for each in order.split()])
    assert history(pipeline) == ["Headline 5", "Headline 4"]


def test_t15_three_deliveries_in_another_order_give_the_same_index(new_pipeline: Callable[[], Pipeline]) -> None:
    """Break: let a producer's tombstone take the place of what a person said (`_is_known`: `bool(held)`)."""
    records: list[TaggedArticle | Story | Retraction] = []
    for number in range(30):
        name = f"{number:032x}"
        records += [version(each, name) for each in range(1, 2 + number % 4)]
        records.append(Story(id=name, story_id=f"{number // 3 * 3:032x}", originality=0.5))
        if number % 5 == 0:
            records.append(taken_out(10, name))
        if number % 7 == 0:
            records.append(taken_out(11, name, by=BY_PERSON, hold=True, reason="An order."))
    again = [*records] * 3
    random.Random(23).shuffle(again)
    once = run_once(new_pipeline(), records)
    assert once == run_once(new_pipeline(), again)
    assert sum("time" in each for each in once.values()) == 10


# ---------------------------------------------------------------- kills


@pytest.mark.parametrize("applied", [True, False])
@pytest.mark.parametrize("number", [1, 2])
def test_a_kill_between_the_writes_leaves_the_article_out(
    pipeline: Pipeline, proxy: FaultProxy, number: int, applied: bool
) -> None:
    """At the bulk of the trace, and at the one that deletes the story; each may have been applied or not.

    Break: commit before the documents are written (`enable_auto_commit=True`).
    """
    pipeline.start("indexer")
    index(pipeline, version(1), version(1, B), Story(id=A, story_id=B))
    bulks = len(proxy.bulks)

    def kill(request: Request) -> Reply | None:
        if not request.is_bulk or len(proxy.bulks) != bulks + number:
            return None
        if applied:
            proxy.forward(request)
        pipeline.kill("indexer")
        return NO_ANSWER

    proxy.fault = kill
    send(pipeline, taken_out(3))
    wait_until(lambda: "indexer" not in pipeline.running, 60, pipeline.tails)
    proxy.fault = lambda _: None
    pipeline.start("indexer")
    pipeline.wait_idle(groups=["indexer"])
    assert pipeline.documents().keys() == {B}
    index(pipeline, version(1), version(2))
    assert pipeline.documents().keys() == {B}
    assert whole_index(pipeline).count(A) == 1, "only what is left has its id, and no story"
    assert pipeline.dead() == []


# ---------------------------------------------------------------- the whole way


def raw(number: int, text: str = "", **other: Any) -> RawArticle:
    words = random.Random(number).sample(WORDS, 8)
    body = text or f"Paragraph {number} about the {' and the '.join(words)}.\n\nZebra{number} is its own word."
    return RawArticle(
        **{"publisher": "p.example", "id": str(number), "headline": f"Raw {number}", "body": body} | other
    )


WORDS = ["ferry", "harbour", "council", "bridge", "market", "winter", "tower", "river", "school", "garden", "mill"]


def send_raw(pipeline: Pipeline, *articles: RawArticle) -> None:
    """As our own producers do it: under the article id."""
    pipeline.send(articles, keys=[article_id(each).encode() for each in articles])
    pipeline.wait_idle()


def send_tombstone(pipeline: Pipeline, key: bytes, **headers: str) -> None:
    producer = pipeline.producer()
    pairs = [(name, value.encode()) for name, value in headers.items()]
    producer.send(pipeline.name(ARTICLES_RAW.name), key=key, value=None, headers=pairs).get(timeout=60)
    producer.close()
    pipeline.wait_idle()


def hits(pipeline: Pipeline, query: str) -> list[str]:
    with Elasticsearch(pipeline.elasticsearch) as client:
        client.indices.refresh(index=pipeline.name(INDEX_ALIAS))
    return [hit["id"] for hit in json.loads(command(pipeline, "search", query, "--json"))["hits"]]


@pytest.mark.timeout(600)
def test_a_producer_takes_an_article_out_and_a_person_holds_it_back(pipeline: Pipeline) -> None:
    """Break: let the cleaner pass no tombstones on (`tombstones=ARTICLES_RETRACTED` in its `STAGE`)."""
    articles = [raw(number) for number in range(3)]
    name, cloud, kept = (article_id(each) for each in articles)
    pipeline.start(*SERVICES)
    send_raw(pipeline, *articles)
    assert hits(pipeline, "zebra0") == [name]
    assert f"{name} is in the index: Raw 0 (p.example)" in command(pipeline, "retract", name, "--until-newer")
    pipeline.wait_idle()
    send_raw(pipeline, articles[0])
    assert hits(pipeline, "zebra0") == [name]

    send_tombstone(pipeline, name.encode())
    send_tombstone(pipeline, cloud.encode(), ce_specversion="1.0", ce_id="1", ce_source="/cms", ce_type="gone")
    assert pipeline.documents().keys() == {kept}
    assert (hits(pipeline, "zebra0"), hits(pipeline, "zebra2")) == ([], [kept])
    held = whole_index(pipeline)
    assert ("Zebra0" in held, "Zebra1" in held, "Zebra2" in held) == (False, False, True)
    told = json.loads(command(pipeline, "history", name, "--json"))
    assert (told["retracted"]["by"], told["retracted"]["hold"], told["versions"]) == ("producer", False, [])
    command(pipeline, "story", name, status=1)

    send_raw(pipeline, raw(0, revision=_ms(BEGIN)))
    assert hits(pipeline, "zebra0") == [], "an older copy that comes late"
    send_raw(pipeline, articles[0])
    assert hits(pipeline, "zebra0") == [name]

    said = json.loads(command(pipeline, "retract", name, "--reason", "A court's order.", "--json"))
    assert (said["id"], said["before"]["headline"]) == (name, "Raw 0")
    pipeline.wait_idle()
    send_raw(pipeline, articles[0])
    assert hits(pipeline, "zebra0") == []
    assert "A court's order." in command(pipeline, "history", name)
    command(pipeline, "retract", name, "--undo")
    pipeline.wait_idle()
    assert hits(pipeline, "zebra0") == []
    send_raw(pipeline, articles[0])
    assert hits(pipeline, "zebra0") == [name]
    assert pipeline.dead() == []

    send_tombstone(pipeline, b"7")
    (dead,) = pipeline.dead()
    assert (dead.letter.reason, dead.value, dead.key) == ("empty", None, b"7")
    assert "article id as its key" in dead.letter.error


def test_dead_letters_of_an_article_go_with_it(pipeline: Pipeline) -> None:
    """Break: in `newsflow retract` leave out the purge."""
    name = article_id(raw(1))
    pipeline.start("cleaner", "indexer")
    pipeline.send([b'{"body": "Zebra1"', b'{"body": "Zebra2"'], keys=[name.encode(), b"other"])
    pipeline.wait_idle(groups=["cleaner", "indexer"])
    assert len(pipeline.dead()) == 2
    assert "1 dead letter of it purged" in command(pipeline, "retract", name)
    assert [each.key for each in pipeline.dead()] == [b"other"]


def test_delete_over_http_takes_an_article_out(pipeline: Pipeline) -> None:
    """Break: in the gateway give the tombstone a value (`Record(name, None)` -> `Record(name, b"")`)."""
    port = choose_ports(["gateway"], {})["gateway"]
    pipeline.start(*SERVICES)
    pipeline.start("gateway", GATEWAY_PORT=str(port))
    url = f"http://127.0.0.1:{port}/v1/articles"
    body = raw(1).model_dump_json(exclude_defaults=True)
    answer = requests.post(url, data=body, headers={"content-type": "application/json"}, timeout=30)
    (name,) = (each["id"] for each in answer.json()["accepted"])
    pipeline.wait_idle()
    assert pipeline.documents().keys() == {name}
    answer = requests.delete(f"{url}/{name}", timeout=30)
    assert (answer.status_code, answer.json()) == (202, {"accepted": [{"id": name}]})
    pipeline.wait_idle()
    assert pipeline.documents() == {}
    assert (left(pipeline, name) or {})["retracted"]["by"] == "producer"
    assert pipeline.dead() == []
