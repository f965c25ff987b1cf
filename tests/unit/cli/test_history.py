"""`newsflow history`, and `newsflow story` of an article that was taken out."""

from __future__ import annotations

import json
from typing import Any

import pytest
from elastic_transport import ApiResponseMeta, HttpHeaders, NodeConfig
from elastic_transport import ConnectionError as NoConnection
from elasticsearch import NotFoundError

from services.cli.history import MOST_CHARACTERS, MOST_PARAGRAPHS, changes, told
from services.runtime.elasticsearch import ElasticsearchSettings
from tests.unit.cli.conftest import Newsflow

NAME = "8f3a5c0d9b7e4f21a6d2c4e8b1f09357"

NODE = NodeConfig("http", "127.0.0.1", 1)


class Client:
    """Stands for the Elasticsearch client: has these documents, and these copies of every story."""

    def __init__(self) -> None:
        self.documents: dict[str, dict[str, Any]] = {}
        self.copies: list[dict[str, Any]] = []
        self.fails: Exception | None = None

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing is open."""

    def get(self, index: str, id: str, **_: Any) -> dict[str, Any]:  # noqa: A002 - as the client has it
        assert index == "night-news-articles"
        if self.fails:
            raise self.fails
        if id not in self.documents:
            raise NotFoundError(
                "not found", ApiResponseMeta(404, "1.1", HttpHeaders(), 0.1, NODE), {"found": False}
            )
        return {"_source": self.documents[id]}

    def search(self, **_: Any) -> dict[str, Any]:
        return {"hits": {"total": {"value": len(self.copies)}, "hits": [{"_source": each} for each in self.copies]}}


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch) -> Client:
    made = Client()
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", "127.0.0.1:1")
    monkeypatch.setenv("ELASTICSEARCH_URL", "http://127.0.0.1:1")
    monkeypatch.setenv("NEWSFLOW_PREFIX", "night-")
    monkeypatch.setattr(ElasticsearchSettings, "connect", lambda *_, **__: made)
    return made


def document(*bodies: str, **fields: Any) -> dict[str, Any]:
    """An article with these texts, the newest first."""
    newest, *earlier = bodies
    top = len(bodies)
    return {
        "id": NAME,
        "revision": top,
        "event": {"created": f"2026-01-0{top}T08:00:00Z", "ingested": "2026-02-01T00:00:00Z"},
        "publisher": {"name": "harbour-post.example"},
        "headline": f"Headline {top}",
        "body": newest,
        "history": [
            {
                "revision": number,
                "received": f"2026-01-0{number}T08:00:00Z",
                "headline": f"Headline {number}",
                "body": body,
            }
            for number, body in zip(range(top - 1, 0, -1), earlier, strict=True)
        ],
    } | fields


RETRACTED = {
    "id": NAME,
    "revision": 7,
    "retracted": {
        "time": "2026-01-31T09:00:00Z",
        "by": "newsflow retract",
        "reason": "An \x1b[31morder",
        "hold": True,
    },
}


# ---------------------------------------------------------------- what was changed


def version(body: str, **fields: Any) -> dict[str, Any]:
    return {"body": body} | fields


def test_paragraphs_that_came_went_and_were_changed_are_told_apart() -> None:
    before = version("The bridge is closed.\n\nNobody was hurt.\n\nThe mayor will speak at noon.")
    after = version("The bridge is open again.\n\nThe mayor will speak at noon.\n\nTraffic is slow.")
    assert changes(before, after) == {
        "fields": {},
        "added": ["Traffic is slow."],
        "removed": ["Nobody was hurt."],
        "changed": [{"before": "The bridge is closed.", "after": "The bridge is open again."}],
    }


def test_a_paragraph_of_another_text_is_not_one_that_was_changed() -> None:
    found = changes(version("Nobody was hurt."), version("Zwölf Boxkämpfer jagen Viktor"))
    assert (found["removed"], found["added"], found["changed"]) == (
        ["Nobody was hurt."],
        ["Zwölf Boxkämpfer jagen Viktor"],
        [],
    )


def test_fields_are_told_with_what_they_were() -> None:
    before = version("x", headline="A", byline="By Ada Marsh", published="2026-01-01T00:00:00Z")
    after = version("x", headline="B", url="https://a.example/1", published="2026-01-01T00:00:00Z")
    assert changes(before, after)["fields"] == {
        "headline": {"before": "A", "after": "B"},
        "byline": {"before": "By Ada Marsh", "after": None},
        "url": {"before": None, "after": "https://a.example/1"},
    }


def test_nothing_changed_is_nothing() -> None:
    assert changes(version("x\n\ny"), version("x\n\ny")) == {
        "fields": {},
        "added": [],
        "removed": [],
        "changed": [],
    }


@pytest.mark.timeout(60)
def test_forty_thousand_equal_paragraphs_are_compared_too() -> None:
    """As a table or a live blog may have; a comparison of each with each would take minutes."""
    found = changes(version("\n\n".join(["-"] * 40_000)), version("\n\n".join(["-"] * 40_000 + ["The end."])))
    assert "The end." in found["added"]


def test_versions_come_newest_first_each_with_what_it_changed() -> None:
    source = document("three", "two", "one", url={"full": "https://a.example/1", "domain": "a.example"})
    answer = told(NAME, source)
    assert (answer["id"], answer["retracted"]) == (NAME, None)
    assert [(each["revision"], each["received"], each["headline"]) for each in answer["versions"]] == [
        (3, "2026-01-03T08:00:00Z", "Headline 3"),
        (2, "2026-01-02T08:00:00Z", "Headline 2"),
        (1, "2026-01-01T08:00:00Z", "Headline 1"),
    ]
    third, second, first = (each["changed"] for each in answer["versions"])
    assert third["fields"]["url"] == {"before": None, "after": "https://a.example/1"}
    assert second["fields"] == {"headline": {"before": "Headline 1", "after": "Headline 2"}}
    assert (second["removed"], second["added"]) == (["one"], ["two"])
    assert first is None


def test_a_document_of_an_older_version_has_one_version() -> None:
    source = document("text")
    del source["history"]
    assert [each["changed"] for each in told(NAME, source)["versions"]] == [None]


# ---------------------------------------------------------------- the verb


def test_json_is_one_object(newsflow: Newsflow, client: Client) -> None:
    client.documents[NAME] = document("two", "one")
    said = newsflow("history", NAME, "--json")
    assert (said.status, json.loads(said.out)) == (0, told(NAME, client.documents[NAME]))


def test_people_see_the_words_that_were_changed(newsflow: Newsflow, client: Client) -> None:
    long = "word " * 40
    client.documents[NAME] = document(
        f"{long}the bridge is open to all {long}end\n\nNew here.", f"{long}the bridge is closed to all {long}end"
    )
    said = newsflow("history", NAME)
    lines = [line.strip() for line in said.out.splitlines()]
    assert lines == [
        "revision 2, received 2026-01-02T08:00:00Z: Headline 2",
        "~ headline: Headline 1 -> Headline 2",
        "- … word the bridge is closed to all word word …",
        "+ … word the bridge is open to all word word …",
        "+ New here.",
        "revision 1, received 2026-01-01T08:00:00Z: Headline 1",
        "the earliest that is kept",
    ]


def test_what_is_shown_is_bounded(newsflow: Newsflow, client: Client) -> None:
    client.documents[NAME] = document("\n\n".join(f"{number} {'x' * 5_000}" for number in range(90)), "-")
    said = newsflow("history", NAME)
    assert len(said.out) < (MOST_PARAGRAPHS + 10) * (MOST_CHARACTERS + 100)
    assert "more lines: see --json" in said.out


def test_text_of_an_article_is_shown_and_not_obeyed(newsflow: Newsflow, client: Client) -> None:
    client.documents[NAME] = document("\x1b[2J[bold]new[/bold] \u202etxet", "old", headline="\x1b]0;x\x07")
    said = newsflow("history", NAME)
    assert said.status == 0
    assert not set("\x1b\x07\u202e") & set(said.out)
    assert "[bold]new[/bold]" in said.out


def test_of_a_retracted_article_it_says_when_by_whom_and_why(newsflow: Newsflow, client: Client) -> None:
    client.documents[NAME] = RETRACTED
    said = newsflow("history", NAME)
    assert said.status == 0
    for text in (NAME, "2026-01-31T09:00:00Z", "newsflow retract", "order", "--undo"):
        assert text in said.out
    assert "\x1b" not in said.out
    assert json.loads(newsflow("history", NAME, "--json").out) == {
        "id": NAME,
        "retracted": RETRACTED["retracted"],
        "versions": [],
    }
    client.documents[NAME] = {"id": NAME, "revision": 7, "retracted": {"time": "2026", "by": "producer"}}
    assert "until it is sent again" in newsflow("history", NAME).out
    found = json.loads(newsflow("history", NAME, "--json").out)["retracted"]
    assert found == {"time": "2026", "by": "producer", "reason": None, "hold": False}


def test_an_unknown_id_is_told(newsflow: Newsflow, client: Client) -> None:
    said = newsflow("history", NAME, "--json")
    assert (said.status, said.out) == (1, "")
    assert f"There is no article {NAME}" in said.told


def test_an_elasticsearch_that_is_away_is_told(newsflow: Newsflow, client: Client) -> None:
    client.fails = NoConnection("refused")
    said = newsflow("history", NAME)
    assert said.status == 1
    assert "http://127.0.0.1:1 did not answer" in said.told


# ---------------------------------------------------------------- newsflow story


def test_the_story_of_a_retracted_article_is_not_known(newsflow: Newsflow, client: Client) -> None:
    client.documents[NAME] = RETRACTED
    said = newsflow("story", NAME, "--json")
    assert (said.status, said.out) == (1, "")
    assert f"{NAME} was taken out on 2026-01-31T09:00:00Z by newsflow retract" in said.told


def test_copies_of_a_retracted_article_are_shown(newsflow: Newsflow, client: Client) -> None:
    client.documents[NAME] = RETRACTED
    copy = document("text", id="1" * 32, pipeline={"story_id": NAME})
    client.copies = [copy]
    said = newsflow("story", NAME, "--json")
    assert said.status == 0
    assert "was taken out" in said.told
    answer = json.loads(said.out)
    assert answer["retracted"] == RETRACTED["retracted"]
    assert [each["id"] for each in answer["copies"]] == ["1" * 32]


def test_a_story_of_articles_that_are_there_is_as_it_was(newsflow: Newsflow, client: Client) -> None:
    client.documents[NAME] = document("text", pipeline={"story_id": NAME})
    client.copies = [client.documents[NAME]]
    said = newsflow("story", NAME, "--json")
    assert (said.status, said.err) == (0, "")
    assert json.loads(said.out)["retracted"] is None
