"""Retractions by a producer, by a person and over HTTP, through all services.

Each test names the line that breaks what it holds; `make faults` breaks it and sees the test fail.
"""

from __future__ import annotations

import json

import requests
from elasticsearch import Elasticsearch

from schemas.article import RawArticle
from schemas.document import INDEX_ALIAS
from schemas.identity import article_id
from schemas.topics import ARTICLES_RAW
from services.cli.search import ask
from services.embedded.ports import choose_ports
from tests.live.articles import new_ids
from tests.live.harness import Pipeline
from tests.live.versions import BEGIN, command, milliseconds, stored, visible, whole_index


def raw(word: str, revision: int | None = None) -> RawArticle:
    """An article with a word of its own."""
    body = f"{word} opened beside the weir on Sunday.\n\nVisitors praised {word} and its lanterns until midnight."
    return RawArticle(publisher=f"{word}.example", id="1", headline=f"Raw {word}", body=body, revision=revision)


def new_words(count: int) -> list[str]:
    return [f"zebra{name[:12]}" for name in new_ids(count)]


def send(pipeline: Pipeline, *articles: RawArticle) -> list[str]:
    """As our own producers do it, under the article id; returns when all services are idle."""
    places = pipeline.send(articles, keys=[article_id(article).encode() for article in articles])
    pipeline.wait_idle()
    return places


def send_tombstone(pipeline: Pipeline, key: bytes, **headers: str) -> str:
    """Returns its `topic/partition/offset` when all services are idle."""
    producer = pipeline.producer()
    pairs = [(name, value.encode()) for name, value in headers.items()]
    sent = producer.send(pipeline.name(ARTICLES_RAW.name), key=key, value=None, headers=pairs).get(timeout=60)
    producer.close()
    pipeline.wait_idle()
    return f"{sent.topic}/{sent.partition}/{sent.offset}"


def hits(pipeline: Pipeline, query: str) -> list[str]:
    alias = pipeline.name(INDEX_ALIAS)
    with Elasticsearch(pipeline.elasticsearch) as client:
        client.indices.refresh(index=alias)
        return [hit["id"] for hit in ask(client, alias, query, 10)["hits"]]


def test_article_is_retracted_by_producer_and_held_back_by_person(running: Pipeline) -> None:
    """Break: let the cleaner pass no tombstones on (`tombstones=ARTICLES_RETRACTED` in its `STAGE`)."""
    words = new_words(3)
    articles = [raw(word) for word in words]
    name, cloud, kept = map(article_id, articles)
    places = send(running, *articles)
    assert hits(running, words[0]) == [name]
    answer = command(running, "retract", name, "--until-newer")
    assert f"{name} is in the index: Raw {words[0]} ({words[0]}.example)" in answer
    running.wait_idle()
    places += send(running, articles[0])
    assert hits(running, words[0]) == [name]

    send_tombstone(running, name.encode())
    send_tombstone(running, cloud.encode(), ce_specversion="1.0", ce_id="1", ce_source="/cms", ce_type="gone")
    assert visible(running, name, cloud, kept).keys() == {kept}
    assert (hits(running, words[0]), hits(running, words[2])) == ([], [kept])
    content = whole_index(running)
    assert [word in content for word in words] == [False, False, True]
    shown = json.loads(command(running, "history", name, "--json"))
    assert (shown["retracted"]["by"], shown["retracted"]["hold"], shown["versions"]) == ("producer", False, [])
    command(running, "story", name, status=1)

    places += send(running, raw(words[0], revision=milliseconds(BEGIN)))
    assert hits(running, words[0]) == [], "an older copy that comes late"
    places += send(running, articles[0])
    assert hits(running, words[0]) == [name]

    done = json.loads(command(running, "retract", name, "--reason", "A court's order.", "--json"))
    assert (done["id"], done["before"]["headline"]) == (name, f"Raw {words[0]}")
    running.wait_idle()
    places += send(running, articles[0])
    assert hits(running, words[0]) == []
    assert "A court's order." in command(running, "history", name)
    command(running, "retract", name, "--undo")
    running.wait_idle()
    assert hits(running, words[0]) == []
    places += send(running, articles[0])
    assert hits(running, words[0]) == [name]
    assert running.dead(places) == []


def test_tombstone_with_foreign_key_is_dead_lettered(running: Pipeline) -> None:
    (dead,) = running.wait_dead([send_tombstone(running, b"7")])
    assert (dead.letter.reason, dead.value, dead.key) == ("empty", None, b"7")
    assert "article id as its key" in dead.letter.error


def test_retraction_purges_dead_letters_of_article(running: Pipeline) -> None:
    """Break: in `newsflow retract` leave out the purge."""
    (word,) = new_words(1)
    name = article_id(raw(word))
    places = running.send([f'{{"body": "{word}"'.encode()] * 2, keys=[name.encode(), b"other"])
    running.wait_dead(places)
    assert "1 dead letter of it purged" in command(running, "retract", name)
    assert [dead.key for dead in running.dead(places)] == [b"other"]


def test_delete_over_http_retracts_article(running: Pipeline) -> None:
    """Break: in the gateway give the tombstone a value (`Record(name, None)` -> `Record(name, b"")`)."""
    (word,) = new_words(1)
    port = choose_ports(["gateway"], {})["gateway"]
    running.start("gateway#retracting", GATEWAY_PORT=str(port))
    try:
        url = f"http://127.0.0.1:{port}/v1/articles"
        body = raw(word).model_dump_json(exclude_defaults=True)
        answer = requests.post(url, data=body, headers={"content-type": "application/json"}, timeout=30)
        (name,) = (accepted["id"] for accepted in answer.json()["accepted"])
        running.wait_indexed([name])
        answer = requests.delete(f"{url}/{name}", timeout=30)
        assert (answer.status_code, answer.json()) == (202, {"accepted": [{"id": name}]})
    finally:
        running.terminate("gateway#retracting")
    running.wait_idle()
    assert visible(running, name) == {}
    assert (stored(running, name) or {})["retracted"]["by"] == "producer"
