from __future__ import annotations

import json
from pathlib import Path
from typing import Any, cast

import pytest
from elastic_transport import ConnectionError as NoConnection
from elasticsearch import Elasticsearch

from services.cli.search import MAX_QUERY_CHARACTERS, ask
from services.runtime.elasticsearch import ElasticsearchSettings
from tests.unit.cli.conftest import Newsflow

MAPPINGS = Path(__file__).parents[3] / "deploy" / "elasticsearch" / "news-mappings.json"

FULL = {
    "_id": "0" * 32,
    "_score": 3.5,
    "_source": {
        "headline": "The ferry sails again",
        "publisher": {"name": "harbour-post.example"},
        "published": "2026-01-31T08:00:00Z",
        "url": {"full": "https://harbour-post.example/a", "domain": "harbour-post.example"},
        "language": "en",
        "people": [{"name": "Ada Marsh"}, {"name": "Ben Ford"}],
        "organisations": [{"name": "Harbour Board"}],
        "places": [{"name": "Porto"}],
    },
    "highlight": {"headline": ["The <em>ferry</em> sails again"], "body": ["one <em>ferry</em>", "two"]},
}
BARE = {"_id": "1" * 32, "_score": 1.0, "_source": {"publisher": {"name": "p.example"}, "language": "und"}}


class Client:
    """Stands for the Elasticsearch client: answers with these hits, and remembers what it was asked."""

    def __init__(self, *hits: dict[str, Any]) -> None:
        self.hits = hits
        self.asked: dict[str, Any] = {}

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing is open."""

    def search(self, **asked: Any) -> dict[str, Any]:
        self.asked = asked
        return {"hits": {"total": {"value": 12_345, "relation": "eq"}, "hits": list(self.hits)}}


def asked(query: str = "ferry", size: int = 10) -> dict[str, Any]:
    client = Client()
    ask(cast("Elasticsearch", client), "night-news-articles", query, size)
    return client.asked


# ---------------------------------------------------------------- what is asked


def test_all_words_must_occur_and_the_query_is_no_program() -> None:
    query = 'ferry +"sails again" -harbour*'
    said = asked(query, 7)
    assert (said["index"], said["size"]) == ("night-news-articles", 7)
    (kind,) = said["query"]
    # `query_string` would raise for a lone bracket, and let anybody name fields and wildcards.
    assert kind == "simple_query_string"
    assert said["query"][kind]["query"] == query
    assert said["query"][kind]["default_operator"] == "and"
    flags = set(said["query"][kind]["flags"].split("|"))
    assert flags.isdisjoint({"ALL", "PREFIX", "FUZZY", "SLOP", "NEAR"})
    assert flags >= {"AND", "OR", "NOT", "PHRASE"}


def test_the_total_is_counted_and_the_time_is_bounded() -> None:
    said = asked()
    assert said["track_total_hits"] is True
    assert said["timeout"]


def test_the_body_stays_where_it_is() -> None:
    assert "body" not in asked()["source_includes"]


def test_every_field_that_is_asked_is_mapped() -> None:
    mapped = set(_fields(json.loads(MAPPINGS.read_text(encoding="utf-8"))["template"]["mappings"]["properties"]))
    said = asked()
    fields = {field.split("^")[0] for field in said["query"]["simple_query_string"]["fields"]}
    for field, settings in said["highlight"]["fields"].items():
        fields |= {field, *settings["matched_fields"]}
    assert fields - mapped == set()


def _fields(properties: dict[str, Any], before: str = "") -> list[str]:
    names = []
    for name, field in properties.items():
        names.append(before + name)
        for below in ("properties", "fields"):
            names += _fields(field.get(below, {}), f"{before}{name}.")
    return names


# ---------------------------------------------------------------- what comes back


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch) -> Client:
    client = Client(FULL, BARE)
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", "127.0.0.1:1")
    monkeypatch.setenv("ELASTICSEARCH_URL", "http://search.example:9200")
    monkeypatch.setattr(ElasticsearchSettings, "connect", lambda _: client)
    return client


def test_the_shape_that_scripts_rely_on(newsflow: Newsflow, client: Client) -> None:
    said = newsflow("search", "ferry", "--size", "2", "--json")
    assert said.status == 0
    answer = json.loads(said.out)
    assert answer == {
        "total": 12_345,
        "hits": [
            {
                "id": "0" * 32,
                "score": 3.5,
                "headline": "The ferry sails again",
                "publisher": "harbour-post.example",
                "published": "2026-01-31T08:00:00Z",
                "url": "https://harbour-post.example/a",
                "language": "en",
                "people": ["Ada Marsh", "Ben Ford"],
                "organisations": ["Harbour Board"],
                "places": ["Porto"],
                "highlights": ["The <em>ferry</em> sails again", "one <em>ferry</em>", "two"],
                "story_id": "0" * 32,
            },
            {
                "id": "1" * 32,
                "score": 1.0,
                "headline": None,
                "publisher": "p.example",
                "published": None,
                "url": None,
                "language": "und",
                "people": [],
                "organisations": [],
                "places": [],
                "highlights": [],
                "story_id": "1" * 32,
            },
        ],
    }
    assert client.asked["size"] == 2


@pytest.mark.usefixtures("client")
def test_the_prefix_is_the_indexs_as_well(
    newsflow: Newsflow, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NEWSFLOW_PREFIX", "night-")
    assert newsflow("search", "ferry").status == 0
    assert client.asked["index"] == "night-news-articles"


@pytest.mark.usefixtures("client")
def test_the_longest_query_is_asked_and_a_longer_one_refused(newsflow: Newsflow) -> None:
    assert newsflow("search", "x" * MAX_QUERY_CHARACTERS, "--json").status == 0
    said = newsflow("search", "x" * (MAX_QUERY_CHARACTERS + 1), "--json")
    assert (said.status, said.out) == (2, "")


@pytest.mark.usefixtures("client")
def test_people_read_a_table(newsflow: Newsflow) -> None:
    said = newsflow("search", "ferry")
    assert said.status == 0
    for text in ("12345 articles for ferry", "2026-01-31", "one ferry … two", "Ada Marsh", "(no headline)"):
        assert text in said.out
    assert "<em>" not in said.out


def test_no_answer_is_status_1(newsflow: Newsflow, client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(**_: Any) -> None:
        raise NoConnection("refused")

    monkeypatch.setattr(client, "search", fail)
    said = newsflow("search", "ferry", "--json")
    assert (said.status, said.out) == (1, "")
    assert "http://search.example:9200" in said.told


@pytest.mark.parametrize("text", ["The [bold] ferry", "The ferry [/b] sails"])
@pytest.mark.parametrize("where", ["query", "headline", "publisher"])
def test_brackets_are_text(newsflow: Newsflow, client: Client, where: str, text: str) -> None:
    source = {
        "headline": text if where == "headline" else "Ferry",
        "publisher": {"name": text if where == "publisher" else "p.example"},
        "language": "en",
    }
    client.hits = ({**BARE, "_source": source, "highlight": {"body": ["<em>another</em> text"]}},)
    said = newsflow("search", text if where == "query" else "ferry")
    assert said.status == 0
    assert text in said.out


@pytest.mark.usefixtures("client")
def test_brackets_in_a_highlight_are_text(newsflow: Newsflow, client: Client) -> None:
    client.hits = ({**BARE, "highlight": {"body": ["[bold] <em>ferry</em> [/b]"]}},)
    assert "[bold] ferry [/b]" in newsflow("search", "ferry").out


def test_people_read_no_html(newsflow: Newsflow, client: Client) -> None:
    client.hits = ({**BARE, "highlight": {"body": ["Marsh &amp; Ford &lt;<em>ferry</em>&gt;"]}},)
    assert "Marsh & Ford <ferry>" in newsflow("search", "ferry").out
