from __future__ import annotations

import json
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from elastic_transport import ConnectionError as NoConnection
from kafka.errors import KafkaTimeoutError

from schemas.dead_letter import PURGED, dead_letter_headers, read_dead_letter
from schemas.reading import read_record
from schemas.retraction import MAX_REASON_CHARACTERS, Retraction
from schemas.topics import ARTICLES_RETRACTED
from services.cli import retract
from services.cli.kafka_admin import Waiting
from services.runtime import confirmed
from services.runtime.elasticsearch import ElasticsearchSettings
from tests.unit.cli.conftest import Newsflow

NAME, OTHER = "a" * 32, "b" * 32


class Stack:
    """Stands for Kafka and for Elasticsearch."""

    def __init__(self) -> None:
        self.documents: dict[str, dict[str, Any]] = {}
        self.away: Exception | None = None
        self.sent: list[tuple[str, bytes, bytes, list[tuple[str, bytes]]]] = []
        self.refused: set[bytes] = set()
        self.letters: list[Waiting] = []
        self.no_queue: Exception | None = None
        self.shrunk = 0

    # ------------------------------------------------ Elasticsearch

    def __enter__(self) -> Stack:
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing is open."""

    def mget(self, index: str, ids: list[str], source_includes: list[str]) -> dict[str, Any]:
        assert index == "night-news-articles"
        assert "body" not in source_includes
        if self.away:
            raise self.away
        found = [(each, self.documents.get(each)) for each in ids]
        return {"docs": [{"_id": each, "found": bool(source), "_source": source} for each, source in found]}

    # ------------------------------------------------ Kafka

    def send(
        self, topic: str, key: bytes, value: bytes, headers: list[tuple[str, bytes]] | None = None
    ) -> SimpleNamespace:
        def get(timeout: float) -> None:
            if key in self.refused:
                raise KafkaTimeoutError("not within 30 s")

        self.sent.append((topic, key, value, headers or []))
        return SimpleNamespace(get=get)

    def close(self) -> None:
        """Nothing is open."""

    @property
    def retractions(self) -> list[Retraction]:
        name = "night-articles-retracted"
        return [read_record(ARTICLES_RETRACTED, value) for topic, _, value, _ in self.sent if topic == name]

    @property
    def purged(self) -> list[str]:
        found = [dict(headers) for topic, _, _, headers in self.sent if topic == "night-articles-dlq"]
        return [headers[PURGED].decode() for headers in found]


@pytest.fixture
def stack(monkeypatch: pytest.MonkeyPatch) -> Stack:
    made = Stack()

    def waiting(_: object, wanted: Callable[[Waiting], bool]) -> list[Waiting]:
        if made.no_queue:
            raise made.no_queue
        return [each for each in made.letters if wanted(each)]

    def shrink(_: object) -> int:
        made.shrunk += 1
        return 0

    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", "127.0.0.1:1")
    monkeypatch.setenv("ELASTICSEARCH_URL", "http://127.0.0.1:1")
    monkeypatch.setenv("NEWSFLOW_PREFIX", "night-")
    monkeypatch.setattr(ElasticsearchSettings, "connect", lambda *_, **__: made)
    monkeypatch.setattr(confirmed, "KafkaProducer", lambda **_: made)
    monkeypatch.setattr(retract, "waiting", waiting)
    monkeypatch.setattr(retract, "shrink", shrink)
    return made


def letter(offset: int, key: bytes | None) -> Waiting:
    headers = dead_letter_headers(
        topic="night-articles-clean",
        partition=1,
        offset=offset,
        stage="deduper",
        reason="failed",
        error="",
        headers=[],
        null=False,
    )
    return Waiting(read_dead_letter(headers), None, key, offset)


def test_a_person_holds_an_article_back(newsflow: Newsflow, stack: Stack) -> None:
    stack.documents[NAME] = {"headline": "The ferry", "publisher": {"name": "harbour-post.example"}}
    said = newsflow("retract", NAME, "--reason", "A court's order.")
    assert said.status == 0
    ((topic, key, _, _),) = stack.sent
    assert (topic, key) == ("night-articles-retracted", NAME.encode())
    (sent,) = stack.retractions
    assert (sent.id, sent.by, sent.reason) == (NAME, "newsflow retract", "A court's order.")
    assert (sent.hold, sent.withdrawn, sent.time.utcoffset() is not None) == (True, False, True)
    assert f"{NAME} is in the index: The ferry (harbour-post.example)" in said.out
    assert "newsflow status --wait-idle" in said.out


def test_until_newer_is_what_a_producer_says(newsflow: Newsflow, stack: Stack) -> None:
    said = newsflow("retract", NAME, "--until-newer")
    assert [(each.hold, each.withdrawn) for each in stack.retractions] == [(False, False)]
    assert f"{NAME} is not in the index" in said.out
    assert "A newer revision of it comes in again" in said.out


def test_undo_takes_it_back_and_leaves_dead_letters_alone(newsflow: Newsflow, stack: Stack) -> None:
    stack.letters = [letter(1, NAME.encode())]
    stack.documents[NAME] = {"retracted": {"time": "2026-01-31T09:00:00Z", "by": "newsflow retract"}}
    said = newsflow("retract", NAME, "--undo")
    assert [(each.hold, each.withdrawn) for each in stack.retractions] == [(False, True)]
    assert "was taken out 2026-01-31T09:00:00Z by newsflow retract" in said.out
    assert "sent again" in said.out
    assert "newsflow index rebuild" in said.out
    assert stack.purged == []


def test_several_ids_each_once(newsflow: Newsflow, stack: Stack) -> None:
    assert newsflow("retract", NAME, OTHER, NAME).status == 0
    assert [each.id for each in stack.retractions] == [NAME, OTHER]


def test_json_is_an_object_a_line(newsflow: Newsflow, stack: Stack) -> None:
    stack.documents[OTHER] = {"publisher": {"name": "p.example"}}
    stack.letters = [letter(1, OTHER.encode())]
    said = newsflow("retract", NAME, OTHER, "--json")
    first, second = map(json.loads, said.out.splitlines())
    assert (first["id"], first["before"]["indexed"], first["dead_letters_purged"]) == (NAME, False, 0)
    assert second.pop("retraction").pop("id") == OTHER
    assert second == {
        "id": OTHER,
        "before": {
            "known": True,
            "indexed": True,
            "headline": None,
            "publisher": "p.example",
            "retracted": None,
        },
        "dead_letters_purged": 1,
    }


# ---------------------------------------------------------------- its dead letters


def test_dead_letters_under_its_key_are_purged_and_no_others(newsflow: Newsflow, stack: Stack) -> None:
    keys = [NAME.encode(), OTHER.encode(), None, b"articles-raw/1/7", NAME.encode()]
    stack.letters = [letter(number, key) for number, key in enumerate(keys)]
    said = newsflow("retract", NAME)
    assert stack.purged == ["night-articles-clean/1/0", "night-articles-clean/1/4"]
    assert stack.sent[0][0] == "night-articles-retracted", "the article comes first"
    assert "2 dead letters of it purged" in said.out
    assert stack.shrunk == 1


def test_dead_letters_that_cannot_be_purged_are_told(newsflow: Newsflow, stack: Stack) -> None:
    stack.no_queue = TimeoutError("Kafka was silent for 10 s")
    said = newsflow("retract", NAME, "--json")
    assert said.status == 1
    assert "Retracted, but not all dead letters were purged" in said.told
    assert json.loads(said.out)["id"] == NAME


# ---------------------------------------------------------------- wrong use, and servers that are away


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["7"], "'7' is no article id"),
        ([NAME, NAME.upper()], "no article id"),
        ([f"{NAME}\n"], "no article id"),
        (["é" * 32], "no article id"),
        (["\udcff" * 32], "no article id"),
        ([NAME, "--reason", "x" * (MAX_REASON_CHARACTERS + 1)], "more than the 500 allowed"),
        ([NAME, "--reason", "\udcff"], "no text in UTF-8"),
        ([NAME, "--undo", "--until-newer"], "--undo goes with neither"),
        ([NAME, "--undo", "--reason", "x"], "--undo goes with neither"),
        ([], "Missing argument"),
    ],
)
def test_wrong_use_is_told_and_nothing_is_sent(
    newsflow: Newsflow, stack: Stack, words: list[str], told: str
) -> None:
    said = newsflow("retract", *words)
    assert (said.status, said.out) == (2, "")
    assert told in said.told
    assert stack.sent == []


def test_the_longest_reason_is_taken(newsflow: Newsflow, stack: Stack) -> None:
    assert newsflow("retract", NAME, "--reason", "é" * MAX_REASON_CHARACTERS).status == 0


def test_an_index_that_is_away_holds_no_retraction_up(newsflow: Newsflow, stack: Stack) -> None:
    stack.away = NoConnection("refused")
    said = newsflow("retract", NAME)
    assert said.status == 0
    assert len(stack.retractions) == 1
    assert "Elasticsearch did not answer" in said.told
    assert f"{NAME} is retracted, whether it was in the index or not" in said.out


def test_what_kafka_did_not_take_is_named(newsflow: Newsflow, stack: Stack) -> None:
    third = "c" * 32
    stack.refused = {OTHER.encode()}
    said = newsflow("retract", NAME, OTHER, third)
    assert (said.status, said.out) == (1, "")
    assert f"call it again for {OTHER} {third}" in said.told
    assert stack.purged == []


def test_text_of_an_article_is_shown_and_not_obeyed(newsflow: Newsflow, stack: Stack) -> None:
    stack.documents[NAME] = {"headline": "\x1b[2J[bold]x[/bold]\u202e", "publisher": {"name": "\x07"}}
    said = newsflow("retract", NAME)
    assert not set("\x1b\x07\u202e") & set(said.out)
    assert "[bold]x[/bold]" in said.out
