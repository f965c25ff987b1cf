from __future__ import annotations

import json
from pathlib import Path
from typing import Any, cast

import pytest
from elasticsearch import Elasticsearch

from schemas.document import RESERVED
from services.cli.search import MAX_PREFIX_CHARACTERS, MAX_QUERY_CHARACTERS, SUGGESTED, ask, suggest
from services.runtime.elasticsearch import ElasticsearchSettings
from services.runtime.search_client import SearchError
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
        self.suggested: dict[str, list[dict[str, Any]]] = {}
        self.asked: dict[str, Any] = {}

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing is open."""

    def search(self, **asked: Any) -> dict[str, Any]:
        self.asked = asked
        if "suggest" in asked:
            return {"suggest": {kind: [{"options": self.suggested.get(kind, [])}] for kind in asked["suggest"]}}
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
    monkeypatch.setattr(ElasticsearchSettings, "search_client", lambda _: client)
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
        raise SearchError("refused")

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


# ---------------------------------------------------------------- suggestions


def suggested(client: Client, prefix: str = "par", size: int = 10) -> dict[str, list[str]]:
    return suggest(cast("Elasticsearch", client), "night-news-articles", prefix, size)


def test_every_kind_is_asked_for_once_each_and_bounded() -> None:
    client = Client()
    assert suggested(client, "pa", 7) == {"headlines": [], "people": [], "organisations": [], "places": []}
    assert client.asked["index"] == "night-news-articles"
    for kind, field in SUGGESTED.items():
        said = client.asked["suggest"][kind]
        assert said == {"prefix": "pa", "completion": {"field": field, "size": 7, "skip_duplicates": True}}
    assert client.asked["timeout"]
    assert client.asked["source_includes"] == ["headline"]


def test_a_headline_is_whole_and_a_name_is_as_it_is_found() -> None:
    client = Client()
    whole = "Paris " + "x" * 200
    client.suggested = {
        "headlines": [{"text": whole[:100], "_source": {"headline": whole}}],
        "places": [{"text": "Paris", "_source": {"headline": whole}}, {"text": "Parma", "_source": {}}],
    }
    assert suggested(client) == {
        "headlines": [whole],
        "people": [],
        "organisations": [],
        "places": ["Paris", "Parma"],
    }


def test_what_two_articles_say_is_suggested_once() -> None:
    client = Client()
    client.suggested = {"headlines": [{"text": "P", "_source": {"headline": "Paris"}} for _ in range(2)]}
    assert suggested(client)["headlines"] == ["Paris"]


def test_scripts_read_suggestions_as_one_object(newsflow: Newsflow, client: Client) -> None:
    client.suggested = {"people": [{"text": "Ada [bold] Marsh"}]}
    said = newsflow("search", "--suggest", "ada", "--json", "--size", "3")
    assert said.status == 0
    assert json.loads(said.out) == {
        "headlines": [],
        "people": ["Ada [bold] Marsh"],
        "organisations": [],
        "places": [],
    }
    assert client.asked["suggest"]["people"]["completion"]["size"] == 3


def test_people_read_suggestions_by_kind(newsflow: Newsflow, client: Client) -> None:
    client.suggested = {"people": [{"text": "Ada [bold] \x1b[31mMarsh"}], "places": [{"text": "Adana"}]}
    said = newsflow("search", "--suggest", "ada")
    assert said.status == 0
    assert said.out.splitlines() == ["people", "  Ada [bold] \ufffd[31mMarsh", "places", "  Adana"]


@pytest.mark.usefixtures("client")
@pytest.mark.parametrize(
    "words",
    [
        [],
        ["ferry", "--suggest", "fe"],
        ["--suggest", "fe", "--stories"],
        ["--suggest", ""],
        ["--suggest", "  "],
        ["--suggest", "x" * (MAX_PREFIX_CHARACTERS + 1)],
        # No command line can hold U+0000.
        *(["--suggest", f"a{character}b"] for character in RESERVED[1:]),
    ],
)
def test_what_cannot_be_asked_is_wrong_use(newsflow: Newsflow, words: list[str]) -> None:
    said = newsflow("search", *words, "--json")
    assert (said.status, said.out) == (2, "")


@pytest.mark.usefixtures("client")
def test_the_longest_prefix_is_asked(newsflow: Newsflow) -> None:
    assert newsflow("search", "--suggest", "x" * MAX_PREFIX_CHARACTERS, "--json").status == 0
